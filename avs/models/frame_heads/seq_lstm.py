"""seqLSTM of CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): an LSTM over the frames, then the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.frame_heads.head import FrameHead

if TYPE_CHECKING:
    from transformers import CLIPModel


class SeqLstm(FrameHead):
    """z = LSTM(x) + x, with one layer in one direction, as wide as a frame's vector.

    With init "zero" the candidate values of the cell start at 0. So does the output of the LSTM then.
    """

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config)
        self.lstm = nn.LSTM(config.dim, config.dim, batch_first=True)
        self.zero = config.init == "zero"

    @torch.no_grad()
    def start_from(self, clip: CLIPModel) -> None:
        """Set random weights, as torch starts an LSTM."""
        self.lstm.reset_parameters()
        self.notes = ("seqLSTM: the LSTM starts at random",)
        if self.zero:
            size = self.lstm.hidden_size
            for weights in self.lstm.parameters():
                weights[2 * size : 3 * size] = 0.0  # the gates are in the order input, forget, candidate, output
            self.notes += ("seqLSTM: the output of the LSTM starts at 0",)

    def outputs(self, frames: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=1).clamp(min=1)  # a video without frames has one step of zeros, and is masked
        packed = pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=frames.shape[1])[0]
        return frames + states
