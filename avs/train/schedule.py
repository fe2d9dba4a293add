"""Learning rates: a decay every epoch, and a cut when validation stops improving."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Schedule:
    """The learning rate from epoch to epoch, as LAFF and Dual Encoding set it.

    LAFF: x0.99 an epoch, and x0.5 after more than 2 epochs in a row without a new best (`patience` 2, `rest` 0).
    Dual Encoding: x0.99 an epoch, and x0.5 in any epoch without a new best, but each rate serves 3 epochs at least
    (`patience` 0, `rest` 3).

    Attributes:
        rate: of the coming epoch.
        decay: factor of every epoch.
        cut: factor on a plateau.
        patience: epochs in a row without a new best that are borne.
        rest: epochs from one cut to the next, at least.
        best: validation measure so far.
        bad, since_cut: epochs without a new best, and since the last cut.
    """

    rate: float
    decay: float = 0.99
    cut: float = 0.5
    patience: int = 2
    rest: int = 0
    best: float = float("-inf")
    bad: int = 0
    since_cut: int = 0

    def step(self, measure: float) -> None:
        """An epoch ended with this validation measure, of which more is better."""
        self.bad = 0 if measure > self.best else self.bad + 1
        self.best = max(self.best, measure)
        self.since_cut += 1
        self.rate *= self.decay
        if self.bad > self.patience and self.since_cut >= self.rest:
            self.rate *= self.cut
            self.bad = self.since_cut = 0
