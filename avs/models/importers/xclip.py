"""X-CLIP as its authors' code keeps it: the state dict in `pytorch_model.bin.N`.

It has the names of their CLIP4Clip with the head seqTransf (see avs/models/importers/clip4clip.py), and eight matrices:

    global_mat_weight, local_mat_weight                          D x D
    word_logit_weight, word_mat_weight, word_mat_weight2         W x W, W being the words of a text in training
    frame_logit_weight, frame_mat_weight, frame_mat_weight2      F x F, F being the frames of a video in training
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from avs.models.architectures import make_config
from avs.models.importers.clip4clip import convert_inside, float32
from avs.models.importers.importer import ForeignWeights, Imported, Importer, importers

SOURCE = "an X-CLIP by its authors"
WORDS, FRAMES = "word_logit_weight", "frame_logit_weight"
MATRICES = {
    "global_mat_weight": "sentence_to_video",
    "local_mat_weight": "word_to_frame",
    WORDS: "words_for_video",
    "word_mat_weight": "words_for_frame",
    "word_mat_weight2": "words_of_sentence",
    FRAMES: "frames_for_sentence",
    "frame_mat_weight": "frames_for_word",
    "frame_mat_weight2": "frames_of_video",
}
TO_TENSORS = """
import torch
torch.save(dict(torch.load("pytorch_model.bin", map_location="cpu", weights_only=False)), "xclip.pt")
"""


def convert(theirs: ForeignWeights, names: Mapping[str, str], stated: Mapping[str, Any]) -> Imported:
    """The weights of an X-CLIP in our terms.

    They were trained with padding mixed in, so `legacy` is true unless it is stated.

    Args:
        names: not used: the model reads the pixels of frames.
        stated: options of XClipConfig that the weights do not show.

    Raises:
        FormatError: tensors that are missing, left over or not finite; shapes that are not those of such a CLIP.
        ConfigError: an option that is not one of xclip.
    """
    weights = {f"similarity.{ours}": float32(theirs.take(name)) for name, ours in MATRICES.items()}
    sizes = {"max_words": _size(theirs.take(WORDS)), "max_frames": _size(theirs.take(FRAMES))}
    head = {"head": stated["head"]} if "head" in stated else {}
    clip = convert_inside(theirs, {**sizes, **head}, source=SOURCE, without=("patches", "tight"))
    options = {**clip.options, **sizes, "legacy": stated.get("legacy", True)}
    make_config("xclip", {**stated, **options})
    return replace(clip, options=options, weights={**clip.weights, **weights})


def _size(matrix: Tensor) -> int:
    """Number of its rows; whether it is a matrix is checked where the model takes it."""
    return next(iter(matrix.shape), 0)


importers.register("xclip")(Importer(convert=convert, to_tensors=TO_TENSORS.strip()))
