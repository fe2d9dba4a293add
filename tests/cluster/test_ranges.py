"""Ranges of blocks: they cover all shots once, and begin and end where blocks do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from avs.cluster.ranges import RANGES_PER_ACTOR, cut_ranges


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 9))
def test_ranges_cover_all_shots_at_borders(lengths: list[int], actors: int) -> None:
    borders = [0]
    for length in lengths:
        borders.append(borders[-1] + length)
    ranges = cut_ranges(borders, actors)
    assert [0, *(stop for _, stop in ranges)] == [*(first for first, _ in ranges), borders[-1]]
    assert all(first < stop and {first, stop} <= set(borders) for first, stop in ranges)
    assert len(ranges) == min(len(lengths), actors * RANGES_PER_ACTOR)
    blocks = [sum(first <= border < stop for border in borders) for first, stop in ranges]
    assert not blocks or max(blocks) - min(blocks) <= 1
