"""The page's own timer, for tasks that the evaluation server does not time."""

from __future__ import annotations

import time


class PageTimer:
    """Counts down.

    Args:
        seconds: where it begins, unless it is told.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_s: float | None = None

    def start(self, seconds: float | None = None) -> None:
        """Begin anew."""
        self._ends_s = time.monotonic() + (self.seconds if seconds is None else seconds)

    def stop(self) -> None:
        """Count no more."""
        self._ends_s = None

    def left_s(self) -> float | None:
        """Seconds that are left; None: it was not started, or was stopped."""
        return None if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())
