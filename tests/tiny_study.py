"""A study of fusion over random lists, small enough to be repeated in every test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.progress import Reporter
from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.folds import Fold, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.methods import Learning, learner
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.fusion.pool import pool_runs
from avs.fusion.two_step import TwoStep
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.fuse.study import FusionStudy, study_fusion, with_curve

NASTY = "<hr>&$x$_{1"
NAMES = ("laff", "laff-ml", "clip", NASTY)
SHOTS = [f"shot{i // 7 + 1:05d}_{i % 7 + 1}" for i in range(60)]


def make_runs(topics: int, *, seed: int = 0, names: Sequence[str] = NAMES) -> tuple[dict[str, Run], Qrels]:
    """Lists of 40 of 60 shots, with more and more noise in their scores."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, RankedList]] = {name: {} for name in names}
    qrels = {}
    for topic in map(str, range(901, 901 + topics)):
        truth = rng.standard_normal(60)
        for number, name in enumerate(names):
            seen = truth + (0.5 + 0.4 * number) * rng.standard_normal(60)
            found[name][topic] = RankedList.from_scores(topic, SHOTS, seen, limit=40)
        qrels[topic] = TopicQrels(topic, tuple(SHOTS), np.ones(60), (truth > 0.8).astype(int))
    return {name: Run(lists, "tag") for name, lists in found.items()}, Qrels(qrels)


class Counting:
    """A learner that records the topics of every fit."""

    def __init__(self, learn: Learner) -> None:
        self.learn = learn
        self.fits: list[tuple[str, ...]] = []

    def __call__(self, pools: Pools) -> Fuser:
        self.fits.append(tuple(pools))
        return self.learn(pools)


RUNS, QRELS = make_runs(9)
POOLS = pool_runs(RUNS)
LISTS = next(iter(POOLS.values())).lists
OBJECTIVE = xinfap_objective(QRELS)
FOLDS = topic_folds(tuple(POOLS), 3, seed=0)
SCALE = Scale("zscore")


def study(learn: Learner, *, pools: Pools = POOLS, folds: Sequence[Fold] = FOLDS, **how: object) -> FusionStudy:
    settings = {"method": "coordinate-ascent", "scale": SCALE, "objective": OBJECTIVE, "reporter": Reporter()} | how
    found = study_fusion(pools, learn, folds=folds, **settings)  # type: ignore[arg-type]
    return with_curve(found, pools, learn, objective=settings["objective"], reporter=settings["reporter"])  # type: ignore[arg-type]


def weighted(pools: Pools) -> Fuser:
    """Weights that depend on the topics of the pools."""
    lists = next(iter(pools.values())).lists
    rng = np.random.default_rng([int(topic) for topic in pools])
    return Linear(dict(zip(lists, rng.dirichlet(np.ones(len(lists))).tolist(), strict=True)), SCALE)


def two_steps(pools: Pools) -> Fuser:
    linear = weighted({topic: pool.columns(NAMES[:2]) for topic, pool in pools.items()})
    return TwoStep(
        {"laffs": NAMES[:2]}, NAMES[2:], {"laffs": linear}, Linear({"laffs": 2, NAMES[2]: 1, NAMES[3]: 1}, SCALE)
    )


def counted_study() -> tuple[FusionStudy, Counting]:
    """A study of coordinate ascent, and the learner that recorded its fits."""
    learning = Learning(OBJECTIVE, QRELS, {}, settings={"coordinate-ascent": {"restarts": 1}})
    learn = Counting(learner("coordinate-ascent", SCALE, learning))
    return study(learn), learn
