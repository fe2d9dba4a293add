"""meanP of CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): the mean of the frames, without weights."""

from __future__ import annotations

from torch import Tensor

from avs.models.frame_heads.head import FrameHead


class MeanPool(FrameHead):
    """z = x."""

    def outputs(self, frames: Tensor, mask: Tensor) -> Tensor:
        return frames
