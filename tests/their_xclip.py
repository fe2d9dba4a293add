"""State dicts of random numbers in the layout of the authors' X-CLIP: their CLIP4Clip's, and eight matrices."""

from __future__ import annotations

import torch
from their_clip4clip import DIM, theirs
from torch import Tensor

SIZES = {
    "global_mat_weight": "dim", "local_mat_weight": "dim",
    "word_logit_weight": "words", "word_mat_weight": "words", "word_mat_weight2": "words",
    "frame_logit_weight": "frames", "frame_mat_weight": "frames", "frame_mat_weight2": "frames",
}  # fmt: skip


def their_xclip(*, words: int, frames: int, head: str = "seqTransf", layers: int = 3) -> dict[str, Tensor]:
    """The matrices are random numbers around the identity."""
    state = theirs(head, layers=layers)
    for name, kind in SIZES.items():
        size = {"dim": DIM, "words": words, "frames": frames}[kind]
        state[name] = torch.eye(size) + torch.randn(size, size) * 0.1
    return state
