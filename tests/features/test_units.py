from __future__ import annotations

import numpy as np
import pytest
from fake_frames import table
from hypothesis import given
from hypothesis import strategies as st

from avs.features import units as module
from avs.features.units import Units


def jobs_of(units: Units) -> list[tuple[int, int]]:
    rows = units.first_of_job.tolist()
    return list(zip(rows[:-1], rows[1:], strict=True))


def test_units_are_cut_as_ever() -> None:
    """They decide the bits of every store, so another cut would change what older runs made."""
    units = Units(table({"00001": 7, "00002": 1, "00003": 1, "00004": 2, "00005": 3, "00006": 1}), 3)
    rows = [list(units.rows(unit)) for unit in range(len(units))]
    assert rows == [[0, 1, 2], [3, 4, 5], [6], [7, 8, 9], [10], [11, 12, 13], [14]]


def test_long_videos_are_cut_and_short_ones_share_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOBS_WORTH", 1)
    shots = table({"00001": 300, "00002": 50, "00003": 50, "00004": 50, "00005": 170, "00006": 3})
    assert jobs_of(Units(shots, 32)) == [(0, 160), (160, 300), (300, 450), (450, 620), (620, 623)]
    assert jobs_of(Units(shots, 32, {"00001"})) == [(0, 300), (300, 450), (450, 620), (620, 623)]


def test_a_small_table_has_many_jobs() -> None:
    assert jobs_of(Units(table({"00001": 9, "00002": 4}), 4)) == [(0, 4), (4, 9), (9, 13)]
    assert Units(table({"00001": 640}), 2).jobs == 64


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 12), st.sets(st.integers(0, 11)))
def test_every_shot_is_in_one_unit_of_one_job(lengths: list[int], batch_size: int, whole: set[int]) -> None:
    shots = table({f"{video:05d}": length for video, length in enumerate(lengths)})
    uncut = {f"{video:05d}" for video in whole}
    units = Units(shots, batch_size, uncut)
    assert [row for unit in range(len(units)) for row in units.rows(unit)] == list(range(len(shots)))
    assert all(len(units.rows(unit)) <= batch_size for unit in range(len(units)))
    assert [unit for job in range(units.jobs) for unit in units.of_job(job)] == list(range(len(units)))
    for job, (first, end) in enumerate(jobs_of(units)):
        assert set(units.job[list(units.of_job(job))].tolist()) == {job}
        assert units.rows(units.of_job(job)[0])[0] == first < end
        if first:
            assert shots.videos[first] != shots.videos[first - 1] or shots.videos[first] not in uncut
    unhindered = Units(shots, batch_size)
    np.testing.assert_array_equal(unhindered.first, units.first)
