"""A worker process of avs.features.decoders as the main process sees it: started, heard, ended."""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from avs.core.processes import deaf_to_interrupts
from avs.features.batches import ImageBatch
from avs.features.decoding_worker import BatchSent, ErrorRaised, run_worker

LOOK_S = 1.0  # how long a silent worker is waited for at a time
START_S = 600.0  # how long it may be silent, at least, until it is heard for the first time: it imports torch
BURIAL_S = 5.0  # how long a killed process may take to be gone

_processes = Lock()  # Python's own list of children is not for several threads


class WorkerGoneError(Exception):
    """A worker has died, or was ended because it gave no sign of life. It says how, such as "killed by signal 9".

    Attributes:
        silent_s: seconds for which it gave none; 0: it has died.
    """

    def __init__(self, how: str, *, silent_s: float = 0.0) -> None:
        super().__init__(how)
        self.silent_s = silent_s


class WorkerTrace(Exception):
    """The cause of an error that was raised in a worker: its traceback there, as text."""

    def __str__(self) -> str:
        return f"in a worker process:\n\n{self.args[0]}"


class WorkerLine:
    """A worker process that has been started, and the line to it. One thread uses it; any may kill the worker.

    Args:
        end: the worker's end of its lifeline.
        batches: file with the pickled ImageBatches.
        timeout_s: how long it may give no sign of life while it is listened to.
        pin: receive images in page-locked memory.
    """

    def __init__(self, end: Connection, batches: Path, *, timeout_s: float, pin: bool) -> None:
        context = get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=run_worker, args=(end, theirs, batches), daemon=True)
        with _processes, deaf_to_interrupts(), theirs:
            self._process.start()
        self._timeout_s, self._pin, self._heard = timeout_s, pin, False

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            WorkerGoneError: the worker has died.
        """
        try:
            self._line.send(message)
        except OSError:
            raise self._gone() from None

    def hear(self) -> Any:
        """The next message. Of a batch, the arrays follow: `take` must be called next.

        Raises:
            WorkerGoneError: the worker has died, or has given no sign of life for too long.
            Exception: an error that was raised in the worker.
        """
        try:
            self._wait()
            message = self._line.recv()
            self._heard = True
        except (EOFError, OSError):
            raise self._gone() from None
        if isinstance(message, ErrorRaised):
            raise message.error from WorkerTrace(message.trace)
        return message

    def take(self, sent: BatchSent) -> ImageBatch:
        """The batch of a message.

        Raises:
            WorkerGoneError: as for `hear`.
        """
        buffers = [_memory(size, pin=self._pin) for size in sent.sizes]
        for buffer in buffers:
            self._fill(buffer)
        batch: ImageBatch = pickle.loads(sent.pickled, buffers=buffers)
        return batch.pin_memory() if self._pin else batch  # which copies nothing that was received in such memory

    def _fill(self, view: memoryview) -> None:
        try:
            while view:
                self._wait()
                count = os.readv(self._line.fileno(), [view])
                if not count:
                    raise EOFError
                view = view[count:]
        except (EOFError, OSError):
            raise self._gone() from None

    def _wait(self) -> None:
        """Return when there is something to read.

        Time counts in small pieces, so that nothing happens to a worker when both were asleep (Ctrl-Z).
        """
        silent_s, most_s = 0.0, self._timeout_s if self._heard else max(self._timeout_s, START_S)
        while not self._line.poll(look_s := min(LOOK_S, most_s - silent_s)):
            silent_s += look_s
            if silent_s >= most_s:
                self.end()
                raise WorkerGoneError(f"no sign of life for {silent_s:g} s", silent_s=silent_s)

    def _gone(self) -> WorkerGoneError:
        """How the worker died; ends what is left of it."""
        wait([self._process.sentinel], BURIAL_S)
        code = self.end()
        if code is None or code >= 0:
            return WorkerGoneError(f"exit code {code}")
        memory = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return WorkerGoneError(f"killed by signal {-code}{memory}")

    def kill(self) -> None:
        """Kill the worker, whatever it does."""
        with suppress(OSError, ValueError):  # it is gone already
            self._process.kill()

    def end(self) -> int | None:
        """Kill the worker if it lives, and wait until it is gone; its exit code."""
        with _processes:
            self._process.kill()
            self._process.join(BURIAL_S)
            self._line.close()
            return self._process.exitcode


def _memory(size: int, *, pin: bool) -> memoryview:
    """So many bytes to receive something in."""
    if pin:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy().data
    return np.empty(size, dtype=np.uint8).data
