from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tiny_pools import fused_order, random_pools

from avs.core.errors import ConfigError, DataError
from avs.core.objective import Objective
from avs.core.qrels import Qrels
from avs.fusion.cross_validation import first_within_one_error, values
from avs.fusion.folds import Fold, topic_folds
from avs.fusion.fuser import Pools
from avs.fusion.methods import coordinate_ascent as module
from avs.fusion.methods.comb import Average
from avs.fusion.methods.coordinate_ascent import LEAST_GAIN, SHRINKAGE, Climb, climb, coordinate_ascent
from avs.fusion.methods.method import METHODS, Learning
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.metrics.xinfap_objective import xinfap_objective

MOVES = [sign * 0.05 * 2**i for sign in (1, -1) for i in range(6)]


def mean(fuser: Linear | Average, pools: Pools, objective: Objective) -> float:
    return float(np.mean(list(values(fuser, pools, objective).values())))


def linear(pools: Pools, weights: Sequence[float], scale: Scale) -> Linear:
    return Linear(dict(zip(next(iter(pools.values())).lists, map(float, weights), strict=True)), scale)


def naive_climb(pools: Pools, qrels: Qrels, scale: Scale, seed: int) -> Climb:
    """Every tried weight divided by the sum, every topic fused, ranked and scored anew."""
    objective, rng = xinfap_objective(qrels), np.random.default_rng(seed)
    count = len(next(iter(pools.values())).lists)
    weights = [1 / count] * count
    value, passes, taken = mean(linear(pools, weights, scale), pools, objective), 0, True
    while taken:
        passes, taken = passes + 1, False
        for column in rng.permutation(count):
            best, found = value + LEAST_GAIN, None
            for tried in sorted({0.0, *(weights[column] + move for move in MOVES)}):
                other = [tried if i == column else w for i, w in enumerate(weights)]
                if tried < 0 or tried == weights[column] or sum(other) <= 1e-12:
                    continue
                other = [w / sum(other) for w in other]
                there = mean(linear(pools, other, scale), pools, objective)
                if there > best:
                    best, found = there, other
            if found is not None:
                value, weights, taken = best, found, True
    return Climb(np.array(weights), value, passes)


@pytest.mark.parametrize("name", ["minmax", "zscore"])
@pytest.mark.parametrize("seed", range(4))
def test_the_climb_is_the_naive_one(name: str, seed: int) -> None:
    pools, qrels = random_pools(seed, lists=5, topics=4, noise=(0.5, 1, 2, 2, 3))
    scale = Scale(name)
    found = climb(pools, xinfap_objective(qrels), scale=scale, restart=0, seed=seed)
    wanted = naive_climb(pools, qrels, scale, seed)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=0, atol=1e-9)
    assert found.value == pytest.approx(wanted.value, rel=1e-12)
    assert found.passes == wanted.passes > 1


@pytest.mark.parametrize("seed", range(5))
def test_a_perfect_list_beside_a_random_one_gets_nearly_all_weight(seed: int) -> None:
    pools, qrels = random_pools(seed, lists=2, topics=10, shots=200, depth=200, noise=(0, 1e6))
    objective = xinfap_objective(qrels)
    fitted = coordinate_ascent(pools, objective, folds=topic_folds(tuple(pools), 5, seed=0), seed=seed)
    assert fitted.weights["m0"] > 0.9
    assert mean(fitted, pools, objective) >= mean(Average(), pools, objective)
    assert mean(fitted, pools, objective) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_climb_never_ends_below_its_start_and_ends_where_no_single_move_helps(seed: int) -> None:
    pools, qrels = random_pools(seed, noise=(0.5, 1, 2, 3))
    objective = xinfap_objective(qrels)
    found = climb(pools, objective, scale=Scale(), restart=0, seed=seed)
    assert found.value >= mean(Average(), pools, objective) - 1e-12
    assert found.value == pytest.approx(mean(linear(pools, found.weights, Scale()), pools, objective), rel=1e-12)
    assert found.weights.min() >= 0 and found.weights.sum() == pytest.approx(1, rel=1e-12)
    for column in range(len(found.weights)):  # one more pass accepts nothing
        for tried in (0.0, *(found.weights[column] + move for move in MOVES)):
            other = found.weights.copy()
            other[column] = tried
            if tried >= 0 and other.sum() > 1e-12:
                there = mean(linear(pools, other / other.sum(), Scale()), pools, objective)
                assert there - found.value <= LEAST_GAIN


