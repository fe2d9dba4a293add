"""Rows of others: read across files in any order, and refused when a store could not hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_borrowed import ROWS

from avs.core.errors import DataError, FormatError
from avs.features.borrowed import rows as rows_module
from avs.features.borrowed.rows import (
    ArrayShard,
    BorrowedRows,
    LoadedShard,
    count_off_unit_length,
    require_one_shape,
)


def borrowed(*arrays: np.ndarray, dtype: str = "float32") -> BorrowedRows:
    names = [f"row{n}" for n in range(sum(map(len, arrays)))]
    return BorrowedRows(Path("there"), names, [ArrayShard(one) for one in arrays], arrays[0].shape[1], dtype, {})


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1], [2], [1, 2], [3, 3, 0]])
def test_rows_come_in_the_order_asked_for_across_files(order: list[int]) -> None:
    shards = [ArrayShard(ROWS[:1]), LoadedShard(2, lambda: ROWS[1:3]), ArrayShard(ROWS[3:])]
    both = BorrowedRows(Path("there"), list("abcd"), shards, 3, "float32", {})
    assert np.array_equal(both.take(np.array(order)), ROWS[order])
    assert np.array_equal(borrowed(ROWS).take(np.array(order)), ROWS[order])


def test_a_run_of_mapped_rows_is_not_copied() -> None:
    assert np.shares_memory(borrowed(ROWS).take(np.arange(1, 3)), ROWS)


def test_doubles_become_float32_and_halves_stay() -> None:
    assert borrowed(ROWS.astype(float), dtype="float64").take(np.arange(4)).dtype == np.float32
    assert borrowed(ROWS.astype(np.float16), dtype="float16").take(np.arange(4)).dtype == np.float16


def test_all_unusable_rows_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 2)
    bad = ROWS.astype(float)
    bad[1], bad[2, 0], bad[3, 1] = 0, np.nan, 1e300
    with pytest.raises(DataError) as caught:
        count_off_unit_length(borrowed(bad, dtype="float64"))
    assert "2 of 4 rows are not finite: row2, row3" in caught.value.what
    assert "1 of 4 rows are all zero: row1" in caught.value.what


def test_rows_of_another_length_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 3)
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    assert count_off_unit_length(borrowed(unit)) == 0
    unit[3] *= 1.01
    assert count_off_unit_length(borrowed(unit)) == 1
    unit[0], unit[1] = 1e30, 1e-30  # their squares are not float32 any more; they are finite, and not zero
    assert count_off_unit_length(borrowed(unit)) == 3


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"a": ((2, 3), "float16"), "b": ((2, 4), "float16")}, "rows of 2 dimensions: 3 (a), 4 (b)"),
        ({"a": ((2, 3), "int8")}, "a: is int8, shape (2, 3), and not rows of float16, float32, float64"),
        ({"a": ((2,), "float32")}, "a: is float32, shape (2,)"),
        ({"a": ((2, 0), "float32")}, "shape (2, 0)"),
        ({"a": ((0, 3), "float32")}, "there are no rows"),
    ],
)
def test_arrays_that_are_no_rows_are_refused(shapes: dict[str, tuple[tuple[int, ...], str]], said: str) -> None:
    with pytest.raises(FormatError) as caught:
        require_one_shape(shapes, where=Path("there"))
    assert said in caught.value.what


def test_the_widest_dtype_holds_all_rows() -> None:
    shapes = {"a": ((2, 3), "float16"), "b": ((2, 3), "float64"), "c": ((2, 3), "float32")}
    assert require_one_shape(shapes, where=Path("there")) == (3, "float64")
