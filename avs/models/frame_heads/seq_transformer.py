"""seqTransf of CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): a transformer over frames, then the mean.

    init "clip":  z = T(x + P) + x               as published: the residual is to x, without the positions P
    init "zero":  z = T(x + P) - (x + P) + x     only what the blocks add; with output projections 0 this is meanP

As published, z starts with 2x + P however little the blocks do, so with projections 0 it would not be meanP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.frame_heads.head import FrameHead
from avs.models.frame_heads.transformer import FrameTransformer

if TYPE_CHECKING:
    from transformers import CLIPModel


class SeqTransformer(FrameHead):
    """A transformer over the frames, with a residual to the frames."""

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config)
        self.transformer = FrameTransformer(config)
        self.only_added = config.init == "zero"

    def start_from(self, clip: CLIPModel) -> None:
        self.notes = tuple(f"seqTransf: {note}" for note in self.transformer.start_from(clip))

    def outputs(self, frames: Tensor, mask: Tensor) -> Tensor:
        placed = frames + self.transformer.positions.weight[: frames.shape[1]]
        transformed: Tensor = self.transformer(placed, mask)
        if self.only_added:
            transformed = transformed - placed
        return transformed + frames