def test_without_folds_the_best_climb_is_taken_as_it_is() -> None:
    pools, qrels = random_pools(1, noise=(0.5, 1, 2, 3))
    objective = xinfap_objective(qrels)
    climbs = [climb(pools, objective, scale=Scale(), restart=restart, seed=3) for restart in range(4)]
    best = max(climbs, key=lambda c: c.value)
    fitted = coordinate_ascent(pools, objective, folds=(), restarts=4, seed=3)
    assert list(fitted.weights.values()) == best.weights.tolist()
    assert len({c.weights.tobytes() for c in climbs}) > 1


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(threads: int) -> None:
    pools, qrels = random_pools(2, topics=8)
    folds = topic_folds(tuple(pools), 4, seed=0)
    one = coordinate_ascent(pools, xinfap_objective(qrels), folds=folds, seed=1)
    assert one == coordinate_ascent(pools, xinfap_objective(qrels), folds=folds, seed=1, threads=threads)


def test_weights_that_do_not_help_unseen_topics_are_drawn_back_to_the_average() -> None:
    """What was learned from one topic is tested on topics that want the contrary: no share of it helps."""
    pools, qrels = random_pools(0, lists=2, topics=4, noise=(0.01, 1.5))
    for topic in ("3", "4"):  # the lists change places
        pool = pools[topic]
        pools[topic] = pool.columns(("m1", "m0"))
        object.__setattr__(pools[topic], "lists", ("m0", "m1"))
    folds = [Fold("a", ("1", "2"), ("3", "4")), Fold("b", ("3", "4"), ("1", "2"))]
    fitted = coordinate_ascent(pools, xinfap_objective(qrels), folds=folds)
    assert fitted.weights == {"m0": 0.5, "m1": 0.5}
    for pool in pools.values():
        assert fused_order(pool, fitted.fuse(pool)) == fused_order(pool, Average().fuse(pool))


def test_the_share_is_the_first_near_the_best_on_topics_held_out() -> None:
    pools, qrels = random_pools(7, lists=6, topics=6, noise=(0.6, 1, 1, 2, 2, 3))
    objective, folds = xinfap_objective(qrels), topic_folds(tuple(pools), 3, seed=0)
    held_out = []
    for share in SHRINKAGE:
        found = []
        for fold in folds:
            learned = coordinate_ascent({t: pools[t] for t in fold.train}, objective, folds=(), seed=2)
            drawn = [(1 - share) / 6 + share * w for w in learned.weights.values()]
            found += values(linear(pools, drawn, Scale()), {t: pools[t] for t in fold.test}, objective).values()
        held_out.append(found)
    share = SHRINKAGE[first_within_one_error(np.array(held_out).T)]
    all_of_it = coordinate_ascent(pools, objective, folds=(), seed=2)
    fitted = coordinate_ascent(pools, objective, folds=folds, seed=2)
    drawn = [(1 - share) / 6 + share * w for w in all_of_it.weights.values()]
    assert list(fitted.weights.values()) == pytest.approx(drawn, rel=1e-12)


def test_lists_in_another_order_are_found_by_name() -> None:
    pools, qrels = random_pools(3)
    turned = {topic: pool.columns(pool.lists[::-1]) if topic != "1" else pool for topic, pool in pools.items()}
    objective = xinfap_objective(qrels)
    assert coordinate_ascent(turned, objective, folds=()) == coordinate_ascent(pools, objective, folds=())


def test_nothing_to_learn_from() -> None:
    pools, qrels = random_pools(0)
    with pytest.raises(ConfigError) as error:
        coordinate_ascent({}, xinfap_objective(qrels), folds=())
    assert str(error.value) == "nothing to learn from\n  got:    0 topics, 5 restarts"
    with pytest.raises(ConfigError, match="got:    3 topics, 0 restarts"):
        coordinate_ascent(pools, xinfap_objective(qrels), folds=(), restarts=0)
    with pytest.raises(DataError, match="^a topic without judgments\n  where:  topic 1$"):
        coordinate_ascent(pools, xinfap_objective(Qrels({})), folds=())


def test_defaults() -> None:
    """Steps of 0.05 times 1, 2 ... 32 in both directions, kept for a gain above 1e-4."""
    ladder = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    np.testing.assert_allclose(module.STEPS, [*(-step for step in reversed(ladder)), *ladder])
    assert (module.LEAST_GAIN, module.RESTARTS, module.SHRINKAGE) == (1e-4, 5, (0.0, 0.25, 0.5, 0.75, 1.0))


def test_settings_of_the_method_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(module, "coordinate_ascent", lambda pools, objective, **how: given.update(how))
    pools, qrels = random_pools(0, topics=4)
    learning = Learning(xinfap_objective(qrels), qrels, {topic: topic for topic in pools}, seed=7, threads=3)
    fit = METHODS.get("coordinate-ascent").fit
    assert fit is not None
    fit(pools, Scale("zscore"), learning, restarts=5)
    assert given == {
        "folds": learning.folds(tuple(pools)), "scale": Scale("zscore"), "restarts": 5, "seed": 7, "threads": 3,
    }  # fmt: skip
