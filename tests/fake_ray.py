"""A Ray of threads: actors work in this process, and are lost when a test says so. No network, and no Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any

from avs.cluster.placement import ActorPlace, ClusterRequest, NodeRoom, place_actors
from avs.cluster.ray_session import ActorLostError


class FakeActor:
    """An actor, which does one call after another; `lose` ends it, and whoever waits for it hears how."""

    def __init__(self, actor: Any, place: ActorPlace) -> None:
        self.actor, self.place, self.lost = actor, place, ""
        self._waiting: list[Future[Any]] = []
        self._calls: SimpleQueue[tuple[Future[Any], str, Sequence[Any]]] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: self._call(method, arguments))

    def _call(self, method: str, arguments: Sequence[Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        self._waiting.append(answer)
        if self.lost:
            answer.set_exception(ActorLostError(self.lost))
        else:
            self._calls.put((answer, method, arguments))
        return answer

    def _work(self) -> None:
        while not self.lost:
            answer, method, arguments = self._calls.get()
            value = None if self.lost else getattr(self.actor, method)(*arguments)
            if not self.lost:
                answer.set_result(value)

    def lose(self, how: str) -> None:
        self.lost = self.lost or how
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(ActorLostError(how))


@dataclass
class FakeSession:
    """A RaySession over some nodes. `started` has the actors in their order; `silent` times nobody answers at first."""

    rooms: list[NodeRoom]
    started: list[FakeActor] = field(default_factory=list)
    silent: int = 0

    def nodes(self) -> list[NodeRoom]:
        return self.rooms

    def places(self, request: ClusterRequest) -> list[ActorPlace]:
        return place_actors(self.rooms, request)

    def put(self, value: object) -> object:
        return value

    def start(self, actor: type, place: ActorPlace) -> FakeActor:
        self.started.append(FakeActor(actor(), place))
        return self.started[-1]

    def first(self, answers: Sequence[Future[Any]], patience_s: float) -> Future[Any] | None:
        if self.silent:
            self.silent -= 1
            return None
        done, _ = wait(answers, return_when=FIRST_COMPLETED)
        return next(answer for answer in answers if answer in done)

    def get(self, answer: Future[Any]) -> Any:
        return answer.result()

    def kill(self, actor: FakeActor) -> None:
        actor.lose("was killed")


def node(number: int, cpus: float = 2, free: float | None = None, gpus: float = 0) -> NodeRoom:
    return NodeRoom(f"id{number}", f"node{number}", cpus, cpus if free is None else free, gpus, gpus)


def as_ray(session: FakeSession) -> Callable[[], Any]:
    """What stands for avs.cluster.ray_session.ray_session."""

    @contextmanager
    def opened() -> Iterator[FakeSession]:
        yield session

    return opened
