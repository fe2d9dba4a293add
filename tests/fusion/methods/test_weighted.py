from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import fused_order, random_pools

from avs.core.errors import ConfigError
from avs.fusion.methods.comb import Average
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import NORMALIZATIONS, Scale


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_weight_on_one_list_gives_that_list(name: str) -> None:
    pools, _ = random_pools(0)
    for pool in pools.values():
        for column, one in enumerate(pool.lists):
            weights = {other: float(other == one) for other in pool.lists}
            order = fused_order(pool, Linear(weights, Scale(name)).fuse(pool))
            wanted = [pool.shots[i] for i in np.argsort(-pool.scores[:, column])][: int(pool.held[:, column].sum())]
            # the last of the list ties with what it does not hold, whose place is that of the least score
            assert order[: len(wanted) - 1] == wanted[:-1]


@pytest.mark.parametrize("missing", ["minimum", "absent"])
def test_equal_weights_are_the_average(missing: str) -> None:
    pools, _ = random_pools(1)
    scale = Scale("minmax", missing)
    for pool in pools.values():
        linear = Linear(dict.fromkeys(pool.lists, 1 / 4), scale)
        np.testing.assert_allclose(linear.fuse(pool), Average(scale).fuse(pool), rtol=1e-12, atol=1e-14)


def test_it_is_what_loops_give_whatever_the_order_of_weights_and_of_further_lists() -> None:
    pools, _ = random_pools(2)
    weights = {"m3": 0.2, "m0": 0.5, "m1": 0.0}  # m2 is not asked
    for pool in pools.values():
        values = Scale("zscore")(pool)
        wanted = [0.2 * row[3] + 0.5 * row[0] for row in values.tolist()]
        np.testing.assert_allclose(Linear(weights, Scale("zscore")).fuse(pool), wanted, rtol=1e-12, atol=1e-12)


def test_a_missing_list() -> None:
    pools, _ = random_pools(0)
    with pytest.raises(ConfigError, match="^the fuser needs lists that are missing\n.*\n  wanted: laff\n"):
        Linear({"m0": 1.0, "laff": 1.0}).fuse(pools["1"])


@pytest.mark.parametrize(
    ("weights", "got"),
    [
        ({"a": -0.1, "b": 1.0}, "a=-0.1, b=1"),
        ({"a": 0.0}, "a=0"),
        ({"a": float("nan")}, "a=nan"),
        ({"a": float("inf")}, "a=inf"),
        ({}, "none"),
    ],
)
def test_weights_that_weigh_nothing(weights: dict[str, float], got: str) -> None:
    with pytest.raises(ConfigError) as error:
        Linear(weights)
    assert str(error.value) == f"weights must be 0 or more, and at least one above 0\n  got:    {got}"
