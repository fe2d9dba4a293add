"""State dicts of random numbers in the layout of the authors' TeachCLIP: their CLIP4Clip's, and two layers."""

from __future__ import annotations

import torch
from their_clip4clip import DIM, theirs
from torch import Tensor


def their_teachclip(*, head: str = "seqTransf", layers: int = 3) -> dict[str, Tensor]:
    """A state dict of random numbers with their names; frames that only fill up have much weight."""
    state = theirs(head, layers=layers)
    state |= {"frameLinear.weight": torch.randn(DIM, DIM) / DIM**0.5, "frameLinear.bias": torch.randn(DIM) * 0.1}
    return state | {"frameLinear2.weight": torch.randn(1, DIM) * -0.01, "frameLinear2.bias": torch.randn(1)}
