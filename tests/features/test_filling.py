"""Rows of many batches in batches of one size: nothing is lost, doubled, or given to another."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avs.features.filling import Filling


def filled(counts: list[int], rows: int, *, late: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Numbers 0, 1, 2 ... put in by `counts`; the filled batches, and what came back, each with its number.

    A batch is taken apart when `late` others have been filled after it.
    """
    filling, batches, back = Filling(rows), [], []
    under_way: deque[np.ndarray] = deque()
    batch, first = np.full(rows, -1), 0
    for number, count in enumerate(counts):
        values = np.arange(first, first + count)
        first += count
        for stretch in filling.lay(count, lambda got, number=number: back.append((number, got))):
            batch[stretch.place : stretch.place + len(values[stretch.rows])] = values[stretch.rows]
            if stretch.fills:
                under_way.append(batch)
                batches.append(batch)
                batch = np.full(rows, -1)
            while len(under_way) > late:
                filling.take_apart(under_way.popleft())
    left = filling.close()
    if left:
        under_way.append(batch[:left])
        batches.append(batch[:left])
    while under_way:
        filling.take_apart(under_way.popleft())
    assert [number for number, _ in back] == list(range(len(counts)))
    return batches, [got for _, got in back]


@given(st.lists(st.integers(1, 20), max_size=12), st.integers(1, 9), st.integers(0, 3))
def test_all_batches_but_the_last_are_full_and_everyone_gets_his_rows_in_order(
    counts: list[int], rows: int, late: int
) -> None:
    batches, back = filled(counts, rows, late=late)
    total = sum(counts)
    assert [len(batch) for batch in batches] == [rows] * (total // rows) + [total % rows] * (total % rows > 0)
    assert np.concatenate([np.empty(0, dtype=int), *batches]).tolist() == list(range(total))
    assert [len(got) for got in back] == counts
    assert np.concatenate([np.empty(0, dtype=int), *back]).tolist() == list(range(total))


def test_rows_come_back_with_the_batch_that_has_the_last_of_them() -> None:
    filling, back = Filling(4), []
    laid = [list(filling.lay(count, back.append)) for count in (3, 2, 1)]
    assert [[(one.rows, one.place, one.fills) for one in stretches] for stretches in laid] == [
        [(slice(0, 3), 0, False)],
        [(slice(0, 1), 3, True), (slice(1, 2), 0, False)],
        [(slice(0, 1), 1, False)],
    ]
    filling.take_apart(np.arange(4))
    assert [got.tolist() for got in back] == [[0, 1, 2]]
    assert filling.close() == 2 and filling.close() == 0
    filling.take_apart(np.arange(4, 6))
    assert [got.tolist() for got in back] == [[0, 1, 2], [3, 4], [5]]


def test_several_vectors_of_a_row_stay_together() -> None:
    filling, back = Filling(2), []
    for _ in filling.lay(3, back.append):
        pass
    filling.close()
    vectors = np.random.default_rng(0).random((3, 5, 4))
    filling.take_apart(vectors[:2])
    filling.take_apart(vectors[2:])
    np.testing.assert_array_equal(back[0], vectors)


def test_a_batch_that_nobody_filled_is_not_taken_apart() -> None:
    with pytest.raises(IndexError):
        Filling(2).take_apart(np.zeros((2, 1)))
