from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, fused_order, one_topic, random_pools, run

from avs.fusion.methods.comb import Average, CombMax, CombMnz, CombSum
from avs.fusion.normalize import NORMALIZATIONS, Scale
from avs.fusion.pool import CandidatePool, pool_runs

# a, of two lists, is .5 in both after min-max; z holds it not
THREE = {
    "x": {"t": 1.0, "a": 0.5, "b": 0.0},
    "y": {"t": 3.0, "a": 2.0, "b": 1.0},
    "z": {"t": 9.0, "b": 4.0},
}


def test_combmnz_and_combsum_of_a_shot_in_two_of_three_lists() -> None:
    pool = one_topic(THREE)
    at = pool.shots.index("a")
    for missing in ("minimum", "absent"):
        scale = Scale("minmax", missing)
        assert CombSum(scale).fuse(pool)[at] == pytest.approx(1.0, abs=1e-8)
        assert CombMnz(scale).fuse(pool)[at] == pytest.approx(2.0, abs=1e-8)
        assert CombMax(scale).fuse(pool)[at] == 0.5
        assert Average(scale).fuse(pool)[at] == pytest.approx(1 / 3, abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("missing", ["minimum", "absent"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_combinations_are_what_loops_give(name: str, missing: str, seed: int) -> None:
    pools, _ = random_pools(seed)
    scale = Scale(name, missing)
    for pool in pools.values():
        values = [[v for v in row if not np.isnan(v)] for row in scale(pool).tolist()]
        low = min(0.0, min(v for row in values for v in row))
        count = pool.held.sum(axis=1).tolist()
        np.testing.assert_allclose(CombSum(scale).fuse(pool), [sum(row) for row in values], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(Average(scale).fuse(pool) * 4, CombSum(scale).fuse(pool), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(CombMax(scale).fuse(pool), [max(row) for row in values])
        mnz = [sum(v - low for v in row) * n for row, n in zip(values, count, strict=True)]
        np.testing.assert_allclose(CombMnz(scale).fuse(pool), mnz, rtol=1e-12, atol=1e-12)


def test_combmnz_of_z_scores_rewards_a_shot_for_being_held() -> None:
    pool = one_topic({"x": by_rank("t", "a", "b"), "y": by_rank("t", "a"), "z": by_rank("t", "c")})
    fused = CombMnz(Scale("zscore", "absent")).fuse(pool)
    at = pool.shots.index
    assert fused[at("a")] > fused[at("b")]  # the product of plain z-scores, -.71 x 2 and -1.22, has it the other way


@pytest.mark.parametrize("fuser", [Average(), CombSum()])
def test_the_average_does_not_see_an_affine_rescaling_of_a_list_in_a_topic(fuser: Average | CombSum) -> None:
    pools, _ = random_pools(5)
    for number, pool in enumerate(pools.values()):
        other = pool.recomputed(pool.scores)
        other.scores[:, number] = 17.0 * other.scores[:, number] + 400  # another list in every topic
        np.testing.assert_allclose(fuser.fuse(other), fuser.fuse(pool), rtol=0, atol=1e-12)
        assert fused_order(other, fuser.fuse(other)) == fused_order(pool, fuser.fuse(pool))


def test_the_average_of_lists_that_lack_a_topic_is_that_of_those_that_have_it() -> None:
    full = {"1": by_rank("s", "t"), "2": by_rank("s", "t", "u")}
    runs = {"a": run("a", full), "b": run("b", full), "c": run("c", {"1": full["1"]})}
    pool = pool_runs(runs, partial=True)["2"]
    for fuser in (Average(), CombSum(), CombMnz(), CombMax()):
        fused = fuser.fuse(pool)
        assert np.isfinite(fused).all() and fused_order(pool, fused) == ["s", "t", "u"]


def test_combmax_takes_the_best_word_for_a_shot() -> None:
    pool = CandidatePool(
        "1", ("x", "y"), ("b", "a"), np.array([[1.0, 0.0], [0.0, 9.0]]), np.ones((2, 2), int), np.ones((2, 2), bool)
    )
    assert CombMax().fuse(pool).tolist() == [1.0, 1.0]
