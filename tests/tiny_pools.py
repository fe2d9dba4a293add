"""Lists and judgments that are small enough to check by hand, or random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.pool import CandidatePool, pool_runs


def ranked(topic: str, scores: Mapping[str, float]) -> RankedList:
    return RankedList.from_scores(topic, list(scores), np.array(list(scores.values()), dtype=float))


def run(name: str, lists: Mapping[str, Mapping[str, float]]) -> Run:
    return Run({topic: ranked(topic, scores) for topic, scores in lists.items()}, name)


def one_topic(lists: Mapping[str, Mapping[str, float]]) -> CandidatePool:
    """The pool of topic 1, from the shots and scores of every list."""
    return pool_runs({name: run(name, {"1": scores}) for name, scores in lists.items()})["1"]


def by_rank(*shots: str) -> dict[str, float]:
    """Shots, best first, with scores that decrease by 1."""
    return {shot: float(len(shots) - i) for i, shot in enumerate(shots)}


def fused_order(pool: CandidatePool, scores: np.ndarray) -> list[str]:
    return list(pool.ranking(scores, limit=len(pool)).shots)


def shot_ids(count: int) -> list[str]:
    return [f"shot{i // 7 + 1:05d}_{i % 7 + 1}" for i in range(count)]


def random_runs(
    seed: int,
    *,
    lists: int = 4,
    topics: int = 3,
    shots: int = 60,
    depth: int = 40,
    noise: Sequence[float] | float = 1.0,
) -> tuple[dict[str, Run], Qrels]:
    """Lists of noisy relevance scores, and judgments of all shots; one in five is relevant."""
    rng = np.random.default_rng(seed)
    names, levels = shot_ids(shots), np.broadcast_to(np.asarray(noise, dtype=float), (lists,))
    found: list[dict[str, dict[str, float]]] = [{} for _ in range(lists)]
    qrels = {}
    for topic in map(str, range(1, topics + 1)):
        truth = rng.standard_normal(shots)
        for one, level in zip(found, levels, strict=True):
            seen = truth + level * rng.standard_normal(shots)
            one[topic] = {names[i]: float(seen[i]) for i in np.argsort(-seen)[:depth]}
        relevant = (truth >= np.sort(truth)[-max(shots // 5, 1)]).astype(int)
        qrels[topic] = TopicQrels(topic, tuple(names), np.ones(shots), relevant)
    return {f"m{i}": run(f"m{i}", one) for i, one in enumerate(found)}, Qrels(qrels)


def random_pools(seed: int, **how: object) -> tuple[dict[str, CandidatePool], Qrels]:
    runs, qrels = random_runs(seed, **how)  # type: ignore[arg-type]
    return pool_runs(runs), qrels
