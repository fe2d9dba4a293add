"""One writer at a time for a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avs.core.errors import StoreError

LOCK = ".lock"


def require_no_writer(folder: Path) -> None:
    """Check that no other process writes a folder; makes nothing.

    Raises:
        StoreError: as sole_writer.
    """
    if (folder / LOCK).is_file():
        with sole_writer(folder):
            pass


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder while it is written. The system frees the lock of a process that ends, also of one that is killed.

    A file system without locks lets every writer in.

    Raises:
        StoreError: another process holds it; names the process and its machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process alone: workers it forks hold nothing
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise StoreError(
                    "another process is writing here",
                    where=folder,
                    got=file.read().strip() or "a process that has just begun",
                    next_step="wait until it has ended and run the same command again, or choose another -o",
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
