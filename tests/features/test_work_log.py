"""Logs of processes that fill a store: what is written is read again, and what is damaged does no harm."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from disk import room_for

from avs.features.work_log import JobWork, VideoWork, WorkingProcess, WorkLog, read_logs, summed

ONE = WorkingProcess("far-1-ab", "far", 1, "cuda:0", 32, 4, 2, 1000.0)
WORK = JobWork(3, 128, 2, 600, 1060.5, 60.25, 20.125, 3.5, 90.0, {"00001": VideoWork(12.5, 100, 400.0)})


def log(parts: Path, *works: JobWork, process: WorkingProcess = ONE) -> WorkLog:
    parts.mkdir(exist_ok=True)
    made = WorkLog(parts, process)
    for work in works:
        made.add(work)
    return made


def test_what_was_logged_is_read(tmp_path: Path) -> None:
    other, later = replace(ONE, owner="near-2-cd"), replace(WORK, job=4, videos={})
    log(tmp_path, WORK, later)
    log(tmp_path, replace(WORK, job=5), process=other)
    read = read_logs(tmp_path)
    assert read.work == [(ONE, [WORK, later]), (other, [replace(WORK, job=5)])] and read.unread == []


def test_a_process_that_finished_no_job_has_no_log(tmp_path: Path) -> None:
    log(tmp_path)
    assert list(tmp_path.iterdir()) == [] and read_logs(tmp_path / "gone").work == []


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = log(tmp_path, WORK, replace(WORK, job=4)).path
    whole = path.read_bytes()
    first, second = (len(b"".join(whole.splitlines(keepends=True)[:count])) for count in (1, 2))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        read = read_logs(tmp_path)
        assert read.unread == []
        assert [works for _, works in read.work] == ([] if length < first else [[WORK] if length >= second else []])


DAMAGE = {
    "another format": lambda lines: [json.dumps(json.loads(lines[0]) | {"format": 2}), *lines[1:]],
    "no format": lambda lines: lines[1:],
    "a field of another avs": lambda lines: [json.dumps(json.loads(lines[0]) | {"colour": "red"}), *lines[1:]],
    "a number that is none": lambda lines: [lines[0], json.dumps(json.loads(lines[1]) | {"frames": None})],
    "videos that are none": lambda lines: [lines[0], json.dumps(json.loads(lines[1]) | {"videos": [1]})],
    "zeros of a machine that was switched off": lambda lines: [lines[0], "\0" * 80],
    "a list": lambda lines: ["[]"],
    "bytes of something else": lambda lines: ["\x80{{"],
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_log_that_is_not_understood_is_named(tmp_path: Path, what: str) -> None:
    path = log(tmp_path, WORK).path
    path.write_text("\n".join(DAMAGE[what](path.read_text().splitlines())) + "\n", encoding="latin-1")
    good = replace(ONE, owner="near-2-cd")
    log(tmp_path, WORK, process=good)
    read = read_logs(tmp_path)
    assert read.unread == [path.name] and read.work == [(good, [WORK])]


def test_a_full_disk_ends_the_log_and_not_the_work(tmp_path: Path) -> None:
    made = log(tmp_path, WORK)
    with room_for(os.path.getsize(made.path) + 40):
        made.add(replace(WORK, job=4))
    assert made.error is not None
    made.add(replace(WORK, job=5))  # which would be appended to a line without an end
    assert read_logs(tmp_path).work == [(ONE, [WORK])] and read_logs(tmp_path).unread == []


def test_a_folder_that_cannot_be_written_ends_the_log_and_not_the_work(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    assert isinstance(log(tmp_path, WORK).error, OSError)


def test_a_store_that_others_have_finished_needs_no_log(tmp_path: Path) -> None:
    made = log(tmp_path / "parts", WORK)
    made.path.unlink()
    made.path.parent.rmdir()
    (tmp_path / "parts").rmdir()
    made.add(WORK)
    assert made.error is None and not (tmp_path / "parts").exists()


def test_works_are_added_up_for_each_video() -> None:
    a, b = VideoWork(1.0, 2, 8.0), VideoWork(0.5, 1, 2.0)
    assert summed([{"x": a}, {"y": b}, {"x": b}]) == {"x": VideoWork(1.5, 3, 10.0), "y": b}
