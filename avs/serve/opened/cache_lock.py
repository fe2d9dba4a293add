"""One process at a time fills a cache: servers that begin together would write the same files at once."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from avs.serve.opened import Report

WAIT_S = 0.1


@contextmanager
def alone_in(cache: Path, report: Report) -> Iterator[None]:
    """Let nobody else fill the cache until the block ends; before, wait for who does so now.

    The system ends a lock with its process, however that ends. A cache that cannot be written is not locked.

    Args:
        report: called again and again while this waits.
    """
    with _lock_file(cache) as file:
        while file is not None and not _locked(file):
            report(f"waiting for another avs serve, which fills {cache}", 0, 1)
            time.sleep(WAIT_S)
        yield


def _lock_file(cache: Path) -> AbstractContextManager[IO[bytes] | None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return open(cache / ".lock", "ab")
    except OSError:
        return nullcontext()


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
