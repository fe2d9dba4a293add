"""What users say of shots: marks that can be undone, baskets, what was seen and what was sent; all of it journalled."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from avs.core.ids import some
from avs.core.qrels import TopicQrels
from avs.serve.journal.session_journal import JournalReader, SessionJournal, now_ms
from avs.serve.refusal import Refusal
from avs.serve.shapes import Agreement, Mark, Method

MARKS: tuple[Mark, ...] = ("yes", "no", "unsure")
KEPT = ("marks", "undo", "feedback", "basket", "seen")


@dataclass(frozen=True, slots=True)
class MarkEvent:
    """Shots of a topic that were given a mark, or had it taken away (None).

    Attributes:
        at_ms: when it was made; marks of a shot merge in this order.
    """

    id: str
    topic: str
    shots: tuple[str, ...]
    mark: Mark | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class MarkSet:
    """The marks that a feedback uses. Its id follows from its content."""

    id: str
    topic: str
    method: Method
    yes: tuple[str, ...]
    no: tuple[str, ...]
    simulated: bool

    def to_json(self) -> dict[str, Any]:
        """The set as the journal keeps it."""
        return {
            "id": self.id, "topic": self.topic, "method": self.method, "yes": list(self.yes), "no": list(self.no),
            "simulated": self.simulated,
        }  # fmt: skip

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> MarkSet:
        """The set that was kept.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        if kept["method"] not in get_args(Method):
            raise ValueError(kept["method"])
        yes, no = (tuple(str(shot) for shot in kept[kind]) for kind in ("yes", "no"))
        return cls(str(kept["id"]), str(kept["topic"]), kept["method"], yes, no, bool(kept["simulated"]))


