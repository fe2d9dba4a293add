"""CLIP4Clip as its authors' code keeps it: the state dict in `pytorch_model.bin.N`, parts of it in float16.

Its names are those of OpenAI's CLIP, with what the head adds:

    clip.visual.conv1, .conv2                 the patch projection; conv2 is the one over time, and conv1 is unused then
    clip.visual.transformer.resblocks.N       the blocks; .attn.in_proj is query, key and value in one
    clip.transformer.resblocks.N              the same of the text tower
    clip.visual.proj, clip.text_projection    (width, D), which a linear layer keeps transposed
    frame_position_embeddings                 of seqTransf; in seqLSTM it is there, and nothing reads it
    transformerClip.resblocks.N               the blocks of seqTransf
    lstm_visual                               of seqLSTM
    cross.*, similarity_dense                 of tightTransf
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from avs.core.errors import ConfigError, FormatError, Problems
from avs.models.architectures import make_config
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.clip_backbone import plain_config
from avs.models.importers.importer import ForeignWeights, Imported, Importer, TextInput, importers

HEAD_WIDTH = 64  # of one head of the attention, in every CLIP of OpenAI and in the authors' code
BOTH = ("weight", "bias")
BLOCK = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
         "mlp.c_proj": "mlp.fc2"}  # fmt: skip
AXES = {
    "text_model.embeddings.token_embedding.weight": (2,),
    "text_model.embeddings.position_embedding.weight": (2,),
    "text_model.encoder.layers.0.mlp.fc1.bias": (1,),
    "text_projection.weight": (2,),
    "vision_model.embeddings.patch_embedding.weight": (4, 5),
    "vision_model.embeddings.position_embedding.weight": (2,),
    "vision_model.encoder.layers.0.mlp.fc1.bias": (1,),
}  # of the tensors whose shapes give the sizes
HEADS = {
    "seqLSTM": ("lstm_visual.",),
    "seqTransf": ("transformerClip.",),
    "tightTransf": ("cross.", "similarity_dense."),
}
AS_RELEASED = ("image_mean", "image_std", "init", "position_scale", "tight")  # options that their code does not have
POSITIONS = "frame_position_embeddings."
VISION, TEXT = "clip.visual.transformer.", "clip.transformer."
TO_TENSORS = """
import torch
found = torch.load("pytorch_model.bin", map_location="cpu", weights_only=False)
torch.save(found if isinstance(found, dict) else found.state_dict(), "clip4clip.pt")
"""


def convert(
    theirs: ForeignWeights,
    names: Mapping[str, str],
    stated: Mapping[str, Any],
    *,
    source: str = "a CLIP4Clip by its authors",
) -> Imported:
    """The weights of a CLIP4Clip in our terms.

    Args:
        names: not used: the model reads the pixels of frames.
        stated: options of Clip4ClipConfig that the weights do not show.
        source: whose weights these are, for errors.

    Raises:
        FormatError: tensors that are missing, left over or not finite; shapes that are not those of such a CLIP.
        ConfigError: the weights do not show the head; an option that is not one of clip4clip.
    """
    tensors = {name: float32(tensor) for name, tensor in theirs.tensors.items()}
    theirs = ForeignWeights(tensors, used=theirs.used, missing=theirs.missing)
    head = _head(theirs, stated)
    patches = "3d" if "clip.visual.conv2.weight" in theirs else "2d"
    weights = {f"backbone.clip.{name}": tensor for name, tensor in _clip(theirs, patches)}
    weights |= {f"head.{name}": tensor for name, tensor in HEAD_WEIGHTS[head](theirs)}
    left_out = tuple(_left_out(theirs, head, patches))
    theirs.finish(source)
    backbone = _backbone(theirs, weights)
    shown: dict[str, Any] = {"backbone": backbone, "head": head, "patches": patches}
    if head in ("seqTransf", "tightTransf"):
        shown["layers"] = _blocks(theirs, "transformerClip." if head == "seqTransf" else "cross.transformer.")
    config = make_config("clip4clip", {**stated, **shown})
    shown |= {each.name: each.default for each in fields(Clip4ClipConfig) if each.name in AS_RELEASED}
    words = backbone["text_config"]["vocab_size"]
    return Imported(
        options=shown,
        video={},
        video_frames={"frames": 0},
        text=(TextInput("clip-tokens", "clip-tokens", words, length=config.max_words),),
        weights=weights,
        left_out=left_out,
    )


def convert_inside(
    theirs: ForeignWeights,
    stated: Mapping[str, Any],
    *,
    source: str,
    without: Sequence[str] = ("head", "patches", "tight"),
) -> Imported:
    """The CLIP4Clip within the weights of a model whose code grew from theirs, and whose other tensors were taken.

    Args:
        stated: its `head`, and sizes that the weights do not show.
        source: whose weights these are, for errors.
        without: options of CLIP4Clip that the model does not have.

    Raises:
        FormatError: as convert, and for patches over three frames.
        ConfigError: as convert.
    """
    clip = convert(theirs, {}, stated, source=source)
    if clip.options["patches"] != "2d":
        raise FormatError(
            f"not the weights of {source}",
            got="patches over three frames (clip.visual.conv2)",
            wanted="patches of single frames, as in all of their scripts",
        )
    return replace(clip, options={key: value for key, value in clip.options.items() if key not in without})


def float32(tensor: Tensor) -> Tensor:
    """A tensor of float16 or the like in float32; another, which is refused later, as it is."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _head(theirs: ForeignWeights, stated: Mapping[str, Any]) -> str:
    """The head that is stated, or that the tensors show."""
    if "head" in stated:
        if stated["head"] not in HEAD_WEIGHTS:
            raise ConfigError("no such head", got=stated["head"], wanted=", ".join(HEAD_WEIGHTS))
        return str(stated["head"])
    found = [head for head, prefixes in HEADS.items() if any(name.startswith(prefixes) for name in theirs.tensors)]
    if len(found) > 1:
        raise ConfigError(
            "the weights do not show the head",
            got=f"tensors of {', '.join(found)}",
            next_step=f"say which one was trained, and the others are left out: --option head={found[0]}",
        )
    return found[0] if found else "meanP"


