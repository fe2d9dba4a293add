"""The shots of a collection cut into ranges for several actors, at borders of blocks, so that no score changes."""

from __future__ import annotations

from collections.abc import Sequence

RANGES_PER_ACTOR = 4  # a slow node does fewer of them, and a lost one loses less


def cut_ranges(borders: Sequence[int], actors: int) -> list[tuple[int, int]]:
    """Consecutive ranges of about the same number of blocks.

    Args:
        borders: (B + 1,) positions where blocks begin, and the number of shots.
        actors: number of those who take the ranges.

    >>> cut_ranges([0, 10, 20, 25], 2)
    [(0, 10), (10, 20), (20, 25)]
    """
    blocks = len(borders) - 1
    count = min(blocks, actors * RANGES_PER_ACTOR)
    cuts = [borders[blocks * number // count] for number in range(count + 1)] if count else []
    return list(zip(cuts, cuts[1:], strict=False))
