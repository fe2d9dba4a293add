"""The study of judged topics: every list measured as `avs eval` measures it, two lists compared, lists checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from avs.core.errors import AvsError
from avs.core.ids import natural_key
from avs.core.ranking import RankedList
from avs.metrics.evaluation import Evaluator, Scores
from avs.metrics.measures import Measure, parse_measures
from avs.metrics.report import printed
from avs.serve.journal.marks import MarkBook
from avs.serve.measured import measures_of
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import FoundInList, Measured, ShotInBoth, SideBySide, Study, StudyRow, TopicFacts

MOVES = 100
MOST_KEPT = 16


class Studies:
    """Tables of measures, kept by the name of the measure; checks of lists, which are made once."""

    def __init__(self, collection: Collection, book: MarkBook) -> None:
        self.collection, self.book = collection, book
        self._tables: dict[str, Study] = {}
        self._findings: list[FoundInList] | None = None
        self._lock = threading.Lock()

    def table(self, name: str) -> Study:
        """Topics x lists of --lists, the worst topic first.

        Raises:
            Refusal: there are no judgments, no lists, or no such measure.
            DataError: the measure needs full judgments.
        """
        collection = self.collection
        if collection.qrels is None or not collection.lists:
            raise Refusal(409, "a study needs judgments and lists", next_step="give them: --qrels, --lists")
        with self._lock:
            if name not in self._tables:
                if len(self._tables) >= MOST_KEPT:
                    self._tables.clear()
                self._tables[name] = self._made(name)
            return self._tables[name]

    def _made(self, name: str) -> Study:
        collection = self.collection
        assert collection.qrels is not None
        (measure,) = parse_measures([name])
        evaluator = Evaluator(collection.qrels, [measure])
        scores: dict[str, Scores] = {}
        unread = []
        for key, served in collection.lists.items():
            try:
                columns = {topic: (one.shots, one.scores) for topic, one in served.run.lists.items()}
                scores[key] = evaluator.evaluate(columns, key)
            except AvsError as error:
                unread.append(FoundInList(list=key, line=1, what=error.what))
        rows = []
        for place, topic in enumerate(evaluator.topics):
            values = [
                _measured(measure, one.values[place, 0]) if one.answered[place] else None for one in scores.values()
            ]
            rows.append(StudyRow(topic=topic, text=self._text(topic), values=values))
        rows.sort(key=lambda row: (_mean(row), natural_key(row.topic)))
        return Study(
            measure=str(measure),
            lists=list(scores),
            means=[_measured(measure, float(one.overall()[0])) for one in scores.values()],
            topics=rows,
            findings=[*collection.spoiled, *unread, *self._check()],
            unique=self._unique(list(scores)),
            overlap=self._overlap(list(scores)),
        )

    def _check(self) -> list[FoundInList]:
        """What `avs check-run` finds in the lists; nothing without a shot table."""
        if self._findings is None:
            self._findings = check_lists(self.collection)
        return self._findings

    def _text(self, topic: str) -> str:
        known = self.collection.topic(topic)
        return known.text if known else ""

    def _unique(self, names: Sequence[str]) -> dict[str, int]:
        """List -> relevant shots that no other list has, over all judged topics."""
        collection = self.collection
        assert collection.qrels is not None
        counts = dict.fromkeys(names, 0)
        for topic, judged in collection.qrels.topics.items():
            held = {name: judged.relevant.intersection(self._shots(name, topic)) for name in names}
            for name in names:
                others = set().union(*(held[other] for other in names if other != name))
                counts[name] += len(held[name] - others)
        return counts

    def _overlap(self, names: Sequence[str]) -> list[list[float]]:
        """Share of the shots of a row's list, over all topics, that the column's list has too."""
        shots = {
            name: {(topic, shot) for topic, one in self.collection.lists[name].run.lists.items() for shot in one.shots}
            for name in names
        }
        return [[len(shots[a] & shots[b]) / max(len(shots[a]), 1) for b in names] for a in names]

    def _shots(self, name: str, topic: str) -> Sequence[str]:
        ranked = self.collection.lists[name].run.lists.get(topic)
        return () if ranked is None else ranked.shots

    def topic_facts(self, topic: str) -> TopicFacts:
        """A topic of the topic file, or of the judgments alone.

        Raises:
            Refusal: there is none.
        """
        collection = self.collection
        known = collection.topic(topic)
        judged = collection.qrels.topics.get(topic) if collection.qrels else None
        if known is None and judged is None:
            raise Refusal(404, "no such topic", got=repr(topic[:80]))
        return TopicFacts(
            id=topic,
            text=known.text if known else "",
            narrative=known.narrative if known else None,
            edition=known.edition if known else None,
            judged=judged is not None,
            relevant=len(judged.relevant) if judged else None,
            pooled=len(judged) if judged else None,
            lists=[name for name, served in collection.lists.items() if topic in served.run.lists],
            marks=self.book.counts(topic),
        )

    def topic_ids(self) -> list[str]:
        """All topics: those of the topic file, then those that are judged alone."""
        collection = self.collection
        ids = list(collection.topics.ids) if collection.topics else []
        return ids + [topic for topic in (collection.qrels.ids if collection.qrels else ()) if topic not in ids]

    def compare(self, a: tuple[str, RankedList], b: tuple[str, RankedList], topic: str | None) -> SideBySide:
        """Two lists side by side. Gained and lost are differences of sets of relevant shots.

        Args:
            a, b: name and list.
            topic: whose judgments count.
        """
        qrels = self.collection.qrels
        judged = qrels.topics.get(topic) if qrels and topic is not None else None
        relevant = judged.relevant if judged else frozenset()
        grades = dict(zip(judged.shots, np.clip(judged.judgments, -1, 1).tolist(), strict=True)) if judged else {}
        ranks_a, ranks_b = ({shot: rank for rank, shot in enumerate(ranked.shots, start=1)} for _, ranked in (a, b))
        shown = dict.fromkeys([*a[1].shots[:MOVES], *b[1].shots[:MOVES]])
        return SideBySide(
            topic=topic,
            a=a[0],
            b=b[0],
            measures_a=measures_of(self.collection, topic or "", a[1], None),
            measures_b=measures_of(self.collection, topic or "", b[1], None),
            gained=[shot for shot in b[1].shots if shot in relevant and shot not in ranks_a],
            lost=[shot for shot in a[1].shots if shot in relevant and shot not in ranks_b],
            only_a=sum(shot not in ranks_b for shot in ranks_a),
            only_b=sum(shot not in ranks_a for shot in ranks_b),
            moves=[
                ShotInBoth(shot=shot, a=ranks_a.get(shot), b=ranks_b.get(shot), judgment=grades.get(shot))
                for shot in shown
            ],
        )


def list_to_compare(
    collection: Collection, answers: Mapping[str, ServedAnswer], name: str, topic: str | None
) -> tuple[str, RankedList]:
    """The list that a name means: an id that a search gave, or a list of --lists and its topic.

    Raises:
        Refusal: there is none, or it is of another topic.
    """
    if name in answers:
        answered = answers[name].plan.query.topic
        if topic and answered and answered != topic:
            raise Refusal(
                409, "the list is of another topic", where=name, got=f"topic {answered}", wanted=f"topic {topic}",
                next_step="compare lists of one topic",
            )  # fmt: skip
        return name, answers[name].shown
    if name not in collection.lists:
        raise Refusal(
            404, "no such list", got=repr(name[:80]), wanted="an id that POST /search gave, or a name of --lists",
            next_step="ask the question again",
        )  # fmt: skip
    ranked = collection.lists[name].run.lists.get(topic or "")
    if ranked is None:
        raise Refusal(404, "the list has no shots for this topic", where=name, got=repr((topic or "")[:80]))
    return name, ranked


def check_lists(collection: Collection) -> list[FoundInList]:
    """What `avs check-run` finds in the lists of --lists: rules of the edition of the topics, or of any."""
    from avs.trecvid.check import check_run
    from avs.trecvid.editions import get_edition
    from avs.trecvid.valid_shots import read_valid_shots

    if collection.options.shots is None:
        return []
    try:
        edition = get_edition(edition_of(collection))
        valid = read_valid_shots(collection.options.shots)
    except AvsError as error:
        return [FoundInList(list="all", line=1, what=f"not checked: {error.what}")]
    found = []
    for key, served in collection.lists.items():
        try:
            topics = served.run.topics if not edition.topics else None
            report = check_run(served.file, edition, valid, topics=topics)
            found += [FoundInList(list=key, line=one.line, what=one.what) for one in report.findings[:50]]
        except AvsError as error:
            found.append(FoundInList(list=key, line=1, what=error.what))
    return found


def edition_of(collection: Collection) -> str:
    """The edition that all topics are of, or "custom"."""
    named = {topic.edition for topic in collection.topics or ()}
    edition = next(iter(named)) if len(named) == 1 else None
    return edition or "custom"


def _measured(measure: Measure, value: float) -> Measured:
    return Measured(value=float(value), text=printed(measure, float(value)))


def _mean(row: StudyRow) -> float:
    values = [one.value if one else 0.0 for one in row.values]
    return sum(values) / max(len(values), 1)
