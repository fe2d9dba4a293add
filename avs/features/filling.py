"""Rows of successive batches laid into batches of one size, and what is computed of them taken apart again.

A unit of few frames, or the last batch of a unit, would leave most of a device idle. Who puts rows in gets theirs back
whole, in the order in which they were put in. Only the last filled batch is short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

GiveBack = Callable[[np.ndarray], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rows of what was put in, and their place in a filled batch.

    Attributes:
        rows: of what was put in.
        place: row of the filled batch that the first of them gets.
        fills: whether the batch is full with them.
    """

    rows: slice
    place: int
    fills: bool


@dataclass(slots=True)
class _Order:
    """Rows that were put in together: how many lack their vectors, and those that are there."""

    lacking: int
    give_back: GiveBack
    vectors: list[np.ndarray] = field(default_factory=list)


class Filling:
    """Which rows go to which filled batch, and whose they are. It holds no images.

    Args:
        rows: number of rows of a filled batch.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._filled: deque[list[tuple[_Order, int]]] = deque()  # whose rows, and how many, of batches under way
        self._open: list[tuple[_Order, int]] = []
        self._room = rows

    def lay(self, count: int, give_back: GiveBack) -> Iterator[Stretch]:
        """The stretches of the next `count` rows, at least one. After one that fills its batch, the next one begins.

        Args:
            give_back: called with the vectors of these rows, when the last of them is there.
        """
        order, start = _Order(count, give_back), 0
        while start < count:
            end, place = min(count, start + self._room), self.rows - self._room
            self._open.append((order, end - start))
            self._room -= end - start
            fills = self._room == 0
            if fills:
                self.close()
            yield Stretch(slice(start, end), place, fills)
            start = end

    def close(self) -> int:
        """End the batch that is being filled; the number of its rows, 0: there is none."""
        count = sum(rows for _, rows in self._open)
        if count:
            self._filled.append(self._open)
            self._open, self._room = [], self.rows
        return count

    def take_apart(self, vectors: np.ndarray) -> None:
        """Give the (B, ...) vectors of the oldest filled batch to those whose rows they are of."""
        start = 0
        for order, count in self._filled.popleft():
            order.vectors.append(vectors[start : start + count])
            order.lacking -= count
            start += count
            if not order.lacking:
                order.give_back(order.vectors[0] if len(order.vectors) == 1 else np.concatenate(order.vectors))
