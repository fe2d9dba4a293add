"""Measures of lists, by the functions of `avs eval`: to the last printed digit what that prints of the same list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.ranking import RankedList
from avs.metrics.evaluation import Evaluator
from avs.metrics.report import printed
from avs.serve.opened.collection import Collection
from avs.serve.shapes import Measured, Measures

CURVE_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def measured(evaluator: Evaluator, topic: str, shots: Sequence[str], scores: np.ndarray) -> dict[str, Measured]:
    """Measure -> its value for a list of a judged topic; 0 for an empty list, as `avs eval` counts it."""
    prepared = evaluator.topics[topic]
    if not len(shots):
        empty = {"inum_rel": prepared.estimated_relevant}
        values = [(measure, float(empty.get(measure.name, 0.0))) for measure in evaluator.measures]
    else:
        judged = prepared.judge(shots, scores)
        values = [(measure, measure(judged)) for measure in evaluator.measures]
    return {str(measure): Measured(value=value, text=printed(measure, value)) for measure, value in values}


def measures_of(collection: Collection, topic: str, ranked: RankedList, shown: RankedList | None) -> Measures | None:
    """The measures of a list, and of what is shown of it where that is another list; None: the topic is not judged.

    Args:
        shown: the shots that are on the page, in its order; None: the list itself.
    """
    evaluator, qrels = collection.evaluator, collection.qrels
    if evaluator is None or qrels is None or topic not in evaluator.topics:
        return None
    names = np.unique(qrels.topics[topic].strata).tolist()
    prepared = evaluator.topics[topic]
    codes = prepared.codes(ranked.shots)
    grades, strata = prepared.grade[codes], prepared.stratum[codes]
    inside = strata >= 0
    curve = prepared.relevant_curve(codes) if len(codes) else np.zeros(0)
    ranks = [rank for rank in CURVE_RANKS if rank <= len(curve)]
    numbers = np.unique(strata[inside]).tolist()
    return Measures(
        topic=topic,
        all=measured(evaluator, topic, ranked.shots, ranked.scores),
        shown=None if shown is None else measured(evaluator, topic, shown.shots, shown.scores),
        judged={
            "relevant": int((inside & (grades > 0)).sum()),
            "not": int((inside & (grades == 0)).sum()),
            "unjudged": int((inside & (grades < 0)).sum()),
            "outside": int((~inside).sum()),
        },
        strata=[
            {
                "stratum": int(names[number]),
                "pooled": int((strata == number).sum()),
                "judged": int(((strata == number) & (grades >= 0)).sum()),
                "relevant": int(((strata == number) & (grades > 0)).sum()),
            }
            for number in numbers
        ],
        curve=[float(curve[rank - 1]) for rank in ranks],
        curve_ranks=ranks,
    )