class MarkBook:
    """The marks of all topics.

    What earlier sessions of the same folder have written counts too. A change is in the journal before it is made.

    Args:
        folder: of the journals; None: nothing is kept.
        most_bytes: of this session's journal.

    Attributes:
        damaged: journal -> lines of it that could not be read.
        sent: topic -> the shots that were submitted; the queue of submissions knows.
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self.journal = SessionJournal(folder, most_bytes)
        self.sets: dict[str, MarkSet] = {}
        self.sent: Callable[[str], Sequence[str]] = lambda _: ()
        self._events: dict[str, dict[str, MarkEvent]] = {}  # topic -> id -> event, in the order of arrival
        self._topic_of: dict[str, str] = {}
        self._undone: set[str] = set()
        self._state: dict[str, dict[str, Mark]] = {}
        self._shots: dict[tuple[str, str], dict[str, None]] = {}  # (basket or seen; topic) -> shots
        self._lock = threading.RLock()
        reader = JournalReader(folder, KEPT) if folder is not None else ()
        for event in reader:
            self._take(event)
        self.damaged = reader.damaged if isinstance(reader, JournalReader) else {}

    def marks(self, topic: str) -> dict[str, Mark]:
        """Shot -> mark."""
        with self._lock:
            return dict(self._current(topic))

    def counts(self, topic: str) -> dict[str, int]:
        """Mark -> number of shots."""
        given = list(self.marks(topic).values())
        return {mark: given.count(mark) for mark in MARKS}

    def topics(self) -> list[str]:
        """Topics that have marks."""
        with self._lock:
            return [topic for topic in self._events if self._current(topic)]

    def last(self, topic: str) -> str | None:
        """The event that an undo takes back."""
        with self._lock:
            events = sorted(self._events.get(topic, {}).values(), key=lambda event: event.at_ms)
            return next((event.id for event in reversed(events) if event.id not in self._undone), None)

    def mark(
        self, topic: str, shots: Sequence[str], mark: Mark | None, *, event: str | None, at_ms: int | None
    ) -> MarkEvent:
        """Mark shots. The same event again changes nothing.

        Raises:
            Refusal: the id is that of another event.
        """
        now = now_ms()
        with self._lock:
            given = MarkEvent(
                event or secrets.token_hex(8), topic, tuple(dict.fromkeys(shots)), mark,
                now if at_ms is None else min(at_ms, now),
            )  # fmt: skip
            before = self._events.get(self._topic_of.get(given.id, ""), {}).get(given.id)
            if before is not None:
                if (before.topic, before.shots, before.mark) != (given.topic, given.shots, given.mark):
                    raise Refusal(409, "the id of an event was used before for another one", got=given.id)
                return before
            self._record(
                "marks", id=given.id, topic=topic, shots=list(given.shots), mark=mark, at_ms=given.at_ms
            )  # fmt: skip
            return given

    def undo(self, event: str) -> MarkEvent:
        """Take an event back; that which was taken back stays so.

        Raises:
            Refusal: there is no such event.
        """
        with self._lock:
            topic = self._topic_of.get(event)
            if topic is None:
                raise Refusal(404, "no such event of marks", got=event)
            if event not in self._undone:
                self._record("undo", id=event, at_ms=now_ms())
            return self._events[topic][event]

    def name_set(
        self, topic: str, method: Method, yes: Sequence[str], no: Sequence[str], *, simulated: bool
    ) -> MarkSet:
        """The marks under a name that follows from them.

        Raises:
            Refusal: nothing is marked, or no shot is marked yes for a method that needs one.
        """
        if not yes and not no:
            raise Refusal(422, "nothing is marked yes or no", where=f"topic {topic}", next_step="mark shots: y, n")
        if not yes and method == "linear":
            raise Refusal(
                422, "linear feedback needs a shot marked yes", where=f"topic {topic}", got=f"only no: {some(no)}",
                next_step="mark a shot yes: y, or choose rocchio, which also moves away from shots marked no",
            )  # fmt: skip
        content = json.dumps([topic, method, sorted(yes), sorted(no), simulated])
        name = f"{method}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        with self._lock:
            if name not in self.sets:
                made = MarkSet(name, topic, method, tuple(sorted(yes)), tuple(sorted(no)), simulated)
                self._record("feedback", **made.to_json())
            return self.sets[name]

    def shots(self, kind: str, topic: str) -> list[str]:
        """The shots in the basket of a topic ("basket"), or that were on the screen ("seen") or submitted ("sent")."""
        if kind == "sent":
            return list(self.sent(topic))
        with self._lock:
            return list(self._shots.get((kind, topic), {}))

    def put(self, kind: str, topic: str, add: Sequence[str], remove: Sequence[str] = ()) -> list[str]:
        """Add shots to what `shots` gives, and remove others; returns what is there then."""
        with self._lock:
            held = self._shots.get((kind, topic), {})
            new = [shot for shot in dict.fromkeys(add) if shot not in held]
            gone = [shot for shot in dict.fromkeys(remove) if shot in held]
            if new or gone:
                self._record(kind, topic=topic, add=new, remove=gone, at_ms=now_ms())
            return self.shots(kind, topic)

    def hidden(self, topic: str, kinds: Iterable[str]) -> dict[str, set[str]]:
        """Kind of shots that a filter hides -> the shots."""
        return {kind: set(self.marks(topic)) if kind == "judged" else set(self.shots(kind, topic)) for kind in kinds}

    def _record(self, kind: str, **event: Any) -> None:
        self.journal.append(kind, event)
        self._take({"kind": kind, **event})

    def _take(self, event: dict[str, Any]) -> None:
        """Change the state as an event says. Events of a journal that was written by hand may lack anything."""
        try:
            self._changes[event["kind"]](self, event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return

    def _take_marks(self, event: dict[str, Any]) -> None:
        if event["mark"] not in (*MARKS, None):
            raise ValueError(event["mark"])
        topic, shots = str(event["topic"]), tuple(str(shot) for shot in event["shots"])
        made = MarkEvent(str(event["id"]), topic, shots, event["mark"], int(event["at_ms"]))
        self._events.setdefault(topic, {})[made.id] = made
        self._topic_of[made.id] = topic
        self._state.pop(topic, None)

    def _take_undo(self, event: dict[str, Any]) -> None:
        self._undone.add(event["id"])
        self._state.pop(self._topic_of.get(event["id"], ""), None)

    def _take_set(self, event: dict[str, Any]) -> None:
        made = MarkSet.from_json(event)
        self.sets[made.id] = made

    def _take_shots(self, event: dict[str, Any]) -> None:
        held = self._shots.setdefault((event["kind"], event["topic"]), {})
        held.update(dict.fromkeys(event["add"]))
        for shot in event["remove"]:
            held.pop(shot, None)

    _changes = {
        "marks": _take_marks, "undo": _take_undo, "feedback": _take_set,
        "basket": _take_shots, "seen": _take_shots,
    }  # fmt: skip

    def _current(self, topic: str) -> dict[str, Mark]:
        """Shot -> mark, from the events that were not taken back, in the order of their times."""
        if topic not in self._state:
            state: dict[str, Mark] = {}
            for event in sorted(self._events.get(topic, {}).values(), key=lambda event: event.at_ms):
                if event.id in self._undone:
                    continue
                for shot in event.shots:
                    if event.mark is None:
                        state.pop(shot, None)
                    else:
                        state[shot] = event.mark
            self._state[topic] = state
        return self._state[topic]


def agreement(marks: dict[str, Mark], qrels: TopicQrels | None) -> Agreement | None:
    """How the marks yes and no agree with the judgments of the same shots; None without judgments."""
    if qrels is None:
        return None
    judged = {shot: grade > 0 for shot, grade in zip(qrels.shots, qrels.judgments.tolist(), strict=True) if grade >= 0}
    both = [(marks[shot] == "yes", judged[shot]) for shot in marks if marks[shot] != "unsure" and shot in judged]
    same, count = sum(mine == theirs for mine, theirs in both), len(both)
    kappa = None
    if count:
        mine, theirs = sum(one for one, _ in both) / count, sum(one for _, one in both) / count
        chance = mine * theirs + (1 - mine) * (1 - theirs)
        kappa = (same / count - chance) / (1 - chance) if chance < 1 else None
    return Agreement(both=count, agree=same, kappa=kappa)
