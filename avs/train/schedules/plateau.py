"""A learning rate that decays every epoch, and is cut when validation stops improving."""

from __future__ import annotations

from dataclasses import dataclass

from avs.train.settings import Settings


@dataclass(slots=True)
class Plateau:
    """The learning rate of each epoch.

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
    def of(cls, settings: Settings) -> Plateau:
        """The schedule of the settings, at its start."""
        return cls(
            settings.learning_rate,
            decay=settings.decay,
            cut=settings.cut,
            patience=settings.cut_patience,
            rest=settings.cut_rest,
            threshold=settings.cut_threshold,
        )

    def rate_of(self, step: int) -> float:
        """The same for all steps of an epoch."""
        return self.rate

    def end_epoch(self, measure: float) -> None:
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
