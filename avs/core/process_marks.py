"""What tells a process from all others, also from one that gets its number later."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, as another one may look for it.

    Attributes:
        host: name of its machine, for people.
        machine: what numbers of processes mean something to: a start of a machine, and a space of numbers there.
        pid: its number.
        started: when it began, in the machine's own count; "" where the system does not say.
    """

    host: str
    machine: str
    pid: int
    started: str


def this_process() -> ProcessMark:
    """The mark of the process that asks."""
    pid = os.getpid()
    return ProcessMark(socket.gethostname(), machine_name(), pid, _state_and_start(pid)[1])


def is_gone(mark: ProcessMark) -> bool:
    """Whether a process has surely ended; False for one of another machine, which cannot be known from here."""
    if mark.machine != machine_name():
        return False
    try:
        os.kill(mark.pid, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except OSError:  # it is somebody else's
        pass
    state, started = _state_and_start(mark.pid)
    return state in ("Z", "X") or (started != "" and started != mark.started)


@cache
def machine_name() -> str:
    """The name of this start of this machine, and of the space of process numbers that this process sees."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _state_and_start(pid: int) -> tuple[str, str]:
    """The state of a process and when it began; two empty words where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
