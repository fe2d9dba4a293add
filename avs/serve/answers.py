"""Lists that were made as the API gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avs.core.ids import parse_shot_id
from avs.core.ranking import RankedList
from avs.serve.journal.marks import MarkBook
from avs.serve.measured import measures_of
from avs.serve.opened.collection import Collection, ServedList
from avs.serve.search.engine import ServedAnswer
from avs.serve.search.plan import WEIGHTED, SearchPlan, is_sentence_of
from avs.serve.shapes import PAGE, Answer, ListPage, Measures, Result, Scored, Stamp, Taken

FileClock = Callable[[str], float | None]
"""Video -> the time that its file gives its first frame, where that is known already."""


class Answers:
    """Gives lists as JSON shapes, with judgments, marks and times.

    Args:
        clock: of the files of videos.
    """

    def __init__(self, collection: Collection, book: MarkBook, clock: FileClock) -> None:
        self.collection, self.book, self.clock = collection, book, clock

    def line(self, answer: ServedAnswer, seq: int) -> Answer:
        """The line of a search with the first results."""
        plan = answer.plan
        whole = len(self.collection.columns)
        return Answer(
            seq=seq,
            stage="final" if answer.final else "first",
            list=answer.id,
            exact=True,
            systems=[Scored(name=name, scored=scored, of=whole) for name, scored in answer.systems.items()],
            fused=answer.fused,
            ms=dict(answer.ms),
            total=len(answer.shown),
            rows=len(answer.layout.rows),
            of=whole,
            warnings=[*answer.warnings, *self.collection.warnings],
            taken=[Taken(filter=name, shots=shots) for name, shots in answer.taken.items()],
            stamp=stamp_of(plan, self.collection),
            measures=self.measures(answer),
            results=self.results(answer, answer.layout.rows[:PAGE]),
        )

    def page(self, answer: ServedAnswer, start: int, count: int, places: np.ndarray) -> ListPage:
        """Results `start` to `start + count` of some places of a list, in their order."""
        return ListPage(
            list=answer.id, total=len(answer.shown), rows=len(places), start=start,
            results=self.results(answer, places[start : start + count]), measures=self.measures(answer),
        )  # fmt: skip

    def measures(self, answer: ServedAnswer) -> Measures | None:
        """The measures of a list of a judged topic."""
        rows = answer.layout.rows
        folded = len(rows) != len(answer.shown) or bool((np.diff(rows) < 0).any())
        shown = None
        if folded or answer.shown.shots != answer.ranked.shots:
            shots = tuple(answer.shown.shots[place] for place in rows.tolist())
            shown = RankedList(answer.plan.topic, shots, -np.arange(len(shots), dtype=np.float64))
        return measures_of(self.collection, answer.plan.topic, answer.ranked, shown)

    def results(self, answer: ServedAnswer, places: Sequence[int] | np.ndarray) -> list[Result]:
        """The shots at some places of a list."""
        topic, columns = answer.plan.topic, self.collection.columns
        marks = self.book.marks(topic)
        sent, basket = set(self.book.shots("sent", topic)), set(self.book.shots("basket", topic))
        grade = self._grades(topic, [answer.shown.shots[int(place)] for place in places])
        found = []
        for place in map(int, places):
            shot = answer.shown.shots[place]
            video = parse_shot_id(shot).video
            start_s, end_s = columns.times_s(columns.row(shot)) if shot in columns else (None, None)
            zero_s = self.clock(video)
            found.append(
                Result(
                    shot=shot, video=video, rank=place + 1, score=float(answer.shown.scores[place]),
                    parts=list(answer.chains[place]) if answer.chains else [shot],
                    group=int(answer.layout.group[place]), fold=int(answer.layout.fold[place]),
                    folded=int(answer.layout.folded[place]),
                    start_s=start_s, end_s=end_s,
                    start_in_file_s=None if start_s is None or zero_s is None else start_s + zero_s,
                    judgment=grade.get(shot), mine=marks.get(shot), sent=shot in sent, basket=shot in basket,
                )
            )  # fmt: skip
        return found

    def _grades(self, topic: str, shots: Sequence[str]) -> dict[str, int]:
        """Shot -> 1, 0 or -1 of those in the pool of a judged topic."""
        evaluator = self.collection.evaluator
        if evaluator is None or topic not in evaluator.topics:
            return {}
        prepared = evaluator.topics[topic]
        codes = prepared.codes(shots)
        inside, grades = prepared.stratum[codes] >= 0, np.clip(prepared.grade[codes], -1, 1)
        return {shot: int(grades[at]) for at, shot in enumerate(shots) if inside[at]}


STAMP_OF: dict[str | None, Stamp] = {"F": "automatic", "M": "manual", "R": "feedback", None: "unknown"}
LESS_AND_LESS: tuple[Stamp, ...] = ("automatic", "manual", "unknown", "feedback", "automatic-invalid")


def stamp_of(plan: SearchPlan, collection: Collection) -> Stamp:
    """How a list was made: by the question, and by what the lists in files that are in it declare."""
    stamps = [stamp_of_question(plan, collection)]
    stamps += [STAMP_OF[one.used] for one in lists_in_files(plan, collection)]
    return max(stamps, key=LESS_AND_LESS.index)


def lists_in_files(plan: SearchPlan, collection: Collection) -> list[ServedList]:
    """The lists in files that have shots for the topic of a question."""
    named = [collection.lists[name] for name in plan.listed]
    return [one for one in named if plan.topic in one.run.lists]


def stamp_of_question(plan: SearchPlan, collection: Collection) -> Stamp:
    """What was asked: "automatic" only the very sentence of the topic, without any help of a user."""
    if plan.marks is not None:
        return "automatic-invalid" if plan.marks.simulated else "feedback"
    query = plan.query
    served = collection.fusers.get(plan.fused)
    if served is not None and plan.topic in served.learned_from:
        return "automatic-invalid"
    if plan.fused == WEIGHTED or plan.hidden or query.filter.chooses:
        return "manual"
    topic = collection.topic(query.topic)
    if query.parts and not is_sentence_of(query, topic):
        return "manual"
    return "automatic" if topic is not None else "manual"
