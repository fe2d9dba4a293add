"""Whole avs processes in sessions of their own, so that a test sees, and ends, every process that they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 120  # far above what is needed on a loaded machine; what never ends takes ten minutes


@contextmanager
def started(words: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    """`python WORDS` in a new session; at the end whatever is left of the session is killed."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def session(leader: int) -> list[int]:
    """The living processes of the session that process `leader` began."""
    members = []
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, OSError):
            state, _, _, number = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
            members += [int(entry.name)] if int(number) == leader and state != "Z" else []
    return members


def wait_until(true: Callable[[], object]) -> None:
    """Return when `true()` is; fail after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def end_by(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    """Send a signal, as a terminal (to all processes) or `kill` (to one) does; the exit code and stderr.

    Fails if a process of the session is left.
    """
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    _, err = process.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not session(process.pid))
    return process.returncode, err
