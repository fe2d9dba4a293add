"""The connection to a Ray cluster that runs already. Nothing else in avs imports ray, and this only when asked."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from avs.cluster.placement import ActorPlace, ClusterRequest, NodeRoom, place_actors
from avs.core.device import WAITING
from avs.core.errors import AvsError, ConfigError, MissingDependencyError
from avs.core.processes import later

START = "start one: `ray start --head` on one machine and `ray start --address=HOST:6379` on the others"
ANSWER_S = 10.0  # for a machine that is to take a connection
LOOK_S = 1.0  # how long a signal may have to wait
GIVEN_BACK_S = 4.0  # what an actor held is free so long after its end at most
INSTALL = "pip install 'avs[ray]' on every machine of the cluster"


class RaySession:
    """A connection to a cluster. Whoever opened it closes it.

    Args:
        ray: the package.
    """

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    def nodes(self) -> list[NodeRoom]:
        """The living nodes, and what is free there now."""
        from ray._private.state import available_resources_per_node  # Ray tells it by node nowhere else

        free, found = available_resources_per_node(), []
        for node in self.ray.nodes():
            if not node["Alive"]:
                continue
            has, left = node["Resources"], free.get(node["NodeID"], {})
            cpus, gpus = (float(has.get(kind, 0)) for kind in ("CPU", "GPU"))
            free_cpus, free_gpus = (float(left.get(kind, 0)) for kind in ("CPU", "GPU"))
            found.append(NodeRoom(node["NodeID"], node["NodeManagerHostname"], cpus, free_cpus, gpus, free_gpus))
        return sorted(found, key=lambda node: (node.host, node.id))

    def places(self, request: ClusterRequest) -> list[ActorPlace]:
        """A place for every actor of a request, waiting a moment for what others have just given back.

        Raises:
            AvsError: what place_actors raises.
        """
        end_s = time.monotonic() + GIVEN_BACK_S
        while True:
            nodes = self.nodes()
            try:
                return place_actors(nodes, request)
            except ConfigError:
                place_actors([node.empty for node in nodes], request)  # or it would never fit
                if time.monotonic() >= end_s:
                    raise
                time.sleep(LOOK_S / 2)

    def put(self, value: object) -> Any:
        """A reference to a value that all actors can read."""
        return self.ray.put(value)

    def start(self, actor: type, place: ActorPlace) -> Any:
        """The handle of an actor that is started at a place. One that is lost is not started again."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(place.node.id, soft=False)
        waiting = {WAITING: os.environ[WAITING]} if WAITING in os.environ else {}  # as in the process of the command
        made = self.ray.remote(actor).options(
            num_cpus=place.cpus, num_gpus=place.gpus, scheduling_strategy=there, max_restarts=0, max_task_retries=0,
            runtime_env={"env_vars": waiting},
        )  # fmt: skip
        return made.remote()

    def first(self, answers: Sequence[Any], patience_s: float) -> Any | None:
        """The first of several answers that is there; None when none has come in time."""
        for _ in range(math.ceil(patience_s / LOOK_S)):
            with later(signal.SIGTERM):  # Ray would make an exit code of its own of what ends this process
                ready, _ = self.ray.wait(list(answers), num_returns=1, timeout=LOOK_S)
            if ready:
                return ready[0]
        return None

    def get(self, answer: Any) -> Any:
        """The value of an answer.

        Raises:
            ActorLostError: the actor has died.
        """
        try:
            return self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            raise ActorLostError(_how_lost(str(error))) from None

    def kill(self, handle: Any) -> None:
        """End an actor, whatever it does."""
        self.ray.kill(handle, no_restart=True)


class ActorLostError(Exception):
    """An actor has died. It says how, such as "was lost with its node"."""


def _how_lost(told: str) -> str:
    """How an actor was lost, from what Ray tells of it in many lines."""
    if "node has died" in told or "node was terminated" in told or "node failure" in told:
        return "was lost with its node"
    if "ModuleNotFoundError" in told or "ImportError" in told:
        missing = next((line for line in reversed(told.splitlines()) if "Error: " in line), "an import failed").strip()
        return f"could not start ({missing}): is avs installed there?"
    if "exited unexpectedly" in told or "worker process has died" in told or "SYSTEM_ERROR" in told:
        return "was killed"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return f"was lost ({lines[0] if lines else 'Ray does not say how'})"


@contextmanager
def ray_session() -> Iterator[RaySession]:
    """A connection to the cluster that RAY_ADDRESS names, or else to that of this machine.

    A connection that this process has already is used, and stays.

    Raises:
        MissingDependencyError: Ray is not installed, or no cluster runs.
        ConfigError: the cluster runs another version of Ray or of Python.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    try:
        yield RaySession(ray)
    finally:
        if ours:
            ray.shutdown()


def require_room(request: ClusterRequest) -> None:
    """Check that a cluster runs and has room for what is asked of it, before anything else is done.

    Raises:
        AvsError: what ray_session and place_actors raise.
    """
    with ray_session() as session:
        session.places(request)


def _ray() -> Any:
    try:
        import ray

        if hasattr(ray, "init"):  # a folder of this name is a package without anything in it; Ray makes one in /tmp
            return ray
    except ImportError:
        pass
    raise MissingDependencyError(
        "--cluster ray needs Ray, which is not installed",
        where=f"machine {socket.gethostname()}",
        next_step=f"{INSTALL}; or share the work without it (docs/cluster.md)",
    )


def _connect(ray: Any) -> None:
    """Connect without a word of Ray's own, and with SIGTERM as it was."""
    _require_answer(os.environ.get("RAY_ADDRESS", "auto"))
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.CRITICAL)
        ray._private.worker._worker_logs_enabled = False  # or news of lost nodes come on stdout, where JSON belongs
    except ConnectionError as error:
        raise MissingDependencyError(
            "no Ray cluster runs here",
            got=str(error).splitlines()[0],
            next_step=f"{START}; the command is typed on one of them",
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise _refused(str(error)) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _require_answer(address: str) -> None:
    """Check that something listens where the cluster should be. Ray itself tries for minutes.

    Raises:
        ConfigError: an address that is none, or of another kind.
        MissingDependencyError: nobody answers.
    """
    if address in ("", "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ConfigError(
            "RAY_ADDRESS is not the address of a cluster",
            got=address,
            wanted="HOST:PORT, such as 10.0.0.1:6379; Ray's client (ray://) does not do",
            next_step="type the command on a machine of the cluster, where RAY_ADDRESS is not needed",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise MissingDependencyError(
            "no Ray cluster answers", where=f"RAY_ADDRESS {address}", got=str(error), next_step=START
        ) from None


def _refused(told: str) -> AvsError:
    """What is wrong when Ray does not let this process in."""
    words = " ".join(told.split())
    if "ersion mismatch" in words:
        what, next_step = "the cluster runs another version of Ray or of Python", "install the same versions everywhere"
        return ConfigError(what, got=words, next_step=next_step)
    return AvsError("Ray refused the connection", got=words, next_step="`ray status` shows how the cluster is")
