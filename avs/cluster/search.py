"""A search by actors of a Ray cluster: each takes ranges of shots; the best of all ranges are the best of all shots.

Every actor opens the same stores, from a folder that all nodes see. Ranges begin and end where blocks do. So the scores
are those of a search by one process to the last bit, and the gathering of the lists breaks ties as that does.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from avs.cluster.node_check import node_check
from avs.cluster.placement import ActorPlace, ClusterRequest
from avs.cluster.ranges import cut_ranges
from avs.cluster.ray_session import ActorLostError, RaySession, ray_session
from avs.cluster.search_actor import Opening, SearchActor, States
from avs.core.errors import AvsError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.ranking.topk import TopK

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # without a word of any actor, before those that have not begun are named
Range = tuple[int, int]


def search_on_cluster(
    opening: Opening,
    names: Sequence[str],
    topics: Sequence[str],
    ids: Sequence[str],
    *,
    k: int,
    request: ClusterRequest,
    threads: int,
    reporter: Reporter | None = None,
) -> dict[str, list[RankedList]]:
    """What avs.ranking.score.search gives, of the same scorers and shots.

    When an actor is lost, the others do its ranges, and the log has a warning.

    Args:
        opening: how an actor opens the scorers and the shots.
        names: of the scorers.
        topics: T topic ids.
        ids: of all shots.
        k: length of a list.
        request: what is asked of the cluster.
        threads: number of torch's threads in each actor.
        reporter: of progress.

    Raises:
        AvsError: what ray_session and place_actors raise; what an actor refuses; or all were lost.
        DataError: a score that is not finite (the first such shot is named).
    """
    best = {name: TopK(topics, ids, k=k) for name in names}
    what = names[0] if len(names) == 1 else f"{len(names)} models"
    with ray_session() as session, node_check({}) as check:
        crew = _SearchCrew(session, session.places(request))
        with (reporter or Reporter()).stage(f"search {what}", len(ids), "shots") as stage:
            for (first, stop), states in crew.search((opening, tuple(topics), k, request.device, threads, check)):
                for name, state in states.items():
                    best[name].take(state)
                stage.advance(stop - first)
    return {name: collector.lists() for name, collector in best.items()}


@dataclass(slots=True)
class _SearchCrew:
    """Actors, as the process that started them hears them.

    Attributes:
        handles: of the living actors, by their number.
        answers: what is awaited: the number of an actor, and its range; None: it begins.
        idle: numbers of the actors that have nothing to do.
        left: the ranges that nobody does; None: nobody knows the borders yet.
        errors: of actors that could not begin.
        broken: first position of a range -> its error.
    """

    session: RaySession
    places: Sequence[ActorPlace]
    handles: dict[int, Any] = field(default_factory=dict)
    answers: dict[Any, tuple[int, Range | None]] = field(default_factory=dict)
    idle: list[int] = field(default_factory=list)
    borders: list[int] = field(default_factory=list)
    left: deque[Range] | None = None
    errors: list[Exception] = field(default_factory=list)
    broken: dict[int, Exception] = field(default_factory=dict)

    def search(self, begin: tuple[Any, ...]) -> Iterator[tuple[Range, States]]:
        """Every range and what was found in it, in the order in which they end.

        Args:
            begin: arguments of SearchActor.begin.
        """
        try:
            for number, place in enumerate(self.places):
                self.handles[number] = self.session.start(SearchActor, place)
                self.answers[self.handles[number].begin.remote(*begin)] = (number, None)
            while not self._over():
                answer = self.session.first(list(self.answers), PATIENCE_S)
                if answer is None:
                    self._name_those_that_wait()
                    continue
                yield from self._taken(answer)
                self._give_out()
            if self.broken:
                raise self.broken[min(self.broken)]
        finally:  # also at Ctrl-C and SIGTERM
            for handle in self.handles.values():
                self.session.kill(handle)

    def _over(self) -> bool:
        """Whether all ranges are done, or those before the first that cannot be.

        Raises:
            AvsError: no actor is left.
        """
        if not self.handles:
            if self.errors:
                raise self.errors[0]
            raise AvsError("all actors were lost before the search was done", next_step="run the same command again")
        under_way = [task for _, task in self.answers.values() if task is not None]
        first_broken = min(self.broken, default=None)
        return (
            self.left is not None
            and not self.left
            and not any(first_broken is None or task[0] < first_broken for task in under_way)
        )

    def _taken(self, answer: Any) -> Iterator[tuple[Range, States]]:
        """Take what an actor answers: its range and what it found there, if it has done one."""
        number, task = self.answers.pop(answer)
        try:
            value = self.session.get(answer)
        except ActorLostError as error:
            log.warning("the process on %s %s; its shots are for the others", self.places[number].name, error)
            self._without(number, task)
            return
        if task is None and isinstance(value, Exception):
            log.warning("the process on %s ended with an error: %s", self.places[number].name, value)
            self.errors.append(value)
            self._without(number, None)
            return
        self.idle.append(number)
        if task is None:
            self._cut(value)
        elif isinstance(value, Exception):
            self.broken[task[0]] = value
            self.left = deque(one for one in self.left or () if one[0] < task[0])
        else:
            yield task, value

    def _without(self, number: int, task: Range | None) -> None:
        """Go on without an actor, whose range another must do."""
        self.session.kill(self.handles.pop(number))
        if task is not None and self.left is not None:
            self.left.appendleft(task)

    def _cut(self, borders: list[int]) -> None:
        """Cut the ranges when the first actor has opened the stores.

        Raises:
            AvsError: two of them have not the same.
        """
        if self.left is None:
            self.borders, self.left = borders, deque(cut_ranges(borders, len(self.places)))
        elif borders != self.borders:
            raise AvsError(
                "two nodes cut the stores in blocks of different shots", next_step="look for other files on one"
            )

    def _give_out(self) -> None:
        """Give ranges to actors that have nothing to do."""
        while self.left and self.idle:
            number, task = self.idle.pop(), self.left.popleft()
            self.answers[self.handles[number].search.remote(*task)] = (number, task)

    def _name_those_that_wait(self) -> None:
        """Say which actors have not begun, and what they wait for."""
        free = {node.id: node for node in self.session.nodes()}
        for number, task in self.answers.values():
            if task is None:
                place = self.places[number]
                now = free.get(place.node.id, "the node is gone")
                log.warning("the process on %s has not begun; it needs %g CPUs, of %s", place.name, place.cpus, now)
