from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, one_topic, random_pools, run

from avs.fusion.methods.borda import Borda
from avs.fusion.pool import pool_runs


def naive(ranks: list[list[int]]) -> list[float]:
    """Points C, C - 1, ... down each list; what is left is shared by those it does not hold."""
    points = [0.0] * len(ranks)
    for column in range(len(ranks[0])):
        left = list(range(len(ranks), 0, -1))
        held = {row[column]: i for i, row in enumerate(ranks) if row[column]}
        for rank in sorted(held):
            points[held[rank]] += left.pop(0)
        for i, row in enumerate(ranks):
            if not row[column]:
                points[i] += sum(left) / len(left)
    return points


def test_the_points_that_are_left_over_go_in_equal_parts_to_the_others() -> None:
    pool = one_topic({"x": by_rank("a", "b"), "y": by_rank("b", "c", "d")})  # of 4: x leaves 2 + 1, y leaves 1
    points = dict(zip(pool.shots, Borda().fuse(pool).tolist(), strict=True))
    assert points == {"a": 4 + 1, "b": 3 + 4, "c": 1.5 + 3, "d": 1.5 + 2}


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_loops_give_and_every_list_gives_all_its_points(seed: int) -> None:
    pools, _ = random_pools(seed)
    for pool in pools.values():
        fused, count = Borda().fuse(pool), len(pool)
        np.testing.assert_allclose(fused, naive(pool.ranks.tolist()), rtol=1e-12)
        assert fused.sum() == len(pool.lists) * count * (count + 1) / 2


def test_a_list_without_the_topic_gives_everyone_the_same() -> None:
    runs = {"a": run("a", {"1": by_rank("s", "t"), "2": by_rank("s", "t")}), "b": run("b", {"1": by_rank("s", "u")})}
    pool = pool_runs(runs, partial=True)["2"]
    assert dict(zip(pool.shots, Borda().fuse(pool).tolist(), strict=True)) == {"s": 3.5, "t": 2.5}
