"""How the learning rate moves: by epochs and validation (Plateau), or by steps (WarmUpCosine)."""

from __future__ import annotations

from typing import Protocol

from avs.train.schedules.plateau import Plateau
from avs.train.schedules.warm_up_cosine import WarmUpCosine
from avs.train.settings import Settings


class Schedule(Protocol):
    """The learning rate of every step. It is a dataclass of plain values, which a saved training keeps."""

    def rate_of(self, step: int) -> float:
        """The rate of the 0-based step of the training."""
        ...

    def end_epoch(self, measure: float) -> None:
        """An epoch ended with this validation measure; larger is better."""
        ...


def make_schedule(settings: Settings, *, steps_per_epoch: int) -> Plateau | WarmUpCosine:
    """The schedule of the settings, at its start."""
    if settings.schedule == "plateau":
        return Plateau.of(settings)
    return WarmUpCosine(settings.learning_rate, settings.epochs * steps_per_epoch, settings.warm_up)
