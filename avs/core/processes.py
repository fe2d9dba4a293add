"""Worker processes that end at once when the process that started them is interrupted, terminated or killed.

A worker holds one end of a pipe, its lifeline; the process that started it alone holds the other. When that one is
closed, or dies with its process, a thread of the worker ends the worker, even in the middle of decoding a film.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from threading import Thread
from types import FrameType
from typing import Any, TypeVar

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KEPT_BYTES = 2**30
K = TypeVar("K")
R = TypeVar("R")


def lifeline() -> tuple[Connection, Connection]:
    """The end for the workers, and the end that keeps them alive while it is open."""
    return get_context("spawn").Pipe(duplex=False)


def hang_on(end: Connection) -> None:
    """End this process as soon as the other end of its lifeline is closed; a worker calls this first."""
    Thread(target=_end_when_cut, args=(end,), daemon=True).start()


def _end_when_cut(end: Connection) -> None:
    end.poll(None)  # nothing is ever sent, so this returns when the other end is closed
    os._exit(0)


def keep_freed_memory() -> None:
    """Have this process use again the memory that it frees, and not give it back at once, where glibc is.

    A decoder allocates and frees arrays of megabytes all the time. Fresh pages cost as much time as filling them.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(parameter, KEPT_BYTES)


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started in here do not hear the Ctrl-C that a terminal sends to all; the one that starts them does.

    It hears Ctrl-C and SIGTERM when all are started: a process whose start is broken off prints a traceback.
    """
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with later(signal.SIGINT), later(signal.SIGTERM):  # other threads take a signal that this one blocks
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def later(number: signal.Signals) -> Iterator[None]:
    """Have Python's handler of a signal run when this ends. Blocking it would make processes started in here deaf."""
    handler = signal.getsignal(number)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[FrameType | None] = []
    signal.signal(number, lambda _, frame: caught.append(frame))
    try:
        yield
    finally:
        signal.signal(number, handler)
        if caught:
            handler(number, caught[0])


def in_processes(
    function: Callable[..., R], jobs: Mapping[K, tuple[Any, ...]], *, workers: int
) -> Iterator[tuple[K, R]]:
    """The key of every job and what `function` returns for its arguments, in the order in which jobs end.

    When the caller stops before the last, jobs under way are broken off and the others are not begun.

    Args:
        function: picklable; one that is broken off leaves nothing half done.
        workers: number of processes, which are spawned.

    Raises:
        BrokenProcessPool: a process died.
    """
    context, (end, held) = get_context("spawn"), lifeline()
    with end, ProcessPoolExecutor(workers, context, hang_on, (end,)) as pool, held:
        with deaf_to_interrupts():
            waiting = {pool.submit(function, *arguments): key for key, arguments in jobs.items()}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
