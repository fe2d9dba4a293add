"""Which jobs a process does, and for which stores: it takes leases of them, or they are those of its shard."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from avs.core.errors import ConfigError
from avs.core.leases import Leases
from avs.core.store_parts import job_name, part_path

LOOK_AGAIN_S = 2.0  # at processes of other machines, until they give a sign of life


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal shares of the jobs: those whose number leaves `number` when divided by `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """The shard that `i/n` means, i from 0 to n - 1.

    Raises:
        ConfigError: it means none.

    >>> parse_shard("0/4")
    Shard(number=0, count=4)
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise ConfigError(
            f'"{text}" is no shard',
            wanted="i/n with i from 0 to n - 1: 0/4, 1/4, 2/4 and 3/4 are the shares of four processes",
            next_step="in a Slurm array: --array=0-3 and --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT",
        )
    return Shard(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True, eq=False)
class ShardClaims:
    """The jobs of a shard, without leases: every worker knows its own.

    Attributes:
        lacking: (S, J) bool, which of S stores lacks which job.
        shard: the share of this process.
    """

    lacking: np.ndarray
    shard: Shard

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        jobs = np.flatnonzero(self.lacking.any(axis=0))
        for job in jobs[jobs % self.shard.count == self.shard.number].tolist():
            yield job, tuple(np.flatnonzero(self.lacking[:, job]).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class LeasedClaims:
    """Jobs as they are free. A worker takes the lease at the moment in which it begins a job.

    At the end it looks for jobs that have become free since, because somebody died. It waits for signs of life of
    processes that hold jobs on other machines, so that no job is left to a process that is dead already.

    Attributes:
        lacking: (S, J) bool, which of S stores lacks which job.
        leases: of each store.
    """

    lacking: np.ndarray
    leases: Sequence[Leases]
    _first_beat_s: dict[str, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        jobs = np.flatnonzero(self.lacking.any(axis=0)).tolist()
        while jobs:
            for job in jobs:
                stores = self._claimed(job)
                if stores:
                    yield job, stores
            jobs = [job for job in jobs if self._lacking(job)]
            doubts = [self._in_doubt(store, job) for job in jobs for store in self._lacking(job)]
            if not any(doubts):
                return
            time.sleep(LOOK_AGAIN_S)

    def _lacking(self, job: int) -> list[int]:
        """The stores that lack a job now."""
        stores = np.flatnonzero(self.lacking[:, job]).tolist()
        return [store for store in stores if not part_path(self.leases[store].folder, job).exists()]

    def _claimed(self, job: int) -> tuple[int, ...]:
        """Take the leases of a job; the stores for which this succeeds.

        What another worker of this process has begun is left to it, for all stores: otherwise both would decode it.
        """
        claimed: list[int] = []
        for store in self._lacking(job):
            leases = self.leases[store]
            if leases.claim(job_name(job)):
                if not part_path(leases.folder, job).exists():  # it may have appeared in the meantime
                    claimed.append(store)
            elif not claimed and leases.holds(job_name(job)):
                break
        return tuple(claimed)

    def _in_doubt(self, store: int, job: int) -> bool:
        """Whether the holder of a job has shown no life since this process looked for the first time."""
        holder = self.leases[store].holder(job_name(job))
        if holder is None or holder.owner == self.leases[store].owner:
            return False
        if not holder.lives:
            return True  # it died just now: its lease is free the next time
        first_s = self._first_beat_s.setdefault(f"{store} {holder.owner}", holder.beat_s)
        return not holder.surely_lives and holder.beat_s <= first_s
