from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avs.core.errors import AvsError, FormatError
from avs.core.shots import ShotTable, write_shot_table
from avs.trecvid.valid_shots import read_valid_shots


def written(tmp_path: Path, text: str, name: str = "table") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refusal(tmp_path: Path, *args: Path, **kwargs: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_valid_shots(*args, **kwargs)
    return str(caught.value).replace(str(tmp_path) + "/", "")


@pytest.fixture(params=["nist", "ids", "avs"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Shots 1..3 of 00007 and 1 of 00010, in each of the three formats."""
    ids = ["shot00007_1", "shot00007_2", "shot00007_3", "shot00010_1"]
    if request.param == "nist":
        return written(tmp_path, "00007 3\r\n00010 1\r\n")
    if request.param == "ids":
        return written(tmp_path, "\n".join(ids))
    write_shot_table(ShotTable(ids, [0, 1, 2, 0], [1, 2, 3, 1]), tmp_path / "table")
    return tmp_path / "table"


def test_three_formats_say_the_same(table: Path, tmp_path: Path) -> None:
    shots = read_valid_shots(table)
    assert len(shots) == 4 and shots.videos == ("00007", "00010")
    assert "shot00007_3" in shots and "shot00007_4" not in shots
    assert shots.problem("shot00007_4") == "video 00007 has shots 1..3"
    assert shots.problem("shot7_1") == "table has no video 7; zero padding matters: shot00007_1"
    assert shots.problem("shot00008_1") == "table has no video 00008"
    assert str(shots.problem("shot00007_")).startswith("not a shot id")


def test_dropped_shots_are_gone(table: Path, tmp_path: Path) -> None:
    dropped = written(tmp_path, "shot00007_2\n", "dropped")
    shots = read_valid_shots(table, dropped=dropped)
    assert len(shots) == 3 and shots.problem("shot00007_2") == "dropped from the collection"
    assert "shot00007_1" in shots
    assert refusal(tmp_path, table, dropped=written(tmp_path, "shot00009_1\n", "dropped")) == (
        "dropped shots dropped: 1 problem\n"
        "  shot00009_1: table has no video 00009\n"
        "  next:   give the list that belongs to the table"
    )


def test_faults_of_a_table(tmp_path: Path) -> None:
    assert refusal(tmp_path, written(tmp_path, "00007 3\n00008\n00007 4\n00009 0\n")) == (
        "shot table table: 3 problems\n"
        "  table:2: expected a video and the number of its last shot, got '00008'\n"
        "  table:3: video 00007 is repeated\n"
        "  table:4: expected a video and the number of its last shot, got '00009 0'"
    )
    assert "table:2: not a shot id: shot_1" in refusal(tmp_path, written(tmp_path, "shot1_1\nshot_1\n"))
    for text in ("", "startframe\tstarttime\tendframe\tendtime\n", "hello\n"):
        assert refusal(tmp_path, written(tmp_path, text)).startswith("not a shot table\n  where:  table:1\n")
    assert "next:   import a folder with `avs shots --msb FOLDER`" in refusal(tmp_path, tmp_path)
    with pytest.raises(AvsError, match="no such shot table"):
        read_valid_shots(tmp_path / "none")


def test_nists_table_of_v3c2(shared: Callable[[str], Path]) -> None:
    shots = read_valid_shots(shared("nist/V3C2.validShotTable"))
    assert len(shots) == 1_425_451 and len(shots.videos) == 9_760
    assert "shot07476_15" in shots and shots.problem("shot07476_16") == "video 07476 has shots 1..15"
