from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tiny_pools import random_pools

from avs.fusion.cross_validation import first_within_one_error, out_of_fold, value, values
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Fuser, Pools
from avs.fusion.methods.comb import Average
from avs.fusion.pool import CandidatePool
from avs.metrics.xinfap import PreparedTopic
from avs.metrics.xinfap_objective import xinfap_objective


@dataclass(frozen=True)
class Spy:
    """Gives every candidate the number of topics it was fitted on."""

    seen: tuple[str, ...]
    lists = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        return np.full(len(pool), float(len(self.seen)))


def spy(pools: Pools) -> Fuser:
    return Spy(tuple(pools))


def test_every_topic_is_answered_by_a_fuser_that_has_not_seen_it() -> None:
    pools, _ = random_pools(0, topics=7)
    found = out_of_fold(spy, pools, topic_folds(tuple(pools), 3, seed=0))
    assert list(found) == list(pools)
    for topic, (fuser, scores) in found.items():
        assert isinstance(fuser, Spy) and topic not in fuser.seen
        assert scores.tolist() == [float(len(fuser.seen))] * len(pools[topic])


def test_topics_in_no_fold_have_no_answer() -> None:
    pools, _ = random_pools(0, topics=7)
    folds = topic_folds(tuple(pools), 3, seed=0)
    assert set(out_of_fold(spy, pools, folds[:1])) == set(folds[0].test)


def test_values_are_those_of_the_lists_as_they_would_be_submitted() -> None:
    pools, qrels = random_pools(1)
    found = values(Average(), pools, xinfap_objective(qrels))
    for topic, pool in pools.items():
        ranked = pool.ranking(Average().fuse(pool), limit=1000)
        prepared = PreparedTopic(qrels.topics[topic])
        assert found[topic] == pytest.approx(float(prepared.infap(prepared.codes(ranked.shots))), rel=1e-12)
        scores = Average().fuse(pool)
        assert value(topic, pool.shots, scores, xinfap_objective(qrels)) == found[topic]


def test_a_clear_gain_is_taken() -> None:
    values = np.array([[0.1, 0.3], [0.2, 0.39], [0.3, 0.52]])
    assert first_within_one_error(values) == 1


def test_a_gain_that_one_topic_makes_is_not() -> None:
    values = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.6]])  # mean 0.1, standard error 0.1
    assert first_within_one_error(values) == 0


def test_the_simplest_near_the_best_is_taken() -> None:
    gains = np.array([[0.0, 0.10, 0.11], [0.0, 0.10, 0.09], [0.0, 0.12, 0.13]])
    assert first_within_one_error(gains) == 1


def test_equal_settings_and_a_single_topic() -> None:
    assert first_within_one_error(np.full((4, 3), 0.5)) == 0
    assert first_within_one_error(np.array([[0.1, 0.3, 0.2]])) == 1  # no error can be estimated: the best


def test_the_error_is_that_of_the_mean_not_the_deviation_of_a_topic() -> None:
    gains = np.array([0.2, 0.01, 0.15, 0.01])  # mean 0.093, standard error 0.049, standard deviation 0.098
    assert first_within_one_error(np.stack([np.full(4, 0.3), 0.3 + gains], axis=1)) == 1


def test_the_best_setting_is_that_of_the_mean_not_of_one_topic() -> None:
    values = np.array([[0.9, 0.85], *[[0.1, 0.3]] * 19])
    assert first_within_one_error(values) == 1
