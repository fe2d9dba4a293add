"""How the weights move: RMSprop in blocks that stay in the cache, Adam, and the learning rate from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avs.train.settings import Settings

BLOCK = 65_536  # values: parameters, gradients, squares and roots together are 1 MB in float32


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser of the settings, for the parameters that are trained."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=settings.learning_rate)
    return RMSprop(parameters, lr=settings.learning_rate)


class RMSprop(torch.optim.Optimizer):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps), without momentum or centring.

    The models here are a few wide matrices. torch's optimiser makes five passes over tens of millions of values through
    memory. Here every pass but the first finds its block in the cache, which takes a third of the time on a CPU.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, alpha: float = 0.99, eps: float = 1e-8
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


@dataclass(slots=True)
class Schedule:
    """The learning rate from epoch to epoch: a decay every epoch, and a cut when validation stops improving.

    LAFF: x0.99 per epoch, and torch's ReduceLROnPlateau, x0.5 after more than 2 epochs in a row without a rise by
    1e-4 of the best (`patience` 2, `rest` 0, `threshold` 1e-4).
    Dual Encoding: x0.99 per epoch, and x0.5 after any epoch without a new best, but at least 3 epochs after the last
    cut (`patience` 0, `rest` 3, `threshold` 0).

    Attributes:
        rate: of the coming epoch.
        decay: factor after every epoch.
        cut: factor on a plateau.
        patience: a cut comes after more than this number of epochs in a row without a rise.
        rest: smallest number of epochs between two cuts.
        threshold: smallest rise that counts, relative to `best`.
        best: validation measure after the last rise that counted.
        bad, since_cut: epochs without such a rise, and since the last cut.
    """

    rate: float
    decay: float = 0.99
    cut: float = 0.5
    patience: int = 2
    rest: int = 0
    threshold: float = 1e-4
    best: float = float("-inf")
    bad: int = 0
    since_cut: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Schedule:
        """The schedule of the settings, at its start."""
        return cls(
            settings.learning_rate,
            decay=settings.decay,
            cut=settings.cut,
            patience=settings.cut_patience,
            rest=settings.cut_rest,
            threshold=settings.cut_threshold,
        )

    def step(self, measure: float) -> None:
        """An epoch ended with this validation measure; larger is better."""
        if measure > self.best * (1 + self.threshold):
            self.best, self.bad = measure, 0
        else:
            self.bad += 1
        self.since_cut += 1
        self.rate *= self.decay
        if self.bad > self.patience and self.since_cut >= self.rest:
            self.rate *= self.cut
            self.bad = self.since_cut = 0
