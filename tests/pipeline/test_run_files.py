from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avs.core.artifacts import read_manifest
from avs.core.errors import ChangedInputsError, ConfigError
from avs.core.ranking import RankedList, Run
from avs.pipeline.run_files import RunFile, write_run
from avs.trecvid.trec import write_trec

ATTRIBUTES = {"trType": "D", "class": "F", "task": "M", "novelty": "C", "pid": "ME", "priority": "1", "desc": "x"}
RUN = Run({"q1": RankedList.from_scores("q1", ["shota_1", "shota_2"], [0.25, 0.5])}, "T")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("topics.txt").write_text("q1  a beach\n")
    Path("shots").write_text("shota_1\nshota_2\n")


def write(ranked: Path | Run, **options: Any) -> RunFile:
    settings = {"edition": "custom", "topics": [Path("topics.txt")], "shots": Path("shots"), "attributes": ATTRIBUTES}
    return write_run(ranked, Path("runs"), **{**settings, "elapsed": 1, **options})


def test_lists_in_memory_make_the_run_file_that_their_trec_file_makes() -> None:
    written = write(RUN)
    assert written.path == Path("runs/F_M_C_D_ME.custom_1.xml")
    assert written.counts == {"topics": 1, "shots": 2, "cut_topics": 0}
    manifest, data = read_manifest(written.path), written.path.read_bytes()
    assert data.index(b"shota_2") < data.index(b"shota_1")
    write_trec(RUN, Path("x.trec"))
    again = write(Path("x.trec"))
    assert again.report is None, "the same lists, so the file is up to date"
    assert read_manifest(again.path)["inputs"]["ranked"] == manifest["inputs"]["ranked"]
    write(Path("x.trec"), force=True)
    assert written.path.read_bytes() == data


def test_other_lists_do_not_replace_the_file() -> None:
    write(RUN)
    other = Run({"q1": RankedList.from_scores("q1", ["shota_1"], [1.0])}, "T")
    with pytest.raises(ChangedInputsError, match="changed: inputs.ranked"):
        write(other)


def test_the_time_of_lists_in_memory_must_be_given() -> None:
    assert write(RUN, elapsed=0).report is not None
    with pytest.raises(ConfigError, match="how long the search took is not known\n  where:  run T"):
        write(RUN, elapsed=None)
