from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from avs.core.errors import AvsError, FormatError, VideoError
from avs.core.shots import ShotTable
from avs.video.master_shots import find_master_shots, read_master_shots

HEADER = "startframe\tstarttime\tendframe\tendtime\n"


def table(path: Path, text: str, fps: Fraction | None = None) -> ShotTable:
    path.write_bytes(text.encode())
    return read_master_shots(find_master_shots(path), fps_of=lambda video: fps)


def spans(shots: ShotTable) -> list[tuple[float, float]]:
    return list(zip(shots.start_s.round(6).tolist(), shots.end_s.round(6).tolist(), strict=True))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_v3c_shots_end_where_the_next_begins(tmp_path: Path, line_end: str) -> None:
    text = HEADER + "0\t0.0\t49\t1.96\n50\t2.0\t50\t2.0\n51\t2.04\t99\t3.96\n"
    shots = table(tmp_path / "00001.tsv", text.replace("\n", line_end))
    assert shots.ids == ("shot00001_1", "shot00001_2", "shot00001_3")
    assert spans(shots) == [(0.0, 2.0), (2.0, 2.04), (2.04, 4.0)]


def test_v3c_rows_that_share_their_boundary_frame(tmp_path: Path) -> None:
    text = HEADER + "0\t0.0\t50\t2.0\n50\t2.0\t100\t4.0\n"
    assert spans(table(tmp_path / "00001.tsv", text)) == [(0.0, 2.0), (2.0, 4.04)]


def test_v3c_gap_between_shots_stays(tmp_path: Path) -> None:
    text = HEADER + "0\t0.0\t24\t0.96\n3352\t134.08\t3411\t136.44\n"
    assert spans(table(tmp_path / "00001.tsv", text)) == [(0.0, 1.0), (134.08, 136.48)]


def test_tables_in_frames(tmp_path: Path) -> None:
    shots = table(tmp_path / "39238.msb.csv", "0,33\n34,68\n", Fraction(25))
    assert shots.ids == ("shot39238_1", "shot39238_2")
    assert spans(shots) == [(0.0, 1.36), (1.36, 2.76)]
    ntsc = table(tmp_path / "1.csv", "0,29\n", Fraction(30000, 1001))
    assert spans(ntsc) == [(0.0, 1.001)]


def test_nists_raw_table_has_a_header_and_blanks(tmp_path: Path) -> None:
    text = "35345.mp4\nstart end\n\n  0   119 \r\n120\t250\n\n"
    assert spans(table(tmp_path / "35345.msb", text, Fraction(25))) == [(0.0, 4.8), (4.8, 10.04)]


def test_a_folder_of_tables_in_natural_order_of_videos(tmp_path: Path) -> None:
    for video in ("10", "9"):
        (tmp_path / f"{video}.tsv").write_text(HEADER + "0\t0.0\t24\t0.96\n")
    assert list(find_master_shots(tmp_path)) == ["9", "10"]
    assert read_master_shots(find_master_shots(tmp_path), fps_of=lambda video: None).ids == ("shot9_1", "shot10_1")


def test_all_problems_come_at_once_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "1.tsv").write_text(HEADER + "0\t0.0\t24\n25\t1.0\tx\t2\n30\t2.0\t25\t1.0\n")
    (tmp_path / "2.tsv").write_text("start\tend\n0\t1\n")
    (tmp_path / "3.tsv").write_text(HEADER)
    (tmp_path / "4.csv").write_text("0,3\n9,5\nwords\n")
    (tmp_path / "5.tsv").write_text(HEADER + "0\t0.0\t0\t0.0\n")
    with pytest.raises(FormatError) as caught:
        read_master_shots(find_master_shots(tmp_path), fps_of=lambda video: None)
    lines = [line.strip().removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]
    assert lines == [
        "master shot tables: 9 problems",
        "1.tsv:2: expected startframe starttime endframe endtime, got '0\\t0.0\\t24'",
        "1.tsv:3: expected startframe starttime endframe endtime, got '25\\t1.0\\tx\\t2'",
        "1.tsv:4: a shot that ends before it begins: '30\\t2.0\\t25\\t1.0'",
        "2.tsv:1: expected the header startframe starttime endframe endtime, got 'start\\tend'",
        "3.tsv: has no shots",
        "4.csv:2: a shot that ends before it begins: '9,5'",
        "4.csv:3: expected a first and a last frame, got 'words'",
        "4.csv: counts frames, but the frame rate of video 4 is not known: give its file (--videos)",
        "5.tsv: frames 0 to 0 have no length, and no later row shows the frame rate",
    ]


def test_a_video_that_cannot_tell_its_frame_rate(tmp_path: Path) -> None:
    def fps_of(video: str) -> Fraction:
        raise VideoError("the file is empty")

    (tmp_path / "1.csv").write_text("0,3\n")
    with pytest.raises(FormatError, match="frame rate of its video cannot be read: the file is empty"):
        read_master_shots(find_master_shots(tmp_path), fps_of=fps_of)


def test_two_tables_for_one_video_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no master shot tables"):
        find_master_shots(tmp_path)
    (tmp_path / "1.tsv").touch()
    (tmp_path / "1.msb").touch()
    with pytest.raises(FormatError, match="video 1 has a table already"):
        find_master_shots(tmp_path)
    with pytest.raises(AvsError, match="no such master shot table or folder"):
        find_master_shots(tmp_path / "2.tsv")


def test_a_real_table(shared: Callable[[str], Path]) -> None:
    tables = find_master_shots(shared("iacc3/39238.msb.csv"))
    shots = read_master_shots(tables, fps_of=lambda video: Fraction(25))
    assert (len(shots), shots.video_ids) == (873, ("39238",))
    assert (shots.get("shot39238_14").start_s, shots.get("shot39238_14").end_s) == (197 / 25, 225 / 25)
    assert all(a.end_s == b.start_s for a, b in zip(shots, list(shots)[1:], strict=False))


def test_a_table_without_rows_has_no_shots_and_needs_no_frame_rate(tmp_path: Path) -> None:
    (tmp_path / "35345.msb").write_text("35345.mp4\nstart end\n")
    with pytest.raises(FormatError) as caught:
        read_master_shots(find_master_shots(tmp_path), fps_of=lambda video: None)
    assert "35345.msb: has no shots" in str(caught.value) and "frame rate" not in str(caught.value)
