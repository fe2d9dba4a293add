"""CLIP2Video as its authors' code keeps it: a state dict with the names of their CLIP4Clip's seqTransf, and these:

type_position_embeddings                  E, of the temporal difference block
frame2t_attention.resblocks.0             its transformer of one block, of sigmoid_selfA
frame2t_projection                        W transposed, of sigmoid_mlp
trans_layernorm                           its layer norm; there without the block too, where nothing reads it
weight_center, emb_center                 w and c, the centres of the temporal alignment block
actionClip.resblocks.0                    its transformer of one block
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from avs.core.errors import FormatError
from avs.models.architectures import make_config
from avs.models.importers.clip4clip import convert_inside, float32, same_tensors, transformer_tensors
from avs.models.importers.importer import ForeignWeights, Imported, Importer, importers

SOURCE = "a CLIP2Video by its authors"
TYPES, NORM = "type_position_embeddings.weight", "trans_layernorm"
ATTENTION, PROJECTION = "frame2t_attention.", "frame2t_projection"
CENTRES, WEIGHTS, LOCAL = "emb_center", "weight_center", "actionClip."
TO_TENSORS = """
import torch
torch.save(dict(torch.load("pytorch_model.bin", map_location="cpu", weights_only=False)), "clip2video.pt")
"""


def convert(theirs: ForeignWeights, names: Mapping[str, str], stated: Mapping[str, Any]) -> Imported:
    """The weights of a CLIP2Video in our terms.

    Whether the alignment reads differences of every second frame leaves no trace in the weights. It does in all of the
    authors' scripts, and so here unless `alignment` is stated.

    Args:
        names: not used: the model reads the pixels of frames.
        stated: options of Clip2VideoConfig that the weights do not show.

    Raises:
        FormatError: tensors that are missing, left over or not finite; shapes or parts that are not those of such a
            model.
        ConfigError: an option that is not one of clip2video.
    """
    left_out: list[str] = []
    temporal = _temporal(theirs)
    weights = dict(_differences(theirs, temporal))
    unread = (NORM, ATTENTION, PROJECTION) if temporal == "none" else ()
    if sum(theirs.leave_out(part) for part in unread) > 0:
        left_out.append("the layer norm and the projection of differences, which a model without them does not read")
    options: dict[str, Any] = {"temporal": temporal, "alignment": "none"}
    if WEIGHTS in theirs or CENTRES in theirs:
        usual = "TAB" if temporal == "none" else "TAB_TDB"
        options["alignment"] = "TAB" if stated.get("alignment") == "TAB" else usual
        weights |= dict(_alignment(theirs))
        options["centres"] = next(iter(weights["centres.weights"].shape), 0)
    frames = {name: stated[name] for name in ("max_frames", "max_words") if name in stated}
    clip = convert_inside(theirs, {"head": "seqTransf", **frames}, source=SOURCE)
    weights |= {name.removeprefix("head."): tensor for name, tensor in clip.weights.items()}
    options |= clip.options
    make_config("clip2video", {**stated, **options})
    return replace(clip, options=options, weights=weights, left_out=(*clip.left_out, *left_out))


def _temporal(theirs: ForeignWeights) -> str:
    """What is between the frames.

    Raises:
        FormatError: differences of a kind that no script of the authors makes.
    """
    if TYPES not in theirs:
        return "none"
    found = {
        "sigmoid_selfA": any(name.startswith(ATTENTION) for name in theirs.tensors),
        "sigmoid_mlp": PROJECTION in theirs,
    }
    kinds = [kind for kind, there in found.items() if there]
    if len(kinds) != 1:
        raise FormatError(
            "weights of differences that avs does not know",
            got=f"those of {' and '.join(kinds)}" if kinds else f"{TYPES} without {ATTENTION}* or {PROJECTION}",
            wanted=f"those of one of {', '.join(found)}",
        )
    return kinds[0]


def _differences(theirs: ForeignWeights, temporal: str) -> Iterator[tuple[str, Tensor]]:
    """Name in our model -> tensor."""
    if temporal == "none":
        return
    yield "differences.types.weight", float32(theirs.take(TYPES))
    for name, tensor in same_tensors(theirs, NORM, "differences.norm"):
        yield name, float32(tensor)
    if temporal == "sigmoid_mlp":
        yield "differences.projection.weight", float32(theirs.take(PROJECTION)).transpose(0, -1).contiguous()
        return
    for name, tensor in transformer_tensors(theirs, ATTENTION, "differences.attention.blocks"):
        yield name, float32(tensor)


def _alignment(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    """Name in our model -> tensor."""
    yield "centres.weights", float32(theirs.take(WEIGHTS))
    yield "centres.centres", float32(theirs.take(CENTRES))
    for name, tensor in transformer_tensors(theirs, LOCAL, "local.blocks"):
        yield name, float32(tensor)


importers.register("clip2video")(Importer(convert=convert, to_tensors=TO_TENSORS.strip(), fps=None))
