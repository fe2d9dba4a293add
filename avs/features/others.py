"""What other processes have done of the work that this one would have done: looked up now and then, beside the work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread

import numpy as np

from avs.core.store_parts import StoreParts

LOOK_AGAIN_S = 10.0
SHARE = 0.001  # of the time that looking may take, in a folder of many parts or a slow one


class WorkOfOthers:
    """Counts the shots of jobs that others finished, in a thread of its own while this context lasts.

    Args:
        stores: that are filled.
        lacking: (S, J) bool, which of S stores lacked which job when this process began; nothing: nobody looks.
    """

    def __init__(self, stores: Sequence[StoreParts], lacking: np.ndarray) -> None:
        self._stores, self._lacking = stores, lacking
        self._shots = np.where(lacking.any(axis=0), np.diff(stores[0].plan.first), 0)  # that are left, of each job
        self._mine = np.zeros(len(self._shots), dtype=bool)
        self._found = self._told = 0
        self._over = Event()
        self._thread = Thread(target=self._look_again, daemon=True)

    def begun(self, job: int) -> None:
        """This process has begun a job: it is none of others."""
        self._mine[job] = True

    def look(self) -> None:
        """Look at the parts that are there; a folder that does not answer is looked at the next time."""
        with suppress(OSError):
            done = np.array([store.done() for store in self._stores])
            by_others = np.logical_or(done, ~self._lacking).all(axis=0) & ~self._mine
            self._found = int(self._shots[by_others].sum())

    def new_shots(self) -> int:
        """Number of shots that others did, since this was asked before."""
        found = self._found
        new, self._told = found - self._told, found
        return new

    def __enter__(self) -> WorkOfOthers:
        if self._shots.any():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look_again(self) -> None:
        pause_s = LOOK_AGAIN_S
        while not self._over.wait(pause_s):
            began_s = time.monotonic()
            self.look()
            pause_s = max(LOOK_AGAIN_S, (time.monotonic() - began_s) / SHARE)
