"""Which of the processes that `torchrun` started this is, as the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from avs.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rank:
    """A process among those that were started together.

    Attributes:
        number: its number, from 0.
        count: number of them, on all machines.
        local: its number on its machine, from 0.
        local_count: number of them on its machine.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether it speaks for all."""
        return self.number == 0


def rank_of_environment(environment: Mapping[str, str] = os.environ) -> Rank:
    """The rank of this process; outside `torchrun` there is one process.

    Raises:
        ConfigError: a variable of torchrun is no number, or they contradict each other.
    """
    names = {"number": "RANK", "count": "WORLD_SIZE", "local": "LOCAL_RANK", "local_count": "LOCAL_WORLD_SIZE"}
    if environment.get("WORLD_SIZE", "1") == "1":
        return Rank()
    given = {name: environment.get(name) for name in names.values()}
    if not all(value is not None and value.isdigit() for value in given.values()):
        raise _strange(given)
    rank = Rank(**{field: int(str(given[name])) for field, name in names.items()})
    if not (rank.number < rank.count and rank.local < rank.local_count <= rank.count):
        raise _strange(given)
    return rank


def _strange(given: Mapping[str, str | None]) -> ConfigError:
    return ConfigError(
        "the environment says that several processes were started together, but not which one this is",
        got=", ".join(f"{name} {'not set' if value is None else value}" for name, value in given.items()),
        wanted="all of them, as torchrun sets them",
        next_step="start the processes with torchrun, or unset WORLD_SIZE",
    )


def device_of_rank(device: str, rank: Rank) -> str:
    """The device of a process: "cuda" means that of its number on its machine.

    Raises:
        ConfigError: several processes of a machine would share a GPU.
    """
    if rank.local_count > 1 and device.startswith("cuda:"):
        raise ConfigError(
            f"all {rank.local_count} processes that torchrun started on this machine would use one GPU",
            got=f"--device {device}",
            next_step="use --device cuda, which gives each process a GPU of its own; or --nproc-per-node 1",
        )
    return f"cuda:{rank.local}" if device == "cuda" and rank.count > 1 else device
