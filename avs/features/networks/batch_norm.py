"""Batch normalisation of a network that is not trained any more."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm


class FixedBatchNorm(nn.Module):
    """Batch normalisation by the means and variances of the training, of (B, C, ...) values.

    It has the tensors of torch's modules but `num_batches_tracked`, which only a training reads.

    Args:
        channels: number of channels C.
        epsilon: added to the variances.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, values: Tensor) -> Tensor:
        """Values of the same shape."""
        return batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.epsilon)
