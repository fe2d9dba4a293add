"""The worker processes that decode: each has a line of its own to the main process, and one that dies is replaced.

A thread of the main process attends to each worker: it claims a job, orders it, and takes what comes. The main process
holds the leases, so a job whose worker died stays this process's, and is ordered again from the next worker. The second
worker that dies on a video is the last to read it for that job; a decoder that hangs is not waited for twice.
"""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Event, Lock, Semaphore, Thread

from avs.core.errors import AvsError, ConfigError, MissingDependencyError
from avs.core.processes import lifeline
from avs.features.batches import ImageBatch, ImageBatches
from avs.features.decoding_worker import BatchSent, JobDone, JobOrder, VideoBegun
from avs.features.worker_line import WorkerGoneError, WorkerLine

BATCHES_AHEAD = 2  # per worker: one that is decoded, and one that waits; memory is workers * BATCHES_AHEAD batches
VIDEO_TIMEOUT_S = 600.0
DEATHS_PER_VIDEO = 2  # of workers that decode one job
DEATHS_AT_START = 3  # of workers of one job that have not read a video, when no worker of any job has
DEATHS_BEFORE_VIDEOS = 10  # the same, when some have
PARTING_S = 1.0  # how long threads may take to end when the work is broken off


@dataclass(frozen=True, slots=True)
class JobAgain:
    """A job is decoded again from its beginning: what came of it so far does not count.

    Attributes:
        job, stores: of the job.
        why: what became of its worker, in a sentence.
    """

    job: int
    stores: tuple[int, ...]
    why: str


def timeout_of(video_timeout_s: float | None, workers: int) -> float:
    """Seconds after which a decoder that gives nothing is ended; infinity: never.

    Args:
        video_timeout_s: what the user says; 0: never; None: VIDEO_TIMEOUT_S, where there are workers.
        workers: number of processes that decode.

    Raises:
        ConfigError: seconds that are none, or nobody could watch.
    """
    if video_timeout_s is None:
        return VIDEO_TIMEOUT_S
    if not 0 <= video_timeout_s < math.inf:
        raise ConfigError(
            "the time after which a decoder is given up is out of range",
            got=f"{video_timeout_s:g} s",
            wanted="seconds above 0, or 0 to wait however long it takes",
        )
    if video_timeout_s and not workers:
        raise ConfigError(
            "--video-timeout needs worker processes: a process cannot end a decoder that hangs in itself",
            got=f"{video_timeout_s:g} s with --workers 0",
            next_step="use --workers 1 or more, or leave --video-timeout out",
        )
    return video_timeout_s or math.inf


def load_batches(
    batches: ImageBatches, *, workers: int, pin: bool, timeout_s: float = math.inf
) -> Generator[ImageBatch | JobAgain]:
    """The batches as they become ready, decoded in `workers` processes (0: in this one).

    Workers are spawned: this process may have threads and a CUDA context, which a fork would copy half of, and a
    forkserver's workers would outlive this process when it is killed. They end at once when the caller stops.

    Args:
        batches: what is decoded; its source must be picklable when there are workers.
        pin: give images in page-locked memory, for CUDA.
        timeout_s: a worker that decodes and gives no sign of life for so long is ended, and its video given up.

    Raises:
        AvsError: an error in a worker; or workers die before they read a video.
        Exception: any other error in a worker, with the traceback of the worker as its cause.
    """
    if workers == 0:
        for item in batches:
            if isinstance(item, AvsError):
                raise item
            yield item.pin_memory() if pin else item
        return
    end, held = lifeline()
    with end, held, TemporaryDirectory(prefix="avs-") as folder:
        path = Path(folder) / "batches"
        ours = copy.copy(batches)
        ours.claims = ()  # this process claims
        with open(path, "wb") as file:
            pickle.dump(ours, file)
        pool = _Pool(iter(batches.claims), partial(WorkerLine, end, path, timeout_s=timeout_s, pin=pin), workers)
        try:
            yield from pool.items()
        finally:
            held.close()
            pool.end()


class _Over(Exception):
    """The caller has stopped."""


