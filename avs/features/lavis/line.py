"""A worker process that has been started, and the pipes to it. Nothing waits forever: each step has a limit."""

from __future__ import annotations

import json
import os
import subprocess
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from select import POLLIN, POLLOUT, poll
from threading import Thread
from typing import IO, Any

import numpy as np

from avs.core.errors import AvsError
from avs.core.processes import deaf_to_interrupts
from avs.features.lavis.worker import LENGTH, empty_arrays, length_of_header, pack

LOOK_S = 1.0  # how long a silent worker is waited for at a time
BURIAL_S = 5.0  # how long a killed process may take to be gone
LAST_LINES = 12  # of what a worker said on stderr, for messages
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class LavisGoneError(Exception):
    """A worker has died, or was ended because it gave no sign of life. It says how, as in "was killed"."""


class LavisLine:
    """A worker process, and the line to it. One thread uses it.

    Args:
        command: of the process.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        with deaf_to_interrupts():  # it ends when its stdin is closed, as it is when this process ends in any way
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                env={**os.environ, **OFFLINE},
            )  # fmt: skip
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for file in (self._in, self._out):
            os.set_blocking(file, False)
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._listener = Thread(target=_listen, args=(self._process.stderr, self._said), daemon=True)
        self._listener.start()
        self._bury = weakref.finalize(self, _end, self._process)

    @property
    def last_lines(self) -> str:
        """What it said last on stderr, a line each."""
        return "\n".join(self._said)

    def send(self, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = (), *, timeout_s: float) -> None:
        """Send a message.

        Raises:
            LavisGoneError: it has died, or takes nothing for too long.
        """
        try:
            for piece in pack(header, arrays):
                while piece:
                    self._wait(self._in, POLLOUT, timeout_s)
                    piece = piece[os.write(self._in, piece) :]
        except BrokenPipeError:
            raise self._gone() from None

    def hear(self, *, timeout_s: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The header and the arrays of the next message.

        Args:
            timeout_s: how long it may give no sign of life.

        Raises:
            LavisGoneError: it has died, or has given none.
            AvsError: what came is no message.
        """
        try:
            header = json.loads(self._read(length_of_header(bytes(self._read(LENGTH.size, timeout_s))), timeout_s))
            arrays = empty_arrays(header)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.end()
            raise AvsError(
                "the LAVIS worker sent what is no message",
                where=" ".join(self.command),
                got=error,
                next_step="something there prints to the pipe of the messages: run it by hand to see what",
            ) from error
        for array in arrays:
            array.reshape(-1).view(np.uint8)[:] = np.frombuffer(self._read(array.nbytes, timeout_s), np.uint8)
        return header, arrays

    def _read(self, count: int, timeout_s: float) -> bytearray:
        read = bytearray(count)
        left = memoryview(read)
        while left:
            self._wait(self._out, POLLIN, timeout_s)
            got = os.readv(self._out, [left])
            if not got:
                raise self._gone()
            left = left[got:]
        return read

    def _wait(self, file: int, event: int, most_s: float) -> None:
        """Return when `file` can be read or written.

        Time counts in small pieces, so that nothing happens to a worker when both were asleep (Ctrl-Z).
        """
        ready, silent_s = poll(), 0.0
        ready.register(file, event)
        while not ready.poll((look_s := min(LOOK_S, most_s - silent_s)) * 1000):
            silent_s += look_s
            if silent_s >= most_s:
                self.end()
                raise LavisGoneError(f"gave no sign of life for {silent_s:g} s")

    def _gone(self) -> LavisGoneError:
        """How it died; ends what is left of it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(BURIAL_S)
        code = self.end()
        if code is None or code >= 0:
            return LavisGoneError(f"ended with exit code {code}")
        memory = ", perhaps for want of memory" if code == -9 else ""
        return LavisGoneError(f"was killed by signal {-code}{memory}")

    def end(self) -> int | None:
        """Kill it if it lives, and wait until it is gone; its exit code."""
        self._bury()
        self._listener.join(BURIAL_S)
        return self._process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(BURIAL_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _listen(pipe: IO[bytes], said: deque[str]) -> None:
    """Keep the last lines of what a process says, so that it never waits for a reader."""
    with pipe, suppress(OSError, ValueError):
        for line in pipe:
            said.append(line.decode(errors="replace").rstrip())
