"""Layers that several models share: batch normalisation for any batch, fast dropout, a linear map with tanh."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.core.errors import ConfigError

LEVELS = 2**16  # dropout probabilities are rounded to this fraction, and the scale with them
FUSED_DTYPES = (torch.float32, torch.bfloat16)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation. A single training row has no variance and is normalised by the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class Dropout(nn.Module):
    """Dropout as torch has it, with faster random numbers: zeros with probability p, the rest scaled to keep the mean.

    On the CPU, torch draws a 64-bit number per element, which takes a tenth of a training step of LAFF. Here one number
    serves four elements.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """The same shape as `values`."""
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return F.dropout(values, self.p, self.training)
        dropped = round(self.p * LEVELS)
        draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: values.numel()] >= dropped - LEVELS // 2
        scale = LEVELS / (LEVELS - dropped) if dropped < LEVELS else 0.0
        return values * kept.view(values.shape).to(values.dtype).mul_(scale)


class LinearTanh(nn.Linear):
    """tanh(W f + b), in one pass over the result where the processor's library can.

    Without gradients on the CPU, oneDNN adds the bias and takes the tanh of a tile of the product while it is in
    registers. A separate tanh would cost up to a tenth of the product. In bfloat16 oneDNN rounds once, not three times.
    """

    packed: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """(B, out) of (B, in)."""
        weight = self.weight if self.packed is None else self.packed
        if not len(input) and not torch.is_grad_enabled():
            return input.new_empty(0, self.out_features)
        if self._can_fuse(input):
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, self.bias, "tanh", [], "")
            return fused
        return torch.tanh(super().forward(input))

    def pack(self, rows: int) -> None:
        """Lay the weights out as oneDNN multiplies `rows` rows with them; otherwise it does so in every product.

        Call this for inference on the CPU, after all other preparation: the weights in their plain layout are given
        up. A second call changes nothing.

        Raises:
            ConfigError: the weights were laid out before, in another dtype.
        """
        weight = self.weight.detach()
        if self.packed is not None and self.packed.dtype != weight.dtype:
            raise ConfigError("the model was prepared for another dtype", got=weight.dtype, wanted=self.packed.dtype)
        if self.packed is None and weight.device.type == "cpu" and weight.dtype in FUSED_DTYPES and _has_operators():
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
            self.weight = nn.Parameter(weight.new_empty(0), requires_grad=False)  # keeps dtype and device, no values

    def _can_fuse(self, input: Tensor) -> bool:
        return (
            not torch.is_grad_enabled()
            and not torch.is_autocast_enabled(input.device.type)
            and input.device.type == "cpu"
            and input.dtype == self.weight.dtype
            and input.dtype in FUSED_DTYPES
            and _has_operators()
        )


def _has_operators() -> bool:
    names = ("_linear_pointwise", "_reorder_linear_weight")
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and all(hasattr(torch.ops.mkldnn, name) for name in names)
