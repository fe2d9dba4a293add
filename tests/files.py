"""Loops over files that must not be empty: a test over no file at all would pass and say nothing."""

from __future__ import annotations

from pathlib import Path


def files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match a glob pattern, sorted; at least one."""
    found = sorted(folder.glob(pattern))
    assert found, f"no {pattern} in {folder}"
    return found
