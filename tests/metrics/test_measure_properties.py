"""What holds for every pool and every list: the measures against plain loops, and what must not change them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avs.core.qrels import TopicQrels
from avs.metrics.measures import parse_measures
from avs.metrics.xinfap import JudgedList, PreparedTopic, infap

NAMES = [f"shot{video}_{number}" for video in (1, 2, 10) for number in range(1, 13)]
CUTOFFS = st.sampled_from([1, 2, 3, 5, 10, 100])


@dataclass(frozen=True)
class Case:
    """A pool and a list; both are in no order."""

    qrels: TopicQrels
    shots: list[str]
    scores: list[float]

    @property
    def judged(self) -> JudgedList:
        return PreparedTopic(self.qrels).judge(self.shots, np.array(self.scores))

    @property
    def ranked(self) -> list[str]:
        score = dict(zip(self.shots, self.scores, strict=True))
        return sorted(score, key=lambda shot: (score[shot], shot), reverse=True)

    @property
    def grades(self) -> list[int]:
        """The judgments of the list, best first; 0 for what is not judged."""
        grade = dict(zip(self.qrels.shots, self.qrels.judgments.tolist(), strict=True))
        return [max(grade.get(shot, 0), 0) for shot in self.ranked]


@st.composite
def cases(draw: st.DrawFn, *, lowest: int = -1, highest: int = 2, strata: int = 3) -> Case:
    pool = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    numbers = st.integers(1, strata)
    lines = [(draw(numbers), draw(st.integers(lowest, highest))) for _ in pool]
    shots = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    scores = [draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, -3.0])) for _ in shots]  # ties
    of_line = np.array(lines)
    return Case(TopicQrels("1", tuple(pool), of_line[:, 0], of_line[:, 1]), shots, scores)


def naive_xinfap(case: Case) -> float:
    """The formula of the module's docstring, one rank and one stratum after the other."""
    stratum = dict(zip(case.qrels.shots, case.qrels.strata.tolist(), strict=True))
    grade = dict(zip(case.qrels.shots, case.qrels.judgments.tolist(), strict=True))
    share = {}
    for s in set(stratum.values()):
        members = [shot for shot in stratum if stratum[shot] == s]
        judged = sum(grade[shot] >= 0 for shot in members)
        share[s] = len(members) / judged if judged else 0.0
    estimate = sum(share[stratum[shot]] for shot in stratum if grade[shot] > 0)
    total = 0.0
    for rank, shot in enumerate(case.ranked, start=1):
        if grade.get(shot, 0) <= 0:
            continue
        above = case.ranked[: rank - 1]
        found = 0.0
        for s in share:
            here = [other for other in above if stratum.get(other) == s]
            judged = sum(grade[other] >= 0 for other in here)
            relevant = sum(grade[other] > 0 for other in here)
            found += len(here) * (relevant + 1e-5) / (judged + 3e-5)
        total += share[stratum[shot]] * (1 + found) / rank
    return total / min(estimate, 1000) if estimate else 0.0


@given(cases())
def test_xinfap_is_what_its_formula_gives(case: Case) -> None:
    assert infap(case.judged) == pytest.approx(naive_xinfap(case), rel=1e-10, abs=1e-14)


@given(cases())
def test_xinfap_lies_between_0_and_1_where_at_most_1000_are_estimated_to_be_relevant(case: Case) -> None:
    assert case.judged.topic.estimated_relevant <= 1000
    assert 0 <= infap(case.judged) <= 1 + 1e-12


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(case: Case, random: object) -> None:
    pool, lines = list(range(len(case.qrels))), list(range(len(case.shots)))
    random.shuffle(pool)  # type: ignore[attr-defined]
    random.shuffle(lines)  # type: ignore[attr-defined]
    q = case.qrels
    other = Case(
        TopicQrels("1", tuple(q.shots[i] for i in pool), q.strata[pool], q.judgments[pool]),
        [case.shots[i] for i in lines],
        [case.scores[i] for i in lines],
    )
    for measure in parse_measures(["xinfAP", "infNDCG", "iP@5", "AP", "P@5", "R@5", "nDCG"]):
        assert measure(other.judged) == pytest.approx(measure(case.judged), rel=1e-12, abs=1e-15), str(measure)


@given(cases(lowest=0), st.data())
def test_a_relevant_shot_that_moves_up_never_lowers_a_measure(case: Case, data: st.DataObject) -> None:
    grades, ranked = case.grades, case.ranked
    rises = [(i, j) for i in range(len(grades)) for j in range(i + 1, len(grades)) if grades[j] > grades[i]]
    if not rises:
        return
    upper, lower = data.draw(st.sampled_from(rises))
    swapped = list(ranked)
    swapped[upper], swapped[lower] = swapped[lower], swapped[upper]
    scores = [-float(rank) for rank in range(len(ranked))]
    before, after = Case(case.qrels, ranked, scores).judged, Case(case.qrels, swapped, scores).judged
    for measure in parse_measures(["AP", "AP@5", "P@5", "R@5", "nDCG", "nDCG@5"]):
        assert measure(after) >= measure(before) - 1e-12, str(measure)


@given(cases(lowest=0), CUTOFFS)
def test_the_measures_of_full_judgments_are_what_loops_give(case: Case, k: int) -> None:
    grades = case.grades
    total = sum(grade > 0 for grade in case.qrels.judgments.tolist())
    hits = [grade > 0 for grade in grades]
    best = sorted((g for g in case.qrels.judgments.tolist() if g > 0), reverse=True)
    dcg = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], start=1))
    ideal = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(best[:k], start=1))
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, start=1) if hit]
    early = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits[:k], start=1) if hit]
    wanted = {
        "AP": sum(precisions) / total if total else 0.0,
        f"AP@{k}": sum(early) / total if total else 0.0,
        f"P@{k}": sum(hits[:k]) / k,
        f"R@{k}": sum(hits[:k]) / total if total else 0.0,
        f"nDCG@{k}": dcg / ideal if ideal else 0.0,
    }
    found = {str(measure): measure(case.judged) for measure in parse_measures(wanted)}
    assert found == pytest.approx(wanted, rel=1e-12)


@given(cases(lowest=0, highest=1, strata=1))
def test_with_full_judgments_xinfap_is_ap(case: Case) -> None:
    """But for the constants that smooth it."""
    ap, xinfap = (measure(case.judged) for measure in parse_measures(["AP", "xinfAP"]))
    inside = [shot for shot in case.ranked if shot in case.qrels.shots]
    if len(inside) == len(case.ranked):
        assert xinfap == pytest.approx(ap, abs=1e-3)