class _Pool:
    """What the attendants share.

    Args:
        claims: the jobs; taken by one thread at a time.
        start: starts a worker.
        workers: number of workers.
    """

    def __init__(
        self, claims: Iterator[tuple[int, tuple[int, ...]]], start: Callable[[], WorkerLine], workers: int
    ) -> None:
        self._claims, self._turn = claims, Lock()
        self.start = start
        self.reads = False  # whether a worker has begun to read a video
        self.came: SimpleQueue[ImageBatch | JobAgain | BaseException | None] = SimpleQueue()
        self._room = Semaphore(workers * (BATCHES_AHEAD - 1))
        self._over = Event()
        self._attendants = [_Attendant(self) for _ in range(workers)]

    def items(self) -> Iterator[ImageBatch | JobAgain]:
        """What comes of all jobs."""
        for attendant in self._attendants:
            attendant.start()
        left = len(self._attendants)
        while left:
            item = self.came.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                left -= 1
                continue
            if isinstance(item, ImageBatch):
                self._room.release()
            yield item

    def end(self) -> None:
        """End all workers and attendants. One that waits for a file system ends later, and does no harm."""
        self._over.set()
        self._room.release(len(self._attendants))
        for attendant in self._attendants:
            attendant.kill()
        end_s = time.monotonic() + PARTING_S
        for attendant in self._attendants:
            if attendant.ident is not None:  # it was started
                attendant.join(max(0.0, end_s - time.monotonic()))

    def next_job(self) -> tuple[int, tuple[int, ...]] | None:
        """A job, and the stores that get it; None when all are done or with others."""
        with self._turn:
            self.require_not_over()
            return next(self._claims, None)

    def take(self, worker: WorkerLine, sent: BatchSent) -> None:
        """Take a batch of a worker, when another one may be held in memory.

        Raises:
            WorkerGoneError: the worker has died, or was ended because it gave nothing.
        """
        self._room.acquire()
        self.require_not_over()
        try:
            self.came.put(worker.take(sent))
        except WorkerGoneError:
            self._room.release()
            raise

    def require_not_over(self) -> None:
        """Raise _Over when the caller has stopped."""
        if self._over.is_set():
            raise _Over


class _Attendant(Thread):
    """Attends to a worker, and to the next one when it dies."""

    def __init__(self, pool: _Pool) -> None:
        super().__init__(daemon=True)
        self._pool = pool
        self._worker: WorkerLine | None = None
        self._video: str | None = None  # that the worker has begun last, of its job

    def run(self) -> None:
        """Have jobs done until there are no more."""
        try:
            while (job := self._pool.next_job()) is not None:
                self._do(*job)
        except _Over:
            pass
        except BaseException as error:  # for the main process to raise
            self._pool.came.put(error)
        finally:
            self._pool.came.put(None)
            if self._worker is not None:
                self._worker.end()

    def kill(self) -> None:
        """Kill the worker, whatever it does; for other threads."""
        if (worker := self._worker) is not None:
            worker.kill()

    def _do(self, job: int, stores: tuple[int, ...]) -> None:
        """Have a job done, by as many workers as it takes.

        Raises:
            MissingDependencyError: workers die before they read a video.
        """
        deaths: Counter[str | None] = Counter()
        given_up: dict[str, str] = {}
        while True:
            try:
                self._decode(JobOrder(job, stores, dict(given_up)))
                return
            except WorkerGoneError as gone:
                self._worker = None
                self._pool.require_not_over()
                deaths[self._video] += 1
                if self._video is None:
                    most = DEATHS_BEFORE_VIDEOS if self._pool.reads else DEATHS_AT_START
                    _require_fewer_deaths(deaths[None], most, gone)
                elif gone.silent_s:
                    given_up[self._video] = f"the decoder gave nothing for {gone.silent_s:g} s"
                elif deaths[self._video] == DEATHS_PER_VIDEO:
                    given_up[self._video] = f"the process that decoded it died twice ({gone})"
                self._pool.came.put(JobAgain(job, stores, _told(self._video, gone, given_up)))

    def _decode(self, order: JobOrder) -> None:
        """Have a job done by a worker, which is started if there is none.

        Raises:
            WorkerGoneError: it has died, or was ended because it gave nothing.
        """
        self._video = None
        if self._worker is None:
            self._worker = self._pool.start()
        self._pool.require_not_over()
        self._worker.send(order)
        while not isinstance(message := self._worker.hear(), JobDone):
            if isinstance(message, VideoBegun):
                self._video, self._pool.reads = message.video, True
            elif isinstance(message, BatchSent):
                self._pool.take(self._worker, message)


def _require_fewer_deaths(deaths: int, most: int, gone: WorkerGoneError) -> None:
    """Check that workers live until they read a video."""
    if deaths >= most:
        raise MissingDependencyError(
            f"{deaths} worker processes have ended before they read a video",
            got=f"the last one: {gone}",
            next_step="use fewer --workers if memory is short, or --workers 0; a program of your own that calls "
            'extract(..., workers=N) needs if __name__ == "__main__":',
        )


def _told(video: str | None, gone: WorkerGoneError, given_up: Mapping[str, str]) -> str:
    """What the user is told of a worker that is gone."""
    if video is None:
        return f"a worker process has ended ({gone}); another one does its job"
    if video in given_up:
        return f"video {video}: {given_up[video]}; its shots of this job fail"
    return f"video {video}: the process that decoded it died ({gone}); it is decoded again"
