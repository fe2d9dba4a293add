"""How many actors a cluster has room for, on which nodes, and how many CPUs each may hold.

An actor holds a CPU for each of its decoders and half a CPU for itself. What Ray cannot place it keeps waiting for ever
without a word, so a request is compared with what is free before anything starts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from avs.core.errors import ConfigError, MissingDependencyError, Problems

OWN_CPUS = 0.5  # of the actor's own process; so the actors of a node never hold all of its CPUs for want of one
RAY_DIGITS = 4  # Ray counts CPUs in parts of 10,000


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node has, and what of it is free.

    Attributes:
        id: Ray's name of it.
        host: name of its machine, for people.
        cpus, gpus: as the node was started with.
        free_cpus, free_gpus: that nobody holds.
    """

    id: str
    host: str
    cpus: float
    free_cpus: float
    gpus: float = 0.0
    free_gpus: float = 0.0

    @property
    def empty(self) -> NodeRoom:
        """The node when nobody holds anything."""
        return replace(self, free_cpus=self.cpus, free_gpus=self.gpus)

    def __str__(self) -> str:
        cpus = f"{self.free_cpus:g} of {self.cpus:g} CPUs"
        return f"{cpus} and {self.free_gpus:g} of {self.gpus:g} GPUs free" if self.gpus else f"{cpus} free"


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What is asked of a cluster.

    Attributes:
        device: "cpu" or "cuda"; on "cuda" every actor holds a GPU.
        actors: number of them; None: one for each free GPU, or one for each node.
        workers: number of decoders of each actor; None: as the free CPUs of its node allow.
    """

    device: str = "cpu"
    actors: int | None = None
    workers: int | None = None

    @property
    def gpus(self) -> int:
        """Number of GPUs that an actor holds."""
        return int(self.device == "cuda")


@dataclass(frozen=True, slots=True)
class ActorPlace:
    """Where an actor runs, and what it holds there.

    Attributes:
        name: what it is called.
        workers: number of its decoders.
    """

    name: str
    node: NodeRoom
    workers: int
    gpus: int

    @property
    def cpus(self) -> float:
        """Number of CPUs that it holds."""
        return self.workers + OWN_CPUS


def place_actors(nodes: Sequence[NodeRoom], request: ClusterRequest) -> list[ActorPlace]:
    """A place for every actor, spread over the nodes.

    Raises:
        ConfigError: there is no room for so many; says what each node has.
        MissingDependencyError: no node has a GPU, and the actors need one.
    """
    if request.gpus and not any(node.gpus for node in nodes):
        raise MissingDependencyError(
            "the Ray cluster has no GPU",
            got="; ".join(f"{node.host}: {node}" for node in nodes) or "no node",
            wanted="a GPU for each actor, because of --device cuda",
            next_step="use --device cpu, or start Ray on machines with GPUs (`ray start --num-gpus N`)",
        )
    room = [_room(node, request) for node in nodes]
    if sum(room) < (request.actors or 1):
        raise _no_room(nodes, room, request)
    held = (
        _spread(nodes, room, request.actors) if request.actors else room if request.gpus else [min(1, n) for n in room]
    )
    places: list[ActorPlace] = []
    for node, actors in zip(nodes, held, strict=True):
        for _ in range(actors):
            workers = _workers(node, actors) if request.workers is None else request.workers
            hosts = Counter(place.node.host for place in places)
            name = f"{node.host} ({hosts[node.host] + 1})" if hosts[node.host] else node.host
            places.append(ActorPlace(name, node, workers, request.gpus))
    return places


def _room(node: NodeRoom, request: ClusterRequest) -> int:
    """Number of actors that fit on a node."""
    by_cpus = math.floor(round(node.free_cpus / (OWN_CPUS + (request.workers or 0)), RAY_DIGITS))
    return min(by_cpus, math.floor(node.free_gpus)) if request.gpus else by_cpus


def _workers(node: NodeRoom, actors: int) -> int:
    """Number of decoders of each of the actors of a node when nobody says."""
    return max(0, math.floor(round(node.free_cpus / actors - OWN_CPUS, RAY_DIGITS)))


def _spread(nodes: Sequence[NodeRoom], room: Sequence[int], count: int) -> list[int]:
    """Number of actors on each node: the next one goes where most CPUs are left for each."""
    held = [0] * len(nodes)
    for _ in range(count):
        free = [place for place in range(len(nodes)) if held[place] < room[place]]
        held[max(free, key=lambda place: nodes[place].free_cpus / (held[place] + 1))] += 1
    return held


def _no_room(nodes: Sequence[NodeRoom], room: Sequence[int], request: ClusterRequest) -> ConfigError:
    """The refusal, with numbers."""
    count = request.actors or 1
    cpus = f"{OWN_CPUS + (request.workers or 0):g} CPUs{' and 1 GPU' if request.gpus else ''}"
    each = f"{count} actors of {cpus} each" if count > 1 else f"an actor of {cpus}"
    problems = Problems(f"the Ray cluster has no room for {each}")
    for node, fitting in zip(nodes, room, strict=True):
        problems.add(node.host, f"{node}: room for {fitting}")
    steps = [f"--actors {sum(room)}"] if sum(room) else []
    steps += ["fewer --workers, which are those of each actor"] if request.workers else []
    steps += ["wait until others have ended (`ray status` shows what is free)", "start Ray on more machines"]
    lines = "\n".join(f"  {line}" for line in problems.lines())
    return ConfigError(f"{problems.title}\n{lines}", next_step="; or ".join(steps))
