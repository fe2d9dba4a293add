"""What a search has found so far, on disk, so that a killed search resumes where it was."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from avs.core.artifacts import atomic_write
from avs.core.progress import Reporter
from avs.ranking.topk import TopK


class SearchState:
    """A file with the position in the collection and the collectors' arrays.

    Args:
        path: path of the file.
        fingerprint: computes the fingerprint of the search; the file of another search is not used. It is called when
            it is first needed: a short search never writes a file, and the fingerprint of many models takes seconds.
    """

    def __init__(self, path: Path, fingerprint: Callable[[], str]) -> None:
        self.path, self._fingerprint = Path(path), fingerprint

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint()

    def load(self, best: Mapping[str, TopK], reporter: Reporter) -> int:
        """Fill the collectors with what was found before; returns the position after the last shot covered, or 0."""
        if not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = dict(file)
        except (ValueError, OSError, zipfile.BadZipFile):
            arrays = {}
        if "fingerprint" not in arrays or str(arrays["fingerprint"]) != self.fingerprint:
            reporter.say(f"{self.path} belongs to another search; this search starts from the first shot")
            return 0
        for number, collector in enumerate(best.values()):
            collector.restore({part: arrays[f"{number} {part}"] for part in collector.state()})
        position = int(arrays["position"])
        reporter.say(f"resuming after the {position} shots that were searched before")
        return position

    def save(self, position: int, best: Mapping[str, TopK]) -> None:
        """Write the collectors' arrays, which cover the shots before `position`."""
        arrays = {
            f"{number} {part}": values
            for number, collector in enumerate(best.values())
            for part, values in collector.state().items()
        }
        with atomic_write(self.path, "wb") as file:
            np.savez(
                file, allow_pickle=False, fingerprint=np.array(self.fingerprint), position=np.array(position), **arrays
            )

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
