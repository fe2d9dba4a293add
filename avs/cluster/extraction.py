"""Stores made by actors of a Ray cluster. They share the jobs by leases, as processes without Ray do.

The command that starts them has read and checked everything. It shows the progress of all, says when one is lost, and
ends them when it is ended; Ray ends them when it is killed. Ray knows at once that a node is gone, where a lease would
count for 120 s more, so the command takes back the leases of actors that are lost.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avs.cluster.extraction_actor import ExtractionActor, Message, Warned
from avs.cluster.node_check import NodeCheck, node_check
from avs.cluster.placement import ActorPlace, ClusterRequest
from avs.cluster.ray_session import ActorLostError, RaySession, ray_session
from avs.core.leases import take_back
from avs.core.process_marks import ProcessMark
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore
from avs.core.store_parts import PARTS, UnfinishedStore
from avs.features.claims import Shard
from avs.features.device_processes import DeviceShare, Ending, Left, made_together
from avs.features.joint_progress import JointProgress, Told
from avs.features.stores import SourceOf, StorePlan, stores_to_make

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # without a word of any actor, before those that have not begun are named


def make_stores_on_cluster(
    plans: Sequence[StorePlan],
    shots: ShotTable,
    source_of: SourceOf,
    *,
    request: ClusterRequest,
    files: Mapping[Path, int],
    shard: Shard | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> list[FeatureStore | UnfinishedStore]:
    """What make_stores returns, made by actors of a cluster; all arguments are picklable.

    When an actor is lost, the others do its jobs, and the log has a warning. What they cannot do, because they had
    ended before, is done by one more actor where one came to its end.

    Args:
        plans, shots, source_of, shard, force, reporter: as for make_stores.
        request: what is asked of the cluster.
        files: file -> bytes, of the videos, which every node must see.
        options: further ones of make_stores.

    Raises:
        AvsError: what ray_session and place_actors raise; what make_stores raises, if no actor came to the end of its
            work; or all were lost.
    """
    reporter = reporter or Reporter()
    missing = stores_to_make(plans, force=force, reporter=reporter)
    left: Left = []
    if missing:
        with ray_session() as session, node_check(files, missing[0].folder) as check:
            places = session.places(request)
            work = session.put(pickle.dumps((missing, shots, source_of, options)))
            begun = _shares(places, request.device, shard)
            crew = _Crew(session, dict(zip(begun, places, strict=True)), work, check, reporter, missing)
            left = made_together(missing, begun, crew.run, lambda share: crew.once_more(share, shard))
    lacking = {plan.folder: one for plan, one in zip(missing, left, strict=True) if one and not plan.is_made}
    return [lacking.get(plan.folder) or FeatureStore(plan.folder) for plan in plans]


def _shares(places: Sequence[ActorPlace], device: str, shard: Shard | None) -> list[DeviceShare]:
    """The share of each actor: of the jobs of a shard, which nobody leases; or those that are free."""
    count = len(places)
    return [
        DeviceShare(
            place.name,
            device,
            place.workers,
            Shard(shard.number + shard.count * number, shard.count * count) if shard else None,
        )
        for number, place in enumerate(places)
    ]


@dataclass(slots=True)
class _Crew:
    """Actors, as the process that started them hears them.

    Attributes:
        places: of the actors, by their shares.
        work: reference to what they all need.
        plans: of the stores.
        marks: which process each of them is, as far as they have begun.
    """

    session: RaySession
    places: dict[DeviceShare, ActorPlace]
    work: Any
    check: NodeCheck
    reporter: Reporter
    plans: Sequence[StorePlan]
    marks: dict[DeviceShare, ProcessMark] = field(default_factory=dict)

    def once_more(self, share: DeviceShare, shard: Shard | None) -> DeviceShare:
        """The share of one more actor, where the one of a share was: of all that is left."""
        again = replace(share, shard=shard)
        self.places[again] = self.places[share]
        return again

    def run(self, begun: Sequence[DeviceShare]) -> dict[DeviceShare, Ending]:
        """How an actor for each share ended, in the order in which they ended."""
        handles: dict[DeviceShare, Any] = {}
        endings: dict[DeviceShare, Ending] = {}
        self.marks.clear()
        try:
            for share in begun:
                place = self.places[share]
                handles[share] = self.session.start(ExtractionActor, place)
                handles[share].begin.remote(self.work, share, self.check, place.cpus)
            with JointProgress(self.reporter) as progress:
                lines = {handle.hear.remote(): share for share, handle in handles.items()}
                while lines:
                    answer = self.session.first(list(lines), PATIENCE_S)
                    if answer is None:
                        self._name_those_that_wait(lines.values())
                        continue
                    share = lines.pop(answer)
                    for message in self._heard(answer, share, handles[share]):
                        ending = self._taken(share, message, progress)
                        if ending is not None:
                            endings[share] = ending
                    if share not in endings:
                        lines[handles[share].hear.remote()] = share
            return endings
        finally:  # also at Ctrl-C and SIGTERM
            for share, handle in handles.items():
                self.session.kill(handle)
                if not isinstance(endings.get(share), list):
                    self._take_back(share)

    def _heard(self, answer: Any, share: DeviceShare, handle: Any) -> list[Message]:
        """What an actor says; or of one that is lost, how."""
        try:
            messages: list[Message] = self.session.get(answer)
            return messages
        except ActorLostError as error:
            self.session.kill(handle)  # Ray says the same of one that it cannot reach
            self._take_back(share)
            log.warning("the process on %s %s; its jobs are free for others", share.name, error)
            return [str(error)]

    def _taken(self, share: DeviceShare, message: Message, progress: JointProgress) -> Ending | None:
        """Show or note what an actor says; if it is the ending, give it."""
        if isinstance(message, ProcessMark):
            self.marks[share] = message
        elif isinstance(message, Told):
            progress.take(share.name, message)
        elif isinstance(message, Warned):
            log.warning("%s: %s", share.name, message.line)
        else:
            return message
        return None

    def _take_back(self, share: DeviceShare) -> None:
        """Make the jobs free that an actor has left."""
        if share in self.marks:
            for plan in self.plans:
                take_back(plan.folder / PARTS, self.marks[share])

    def _name_those_that_wait(self, shares: Iterable[DeviceShare]) -> None:
        """Say which actors have not begun, and what they wait for."""
        free = {node.id: node for node in self.session.nodes()}
        for share in shares:
            if share not in self.marks:
                place = self.places[share]
                now = free.get(place.node.id, "the node is gone")
                log.warning("the process on %s has not begun; it needs %g CPUs, of %s", share.name, place.cpus, now)
