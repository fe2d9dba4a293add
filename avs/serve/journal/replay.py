"""A session asked again: every question of its journal, of what is opened now, and the lists beside those of then.

A question uses the marks and the hidden shots that its line names, so marks that were made since change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from avs.core.artifacts import require_path
from avs.core.errors import AvsError, FormatError, typed
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.pipeline.serve_options import ServeOptions
from avs.serve.journal.marks import MarkBook
from avs.serve.journal.recorded import RecordedQuestion, words_of
from avs.serve.journal.sessions import FUSERS, CountedJournal
from avs.serve.questions import Questions

State = Literal["equal", "shots", "scores", "refused", "picture"]
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ReplayedQuestion:
    """A question of a session, asked again.

    Attributes:
        number: from 1, among the questions of the journal.
        text: in words.
        state: "equal": shots and scores are; "shots": the shots or their order differ; "scores": they alone do;
            "refused": it cannot be answered now; "picture": it was asked with a picture, and these are not kept.
        then, now: shots in the list.
        first_rank: the first rank that has another shot.
        gone, new, moved: shots that are in the list no more; that are in it now; that have another rank.
        largest_difference: between the scores of a shot in both lists.
        changed: what was opened -> its fingerprint then and now, of what is another.
        why: it was refused.
    """

    number: int
    text: str
    topic: str | None
    state: State
    then: int
    now: int | None = None
    first_rank: int | None = None
    gone: int = 0
    new: int = 0
    moved: int = 0
    largest_difference: float = 0.0
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    why: str | None = None

    @property
    def differs(self) -> bool:
        """Whether the list of then did not come again."""
        return self.state in ("shots", "scores", "refused")


@dataclass(frozen=True, slots=True)
class Replay:
    """A journal that was asked again.

    Attributes:
        damaged: numbers of its lines that cannot be read.
    """

    journal: Path
    questions: Sequence[ReplayedQuestion]
    damaged: Sequence[int]

    @property
    def changed(self) -> dict[str, tuple[str, str]]:
        """What was opened -> its fingerprint when it was first asked, and now, of what is another."""
        found: dict[str, tuple[str, str]] = {}
        for question in self.questions:
            found = {**question.changed, **found}
        return found

    def to_json(self) -> dict[str, Any]:
        """The summary as `avs serve --replay --json` prints it."""
        states = [question.state for question in self.questions]
        return {
            "journal": str(self.journal),
            "questions": len(states),
            "states": {state: states.count(state) for state in dict.fromkeys(states)},
            "differ": sum(question.differs for question in self.questions),
            "damaged_lines": list(self.damaged),
            "changed": _named(self.changed),
            "lists": [{**asdict(question), "changed": _named(question.changed)} for question in self.questions],
        }


class MarksOfThen(MarkBook):
    """What a question knew of marks when it was asked."""

    def __init__(self, question: RecordedQuestion) -> None:
        super().__init__(None, 0)
        self._question = question
        if question.marks is not None:
            self.sets[question.marks.id] = question.marks

    def hidden(self, topic: str, kinds: Iterable[str]) -> dict[str, set[str]]:
        """Kind of shots that the filter hid -> the shots."""
        return {kind: set(self._question.hidden.get(kind, ())) for kind in kinds}


def replay(options: ServeOptions, path: Path, reporter: Reporter) -> Replay:
    """Ask the questions of a journal again.

    Raises:
        AvsError: the journal cannot be read; something cannot be opened.
    """
    journal = CountedJournal(require_path(path, what="journal"))
    journal.read_on()
    count, damaged = len(journal.offsets), [*journal.damaged, *journal.torn]
    if not journal.counts:
        raise FormatError(
            "no line of the journal can be read", where=path, got=f"{len(damaged)} lines",
            wanted="a journal of avs serve, as it is in the folder of --sessions",
        )  # fmt: skip
    with Questions(options, reporter) as asking, reporter.stage("replay", count, "questions") as stage:
        replayed = []
        for number in range(count):
            ((_, question),) = journal.questions(number, number + 1)
            replayed.append(_replayed(number + 1, question, asking, path.parent))
            stage.advance()
    return Replay(path, replayed, damaged)


def _replayed(number: int, question: RecordedQuestion, asking: Questions, sessions: Path) -> ReplayedQuestion:
    text, topic, then = words_of(question.query), question.query.topic, len(question.shots)
    changed = changed_artefacts(question.artefacts, asking.collection.artefacts)
    if any(part.image is not None for part in question.query.parts):
        return ReplayedQuestion(number, text, topic, "picture", then, changed=changed)
    try:
        answer = asking.answer(question.query, MarksOfThen(question))
    except AvsError as error:
        option = _missing_fuser(question, asking, sessions)
        why = "; ".join(str(part) for part in (error.what, error.got, option) if part is not None)
        return ReplayedQuestion(number, text, topic, "refused", then, changed=changed, why=why)
    return ReplayedQuestion(
        number, text, topic, then=then, now=len(answer.shown), changed=changed,
        **list_differences(question.shots, question.scores, answer.shown),
    )  # fmt: skip


def _missing_fuser(question: RecordedQuestion, asking: Questions, sessions: Path) -> str | None:
    """The option that opens the fuser of a question, if it was kept beside the journal and is not opened."""
    name = question.query.fuse
    kept = sessions / FUSERS / name
    if name in asking.collection.fusers or not os.path.isfile(kept / "manifest.json"):
        return None
    return f"it was kept on the page: add --fuser {typed(kept)}"


def list_differences(shots: Sequence[str], scores: Sequence[float], now: RankedList) -> dict[str, Any]:
    """How a list differs from what it was, as fields of ReplayedQuestion."""
    before, after = ({shot: at for at, shot in enumerate(one)} for one in (shots, now.shots))
    both = [shot for shot in shots if shot in after]
    places = max(len(shots), len(now.shots))
    first = next((at for at in range(places) if shots[at : at + 1] != now.shots[at : at + 1]), None)
    largest = max((abs(scores[before[shot]] - float(now.scores[after[shot]])) for shot in both), default=0.0)
    state: State = "shots" if first is not None else "scores" if largest > 0 else "equal"
    return {
        "state": state,
        "first_rank": None if first is None else first + 1,
        "gone": len(shots) - len(both),
        "new": len(now.shots) - len(both),
        "moved": sum(before[shot] != after[shot] for shot in both),
        "largest_difference": largest,
    }


def changed_artefacts(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name -> fingerprint then and now, of what is another, or is there at one time alone."""
    names = dict.fromkeys([*then, *now])
    pairs = {name: (then.get(name, ABSENT), now.get(name, ABSENT)) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def _named(changed: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"then": then, "now": now} for name, (then, now) in changed.items()}
