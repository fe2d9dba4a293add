"""A question as the journal keeps it: what was asked, with what marks, of which artefacts, and the list that came.

A line says all that the question depended on, so that the journal alone can be asked again (avs.serve.journal.replay).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from avs.serve.answers import stamp_of
from avs.serve.journal.marks import MarkSet
from avs.serve.opened.collection import Collection
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import Minus, Query, QueryPart, Stamp


@dataclass(frozen=True, slots=True, eq=False)
class RecordedQuestion:
    """A question of a session.

    Attributes:
        at_ms: when it was answered, since 1970.
        list: id of the list.
        artefacts: what was opened -> its fingerprint; `fingerprint` is of all of them.
        shots, scores: the list as it was shown.
        systems: that are in the list; fused: how they were fused.
        marks: that the feedback of the question used.
        hidden: kind of shots that its filter hid -> the shots.
        ms: that the server took.
    """

    query: Query
    at_ms: int
    list: str
    fingerprint: str
    artefacts: Mapping[str, str]
    shots: tuple[str, ...]
    scores: tuple[float, ...]
    systems: tuple[str, ...]
    fused: str
    stamp: Stamp
    marks: MarkSet | None
    hidden: Mapping[str, frozenset[str]]
    ms: float


def event_of(collection: Collection, answer: ServedAnswer, at_ms: int) -> dict[str, Any]:
    """The event of an answered question."""
    plan = answer.plan
    return {
        "at_ms": at_ms,
        "query": plan.query.model_dump(mode="json"),
        "list": answer.id,
        "fingerprint": collection.fingerprint,
        "artefacts": dict(collection.artefacts),
        "systems": list(answer.systems),
        "fused": answer.fused,
        "stamp": stamp_of(plan, collection),
        "marks": None if plan.marks is None else plan.marks.to_json(),
        "hidden": {kind: sorted(shots) for kind, shots in plan.hidden.items()},
        "shots": list(answer.shown.shots),
        "scores": answer.shown.scores.tolist(),
        "ms": answer.ms,
    }


def read_question(event: Mapping[str, Any]) -> RecordedQuestion | None:
    """The question of an event; None: the event does not say all that a question has."""
    try:
        return _question(event)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):  # of a line that was written by hand
        return None


def _question(event: Mapping[str, Any]) -> RecordedQuestion:
    shots, scores = tuple(map(str, event["shots"])), tuple(map(float, event["scores"]))
    ms = sum(float(part) for part in event["ms"].values())
    if len(shots) != len(scores) or event["stamp"] not in get_args(Stamp) or not all(map(math.isfinite, (ms, *scores))):
        raise ValueError("not a list that a server makes")
    return RecordedQuestion(
        query=Query.model_validate(event["query"]),
        at_ms=int(event["at_ms"]),
        list=str(event["list"]),
        fingerprint=str(event["fingerprint"]),
        artefacts={str(name): str(value) for name, value in event["artefacts"].items()},
        shots=shots,
        scores=scores,
        systems=tuple(map(str, event["systems"])),
        fused=str(event["fused"]),
        stamp=event["stamp"],
        marks=None if event["marks"] is None else MarkSet.from_json(event["marks"]),
        hidden={str(kind): frozenset(map(str, hidden)) for kind, hidden in event["hidden"].items()},
        ms=round(ms, 3),
    )


def words_of(query: Query) -> str:
    """The parts of a question as they are typed into the page."""
    return " < ".join(" ".join([_part(part), *map(_minus, part.minus)]) for part in query.parts)


def _part(part: QueryPart) -> str:
    if part.shot is not None:
        return f"shot:{part.shot}"
    return f"image:{part.image}" if part.image is not None else str(part.text)


def _minus(minus: Minus) -> str:
    return f"-shot:{minus.shot}" if minus.shot is not None else f'-"{minus.text}"'
