"""The heads of CLIP4Clip: how the vectors of frames become one similarity to a text."""

from __future__ import annotations

from collections.abc import Mapping

from avs.models.architectures.clip4clip import FrameHeadName
from avs.models.frame_heads.head import FrameHead
from avs.models.frame_heads.mean_pool import MeanPool
from avs.models.frame_heads.seq_lstm import SeqLstm
from avs.models.frame_heads.seq_transformer import SeqTransformer
from avs.models.frame_heads.tight_transformer import TightTransformer

HEADS: Mapping[FrameHeadName, type[FrameHead]] = {
    "meanP": MeanPool,
    "seqLSTM": SeqLstm,
    "seqTransf": SeqTransformer,
    "tightTransf": TightTransformer,
}
