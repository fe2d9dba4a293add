"""Three levels of a sequence of vectors, as in Dual Encoding (Dong et al., CVPR 2019, arXiv 1809.06181).

    mean   f1 = mean_t x_t                                              the whole sequence
    gru    f2 = mean_t h_t,  h = biGRU(x)                               the order of its steps
    conv   f3 = concat over k of max_t relu(Conv1d_k(h))_t              local patterns of k steps

A convolution of kernel k is padded by k-1 zeros on both sides, so a sequence of n steps has n+k-1 positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from avs.core.columns import spaced_places
from avs.models.architectures.dual_encoding import Level
from avs.models.batch import Sequences


class SequenceLevels(nn.Module):
    """From sequences of vectors to one vector per level. The biGRU runs once for both levels that need it.

    Padding changes nothing: sequences are packed for the biGRU, and the maximum leaves out positions that see only
    padding. With `legacy`, as in the authors' code, the biGRU runs over the zeros after a sequence's end, so its
    backward direction depends on the longest sequence of the batch; convolutions see those positions too, where
    relu(bias) can win; and `max_length` cuts what the biGRU reads, but not the mean.

    Args:
        dim: dimension of a step's vector.
        levels: the levels to compute, each once.
        hidden: dimension of the biGRU's state, in each direction.
        kernels, filters: widths of the convolutions, and number of filters of each.
        max_length: number of first steps to read; None: all.
    """

    def __init__(
        self,
        dim: int,
        *,
        levels: Sequence[Level],
        hidden: int,
        kernels: Sequence[int],
        filters: int,
        max_length: int | None = None,
        legacy: bool = False,
    ) -> None:
        super().__init__()
        self.levels, self.max_length, self.legacy = tuple(levels), max_length, legacy
        dims = {"mean": dim, "gru": 2 * hidden, "conv": filters * len(kernels)}
        self.dims = tuple(dims[level] for level in levels)
        recurrent = "gru" in levels or "conv" in levels
        self.gru = nn.GRU(dim, hidden, batch_first=True, bidirectional=True) if recurrent else None
        self.conv = MaxConvolutions(2 * hidden, kernels, filters, legacy=legacy) if "conv" in levels else None

    def forward(self, steps: Sequences) -> list[Tensor]:
        """One (B, dims[i]) per level, of (B, L, D) steps."""
        head = steps if self.max_length is None else first_steps(steps, self.max_length)
        vectors: dict[str, Tensor] = {}
        if "mean" in self.levels:
            vectors["mean"] = masked_mean(steps if self.legacy else head)
        if self.gru is not None:
            states = Sequences(self._states(self.gru, head), head.lengths)
            vectors["gru"] = masked_mean(states)
            if self.conv is not None:
                vectors["conv"] = self.conv(states)
        return [vectors[level] for level in self.levels]

    def _states(self, gru: nn.GRU, steps: Sequences) -> Tensor:
        """(B, L, 2H) outputs of the biGRU, zero after each sequence's end."""
        if self.legacy:
            outputs: Tensor = gru(zero_after_end(steps))[0]
            return zero_after_end(Sequences(outputs, steps.lengths))
        packed = pack_padded_sequence(steps.values, steps.lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=steps.values.shape[1])[0]


class MaxConvolutions(nn.Module):
    """Convolutions over time, rectified, and the largest value of each filter over time.

    Args:
        dim: dimension of a step's vector.
        kernels, filters, legacy: as in SequenceLevels.
    """

    def __init__(self, dim: int, kernels: Sequence[int], filters: int, *, legacy: bool = False) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, filters, kernel, padding=kernel - 1) for kernel in kernels)
        self.dim, self.legacy = filters * len(kernels), legacy

    def forward(self, steps: Sequences) -> Tensor:
        """(B, K*filters) of (B, L, D) steps that are zero after their end."""
        over_time = steps.values.transpose(1, 2)  # (B, D, L)
        return torch.cat([self._largest(conv, over_time, steps.lengths) for conv in self.convolutions], dim=1)

    def _largest(self, convolution: nn.Module, over_time: Tensor, lengths: Tensor) -> Tensor:
        """(B, filters) maxima over time."""
        values: Tensor = convolution(over_time).relu()  # (B, filters, L+k-1), none below 0
        if not self.legacy:
            positions = torch.arange(values.shape[2], device=values.device)
            own = lengths + values.shape[2] - over_time.shape[2]  # n+k-1
            values = values.masked_fill(positions >= own[:, None, None], 0.0)
        return values.amax(dim=2)


def spaced_steps(sequences: Sequences, count: int) -> Sequences:
    """At most `count` steps of each sequence, from the first to the last; of a longer one `spaced_places`."""
    if sequences.values.shape[1] <= count:
        return sequences
    lengths = sequences.lengths.tolist()
    chosen = [spaced_places(length, count) if length > count else np.arange(count) for length in lengths]
    places = torch.from_numpy(np.stack(chosen)).to(sequences.values.device)
    rows = torch.arange(len(lengths), device=places.device)[:, None]
    return Sequences(sequences.values[rows, places], sequences.lengths.clamp(max=count))


def first_steps(steps: Sequences, count: int) -> Sequences:
    """The first `count` steps of each sequence."""
    return Sequences(steps.values[:, :count], steps.lengths.clamp(max=count))


def zero_after_end(steps: Sequences) -> Tensor:
    """(B, L, D) values with zeros after each sequence's end."""
    return steps.values.masked_fill(~steps.mask[:, :, None], 0.0)


def masked_mean(steps: Sequences) -> Tensor:
    """(B, D) mean over each sequence's own steps."""
    return zero_after_end(steps).sum(dim=1) / steps.lengths[:, None]
