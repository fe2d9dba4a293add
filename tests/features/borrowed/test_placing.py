"""Which shot a borrowed row belongs to: by its id, or that of a video with one shot; all else is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_borrowed import IDS, TABLE

from avs.core.errors import FormatError
from avs.features.borrowed.placing import FrameNumbers, PlacedRows, place_rows
from avs.features.borrowed.rows import ArrayShard, BorrowedRows

FPS = FrameNumbers(10)


def place(names: Sequence[str], *, pts_s: Sequence[float] | None = None, **options: Any) -> PlacedRows:
    times = None if pts_s is None else np.array(pts_s)
    rows = BorrowedRows(Path("f"), names, [ArrayShard(np.ones((len(names), 2)))], 2, "float64", {}, times)
    return place_rows(rows, TABLE, **{"level": "shot", "allow_missing": False, **options})


def refused(names: Sequence[str], **options: Any) -> FormatError:
    with pytest.raises(FormatError) as caught:
        place(names, **options)
    return caught.value


def test_rows_come_in_the_order_of_the_table() -> None:
    placed = place(["2.x", "shot1_2", "shot1_1", "shot1_3"])
    assert placed.order.tolist() == [2, 1, 3, 0] and not placed.in_order and placed.videos == 1
    assert placed.counts.tolist() == [1, 1, 1, 1] and placed.pts_s.tolist() == [1, 3, 5, 1]
    assert place(IDS).in_order


def test_a_video_of_several_shots_is_no_shot() -> None:
    assert "ids: 1 of 4 ids are not in the table: 1" in refused(["1", *IDS[1:]]).what


def test_all_that_does_not_fit_is_told_at_once() -> None:
    error = refused(["shot1_1", "shot1_1", "2.x", "shot2.x_1", "shot9_9"])
    assert "1 of 5 ids are not in the table: shot9_9" in error.what
    assert "2 occur more than once: shot1_1, shot2.x_1" in error.what
    assert "2 of 4 shots have no features: shot1_2, shot1_3" in error.what
    assert error.next_step == "the table has shot1_1 .. shot2.x_1; is it that of this collection?"


def test_shots_may_be_missing_only_when_asked() -> None:
    assert refused(IDS[1:]).next_step == "--allow-missing makes each such shot a row of problems.tsv"
    assert place(IDS[1:], allow_missing=True).counts.tolist() == [0, 1, 1, 1]


def test_frames_stand_in_time_within_their_shot() -> None:
    names = ["shot1_2_10", "shot1_2_9", "2.x_0", "shot1_1_0", "shot1_3_20"]
    placed = place(names, level="frame", numbers=FPS)
    assert placed.order.tolist() == [3, 1, 0, 4, 2] and placed.counts.tolist() == [1, 2, 1, 1]
    assert placed.pts_s.tolist() == [0, 2.9, 3, 6, 0] and placed.videos == 1
    numbered = [f"shot1_1_{n}" for n in (0, 5)] + ["shot1_2_25", "shot1_3_40", "shot2.x_1_0"]
    assert place(numbered, level="frame", numbers=FrameNumbers(10, "video")).pts_s.tolist() == [0, 0.5, 2.5, 4, 0]


def test_frames_outside_their_shot_or_without_number_are_refused() -> None:
    names = ["shot1_1_0", "shot1_2_22", "shot1_3_0", "shot2.x_1_0", "shot2.x_1_00", "shot1"]
    error = refused(names, level="frame", numbers=FPS)
    assert "1 are not <shot>_<frame number>: shot1" in error.what
    assert "1 of 6 lie outside their shot: shot1_2_22 at 4.2 s; other numbers a second (--fps)" in error.what
    assert "1 occur more than once: shot2.x_1_00" in error.what


def test_seconds_of_the_files_count_and_are_checked() -> None:
    names = [f"{shot}_0" for shot in IDS]
    assert place(names, pts_s=[0.5, 2.5, 4.5, 1.5], level="frame").pts_s.tolist() == [0.5, 2.5, 4.5, 1.5]
    error = refused(names, pts_s=[0.5, np.nan, 4.5, 2.5], level="frame")
    assert "2 of 4 lie outside their shot: shot1_2_0 at nan s, shot2.x_1_0 at 2.5 s" in error.what


def test_ids_of_frames_at_shot_level_are_recognised() -> None:
    assert (
        refused([f"{shot}_0" for shot in IDS]).next_step == "the ids look like frames of shots: --level frame --fps N"
    )
