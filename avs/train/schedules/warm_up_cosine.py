"""A learning rate that changes with every step: a linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class WarmUpCosine:
    """With x the share of all steps that are done: rate * x / warm_up before the warm-up ends, then
    rate * (1 + cos(pi x)) / 2.

    Source: the "warmup_cosine" of BertAdam, as CLIP4Clip uses it. The cosine counts x from the first step, not from the
    end of the warm-up, so the rate falls from 1 to 0.976 of its peak at x = 0.1. The first step has the rate 0.

    Attributes:
        peak: learning rate at the end of the warm-up.
        steps: number of steps of the whole training.
        warm_up: share of the steps before the peak; 0: none.
    """

    peak: float
    steps: int
    warm_up: float = 0.1

    def rate_of(self, step: int) -> float:
        """The rate of the 0-based step of the training."""
        x = step / self.steps
        return self.peak * (x / self.warm_up if x < self.warm_up else 0.5 * (1 + math.cos(math.pi * x)))

    def end_epoch(self, measure: float) -> None:
        """Validation changes nothing."""
