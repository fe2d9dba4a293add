"""How fast extraction goes, and who waits for whom: counted while it runs, shown and logged for each job."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._first_s = self._end_s = 0.0
        self._device_s = self._decoders_s = self._queued_s = 0.0
        self.frames = 0  # encoded, once for every encoder

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
        return Waits(busy_s, self._device_s, self._decoders_s, self._queued_s)

    @property
    def note(self) -> str:
        """What a line of progress tells."""
        now = self.waits
        if not now.busy_s:
            return ""
        shares = waits(now.device_waited_s / now.busy_s, now.decoders_waited_s / now.busy_s / max(1, self._workers))
        queue = f", queue {now.queued_s / now.busy_s:.1f}" if self._workers else ""
        return f"{three_digits(self.frames / now.busy_s)} frames/s, {shares}{queue}"


@dataclass(frozen=True, slots=True)
class _UnitWork:
    shots: int
    failed: int
    videos: Mapping[str, VideoWork]


class JobFigures:
    """What is logged of the jobs of one store.

    Args:
        figures: of the process.
        log: of the store.
    """

    def __init__(self, figures: Figures, log: WorkLog) -> None:
        self._figures, self.log = figures, log
        self._before = Waits()
        self._frames: dict[int, int] = defaultdict(int)
        self._units: dict[int, dict[int, _UnitWork]] = defaultdict(dict)

    def encoded(self, job: int, frames: int) -> None:
        """So many more images of a job were encoded."""
        self._frames[job] += frames

    def unit_ended(self, job: int, unit: int, *, failed: int, videos: Mapping[str, VideoWork]) -> None:
        """A unit of a job is done; one that was done before is forgotten."""
        self._units[job][unit] = _UnitWork(sum(work.shots for work in videos.values()), failed, videos)

    def job_ended(self, job: int) -> None:
        """Log a job that is done."""
        now, units = self._figures.waits, self._units.pop(job).values()
        since, self._before = now.since(self._before), now
        self.log.add(
            JobWork(
                job=job,
                shots=sum(unit.shots for unit in units),
                failed=sum(unit.failed for unit in units),
                frames=self._frames.pop(job, 0),
                end_s=time.time(),
                busy_s=since.busy_s,
                device_waited_s=since.device_waited_s,
                decoders_waited_s=since.decoders_waited_s,
                queued_s=since.queued_s,
                videos=summed([unit.videos for unit in units]),
            )
        )


def work_of_videos(videos: Sequence[str], decode_s: Sequence[float], shots_s: Sequence[float]) -> dict[str, VideoWork]:
    """What shots took, added up for each video.

    Args:
        videos: of each shot.
        decode_s: seconds that it took to decode.
        shots_s: seconds that it lasts.
    """
    rows = zip(videos, decode_s, shots_s, strict=True)
    return summed([{video: VideoWork(spent_s, 1, long_s)} for video, spent_s, long_s in rows])
