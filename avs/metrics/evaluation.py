"""Evaluation of runs against judgments: a value per run, topic and measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avs.core.errors import DataError, FormatError
from avs.core.ids import natural_key, some
from avs.core.qrels import Qrels
from avs.metrics.measures import Measure, sample_eval_measures
from avs.metrics.xinfap import RECALL_LEVELS, JudgedList, PreparedTopic, interpolated_precisions

DEFAULT_CUTOFFS = (10, 100, 1000)
DEFAULT_MEASURES = sample_eval_measures(DEFAULT_CUTOFFS)

Columns = Mapping[str, tuple[Sequence[str], np.ndarray]]  # topic -> shots and scores, in any order


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scores:
    """The scores of one run.

    Attributes:
        run: name of the run.
        measures: the M measures, which are the columns of `values`.
        topics: the T topics of the qrels in natural order, which are its rows.
        values: (T, M) float64; 0 for a topic without shots in the run.
        answered: (T,) bool; whether the run has shots for the topic.
        ranked: (T,) int64 number of different shots, at most 1000 (`num_ret` of a topic counts lines).
        ignored: topics of the run that the qrels do not have.
        recall_precision: (T, 11) interpolated inferred precision at recall 0.0 ... 1.0.
    """

    run: str
    measures: tuple[Measure, ...]
    topics: tuple[str, ...]
    values: np.ndarray
    answered: np.ndarray
    ranked: np.ndarray
    ignored: tuple[str, ...]
    recall_precision: np.ndarray

    def __repr__(self) -> str:
        means = ", ".join(f"{measure} {value:.4f}" for measure, value in self.means.items())
        return f"Scores({self.run}, {len(self.topics)} topics: {means})"

    @property
    def means(self) -> dict[str, float]:
        """Measure -> its value in the row `all`, in which a missing topic counts as 0."""
        return dict(zip(map(str, self.measures), self.overall().tolist(), strict=True))

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row per topic and a column per measure."""
        import pandas as pd

        return pd.DataFrame(self.values, index=pd.Index(self.topics, name="topic"), columns=[*map(str, self.measures)])

    @property
    def missing(self) -> tuple[str, ...]:
        """Topics of the qrels that the run has no shots for."""
        return tuple(topic for topic, answered in zip(self.topics, self.answered, strict=True) if not answered)

    def overall(self, *, official_mean: bool = False) -> np.ndarray:
        """(M,) the row `all`: means over the topics of the qrels; for counts, sums.

        Args:
            official_mean: average only over the topics that the run answers, as sample_eval.pl does.
        """
        sums = self.values.sum(axis=0)
        count = self._count(official_mean)
        row = np.array([s if m.is_sum else s / count for m, s in zip(self.measures, sums, strict=True)])
        if Measure("num_ret") in self.measures:
            row[self.measures.index(Measure("num_ret"))] = self.ranked.sum()
        return row

    def overall_recall_precision(self, *, official_mean: bool = False) -> np.ndarray:
        """(11,) interpolated inferred precision of the row `all`."""
        means: np.ndarray = self.recall_precision.sum(axis=0) / self._count(official_mean)
        return means

    def _count(self, official_mean: bool) -> int:
        return int(self.answered.sum()) if official_mean else len(self.topics)


class Evaluator:
    """Judgments that are prepared once, for any number of runs.

    Raises:
        DataError: no shot is judged; a measure needs full judgments and some pooled shots are not judged.
    """

    def __init__(self, qrels: Qrels, measures: Sequence[Measure] = DEFAULT_MEASURES) -> None:
        self.measures = tuple(measures)
        self.topics = {topic: PreparedTopic(qrels.topics[topic]) for topic in sorted(qrels.ids, key=natural_key)}
        unjudged = sum(topic.unjudged for topic in self.topics.values())
        rows = sum(len(topic) for topic in qrels.topics.values())
        if unjudged == rows:
            raise DataError("the qrels have no judgments", got=f"{rows} rows, all of them -1 (pooled, not judged)")
        strict = [str(measure) for measure in self.measures if measure.needs_full_judgments]
        if strict and unjudged:
            raise DataError(
                f"only for full judgments: {', '.join(strict)}",
                got=f"{unjudged} of {rows} pooled shots are not judged (-1)",
                next_step="use infAP, infNDCG or iP@k; or remove the -1 rows, to count those shots as not relevant",
            )

    def evaluate(self, run: Columns, name: str) -> Scores:
        """The scores of a run. If a shot has two lines, the last one counts.

        Raises:
            FormatError: the run and the qrels have no topic in common.
        """
        lists = [
            topic.judge(*run[topic.topic]) if topic.topic in run and len(run[topic.topic][0]) else None
            for topic in self.topics.values()
        ]
        if not any(lists):
            raise FormatError(
                "no topic of the run is in the qrels",
                where=name,
                got=some(run),
                wanted=some(self.topics),
                next_step="give the qrels of the run's edition",
            )
        return Scores(
            run=name,
            measures=self.measures,
            topics=tuple(self.topics),
            values=np.array([self._row(j, t) for j, t in zip(lists, self.topics.values(), strict=True)]),
            answered=np.array([j is not None for j in lists]),
            ranked=np.array([0 if j is None else len(j.codes) for j in lists]),
            ignored=tuple(sorted(set(run) - set(self.topics), key=natural_key)),
            recall_precision=np.array(
                [np.zeros(len(RECALL_LEVELS)) if j is None else interpolated_precisions(j) for j in lists]
            ),
        )

    def _row(self, judged: JudgedList | None, topic: PreparedTopic) -> list[float]:
        if judged is not None:
            return [measure(judged) for measure in self.measures]
        return [topic.estimated_relevant if m.name == "inum_rel" else 0.0 for m in self.measures]
