"""TeachCLIP's student as its authors' code keeps it: the state dict in `best_model.bin` and `pytorch_model.bin.N`.

It has the names of their CLIP4Clip with the head seqTransf (see avs/models/importers/clip4clip.py), and these:

    frameLinear, frameLinear2    the two layers that weigh frames
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from avs.models.architectures import make_config
from avs.models.importers.clip4clip import convert_inside, float32, same_tensors
from avs.models.importers.importer import ForeignWeights, Imported, Importer, importers

SOURCE = "a TeachCLIP by its authors"
LAYERS = {"frameLinear": "aggregation.linear1", "frameLinear2": "aggregation.linear2"}
TO_TENSORS = """
import torch
torch.save(dict(torch.load("best_model.bin", map_location="cpu", weights_only=False)), "teachclip.pt")
"""


def convert(theirs: ForeignWeights, names: Mapping[str, str], stated: Mapping[str, Any]) -> Imported:
    """The weights of a TeachCLIP student in our terms.

    They were trained with padding mixed in, so `legacy` is true unless it is stated.

    Args:
        names: not used: the model reads the pixels of frames.
        stated: options of TeachClipConfig that the weights do not show.

    Raises:
        FormatError: tensors that are missing, left over or not finite; shapes that are not those of such a CLIP.
        ConfigError: an option that is not one of teachclip.
    """
    weights = {
        name: float32(tensor) for layer, ours in LAYERS.items() for name, tensor in same_tensors(theirs, layer, ours)
    }
    sizes = {name: stated[name] for name in ("max_frames", "max_words") if name in stated}
    clip = convert_inside(theirs, {"head": "seqTransf", **sizes}, source=SOURCE)
    options = {**clip.options, "legacy": stated.get("legacy", True)}
    make_config("teachclip", {**stated, **options})
    return replace(clip, options=options, weights={**clip.weights, **weights})


importers.register("teachclip")(Importer(convert=convert, to_tensors=TO_TENSORS.strip()))
