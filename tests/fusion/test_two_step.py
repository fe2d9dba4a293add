from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tiny_pools import by_rank, fused_order, one_topic, random_pools

from avs.core.errors import ConfigError
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Fuser, Pools
from avs.fusion.methods.comb import Average
from avs.fusion.methods.weighted import Linear
from avs.fusion.pool import CandidatePool
from avs.fusion.two_step import TwoStep, check_families, learn_two_steps, step_1

FAMILIES = {"laffs": ("m0", "m2"), "clips": ("m3", "m1")}


@dataclass(frozen=True)
class Spy:
    """Says which topics it was fitted on: the candidate that is row r scores r + a number for them."""

    lists: tuple[str, ...]
    seen: frozenset[str]

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        return np.arange(len(pool)) + 1000.0 * sum(2 ** int(topic) for topic in self.seen)


def spy(pools: Pools) -> Fuser:
    return Spy(next(iter(pools.values())).lists, frozenset(pools))


def seen_by(scores: np.ndarray) -> set[str]:
    code = int(np.nanmin(scores) // 1000)
    return {str(i) for i in range(20) if code >> i & 1}


def test_step_2_learns_from_answers_of_step_1_that_have_not_seen_the_topic() -> None:
    pools, _ = random_pools(0, lists=5, topics=6)
    folds = topic_folds(tuple(pools), 3, seed=0)
    learned_from: list[Pools] = []

    def second(answers: Pools) -> Fuser:
        learned_from.append(answers)
        return Average()

    fitted = learn_two_steps(pools, FAMILIES, first=spy, second=second, folds=folds)
    assert len(learned_from) == 1 and list(learned_from[0]) == list(pools)
    train = {topic: set(fold.train) for fold in folds for topic in fold.test}
    for topic, pool in learned_from[0].items():
        assert pool.lists == ("laffs", "clips", "m4")
        for column in (0, 1):
            assert seen_by(pool.scores[:, column]) == train[topic] == set(pools) - {topic} - (set(pools) - train[topic])
            assert topic not in seen_by(pool.scores[:, column])
        np.testing.assert_array_equal(pool.scores[:, 2], pools[topic].scores[:, 4])
    assert fitted.first == {
        "laffs": Spy(("m0", "m2"), frozenset(pools)),
        "clips": Spy(("m3", "m1"), frozenset(pools)),
    }
    applied = step_1(pools["1"], fitted.families, fitted.alone, fitted.first)
    assert seen_by(applied.scores[:, 0]) == set(pools)  # what is applied was fitted on all


def test_without_folds_the_answers_of_step_1_are_taken_as_they_are() -> None:
    pools, _ = random_pools(0, lists=5)

    def second(answers: Pools) -> Fuser:
        assert all(seen_by(pool.scores[:, 0]) == {"1", "2", "3"} for pool in answers.values())
        return Average()

    learn_two_steps(pools, FAMILIES, first=spy, second=second, folds=())


def test_a_family_says_of_its_shots_what_its_fuser_says_and_of_others_nothing() -> None:
    pool = one_topic({"x": by_rank("a", "b", "c"), "y": by_rank("b", "c", "d"), "z": by_rank("e", "a", "b")})
    seen = step_1(pool, {"xy": ("x", "y")}, ("z",), {"xy": Average()})
    assert seen.lists == ("xy", "z") and seen.shots == pool.shots == ("e", "d", "c", "b", "a")
    wanted = Average().fuse(pool.columns(("x", "y")))
    assert seen.held[:, 0].tolist() == [False, True, True, True, True]
    assert np.isnan(seen.scores[0, 0]) and seen.ranks[0, 0] == 0
    np.testing.assert_array_equal(seen.scores[1:, 0], wanted[1:])
    order = sorted(range(1, 5), key=lambda i: (-wanted[i], i))
    assert [seen.ranks[i, 0] for i in order] == [1, 2, 3, 4]
    np.testing.assert_array_equal(seen.ranks[:, 1], pool.ranks[:, 2])


def test_two_averages_by_hand() -> None:
    pools, _ = random_pools(2, lists=5)
    fitted = TwoStep(FAMILIES, ("m4",), dict.fromkeys(FAMILIES, Average()), Average())
    assert fitted.lists == ("m0", "m2", "m3", "m1", "m4")
    for pool in pools.values():
        total = np.zeros(len(pool))
        for members in (("m0", "m2"), ("m3", "m1"), ("m4",)):
            part = pool.columns(members)
            held = part.held.any(axis=1)
            scores = Average().fuse(part) if len(members) > 1 else part.scores[:, 0]
            low, high = scores[held].min(), scores[held].max()
            total += np.where(held, (scores - low) / (high - low), 0)
        np.testing.assert_allclose(fitted.fuse(pool), total / 3, rtol=1e-12, atol=1e-8)


def test_any_order_of_lists_and_more_lists_than_needed() -> None:
    pools, _ = random_pools(2, lists=6)
    second = Linear({"m4": 0.2, "clips": 0.5, "laffs": 0.3})
    fitted = TwoStep(FAMILIES, ("m4",), {"laffs": Average(), "clips": Linear({"m1": 0.3, "m3": 0.7})}, second)
    for pool in pools.values():
        turned = pool.columns(("m4", "m3", "m2", "m1", "m0"))
        assert fitted.fuse(turned).tobytes() == fitted.fuse(pool).tobytes()
        assert fused_order(turned, fitted.fuse(turned)) == fused_order(pool, fitted.fuse(pool))
    with pytest.raises(ConfigError, match="the fuser needs lists that are missing"):
        fitted.fuse(pools["1"].columns(("m0", "m1", "m3", "m4")))


@pytest.mark.parametrize(
    ("families", "text"),
    [
        ({"f": ("m0", "x", "y")}, "a family names unknown lists: x, y\n  got:    m0, m1, m2"),
        ({"f": ("m0", "m1"), "g": ("m1", "m2")}, "a list is in two families\n  got:    m1"),
        ({"m2": ("m0", "m1")}, "a family has the name of a list outside it\n  got:    m2"),
    ],
)
def test_families_that_are_none(families: dict[str, tuple[str, ...]], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_families(families, ("m0", "m1", "m2"))
    assert str(error.value) == text


def test_a_family_may_have_the_name_of_one_of_its_lists() -> None:
    assert check_families({"m0": ["m0", "m1"]}, ("m0", "m1")) == {"m0": ("m0", "m1")}


def test_families_may_hold_all_lists() -> None:
    pools, _ = random_pools(2, lists=4)
    fitted = learn_two_steps(pools, FAMILIES, first=lambda p: Average(), second=lambda p: Average(), folds=())
    assert fitted.alone == ()
    for pool in pools.values():
        assert step_1(pool, fitted.families, (), fitted.first).lists == ("laffs", "clips")
        assert np.isfinite(fitted.fuse(pool)).all()
