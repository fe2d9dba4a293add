"""tanh(W f + b) in one sweep over the result, where the processor's library has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avs.core.errors import ConfigError

FUSED_DTYPES = (torch.float32, torch.bfloat16)


def linear_tanh(linear: nn.Linear, feature: Tensor) -> Tensor:
    """(B, out) of (B, in).

    Without gradients on the CPU, oneDNN puts the bias and the tanh on a tile of the product while it is in registers;
    a tanh of its own would cost as much as a tenth of the product. It rounds once in bfloat16, not three times.
    """
    weight = getattr(linear, "packed", linear.weight)
    if not len(feature) and not torch.is_grad_enabled():
        return feature.new_empty(0, linear.out_features)
    if _can_fuse(linear, feature):
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(feature, weight, linear.bias, "tanh", [], "")
        return fused
    return torch.tanh(linear(feature))


def pack(linear: nn.Linear, rows: int) -> None:
    """Lay the weights out as oneDNN multiplies `rows` rows with them, which it would otherwise do in every product.

    For inference on the CPU, at the end of all preparation: the weights in their plain layout are given up.

    Raises:
        ConfigError: the weights were laid out before, in another dtype.
    """
    weight = linear.weight.detach()
    packed = getattr(linear, "packed", None)
    if packed is not None:
        if packed.dtype != weight.dtype:
            raise ConfigError("the model was prepared for another dtype", got=weight.dtype, wanted=packed.dtype)
        return
    if weight.device.type == "cpu" and weight.dtype in FUSED_DTYPES and _has_operators():
        linear.packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        linear.weight = nn.Parameter(weight.new_empty(0), requires_grad=False)  # keeps dtype and device, no values


def _can_fuse(linear: nn.Linear, feature: Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and not torch.is_autocast_enabled(feature.device.type)
        and feature.device.type == "cpu"
        and feature.dtype == linear.weight.dtype
        and feature.dtype in FUSED_DTYPES
        and _has_operators()
    )


def _has_operators() -> bool:
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
