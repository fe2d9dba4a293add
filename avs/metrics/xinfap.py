"""xinfAP and its companions, as NIST's sample_eval.pl computes them from a stratified sample of judgments.

Source: Yilmaz, Kanoulas, Aslam: A Simple and Efficient Sampling Method for Estimating AP and NDCG, SIGIR 2008. If the
tool and the paper differ, this follows the tool: it smooths by (rel + 1e-5) / (judged + 3e-5), where the paper has
2e-5, and it divides by 1000 if the estimated number of relevant shots is larger than 1000.

All measures are computed from one curve: r(k), the estimated number of relevant shots among the first k,

    r(k) = sum over strata s of  pooled_s(k) * (relevant_s(k) + 1e-5) / (judged_s(k) + 3e-5).

    infAP = sum over relevant ranks k of  n_s / j_s * (1 + r(k - 1)) / k,  divided by min(R, 1000)
    iP@k  = r(k) / k

with n_s pooled and j_s judged shots in the stratum of rank k, and R the estimated number of relevant shots. Shots
outside the pool only take up ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from avs.core.qrels import TopicQrels
from avs.core.ranking import MAX_RESULTS, rank_order

RELEVANT_EPSILON, JUDGED_EPSILON = 1e-5, 3e-5
RECALL_LEVELS = tuple(i / 10 for i in range(11))


class PreparedTopic:
    """The pool of one topic, prepared to score any number of rankings.

    Each shot has a small integer code for its stratum and judgment, and rankings are scored as integer arrays. Look up
    the codes of all candidates once, then score every order of them by `infap`.

    Attributes:
        topic: topic id.
        estimated_relevant: R, the estimated number of relevant shots.
        unjudged: number of pooled shots without a judgment.
        ideal_dcg: the DCG of the best list of 1000.
        stratum, grade, weight: (C,) per code: index of the stratum; judgment; and n / j of the stratum for relevant
            shots, 0 for others. The last code is for shots outside the pool.
    """

    def __init__(self, qrels: TopicQrels) -> None:
        self.topic = qrels.topic
        names = np.unique(qrels.strata)
        index = np.searchsorted(names, qrels.strata)
        judged = qrels.judgments >= 0
        pooled = np.bincount(index, minlength=len(names))
        sampled = np.bincount(index[judged], minlength=len(names))
        rate = np.divide(pooled, sampled, out=np.zeros(len(names)), where=sampled > 0)
        grades = np.unique(qrels.judgments)
        self.stratum = np.append(np.repeat(np.arange(len(names)), len(grades)), -1)
        self.grade = np.append(np.tile(grades, len(names)), 0)
        self.weight = np.append(np.repeat(rate, len(grades)), 0.0) * (self.grade > 0)
        shot_codes = index * len(grades) + np.searchsorted(grades, qrels.judgments)
        self._code = dict(zip(qrels.shots, shot_codes.tolist(), strict=True))
        counts = np.bincount(shot_codes, minlength=len(self.grade))
        self.estimated_relevant = float(self.weight @ counts)
        self.unjudged = int((~judged).sum())
        self.relevant_grades: np.ndarray = np.sort(qrels.judgments[qrels.judgments > 0])[::-1]
        self.ideal_dcg = _ideal_dcg(self.weight * counts, self.grade)
        # (S, C) float64: what a shot with each code adds to the pooled, judged and relevant counts of each stratum
        self._pooled = (np.arange(len(names))[:, None] == self.stratum).astype(np.float64)
        self._judged = self._pooled * (self.grade >= 0)
        self._relevant = self._pooled * (self.grade > 0)
        self._fully_judged = pooled == sampled

    def codes(self, shots: Sequence[str]) -> np.ndarray:
        """(N,) int64 codes of shots, for `infap`, `relevant_curve` and `judge`."""
        outside = len(self.grade) - 1
        return np.fromiter(map(self._code.get, shots, repeat(outside)), dtype=np.int64, count=len(shots))

    def relevant_curve(self, codes: np.ndarray) -> np.ndarray:
        """(..., K) float64: r(k), the estimated number of relevant shots among the first k, for k = 1 .. K.

        Args:
            codes: (..., K) of ranked shots, best first.
        """
        curve = np.zeros(codes.shape)
        for s, full in enumerate(self._fully_judged):
            pooled = self._pooled[s][codes].cumsum(axis=-1)
            judged = pooled if full else self._judged[s][codes].cumsum(axis=-1)
            relevant = self._relevant[s][codes].cumsum(axis=-1)
            curve += pooled * (relevant + RELEVANT_EPSILON) / (judged + JUDGED_EPSILON)
        return curve

    def infap(self, codes: np.ndarray) -> np.ndarray:
        """(...) xinfAP of rankings of this topic; 0 if no shot is relevant.

        Args:
            codes: (..., K) of ranked shots, best first; ranks after 1000 are ignored. The leading axes are rankings
                that are scored together.
        """
        codes = codes[..., :MAX_RESULTS]
        return self.infap_of_curve(codes, self.relevant_curve(codes))

    def infap_of_curve(self, codes: np.ndarray, curve: np.ndarray) -> np.ndarray:
        """(...) xinfAP from codes and their `relevant_curve`, both (..., K) with K <= 1000."""
        expected = self.weight[codes]  # (..., K) how many relevant shots of the pool each ranked one stands for
        expected[..., 1:] *= 1 + curve[..., :-1]
        total: np.ndarray = expected @ (1 / np.arange(1, codes.shape[-1] + 1))
        return total / min(self.estimated_relevant, MAX_RESULTS) if self.estimated_relevant else total * 0.0

    def judge(self, shots: Sequence[str], scores: np.ndarray) -> JudgedList:
        """The list of shots with scores. Of two lines of a shot the last counts; ties are sorted as in `rank_order`."""
        lines = len(shots)
        if len(set(shots)) < lines:
            last = dict(zip(shots, scores.tolist(), strict=True))
            shots, scores = list(last), np.array(list(last.values()), dtype=scores.dtype)
        codes = self.codes(shots)[rank_order(shots, scores)[:MAX_RESULTS]]
        return JudgedList(self, codes, self.relevant_curve(codes), lines)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedList:
    """The judgments of a ranked list.

    Attributes:
        topic: the pool that judges it.
        codes: (K,) int64 of the ranked shots, best first, K <= 1000.
        curve: (K,) float64 estimated number of relevant shots among the first k.
        lines: number of lines in the run.
    """

    topic: PreparedTopic
    codes: np.ndarray
    curve: np.ndarray
    lines: int


def infap(judged: JudgedList) -> float:
    """xinfAP of a list."""
    return float(judged.topic.infap_of_curve(judged.codes, judged.curve))


def infndcg(judged: JudgedList) -> float:
    """infNDCG: the discounted gains of relevant shots, where each stratum is scaled by pooled / judged in this list.

    The estimate can exceed 1, because the ideal is scaled by the sampling rate of the pool.
    """
    topic = judged.topic
    if not topic.ideal_dcg:
        return 0.0
    grades, strata = topic.grade[judged.codes], topic.stratum[judged.codes]
    gains = np.maximum(grades, 0) / np.log2(np.arange(2, len(grades) + 2))
    inside = strata >= 0
    pooled = np.bincount(strata[inside])
    sampled = np.bincount(strata[inside], weights=grades[inside] >= 0)
    gain = np.bincount(strata[inside], weights=gains[inside])
    any_judged = sampled > 0
    scaled = pooled[any_judged] * gain[any_judged] / sampled[any_judged]
    return float(scaled.sum() / topic.ideal_dcg)


def inferred_precision(judged: JudgedList, cutoff: int) -> float:
    """iP@cutoff: r(cutoff) / cutoff; a shorter list is filled up with shots that are not relevant."""
    return float(judged.curve[min(cutoff, len(judged.curve)) - 1]) / cutoff


def interpolated_precisions(judged: JudgedList) -> np.ndarray:
    """(11,) interpolated inferred precision at recall 0.0, 0.1 ... 1.0.

    They follow sample_eval.pl: the levels are searched from the end of the list upwards, at most one per rank. A level
    beyond the recall of the list is 0, and a level that is never crossed gets the highest precision of the list.
    """
    curve = judged.curve
    best_below = np.maximum.accumulate((curve / np.arange(1, len(curve) + 1))[::-1])[::-1]
    precisions = np.zeros(len(RECALL_LEVELS))
    end = len(curve)
    for i in reversed(range(len(RECALL_LEVELS))):
        wanted = RECALL_LEVELS[i] * judged.topic.estimated_relevant
        if wanted > curve[-1]:
            continue
        below = np.flatnonzero(curve[:end] < wanted)
        end = int(below[-1]) if len(below) else 0
        precisions[i] = best_below[end]
    return precisions


def _ideal_dcg(estimated: np.ndarray, grades: np.ndarray) -> float:
    """The DCG of the ideal list, from the estimated number of shots with each code.

    This follows sample_eval.pl: grades are sorted as text in reverse order, the ranks of a grade continue from the
    estimated number (a fraction) of shots of the grades before, and each grade stops at rank 1000 but adds at least one
    term.
    """
    total, start = 0.0, 0.0
    for grade in sorted({int(g) for g in grades if g > 0}, key=str, reverse=True):
        count = float(estimated[grades == grade].sum())
        if not count:
            continue
        ranks = np.cumsum(np.append(start + 1, np.ones(min(int(count) + 1, MAX_RESULTS))))
        ranks = ranks[ranks <= start + count]
        ranks = ranks[: int(np.searchsorted(ranks, MAX_RESULTS)) + 1]
        total += grade * float((1 / np.log2(ranks + 1)).sum())
        start += count
    return total
