"""The blocks that fuse features in a LAFF model: its own, attention, and those that its authors compare it with."""

from __future__ import annotations

from collections.abc import Mapping

from avs.models.architectures.laff import Fusion
from avs.models.blocks.attention import Laff
from avs.models.blocks.block import FusionBlock
from avs.models.blocks.concatenation import ConcatenationBlock
from avs.models.blocks.mean import MeanBlock
from avs.models.blocks.self_attention import SelfAttentionBlock
from avs.models.blocks.weighted_sum import WeightedSumBlock

BLOCKS: Mapping[Fusion, type[FusionBlock]] = {
    "attention": Laff,
    "concatenation": ConcatenationBlock,
    "mean": MeanBlock,
    "weighted-sum": WeightedSumBlock,
    "self-attention": SelfAttentionBlock,
}
