"""Rates and waits while extraction runs, by a clock that the test turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from avs.features.figures import Figures, UnitWork, Waits, unit_work
from avs.features.work_log import VideoWork, WorkingProcess, WorkLog, read_logs

PROCESS = WorkingProcess("far-1-ab", "far", 1, "cpu", 4, 2, 1, 0.0)


@dataclass(frozen=True)
class FakeBatch:
    made_s: float
    waited_s: float = 0.0


class Clock:
    """time.monotonic() and time.time()."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(time, "monotonic", turned)
    monkeypatch.setattr(time, "time", turned)
    return turned


def decoded(clock: Clock, seconds: list[float], *, ahead_s: float = 0.0, waited_s: float = 0.0) -> Iterator[FakeBatch]:
    """Batches that the device waits for so long; they were ready `ahead_s` before it asked."""
    for one_s in seconds:
        clock.now_s += one_s
        yield FakeBatch(clock.now_s - ahead_s, waited_s)


def test_the_first_batch_starts_the_clock(clock: Clock) -> None:
    figures = Figures(0, [])
    assert figures.waits == Waits() and figures.note == ""
    for _ in figures.watch(decoded(clock, [50.0, 3.0, 3.0])):
        clock.now_s += 1.0
        figures.encoded(0, [], 12)
    assert figures.waits == Waits(9.0, 6.0, 0.0, 0.0)
    clock.now_s += 100.0
    assert figures.waits.busy_s == 9.0, "the work is over"
    assert figures.note == "0.61 frames/s, device waits 67 %, decoders wait 0 %", "36 frames in 59 s"


@pytest.mark.parametrize(("encoded_s", "waited_s"), [(0.0, 20.0), (3.0, 20.0), (8.0, 15.0), (30.0, 0.0)])
def test_a_device_that_encodes_while_batches_are_awaited_has_not_waited(
    clock: Clock, encoded_s: float, waited_s: float
) -> None:
    """20 of 23 seconds were spent on waiting for batches."""
    figures = Figures(0, [])
    figures.encoding_s = lambda: encoded_s
    for _ in figures.watch(decoded(clock, [1.0, 10.0, 10.0])):
        clock.now_s += 1.0
    assert (figures.waits.busy_s, figures.waits.device_waited_s) == (23.0, waited_s)


def test_workers_that_wait_and_batches_that_are_ready(clock: Clock) -> None:
    figures = Figures(2, [])
    for _ in figures.watch(decoded(clock, [5.0, 0.0, 0.0, 0.0], ahead_s=6.0, waited_s=3.0)):
        clock.now_s += 2.0
        figures.encoded(0, [], 100)
    assert figures.waits == Waits(8.0, 0.0, 9.0, 18.0)
    assert figures.note == "30.8 frames/s, device waits 0 %, decoders wait 56 %, queue 2.2", "400 frames in 13 s"


def test_no_batch_at_all(clock: Clock) -> None:
    figures = Figures(2, [])
    assert list(figures.watch(decoded(clock, []))) == []
    assert figures.waits == Waits() and figures.note == ""


def test_a_job_tells_what_came_since_the_one_before(clock: Clock, tmp_path: Path) -> None:
    figures = Figures(0, [WorkLog(tmp_path, PROCESS)])
    for job, _ in enumerate(figures.watch(decoded(clock, [7.0, 3.0, 5.0]))):
        clock.now_s += 1.0
        figures.encoded(job, [0], 8)
        figures.unit_ended(job, 0, [0], UnitWork(1, {"a": VideoWork(2.0, 4, 8.0)}))
        figures.unit_ended(job, 1, [0], UnitWork(0, {"a": VideoWork(1.0, 4, 8.0), "b": VideoWork(0.5, 2, 4.0)}))
        figures.job_ended(job, 0)
    ((process, works),) = read_logs(tmp_path).work
    assert process == PROCESS and [work.job for work in works] == [0, 1, 2]
    assert [(work.busy_s, work.device_waited_s, work.end_s) for work in works] == [
        (1.0, 0.0, 108.0),
        (4.0, 3.0, 112.0),
        (6.0, 5.0, 118.0),
    ]
    assert (works[1].shots, works[1].failed, works[1].frames) == (10, 1, 8)
    assert works[1].videos == {"a": VideoWork(3.0, 8, 16.0), "b": VideoWork(0.5, 2, 4.0)}


def test_each_store_has_a_log_of_its_own_and_an_image_counts_once_for_an_encoder(clock: Clock, tmp_path: Path) -> None:
    """Stores 0 and 1 are of one encoder, and store 2 is of another."""
    folders = [tmp_path / str(store) for store in range(3)]
    for folder in folders:
        folder.mkdir()
    figures = Figures(0, [WorkLog(folder, PROCESS) for folder in folders])
    for _ in figures.watch(decoded(clock, [1.0])):
        clock.now_s += 2.0
        figures.encoded(7, [0, 1], 8)
        figures.encoded(7, [2], 5)
        figures.unit_ended(7, 0, [0, 1, 2], UnitWork(0, {}))
        for store in range(3):
            figures.job_ended(7, store)
    assert [read_logs(folder).work[0][1][0].frames for folder in folders] == [8, 8, 5]
    assert [read_logs(folder).work[0][1][0].busy_s for folder in folders] == [2.0] * 3
    assert figures.note.startswith("4.33 frames/s"), "13 frames in 3 s"


def test_a_unit_that_is_done_again_counts_once(clock: Clock, tmp_path: Path) -> None:
    figures = Figures(2, [WorkLog(tmp_path, PROCESS)])
    for _ in range(2):  # its worker died after the first time
        figures.unit_ended(5, 0, [0], UnitWork(2, {"a": VideoWork(2.0, 4, 8.0)}))
    figures.job_ended(5, 0)
    ((_, (work,)),) = read_logs(tmp_path).work
    assert (work.shots, work.failed, work.videos) == (4, 2, {"a": VideoWork(2.0, 4, 8.0)})


def test_a_log_that_ended_early_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    figures = Figures(0, [WorkLog(tmp_path, PROCESS)])
    figures.unit_ended(0, 0, [0], UnitWork(0, {}))
    assert figures.log_errors == []
    figures.job_ended(0, 0)
    assert figures.log_errors == [f"{tmp_path}/logs/far-1-ab.jsonl (File exists)"]


def test_what_shots_took_is_added_up_for_each_video() -> None:
    found = unit_work(["a", "b", "a"], [2.0, 4.0, 8.0], [0.5, 0.25, 1.0], failed=1)
    assert found == UnitWork(1, {"a": VideoWork(1.5, 2, 10.0), "b": VideoWork(0.25, 1, 4.0)})
