"""A worker process of avs.features.decoders: it decodes the jobs it is given, and says what it is at.

This module is light, so that a worker hangs on its lifeline before it imports torch.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.frames import ShotFrames, ViewSource
from avs.core.processes import hang_on, keep_freed_memory
from avs.core.shots import Shot
from avs.core.signs_of_life import sign_of_life, tell_signs

if TYPE_CHECKING:
    from avs.features.batches import ImageBatches

LARGE_BYTES = 1 << 16  # from here on an array travels beside the message that it belongs to


@dataclass(frozen=True, slots=True)
class JobOrder:
    """To a worker: do this job.

    Attributes:
        job: its number.
        stores: numbers of the stores that get it.
        given_up: videos that are not read any more -> why; their shots fail.
    """

    job: int
    stores: tuple[int, ...]
    given_up: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VideoBegun:
    """From a worker: it begins to read this video."""

    video: str


@dataclass(frozen=True, slots=True)
class StillAlive:
    """From a worker: decoding goes on."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """From a worker: all batches of the job are sent."""


@dataclass(frozen=True, slots=True)
class BatchSent:
    """From a worker: a batch, whose large arrays follow as bare bytes.

    Attributes:
        pickled: the ImageBatch without its large arrays.
        sizes: number of bytes of each large array.
    """

    pickled: bytes
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ErrorRaised:
    """From a worker: an error, after which it ends.

    Attributes:
        error: the error.
        trace: where it was raised, as text.
    """

    error: Exception
    trace: str


def run_worker(end: Connection, line: Connection, batches: Path) -> None:
    """Decode what is ordered on `line`, until that is closed.

    Args:
        end: this worker's end of its lifeline.
        line: where orders come from, and batches go to.
        batches: file with the pickled ImageBatches. Sent through a pipe, those of a million shots would keep the start
            of a worker waiting until it has imported torch, and the start of the next one, and Ctrl-C.
    """
    hang_on(end)
    keep_freed_memory()
    import torch

    torch.set_num_threads(1)  # there is a worker for every core
    to_main = _ToMain(line)
    try:
        with open(batches, "rb") as file:
            ours: ImageBatches = pickle.load(file)
        source = _ToldSource(ours.source, 1 + max(feed.view for feed in ours.feeds), to_main)
        ours.source, ours.claims = source, _orders(to_main, source)
        tell_signs(lambda: to_main.send(StillAlive()))
        sign_of_life()
        for item in ours:
            if isinstance(item, Exception):
                raise item
            to_main.send_batch(item)
    except Exception as error:
        to_main.send(ErrorRaised(_sendable(error), traceback.format_exc()))


def _orders(to_main: _ToMain, source: _ToldSource) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The jobs that are ordered; one is done when the next is asked for."""
    while True:
        order = to_main.order()
        source.given_up = order.given_up
        yield order.job, order.stores
        to_main.send(JobDone())


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _ToMain:
    """The line to the main process. When that is gone, this process ends without a word."""

    def __init__(self, line: Connection) -> None:
        self.line = line

    def order(self) -> JobOrder:
        """The next order."""
        try:
            order: JobOrder = self.line.recv()
        except (EOFError, OSError):
            os._exit(0)
        return order

    def send(self, message: object) -> None:
        try:
            self.line.send(message)
        except OSError:
            os._exit(0)

    def send_batch(self, batch: object) -> None:
        """Send a batch; no large array is copied on the way to the operating system."""
        large: list[memoryview] = []
        pickled = pickle.dumps(batch, protocol=5, buffer_callback=lambda buffer: _is_small(buffer, large))
        self.send(BatchSent(pickled, tuple(view.nbytes for view in large)))
        try:
            for view in large:
                while view:
                    view = view[os.write(self.line.fileno(), view) :]
        except OSError:
            os._exit(0)


def _is_small(buffer: pickle.PickleBuffer, large: list[memoryview]) -> bool:
    """Whether the pickle is to hold a buffer; otherwise it becomes one of `large`."""
    view = buffer.raw()
    if view.nbytes < LARGE_BYTES:
        return True
    large.append(view)
    return False


class _ToldSource:
    """A ViewSource that says which video it begins to read, and gives up on some.

    Args:
        source: of the frames.
        views: number of its views.

    Attributes:
        given_up: videos whose shots fail unread -> why.
    """

    def __init__(self, source: ViewSource, views: int, to_main: _ToMain) -> None:
        self.source, self.views, self.to_main = source, views, to_main
        self.given_up: Mapping[str, str] = {}

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        if video in self.given_up:
            nothing: dict[str, Any] = {"data": np.empty((0, 1, 1, 3), dtype=np.uint8), "pts_s": np.empty(0)}
            for shot in shots:
                yield (ShotFrames(shot.id, **nothing, status="failed", reason=self.given_up[video]),) * self.views
            return
        self.to_main.send(VideoBegun(video))
        for views in self.source.read(video, shots):
            sign_of_life()
            yield views

    def begins_anywhere(self, video: str) -> bool:
        return self.source.begins_anywhere(video)
