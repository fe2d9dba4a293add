"""VIDEO.npz files: rows named by their ids, by the shots of the table, or by the second they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_borrowed import IDS, ROWS, TABLE

from avs.core.errors import FormatError
from avs.core.store import Level
from avs.features.borrowed.npz_by_video import read_npz_by_video
from avs.features.borrowed.rows import BorrowedRows


def write(folder: Path, **videos: dict[str, Any]) -> None:
    for video, arrays in videos.items():
        np.savez_compressed(folder / f"{video.replace('_', '.').removeprefix('v')}.npz", **arrays)


def read(folder: Path, level: Level = "shot", array: str | None = None) -> BorrowedRows:
    return read_npz_by_video(folder, TABLE, level=level, array=array)


def told(folder: Path, level: Level = "shot", array: str | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        read(folder, level, array)
    return caught.value.what


def test_rows_without_ids_are_the_shots_of_the_table(tmp_path: Path) -> None:
    write(tmp_path, v2_x={"f": ROWS[3:]}, v1={"f": ROWS[:3].astype(np.float64)})
    rows = read(tmp_path)
    assert tuple(rows.names) == IDS and rows.source_dtype == "float64" and rows.linkable is None
    assert np.array_equal(rows.take(np.array([3, 0, 1])), ROWS[[3, 0, 1]])
    assert sorted(rows.files) == ["1.npz", "2.x.npz"]


def test_ids_and_the_array_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, v1={"f": ROWS, "g": ROWS * 2, "ids": np.array(IDS[::-1])})
    assert "1.npz: not one array of rows; --array names it: f, g" in told(tmp_path)
    assert 'no array "h": f, g' in told(tmp_path, array="h")
    rows = read(tmp_path, array="g")
    assert tuple(rows.names) == IDS[::-1] and np.array_equal(rows.take(np.arange(4)), ROWS * 2)


def test_seconds_say_the_shot_of_a_frame(tmp_path: Path) -> None:
    write(tmp_path, v1={"f": ROWS, "pts_s": np.array([0, 1.9, 2, 5.9])}, v2_x={"f": ROWS[:1], "pts_s": np.array([1])})
    rows = read(tmp_path, "frame")
    assert rows.names == ["shot1_1_0", "shot1_1_1", "shot1_2_2", "shot1_3_3", "shot2.x_1_0"]
    assert rows.pts_s is not None and rows.pts_s.tolist() == [0, 1.9, 2, 5.9, 1]


def test_all_wrong_files_are_told_at_once_and_nothing_is_unpickled(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    write(tmp_path, v1={"f": ROWS[:2]}, v2_x={"f": objects}, v3={"f": ROWS}, v4={"f": ROWS, "ids": objects})
    (tmp_path / "5.npz").write_bytes(b"PK\x03\x04 cut")
    write(tmp_path, v6={"f": ROWS, "ids": np.array(["a"])})
    (tmp_path / "7.npz").write_bytes((tmp_path / "1.npz").read_bytes()[:-40])
    said = told(tmp_path)
    assert "1.npz: 2 rows and no ids: the video has 3 shots in the table" in said
    assert "2.x.npz: the file cannot be read: f: Object arrays cannot be loaded when allow_pickle=False" in said
    assert '3.npz: no shot of video "3"' in said
    assert "4.npz: the file cannot be read: ids: Object arrays cannot be loaded" in said
    assert "5.npz: not an npz file" in said and "7.npz: not an npz file" in said
    assert "6.npz: ids do not fit the rows: <U1 (1,), rows (4, 3)" in said


def test_frames_need_ids_or_seconds_inside_a_shot(tmp_path: Path) -> None:
    write(tmp_path, v1={"f": ROWS}, v2_x={"f": ROWS[:3], "pts_s": np.array([-0.1, 1, 2])})
    said = told(tmp_path, "frame")
    assert "1.npz: rows of frames need ids or pts_s in the file" in said
    assert "2.x.npz: 2 rows lie in no shot: -0.1, 2.0 s" in said


def test_seconds_are_of_all_files_or_of_none(tmp_path: Path) -> None:
    write(tmp_path, v1={"f": ROWS[:1], "pts_s": np.array([0])}, v2_x={"f": ROWS[:1], "ids": np.array(["2.x_0"])})
    assert "1 of 2 files have no pts_s" in told(tmp_path, "frame")
