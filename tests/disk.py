"""A disk that is watched, and one that is full."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def watch_renames(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that files get from now on, in order. Each must be synced with all its bytes before."""
    named: list[str] = []
    synced: dict[int, int] = {}
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced[status.st_ino] = status.st_size
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        status = os.stat(source)
        assert synced.get(status.st_ino) == status.st_size, f"{target} was not synced"
        named.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    return named


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Writing more than `size` bytes to any file fails, as on a full disk: the system names no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
