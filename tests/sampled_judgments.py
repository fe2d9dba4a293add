"""Topics for which it matters how judgments were sampled, and how many shots a judged shot represents.

The pool comes from other systems, as at TRECVID. Their best shots are stratum 1, which is judged completely; all others
are stratum 2, of which a small share is judged. The other systems find relevant shots that our lists miss, and make the
same errors as our list `usual`. Our list `odd` makes more errors, and different ones, so that they are in stratum 2.
Most judged shots that only `odd` ranks high are relevant; of all shots that only `odd` ranks high, hardly any is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.pool import CandidatePool, pool_runs

SHOTS, RELEVANT = 1000, 80
LISTS = ("odd", "usual")


def generate(topics: Sequence[str], *, seed: int) -> tuple[dict[str, CandidatePool], Qrels]:
    """The lists, and full judgments in two strata."""
    rng = np.random.default_rng(seed)
    names = [f"shot{i // 7 + 1:05d}_{i % 7 + 1}" for i in range(SHOTS)]
    lists: dict[str, dict[str, RankedList]] = {name: {} for name in LISTS}
    qrels = {}
    for topic in topics:
        relevant = rng.permutation(SHOTS) < RELEVANT
        odd = rng.random(SHOTS) < np.where(relevant, 0.6, 0.25)
        usual = rng.random(SHOTS) < np.where(relevant, 0.6, 0.06)
        others = rng.random(SHOTS) < np.where(relevant | usual, 0.8, 0.005)
        for name, seen in (("odd", odd), ("usual", usual)):
            scores = 1.5 * seen + 0.5 * rng.standard_normal(SHOTS)
            lists[name][topic] = RankedList.from_scores(topic, names, scores, limit=SHOTS)
        qrels[topic] = TopicQrels(topic, tuple(names), np.where(others, 1, 2), relevant.astype(np.int64))
    return pool_runs({name: Run(found, name) for name, found in lists.items()}), Qrels(qrels)


def sample(full: Qrels, rate: float, *, seed: int) -> Qrels:
    """The judgments with only a random share `rate` of stratum 2."""
    rng = np.random.default_rng(seed)
    sampled = {}
    for topic, one in full.topics.items():
        deep = np.flatnonzero(one.strata == 2)
        judgments = one.judgments.copy()
        judgments[rng.permutation(deep)[round(rate * len(deep)) :]] = -1
        sampled[topic] = TopicQrels(topic, one.shots, one.strata, judgments)
    return Qrels(sampled)


def without_strata(qrels: Qrels) -> Qrels:
    """Only the judged shots, in one stratum."""
    return Qrels({topic: _judged_alone(one) for topic, one in qrels.topics.items()})


def _judged_alone(one: TopicQrels) -> TopicQrels:
    kept = np.flatnonzero(one.judgments >= 0)
    return TopicQrels(one.topic, tuple(one.shots[i] for i in kept), np.ones(len(kept)), one.judgments[kept])
