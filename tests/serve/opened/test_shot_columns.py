"""Shots are found by their ids, whatever their numbers are, and columns that were kept are those of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avs.core.errors import UnknownIdError
from avs.serve.opened import shot_columns as module
from avs.serve.opened.shot_columns import FILES, ShotColumns, columns_of_ids, open_columns

videos = st.sampled_from(["1", "00001", "a_b", "c", "c_1"])
numbers = st.lists(st.integers(1, 12) | st.just(10**20), min_size=1, unique=True)


@given(st.dictionaries(videos, numbers, min_size=1))
def test_every_shot_is_found_and_no_other(shots) -> None:
    ids = [f"shot{video}_{number}" for video, numbers in shots.items() for number in sorted(numbers)]
    columns = columns_of_ids(ids)
    assert columns.rows(ids).tolist() == [columns.ids.index(shot) for shot in ids]
    others = {f"shot{video}_{n}" for video in (*shots, "d") for n in (0, 1, 2, 13, 10**20, "01", "x", "", "²", "-1")}
    others |= {"", "shot", "shot_", "xxxx" + ids[0][4:], ids[0] + " ", ids[0][:-1] + "٣"}
    for shot in others - set(ids):
        assert shot not in columns and columns.known_rows([shot]).tolist() == [-1]
        with pytest.raises(UnknownIdError):
            columns.row(shot)
    assert 5 not in columns


def test_many_shots_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = columns_of_ids([f"shot1_{n}" for n in range(3, 9)])
    asked = ["shot1_8", "shot1_3", "shot1_1", "no"]
    few = columns.known_rows(asked)
    monkeypatch.setattr(module, "MANY", 1)
    np.testing.assert_array_equal(columns.known_rows(asked), few)
    assert few.tolist() == [5, 0, -1, -1]


def test_columns_are_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "shots.tsv"
    table.write_text("shot\tvideo\tstart_s\tend_s\nshot2_1\t2\t0.0\t1.5\nshot1_1\t1\t0.0\t2.0\n", encoding="utf-8")
    made = open_columns(table, tmp_path / "cache")
    monkeypatch.setattr(module, "read_shot_table", lambda path: pytest.fail("read again"))
    kept: ShotColumns = open_columns(table, tmp_path / "cache")
    assert kept.ids == made.ids == ("shot1_1", "shot2_1") and kept.fingerprint == made.fingerprint
    assert kept.times_s(1) == (0.0, 1.5) and kept.videos == ("1", "2")


def test_columns_that_were_changed_are_made_anew(tmp_path: Path) -> None:
    table = tmp_path / "shots.tsv"
    table.write_text("shot\tvideo\tstart_s\tend_s\nshot2_1\t2\t0.0\t1.5\nshot1_1\t1\t0.0\t2.0\n", encoding="utf-8")
    made = open_columns(table, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    for name in (*FILES, "manifest.json"):
        whole = (folder / name).read_bytes()
        for spoiled in (whole[:-1], whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:], whole.replace(b"sha256", b"")):
            (folder / name).write_bytes(spoiled)
            again = open_columns(table, tmp_path / "cache")
            assert (again.ids, again.videos) == (made.ids, made.videos), name
            assert [again.times_s(row) for row in (0, 1)] == [(0.0, 2.0), (0.0, 1.5)], name
