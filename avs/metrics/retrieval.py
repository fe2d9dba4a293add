"""Measures for full judgments: AP, P@k, R@k, nDCG@k, as trec_eval defines them.

Shots outside the pool count as not relevant. Lists are sorted and cut at 1000 as for xinfAP, so ties have the same
order in all measures. The value of a topic without relevant shots is 0.
"""

from __future__ import annotations

import numpy as np

from avs.core.ranking import MAX_RESULTS
from avs.metrics.xinfap import JudgedList


def average_precision(judged: JudgedList, cutoff: int | None = None) -> float:
    """The mean of the precision at the ranks of all relevant shots; it is 0 for a shot that is not in the list."""
    relevant = _grades(judged, cutoff) > 0
    total = len(judged.topic.relevant_grades)
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / total) if total else 0.0


def precision(judged: JudgedList, cutoff: int | None) -> float:
    """The share of relevant shots among the first `cutoff`; a shorter list is filled up with shots that are not."""
    return float((_grades(judged, cutoff) > 0).sum() / (cutoff or MAX_RESULTS))


def recall(judged: JudgedList, cutoff: int | None) -> float:
    """The share of all relevant shots that are among the first `cutoff`."""
    total = len(judged.topic.relevant_grades)
    return float((_grades(judged, cutoff) > 0).sum() / total) if total else 0.0


def ndcg(judged: JudgedList, cutoff: int | None = None) -> float:
    """Discounted cumulative gain, grade / log2(rank + 1), divided by that of the best possible list."""
    ideal = _dcg(judged.topic.relevant_grades[: cutoff or MAX_RESULTS])
    return _dcg(np.maximum(_grades(judged, cutoff), 0)) / ideal if ideal else 0.0


def _grades(judged: JudgedList, cutoff: int | None) -> np.ndarray:
    """(K,) int64 judgments of the ranked shots; 0 for shots outside the pool."""
    grades: np.ndarray = judged.topic.grade[judged.codes[:cutoff]]
    return grades


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
