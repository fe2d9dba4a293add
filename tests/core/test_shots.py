from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import FormatError, UnknownIdError
from avs.core.shots import HEADER, Shot, ShotTable, read_shot_table, write_shot_table


def table() -> ShotTable:
    return ShotTable(["shot2_10", "shot2_9", "shot1_1"], [4.0, 0.0, 0.0], [5.0, 4.0, 1.5])


def test_shots_come_in_natural_order_whatever_the_input_order() -> None:
    assert table().ids == ("shot1_1", "shot2_9", "shot2_10")
    assert list(table())[1] == Shot("shot2_9", "2", 0.0, 4.0)
    assert [shot.id for shot in table().of_video("2")] == ["shot2_9", "shot2_10"]
    assert table().video_ids == ("1", "2")
    assert "shot1_1" in table() and "shot1_2" not in table()


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(FormatError) as caught:
        ShotTable(["shot1_1", "shot1_1", "shot1_02", "shot1_3"], [0, 0, 0, 2], [1, 1, 1, 2])
    message = str(caught.value)
    assert message.startswith("shot table: 3 problems")
    assert "shot1_1: occurs 2 times" in message
    assert "shot1_02: not a shot id" in message
    assert "shot1_3: start 2.0 s must be >= 0 and before end 2.0 s" in message


def test_nan_times_are_refused() -> None:
    with pytest.raises(FormatError, match="start nan s must be"):
        ShotTable(["shot1_1"], [float("nan")], [1.0])


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(FormatError, match="has no shots"):
        ShotTable([], [], [])


def test_write_and_read_back(tmp_path: Path) -> None:
    write_shot_table(table(), tmp_path / "shots.tsv")
    again = read_shot_table(tmp_path / "shots.tsv")
    assert list(again) == list(table())
    assert again.fingerprint == table().fingerprint


def test_bad_lines_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "shots.tsv"
    path.write_text(f"{HEADER}\nshot1_1\t1\t0\t1\nshot1_2\t1\t1\nshot2_1\t1\t0\t1\nshot1_3\t1\tx\t1\n")
    with pytest.raises(FormatError) as caught:
        read_shot_table(path)
    message = str(caught.value)
    assert "3 problems" in message
    assert f"{path}:3: expected" in message and f"{path}:5: expected" in message
    assert f"{path}:4: shot shot2_1 is not a shot of video 1" in message


def test_another_file_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("startframe\tstarttime\n")
    with pytest.raises(FormatError, match="not a shot table of avs"):
        read_shot_table(tmp_path / "x.tsv")


def test_unknown_ids() -> None:
    with pytest.raises(UnknownIdError, match='unknown shot "shot9_9"'):
        table().get("shot9_9")
    with pytest.raises(UnknownIdError, match='no shot of video "9"'):
        table().of_video("9")


def test_a_table_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "shots.tsv"
    path.write_bytes("shot\tvideo\tstart_s\tend_s\nshotfür_1\tfür\t0\t1\n".encode("latin-1"))
    with pytest.raises(FormatError, match=f"not a text in UTF-8\n  where:  {path}:2\n"):
        read_shot_table(path)
