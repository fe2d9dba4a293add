"""What the heads of CLIP4Clip share: vectors of frames and texts to flat rows, and rows to similarities.

Three of the four are loose: a video has one vector, and a similarity is a cosine.

    z = outputs(x)        v = l2(mean_f l2(z_f))        s = cos(t, v)

The mean is over the real frames. The paper means z_f, the authors' code l2(z_f).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from avs.models.architectures.clip4clip import Clip4ClipConfig

if TYPE_CHECKING:
    from transformers import CLIPModel


class FrameHead(nn.Module):
    """A loose head, which must define `outputs`; a head of another kind defines the other methods.

    Attributes:
        cosine: whether scores are cosines, which the loss multiplies by the logit scale.
        notes: what its weights started from, one sentence each.
    """

    cosine = True
    notes: tuple[str, ...] = ()

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__()

    def start_from(self, clip: CLIPModel) -> None:
        """Before training: start the head's weights as its config says, some as copies of those of `clip`."""

    def outputs(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, F, D) outputs of (B, F, D) frames, which are zero where the (B, F) `mask` is false."""
        raise NotImplementedError

    def video_rows(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, E) of (B, F, D) frames; zero for a video without frames."""
        return mean_of_units(self.outputs(frames, mask), mask)

    def text_rows(self, texts: Tensor) -> Tensor:
        """(T, E) of (T, D) vectors of texts."""
        return unit_or_zero(texts)

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities of rows."""
        return products(texts, videos)


def products(texts: Tensor, videos: Tensor) -> Tensor:
    """(T, B) dot products of rows, in full precision: bfloat16 would leave cosines only two digits."""
    with torch.autocast(texts.device.type, enabled=False):
        scores: Tensor = texts @ videos.T
        return scores


def mean_of_units(outputs: Tensor, mask: Tensor) -> Tensor:
    """(B, D) l2 of the mean of the (B, F, D) outputs, each of length 1, where the (B, F) mask is true; zero of none."""
    units = unit_or_zero(outputs).masked_fill(~mask[..., None], 0.0)
    return unit_or_zero(units.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))


def unit_or_zero(vectors: Tensor) -> Tensor:
    """(..., D) vectors of length 1. A zero vector stays zero, and its gradient stays finite."""
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(length == 0, 1.0)
