"""Judgments of the mini collection: exact judgments of every shot, and a pool that is judged in strata, as by NIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from avs.core.artifacts import atomic_write
from avs.core.ids import qrels_topic_id
from avs.core.qrels import UNJUDGED, Qrels, TopicQrels
from avs.demo.patterns import Pattern
from avs.demo.scenes import Scene
from avs.demo.topics import MiniTopic

STREAM = 4
SYSTEMS = 5  # simulated runs that the pool is taken from
DEPTHS = (1 / 60, 1 / 24, 1 / 4)  # last rank of each stratum, as a share of the collection
SAMPLED = 0.25  # share of the last stratum that is judged


def full_judgments(scenes: Mapping[str, Scene], topics: Sequence[MiniTopic]) -> Qrels:
    """Judgments of every shot for every topic, decided by the pattern of the topic; they form one stratum."""
    shots = tuple(scenes)
    judged = {}
    for topic in topics:
        judgments = [int(topic.pattern.matches(scene)) for scene in scenes.values()]
        judged[topic.id] = TopicQrels(topic.id, shots, np.ones(len(shots)), np.array(judgments))
    return Qrels(judged)


def pooled_judgments(full: Qrels, scenes: Mapping[str, Scene], topics: Sequence[MiniTopic], *, seed: int) -> Qrels:
    """Judgments of a pool: all of strata 1 and 2, a sample of stratum 3, and none of the other shots.

    The pool is the union of the best shots of SYSTEMS simulated runs. Each run scores a shot by how much of the topic
    it shows, plus noise. The best rank of a shot over these runs decides its stratum. If no judged shot of a topic is
    relevant, its best relevant shot is judged in addition, in the last stratum: learning needs one of every topic.

    Args:
        full: judgments of all shots.
        seed: of the noise and of the sample.
    """
    depths = [max(1, round(share * len(scenes))) for share in DEPTHS]
    pools = {}
    for topic in topics:
        rng = np.random.default_rng([STREAM, seed, int(topic.id)])
        judged = full.topics[topic.id]
        shown = np.array([_share_shown(topic.pattern, scene) for scene in scenes.values()])
        noise = rng.normal(0, 1, (SYSTEMS, len(shown))) * rng.uniform(0.4, 0.9, (SYSTEMS, 1))
        order = np.argsort(-(shown + noise), axis=1, kind="stable")
        best = np.argsort(order, axis=1).min(axis=0)  # best rank of each shot, from 0
        pooled = np.flatnonzero(best < depths[-1])
        last = pooled[best[pooled] >= depths[-2]]
        skipped = rng.permutation(last)[round(SAMPLED * len(last)) :]
        relevant = np.flatnonzero(judged.judgments == 1)
        if len(relevant) and np.isin(relevant, np.setdiff1d(pooled, skipped)).sum() == 0:
            surest = relevant[best[relevant].argmin()]
            pooled, skipped = np.union1d(pooled, surest), np.setdiff1d(skipped, surest)
        strata = 1 + np.searchsorted(depths[:-1], best[pooled], side="right")
        judgments = np.where(np.isin(pooled, skipped), UNJUDGED, judged.judgments[pooled])
        pools[topic.id] = TopicQrels(topic.id, tuple(judged.shots[i] for i in pooled), strata, judgments)
    return Qrels(pools)


def _share_shown(pattern: Pattern, scene: Scene) -> float:
    """The share (0 to 1) of `pattern` that the scene shows; each thing is compared with the most similar one."""
    shares = []
    for wanted in pattern.things:
        named = wanted.named
        shares_of_things = (
            sum(getattr(thing, k) == v for k, v in named.items()) / len(named) for thing in scene.things
        )
        shares.append(max(shares_of_things))
    if pattern.background is not None:
        shares.append(float(pattern.background == scene.background))
    return float(np.mean(shares))


def write_qrels(qrels: Qrels, path: Path) -> None:
    """Write NIST's qrels for xinfAP, five columns per line: 1<topic>, 0, shot, stratum, judgment."""
    with atomic_write(path) as file:
        for topic in qrels.topics.values():
            rows = zip(topic.shots, topic.strata, topic.judgments, strict=True)
            file.writelines(f"{qrels_topic_id(topic.topic)} 0 {shot} {s} {j}\n" for shot, s, j in rows)
