"""Judgments of the mini collection: exact ones of every shot, and a pool judged in strata as NIST does."""

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
SYSTEMS = 5  # made-up runs that the pool is taken from
DEPTHS = (1 / 60, 1 / 24, 1 / 4)  # ranks that end the strata, as shares of the collection
SAMPLED = 0.25  # share of the last stratum that is judged


def full_judgments(scenes: Mapping[str, Scene], topics: Sequence[MiniTopic]) -> Qrels:
    """Every shot judged for every topic by its pattern; one stratum."""
    shots = tuple(scenes)
    found = {}
    for topic in topics:
        judgments = [int(topic.pattern.matches(scene)) for scene in scenes.values()]
        found[topic.id] = TopicQrels(topic.id, shots, np.ones(len(shots)), np.array(judgments))
    return Qrels(found)


def pooled_judgments(full: Qrels, scenes: Mapping[str, Scene], topics: Sequence[MiniTopic], *, seed: int) -> Qrels:
    """What assessors would have judged: strata 1 and 2 wholly, the last one sampled, the rest of the shots not pooled.

    The pool is the union of the best shots of SYSTEMS made-up runs, each of which knows how much of the topic a shot
    shows, up to noise of its own. A stratum holds what the best rank over these runs puts there.
    """
    depths = [max(1, round(share * len(scenes))) for share in DEPTHS]
    found = {}
    for topic in topics:
        rng = np.random.default_rng([STREAM, seed, int(topic.id)])
        judged = full.topics[topic.id]
        shown = np.array([_share_shown(topic.pattern, scene) for scene in scenes.values()])
        noise = rng.normal(0, 1, (SYSTEMS, len(shown))) * rng.uniform(0.4, 0.9, (SYSTEMS, 1))
        order = np.argsort(-(shown + noise), axis=1, kind="stable")
        best = np.argsort(order, axis=1).min(axis=0)  # best rank of each shot, from 0
        pooled = np.flatnonzero(best < depths[-1])
        strata = 1 + np.searchsorted(depths, best[pooled], side="right")
        judgments = judged.judgments[pooled].copy()
        last = np.flatnonzero(strata == len(depths))
        skipped = rng.permutation(last)[round(SAMPLED * len(last)) :]
        judgments[skipped] = UNJUDGED
        found[topic.id] = TopicQrels(topic.id, tuple(judged.shots[i] for i in pooled), strata, judgments)
    return Qrels(found)


def _share_shown(pattern: Pattern, scene: Scene) -> float:
    """How much of what `pattern` names the scene shows, 0..1, each thing compared with the most alike."""
    shares = []
    for wanted in pattern.things:
        named = wanted.named
        alike = (sum(getattr(thing, k) == v for k, v in named.items()) / len(named) for thing in scene.things)
        shares.append(max(alike))
    if pattern.background is not None:
        shares.append(float(pattern.background == scene.background))
    return float(np.mean(shares))


def write_qrels(qrels: Qrels, path: Path) -> None:
    """Write the five columns of NIST's qrels for xinfAP: 1<topic>, 0, shot, stratum, judgment."""
    with atomic_write(path) as file:
        for topic in qrels.topics.values():
            rows = zip(topic.shots, topic.strata, topic.judgments, strict=True)
            file.writelines(f"{qrels_topic_id(topic.topic)} 0 {shot} {s} {j}\n" for shot, s, j in rows)
