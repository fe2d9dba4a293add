"""Whole avs processes in sessions of their own, so that a test sees, and ends, every process that they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 600  # a process that lives on for longer than this after its parent lives on for good


@contextmanager
def started(words: Sequence[object], *, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """`python WORDS` in a new session; at the end whatever is left of the session is killed.

    It hears SIGINT also where the tests do not, as in the background of a shell script.
    """
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env=env,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, heard)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def session(leader: int) -> list[int]:
    """The living processes of the session that process `leader` began."""
    return [pid for pid, state, _, number in _processes() if number == leader and state != "Z"]


def mark_children() -> str:
    """A mark that all processes started from now on carry in their environment."""
    os.environ["AVS_TESTS"] = f"of process {os.getpid()}"
    return f"AVS_TESTS={os.environ['AVS_TESTS']}"


def left_over(mark: str) -> list[str]:
    """The command lines of living processes that this one started, or that carry its mark; none without /proc.

    Python's own helper, the resource tracker, ends with this process.
    """
    parent_of = {pid: parent for pid, _, parent, _ in _processes()}
    found = []
    for pid, state, _, _ in _processes():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            marked = f"{mark}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
            ours = pid != os.getpid() and (marked or os.getpid() in _ancestors(pid, parent_of))
            found += [f"{pid}: {words}"] if ours and state != "Z" and "resource_tracker" not in words else []
    return found


def _ancestors(pid: int, parent_of: Mapping[int, int]) -> list[int]:
    found = []
    while pid := parent_of.get(pid, 0):
        found.append(pid)
    return found


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """Id, state, parent and session of every process of the machine."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent, _, number = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
            yield int(entry.name), state, int(parent), int(number)


def wait_until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Return when `true()` is; fail when the process has ended without that. How long it takes does not matter."""
    while not true():
        ended = process.poll() is not None
        assert not ended or true(), f"it ended with {process.returncode}: {process.communicate()[1]}"
        time.sleep(0.02)


def end_by(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    """Send a signal, as a terminal (to all processes) or `kill` (to one) does; the exit code and stderr.

    Fails if a process of the session is left.
    """
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    _, err = process.communicate()
    end = time.monotonic() + PATIENCE_S
    while session(process.pid):
        assert time.monotonic() < end, f"left: {session(process.pid)}"
        time.sleep(0.02)
    return process.returncode, err
