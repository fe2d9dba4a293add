from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, one_topic, random_pools, run

from avs.core.errors import ConfigError
from avs.fusion.normalize import BEHIND, NORMALIZATIONS, Scale
from avs.fusion.pool import CandidatePool, pool_runs


def naive(name: str, scores: list[float], i: int) -> float:
    """Of a list's scores, best first, the i-th."""
    low, high, mean = min(scores), max(scores), sum(scores) / len(scores)
    std = (sum((s - mean) ** 2 for s in scores) / len(scores)) ** 0.5
    return {
        "minmax": (scores[i] - low) / (high - low),
        "zscore": (scores[i] - mean) / std,
        "rank": 1 - i / len(scores),
        "reciprocal-rank": 1 / (61 + i),
    }[name]


@pytest.mark.parametrize("missing", ["minimum", "absent"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_each_list_is_normalised_as_it_stands(name: str, missing: str) -> None:
    pools, _ = random_pools(0)
    for pool in pools.values():
        values = Scale(name, missing)(pool)
        for column in range(len(pool.lists)):
            held = pool.held[:, column]
            scores = sorted(pool.scores[held, column].tolist(), reverse=True)
            wanted = [naive(name, scores, rank - 1) for rank in pool.ranks[held, column]]
            np.testing.assert_allclose(values[held, column], wanted, rtol=1e-12, atol=1e-12)
            rest = values[~held, column]
            assert len(rest) and (
                np.isnan(rest).all() if missing == "absent" else (rest == values[held, column].min() - BEHIND).all()
            )


def test_by_hand() -> None:
    pool = one_topic({"x": {"c": 5.0, "b": 2.0, "a": 1.0}, "y": {"c": 1.0, "d": 0.0}})  # shots d, c, b, a
    assert Scale("minmax")(pool)[:, 0].tolist() == [-BEHIND, 1, 0.25, 0]
    assert Scale("rank")(pool)[:, 0].tolist() == pytest.approx([1 / 3, 1, 2 / 3, 1 / 3])
    assert Scale("reciprocal-rank")(pool)[:, 0].tolist() == pytest.approx([1 / 63, 1 / 61, 1 / 62, 1 / 63])


@pytest.mark.parametrize("name", ["minmax", "zscore"])
@pytest.mark.parametrize("score", [0.0, 0.1, 1e30, -3.7e-5])
@pytest.mark.parametrize("count", [1, 3, 999])
def test_a_list_without_variance_says_0_and_never_nan(name: str, score: float, count: int) -> None:
    """Of three scores of 0.1 the mean is not 0.1 and the deviation not 0, in floating point."""
    scores = np.column_stack([np.full(count + 2, score), np.arange(count + 2.0)])
    scores[count:, 0] = np.nan
    shots = tuple(f"shot{i:05d}_1" for i in reversed(range(count + 2)))
    pool = CandidatePool("1", ("x", "y"), shots, scores, np.ones(scores.shape, dtype=int), ~np.isnan(scores))
    assert Scale(name)(pool)[:, 0].tolist() == [0.0] * count + [-BEHIND] * 2
    absent = Scale(name, "absent")(pool)[:, 0]
    assert not absent[:count].any() and np.isnan(absent[count:]).all()


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_list_that_lacks_the_topic_says_nothing(name: str) -> None:
    runs = {"a": run("a", {"1": by_rank("s", "t"), "2": by_rank("s", "t")}), "b": run("b", {"1": by_rank("s", "u")})}
    values = Scale(name)(pool_runs(runs, partial=True)["2"])
    assert np.isnan(values[:, 1]).all() and np.isfinite(values[:, 0]).all()


@pytest.mark.parametrize("name", ["minmax", "zscore"])
def test_a_positive_affine_rescaling_of_a_list_changes_nothing(name: str) -> None:
    pools, _ = random_pools(1)
    for pool in pools.values():
        other = pool.recomputed(pool.scores)
        other.scores[:, 1] = 3.5 * other.scores[:, 1] - 20
        np.testing.assert_allclose(Scale(name)(other), Scale(name)(pool), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["rank", "reciprocal-rank"])
def test_rank_based_scales_see_no_score(name: str) -> None:
    pools, _ = random_pools(2)
    for pool in pools.values():
        other = pool.recomputed(pool.scores)
        other.scores[:] = other.scores**3
        np.testing.assert_array_equal(Scale(name)(other), Scale(name)(pool))


def test_unknown_names() -> None:
    with pytest.raises(ConfigError) as error:
        Scale("minmaks")
    assert str(error.value) == (
        'unknown normalization "minmaks"; did you mean "minmax"?\n  wanted: minmax, zscore, rank, reciprocal-rank'
    )
    with pytest.raises(ConfigError) as error:
        Scale("minmax", "zero")
    assert str(error.value) == (
        'unknown policy for shots that a list does not contain "zero"\n  wanted: minimum, absent'
    )
