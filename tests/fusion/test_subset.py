from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_pools import random_pools

from avs.core.errors import ConfigError
from avs.core.objective import Objective
from avs.fusion.cross_validation import values
from avs.fusion.fuser import Pools
from avs.fusion.methods.comb import Average
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool
from avs.fusion.subset import Selection, forward_selection, prefix_values
from avs.metrics.xinfap_objective import xinfap_objective

SCALES = [Scale("minmax"), Scale("zscore", "absent"), Scale("reciprocal-rank")]


def mean_of(pools: Pools, lists: list[str], objective: Objective, scale: Scale) -> float:
    chosen = {topic: pool.columns(lists) for topic, pool in pools.items()}
    return float(np.mean(list(values(Average(scale), chosen, objective).values())))


def naive(pools: Pools, objective: Objective, scale: Scale) -> tuple[list[str], list[float]]:
    path: list[str] = []
    means: list[float] = []
    left = list(next(iter(pools.values())).lists)
    while left:
        tried = [mean_of(pools, [*path, name], objective, scale) for name in left]
        path.append(left.pop(int(np.argmax(tried))))
        means.append(max(tried))
    return path, means


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.normalization)
@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_that_of_a_plain_loop(seed: int, scale: Scale) -> None:
    pools, qrels = random_pools(seed, lists=6, topics=4, noise=[0.5, 0.8, 1, 1.5, 2, 4])
    objective = xinfap_objective(qrels)
    path, means = naive(pools, objective, scale)
    found = forward_selection(pools, objective, scale=scale)
    assert found.path == tuple(path)
    assert found.means == pytest.approx(means)
    assert found.lists == tuple(path[: int(np.argmax(means)) + 1])


def test_the_path_ends_with_the_average_of_all_lists() -> None:
    pools, qrels = random_pools(1, lists=5, topics=4)
    objective = xinfap_objective(qrels)
    found = forward_selection(pools, objective)
    assert sorted(found.path) == sorted(next(iter(pools.values())).lists)
    assert found.means[-1] == pytest.approx(mean_of(pools, list(found.path), objective, Scale()))


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.normalization)
def test_values_by_size_are_those_of_the_fusers(scale: Scale) -> None:
    pools, qrels = random_pools(2, lists=4, topics=3)
    objective = xinfap_objective(qrels)
    found = forward_selection(pools, objective, scale=scale)
    measured = prefix_values(found, pools, objective)
    assert measured.shape == (3, 4)
    assert measured.mean(axis=0) == pytest.approx(found.means)
    of_best = list(values(found.fuser, pools, objective).values())
    assert measured[:, len(found.lists) - 1] == pytest.approx(of_best)


def test_values_by_size_follow_names_and_not_places() -> None:
    pools, qrels = random_pools(3, lists=4, topics=2)
    objective = xinfap_objective(qrels)
    found = forward_selection(pools, objective)
    turned = {topic: pool.columns(pool.lists[::-1]) for topic, pool in pools.items()}
    np.testing.assert_allclose(prefix_values(found, turned, objective), prefix_values(found, pools, objective))


def test_a_list_that_speaks_against_the_truth_is_left_out() -> None:
    pools, qrels = random_pools(4, lists=4, topics=4, depth=60, noise=0.7)
    against = {topic: turned_round(pool, "m3") for topic, pool in pools.items()}
    found = forward_selection(against, xinfap_objective(qrels))
    assert found.path[-1] == "m3"
    assert "m3" not in found.lists and "m3" not in found.fuser.weights


def turned_round(pool: CandidatePool, name: str) -> CandidatePool:
    scores = pool.scores.copy()
    scores[:, pool.lists.index(name)] *= -1
    return replace(pool, scores=scores)


def test_of_equally_good_subsets_the_smallest() -> None:
    found = Selection(("b", "a", "c"), (0.4, 0.5, 0.5), Scale())
    assert found.lists == ("b", "a")
    assert dict(found.fuser.weights) == {"b": 0.5, "a": 0.5}


def test_a_list_twice_adds_nothing() -> None:
    pools, qrels = random_pools(5, lists=1, topics=3)
    twice = {
        topic: replace(
            pool,
            lists=("one", "copy"),
            scores=np.repeat(pool.scores, 2, axis=1),
            ranks=np.repeat(pool.ranks, 2, axis=1),
            held=np.repeat(pool.held, 2, axis=1),
        )
        for topic, pool in pools.items()
    }
    found = forward_selection(twice, xinfap_objective(qrels))
    assert (found.path, found.lists) == (("one", "copy"), ("one",))


def test_without_topics() -> None:
    with pytest.raises(ConfigError, match="nothing to select lists by"):
        forward_selection({}, xinfap_objective(random_pools(0)[1]))


def test_values_of_no_topic_are_an_empty_table() -> None:
    pools, qrels = random_pools(0)
    found = forward_selection(pools, xinfap_objective(qrels))
    assert prefix_values(found, {}, xinfap_objective(qrels)).shape == (0, 4)
