from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tiny_pools import random_pools

from avs.fusion.cross_validation import values
from avs.fusion.folds import Fold, leave_one_out, topic_folds
from avs.fusion.fuser import Fuser, Pools
from avs.fusion.learning_curve import CurvePoint, curve_draws, curve_sizes, learning_curve
from avs.fusion.methods.comb import Average
from avs.fusion.methods.weighted import Linear
from avs.fusion.pool import CandidatePool
from avs.metrics.xinfap_objective import xinfap_objective


class Recorder:
    """A learner that notes what it is given, and what its fusers are asked."""

    def __init__(self) -> None:
        self.fits: list[tuple[tuple[str, ...], list[str]]] = []

    def __call__(self, pools: Pools) -> Fuser:
        asked: list[str] = []
        self.fits.append((tuple(pools), asked))

        class Fitted(Average):
            def fuse(self, pool: CandidatePool) -> np.ndarray:
                asked.append(pool.topic)
                return pool.ranks.sum(axis=1).astype(float)

        return Fitted()


def fold(train: int, test: int = 2) -> Fold:
    topics = [str(i) for i in range(train + test)]
    return Fold("fold", tuple(topics[:train]), tuple(topics[train:]))


@pytest.mark.parametrize(
    ("train", "sizes"), [(24, [6, 12, 18]), (7, [2, 4, 5]), (4, [2, 3]), (3, [2]), (2, []), (1, [])]
)
def test_sizes_lie_below_what_every_fold_has(train: int, sizes: list[int]) -> None:
    assert curve_sizes([fold(train), fold(train + 9)]) == sizes


@pytest.mark.parametrize(("folds", "draws"), [(2, 3), (5, 3), (6, 2), (8, 1), (30, 1)])
def test_many_folds_get_fewer_draws(folds: int, draws: int) -> None:
    assert curve_draws([fold(9)] * folds) == draws


def test_a_draw_holds_so_many_topics_to_learn_from_and_the_held_out_ones_stay() -> None:
    pools, qrels = random_pools(0, topics=9)
    folds, learner = topic_folds(tuple(pools), 3, seed=1), Recorder()
    points = learning_curve(learner, pools, xinfap_objective(qrels), folds, sizes=[2, 4], draws=3)
    assert [point.topics for point in points] == [2, 4]
    assert [len(point.means) for point in points] == [3, 3]
    assert len(learner.fits) == 2 * 3 * 3
    for number, (learned, asked) in enumerate(learner.fits):
        of = folds[number % 3]
        assert len(learned) == (2 if number < 9 else 4)
        assert set(learned) <= set(of.train)
        assert tuple(asked) == of.test
        assert list(learned) == [topic for topic in of.train if topic in learned]  # in their order


def test_a_larger_draw_holds_the_smaller_one_and_draws_differ() -> None:
    pools, qrels = random_pools(0, topics=12)
    learner = Recorder()
    folds = topic_folds(tuple(pools), 3, seed=1)
    learning_curve(learner, pools, xinfap_objective(qrels), folds, sizes=[3, 6], draws=3)
    learned = [set(topics) for topics, _ in learner.fits]
    assert all(small <= large for small, large in zip(learned[:9], learned[9:], strict=True))
    assert len({frozenset(topics) for topics in learned[:9]}) > 3


def test_the_seed_decides_the_draws() -> None:
    pools, qrels = random_pools(0, topics=12)
    folds = topic_folds(tuple(pools), 3, seed=1)

    def drawn(seed: int) -> list[tuple[str, ...]]:
        learner = Recorder()
        learning_curve(learner, pools, xinfap_objective(qrels), folds, sizes=[3], draws=2, seed=seed)
        return [topics for topics, _ in learner.fits]

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_what_learns_nothing_has_a_flat_curve() -> None:
    pools, qrels = random_pools(0, topics=6)
    objective = xinfap_objective(qrels)
    points = learning_curve(
        lambda _: Average(), pools, objective, topic_folds(tuple(pools), 3, seed=0), sizes=[2, 3], draws=2
    )
    wanted = np.mean(list(values(Average(), pools, objective).values()))
    for point in points:
        assert point.means == pytest.approx([wanted, wanted])


def test_what_needs_topics_has_a_rising_curve() -> None:
    """A learner that trusts the good list with as many topics as it has, and the bad one with one."""
    pools, qrels = random_pools(3, lists=2, topics=8, noise=[0.2, 5.0])
    objective, folds = xinfap_objective(qrels), leave_one_out({topic: topic for topic in pools})

    def learner(learned: Mapping[str, CandidatePool]) -> Fuser:
        return Linear({"m0": len(learned) - 2.0, "m1": 1.0})

    points = learning_curve(learner, pools, objective, folds, sizes=[2, 4, 6], draws=1)
    for point, weight in zip(points, (0, 2, 4), strict=True):
        fuser = Linear({"m0": weight, "m1": 1})
        assert point.mean == pytest.approx(np.mean(list(values(fuser, pools, objective).values())))
    assert points[0].mean < points[1].mean


def test_the_mean_is_over_the_draws() -> None:
    assert CurvePoint(4, np.array([0.1, 0.3])).mean == pytest.approx(0.2)
