"""How fast extraction goes, and who waits for whom: counted while it runs, shown and logged for each job."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from avs.core.progress import three_digits
from avs.features.account import waits
from avs.features.work_log import JobWork, VideoWork, WorkLog, summed


class Timed(Protocol):
    """A batch that knows its own waits.

    Attributes:
        made_s: when it was ready, by time.monotonic(), which all processes of a machine share.
        waited_s: seconds since the batch before it in which its maker could not go on.
    """

    @property
    def made_s(self) -> float: ...

    @property
    def waited_s(self) -> float: ...


B = TypeVar("B", bound=Timed)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds since the first batch came, and of these, or in all that time, who waited; see JobWork."""

    busy_s: float = 0.0
    device_waited_s: float = 0.0
    decoders_waited_s: float = 0.0
    queued_s: float = 0.0

    def since(self, before: Waits) -> Waits:
        """What came after an earlier state."""
        return Waits(*(getattr(self, name) - getattr(before, name) for name in Waits.__slots__))


class Figures:
    """The figures of one process.

    Waiting for the first batch does not count: workers start meanwhile. By Little's law, the seconds that batches
    waited to be taken are the number of batches that were ready, summed over time.

    Args:
        workers: number of processes that decode; 0: this one does, when it is asked for a batch.
        logs: of the stores that are filled.

    Attributes:
        encoding_s: tells for how many seconds the device has encoded. One that encodes while this process waits for a
            batch has not waited itself.
    """

    def __init__(self, workers: int, logs: Sequence[WorkLog]) -> None:
        self._workers = workers
        self.encoding_s: Callable[[], float] = lambda: 0.0
        self._began_s, self._first_s, self._end_s = time.monotonic(), 0.0, 0.0
        self._device_s = self._decoders_s = self._queued_s = 0.0
        self._frames = 0  # encoded, once for every encoder
        self._jobs = [_JobFigures(log) for log in logs]

    def watch(self, batches: Iterable[B]) -> Iterator[B]:
        """The batches; the time until each comes is that which the device waits."""
        source = iter(batches)
        while True:
            asked_s = time.monotonic()
            batch = next(source, None)
            if batch is None:
                self._end_s = asked_s
                return
            came_s = time.monotonic()
            if self._first_s:
                self._device_s += came_s - asked_s
                self._decoders_s += batch.waited_s
                self._queued_s += came_s - batch.made_s
            else:
                self._first_s = came_s
            yield batch

    @property
    def waits(self) -> Waits:
        """The state now."""
        busy_s = (self._end_s or time.monotonic()) - self._first_s if self._first_s else 0.0
        device_s = min(self._device_s, max(0.0, busy_s - self.encoding_s()))
        return Waits(busy_s, device_s, self._decoders_s, self._queued_s)

    @property
    def note(self) -> str:
        """What a line of progress tells."""
        now = self.waits
        if not now.busy_s:
            return ""
        shares = waits(now.device_waited_s / now.busy_s, now.decoders_waited_s / now.busy_s / max(1, self._workers))
        queue = f", queue {now.queued_s / now.busy_s:.1f}" if self._workers else ""
        rate = self._frames / ((self._end_s or time.monotonic()) - self._began_s)  # as that of shots in the same line
        return f"{three_digits(rate)} frames/s, {shares}{queue}"

    @property
    def log_errors(self) -> list[str]:
        """Logs that ended before the work ended, and why."""
        return [f"{jobs.log.path} ({jobs.log.error.strerror})" for jobs in self._jobs if jobs.log.error is not None]

    def encoded(self, job: int, stores: Sequence[int], frames: int) -> None:
        """One encoder has encoded so many images of a job, for its stores."""
        self._frames += frames
        for store in stores:
            self._jobs[store].frames[job] += frames

    def unit_ended(self, job: int, unit: int, stores: Sequence[int], work: UnitWork) -> None:
        """A unit of a job is done for some stores; if it was done before, that is forgotten."""
        for store in stores:
            self._jobs[store].units[job][unit] = work

    def job_lost(self, job: int, stores: Sequence[int]) -> None:
        """What is known of a job that is done again does not count."""
        for store in stores:
            self._jobs[store].frames.pop(job, None)
            self._jobs[store].units.pop(job, None)

    def job_ended(self, job: int, store: int) -> None:
        """Log a job that is done for a store."""
        self._jobs[store].log_job(job, self.waits)


@dataclass(frozen=True, slots=True)
class UnitWork:
    """What the shots of a unit took.

    Attributes:
        failed: number of those that failed.
        videos: that they are of.
    """

    failed: int
    videos: Mapping[str, VideoWork]


class _JobFigures:
    """The jobs under way of one store."""

    def __init__(self, log: WorkLog) -> None:
        self.log = log
        self.frames: dict[int, int] = defaultdict(int)
        self.units: dict[int, dict[int, UnitWork]] = defaultdict(dict)
        self._logged = Waits()

    def log_job(self, job: int, now: Waits) -> None:
        units, since = self.units.pop(job).values(), now.since(self._logged)
        self._logged = now
        videos = summed(unit.videos for unit in units)
        self.log.add(
            JobWork(
                job=job,
                shots=sum(work.shots for work in videos.values()),
                failed=sum(unit.failed for unit in units),
                frames=self.frames.pop(job, 0),
                end_s=time.time(),
                busy_s=since.busy_s,
                device_waited_s=since.device_waited_s,
                decoders_waited_s=since.decoders_waited_s,
                queued_s=since.queued_s,
                videos=videos,
            )
        )


def unit_work(videos: Sequence[str], shots_s: Sequence[float], decode_s: Sequence[float], *, failed: int) -> UnitWork:
    """What the shots of a unit took.

    Args:
        videos: of each shot.
        shots_s: seconds that each lasts.
        decode_s: seconds that each took to decode.
        failed: number of those that failed.
    """
    rows = zip(videos, shots_s, decode_s, strict=True)
    return UnitWork(failed, summed({video: VideoWork(spent_s, 1, long_s)} for video, long_s, spent_s in rows))
