from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, fused_order, one_topic, random_pools

from avs.core.errors import ConfigError
from avs.fusion.methods.rrf import ReciprocalRank


def test_two_lists_by_hand() -> None:
    pool = one_topic({"x": by_rank("a", "b", "c"), "y": by_rank("b", "c", "d")})
    fused = dict(zip(pool.shots, ReciprocalRank().fuse(pool).tolist(), strict=True))
    assert fused == {
        "b": pytest.approx(1 / 62 + 1 / 61),
        "c": pytest.approx(1 / 63 + 1 / 62),
        "a": pytest.approx(1 / 61),
        "d": pytest.approx(1 / 63),
    }
    assert {shot: f"{value:.6f}"[1:] for shot, value in fused.items()} == {
        "b": ".032522",
        "c": ".032002",
        "a": ".016393",
        "d": ".015873",
    }
    assert fused_order(pool, ReciprocalRank().fuse(pool)) == ["b", "c", "a", "d"]


@pytest.mark.parametrize("k", [0, 1, 60])
def test_it_is_what_loops_give(k: float) -> None:
    pools, _ = random_pools(0)
    for pool in pools.values():
        wanted = [sum(1 / (k + rank) for rank in row if rank) for row in pool.ranks.tolist()]
        np.testing.assert_allclose(ReciprocalRank(k).fuse(pool), wanted, rtol=1e-12)


@pytest.mark.parametrize("k", [-1.0, float("nan")])
def test_k_below_0(k: float) -> None:
    with pytest.raises(ConfigError) as error:
        ReciprocalRank(k)
    assert str(error.value) == f"k of reciprocal rank fusion must be 0 or more\n  got:    {k}"