def _clip(theirs: ForeignWeights, patches: str) -> Iterator[tuple[str, Tensor]]:
    """Name in a CLIPModel -> tensor."""
    conv = "conv1" if patches == "2d" else "conv2"
    yield "logit_scale", theirs.take("clip.logit_scale")
    yield "text_projection.weight", theirs.take("clip.text_projection").transpose(0, -1).contiguous()
    yield "visual_projection.weight", theirs.take("clip.visual.proj").transpose(0, -1).contiguous()
    embeddings = "vision_model.embeddings."
    yield f"{embeddings}class_embedding", theirs.take("clip.visual.class_embedding")
    yield f"{embeddings}patch_embedding.weight", theirs.take(f"clip.visual.{conv}.weight")
    yield f"{embeddings}position_embedding.weight", theirs.take("clip.visual.positional_embedding")
    embeddings = "text_model.embeddings."
    yield f"{embeddings}token_embedding.weight", theirs.take("clip.token_embedding.weight")
    yield f"{embeddings}position_embedding.weight", theirs.take("clip.positional_embedding")
    yield from same_tensors(theirs, "clip.visual.ln_pre", "vision_model.pre_layrnorm")
    yield from same_tensors(theirs, "clip.visual.ln_post", "vision_model.post_layernorm")
    yield from same_tensors(theirs, "clip.ln_final", "text_model.final_layer_norm")
    yield from transformer_tensors(theirs, VISION, "vision_model.encoder.layers")
    yield from transformer_tensors(theirs, TEXT, "text_model.encoder.layers")


def transformer_tensors(theirs: ForeignWeights, prefix: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    """The blocks of a transformer; at least one is wanted."""
    for block in range(max(_blocks(theirs, prefix), 1)):
        place = f"{prefix}resblocks.{block}"
        for one in BOTH:
            fused = theirs.take(f"{place}.attn.in_proj_{one}")
            parts = (fused if fused.dim() else fused[None]).tensor_split(3)
            for part, tensor in zip(("q", "k", "v"), parts, strict=True):
                yield f"{ours}.{block}.self_attn.{part}_proj.{one}", tensor.contiguous()
        for name, named in BLOCK.items():
            yield from same_tensors(theirs, f"{place}.{name}", f"{ours}.{block}.{named}")


def _blocks(theirs: ForeignWeights, prefix: str) -> int:
    """The number of blocks there."""
    matches = (re.match(re.escape(prefix) + r"resblocks\.(\d+)\.", name) for name in theirs.tensors)
    return len({match[1] for match in matches if match})


def same_tensors(
    theirs: ForeignWeights, name: str, ours: str, parts: Sequence[str] = BOTH
) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"{ours}.{one}", theirs.take(f"{name}.{one}")) for one in parts)


