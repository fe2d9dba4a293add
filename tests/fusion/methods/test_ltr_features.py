from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, one_topic, random_pools

from avs.fusion.methods.comb import CombMnz
from avs.fusion.methods.ltr_features import feature_names, features, monotone_constraints
from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.normalize import Scale


def test_names_and_columns_go_together() -> None:
    pool = one_topic({"x": by_rank("a", "b", "c"), "y": by_rank("b", "c", "d")})
    names, seen = feature_names(pool.lists), features(pool)
    assert seen.shape == (4, len(names)) == (4, 4 * 2 + 10) and seen.dtype == np.float32
    row = dict(zip(names, seen[pool.shots.index("a")].tolist(), strict=True))
    z = (1.5**0.5, -(1.5**0.5))  # first of three, and as good as the last of three
    wanted = {
        "x zscore": z[0],
        "y zscore": z[1],
        "x minmax": 1,
        "y minmax": 0,
        "x reciprocal-rank": 1 / 61,
        "y reciprocal-rank": 1 / 63,
        "x held": 1,
        "y held": 0,
        "mean": 0,
        "max": z[0],
        "min": z[1],
        "std": z[0],
        "median": 0,
        "combmnz": 1,
        "rrf": 1 / 61,
        "top10": 1,
        "top100": 1,
        "top1000": 1,
    }
    assert row == {name: pytest.approx(value, rel=1e-6, abs=1e-6) for name, value in wanted.items()}


def test_what_lists_say_together_is_what_the_fusers_say() -> None:
    pools, _ = random_pools(0)
    for pool in pools.values():
        seen = dict(zip(feature_names(pool.lists), features(pool).T, strict=True))
        np.testing.assert_allclose(seen["combmnz"], CombMnz().fuse(pool), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(seen["rrf"], ReciprocalRank().fuse(pool), rtol=1e-6)
        np.testing.assert_allclose(seen["mean"], Scale("zscore")(pool).mean(axis=1), rtol=1e-5, atol=1e-6)
        for top in (10, 100, 1000):
            wanted = [sum(0 < rank <= top for rank in row) for row in pool.ranks.tolist()]
            assert seen[f"top{top}"].tolist() == wanted


def test_all_but_the_spread_grow_with_relevance() -> None:
    lists = ("x", "y", "std")
    rises = dict(zip(feature_names(lists), monotone_constraints(lists), strict=True))
    assert [name for name, rise in rises.items() if rise != 1] == ["std"] and rises["std"] == 0