def _mean_pool(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    return iter(())


def _seq_lstm(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    return same_tensors(theirs, "lstm_visual", "lstm", ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))


def _seq_transformer(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    yield "transformer.positions.weight", theirs.take(f"{POSITIONS}weight")
    yield from transformer_tensors(theirs, "transformerClip.", "transformer.blocks")


def _tight_transformer(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    yield "transformer.positions.weight", theirs.take("cross.embeddings.position_embeddings.weight")
    yield from transformer_tensors(theirs, "cross.transformer.", "transformer.blocks")
    yield from same_tensors(theirs, "cross.pooler.ln_pool", "norm")
    yield from same_tensors(theirs, "cross.pooler.dense", "pool")
    yield from same_tensors(theirs, "similarity_dense", "similarity")


HEAD_WEIGHTS = {
    "meanP": _mean_pool,
    "seqLSTM": _seq_lstm,
    "seqTransf": _seq_transformer,
    "tightTransf": _tight_transformer,
}


def _left_out(theirs: ForeignWeights, head: str, patches: str) -> Iterator[str]:
    """Leave out what has no effect, and say so."""
    if head != "seqTransf" and theirs.leave_out(POSITIONS):
        yield f"the positions of frames, which {head} does not read"
    if patches == "3d" and theirs.leave_out("clip.visual.conv1."):
        yield "the patch projection of single frames, which 3d patches do not read"
    for other, prefixes in HEADS.items():
        count = sum(theirs.leave_out(prefix) for prefix in prefixes) if other != head else 0
        if count:
            yield f"{count} tensors of {other}, since the head is said to be {head}"


def _backbone(theirs: ForeignWeights, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """CLIPConfig.to_dict() of the CLIP, from the shapes of its tensors.

    The text tower of OpenAI has the end token as the last of its vocabulary, and the start token before it.
    """
    from transformers import CLIPConfig

    shapes = {name.removeprefix("backbone.clip."): list(tensor.shape) for name, tensor in weights.items()}
    problems = Problems("shapes that are not those of a CLIP")
    for name, axes in AXES.items():
        if len(shapes[name]) not in axes:
            problems.add(name, f"has shape {shapes[name]}, wanted {' or '.join(map(str, axes))} axes")
    problems.raise_if_any(FormatError)
    words, text = shapes["text_model.embeddings.token_embedding.weight"]
    positions, _ = shapes["text_model.embeddings.position_embedding.weight"]
    cells, vision = shapes["vision_model.embeddings.position_embedding.weight"]
    patch = shapes["vision_model.embeddings.patch_embedding.weight"][-1]
    narrow = [
        f"{name} {width}" for name, width in (("text", text), ("vision", vision)) if width < 1 or width % HEAD_WIDTH
    ]
    grid = math.isqrt(max(cells - 1, 0))
    if narrow or grid * grid != cells - 1:
        raise FormatError(
            "the weights are not those of a vision transformer as in OpenAI's CLIP",
            got=f"widths {', '.join(narrow)}" if narrow else f"{cells} positions of patches",
            wanted=f"widths of a multiple of {HEAD_WIDTH}" if narrow else "those of a square grid and one more",
        )
    common: dict[str, Any] = {
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": shapes["text_projection.weight"][0],
    }
    towers = {
        name: {
            **common,
            "hidden_size": width,
            "intermediate_size": shapes[f"{name}_model.encoder.layers.0.mlp.fc1.bias"][0],
            "num_attention_heads": width // HEAD_WIDTH,
            "num_hidden_layers": _blocks(theirs, prefix),
        }
        for name, width, prefix in (("text", text, TEXT), ("vision", vision, VISION))
    }
    ids = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    config = CLIPConfig(
        text_config={**towers["text"], **ids, "vocab_size": words, "max_position_embeddings": positions},
        vision_config={**towers["vision"], "image_size": grid * patch, "patch_size": patch},
        projection_dim=common["projection_dim"],
    )
    return plain_config(config)


importers.register("clip4clip")(Importer(convert=convert, to_tensors=TO_TENSORS.strip()))
