from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.features.levels import StoreLevel, farthest_apart, parse_level


def test_levels_and_their_folders() -> None:
    assert [parse_level(text) for text in ("shot", "frame")] == [StoreLevel("shot"), StoreLevel("frame")]
    assert parse_level("keep:12") == StoreLevel("frame", 12)
    assert [parse_level(text).folder for text in ("shot", "frame", "keep:12")] == ["shot", "frame", "keep-12"]


@pytest.mark.parametrize("text", ["keep", "keep:", "keep:0", "keep:-1", "keep:4 ", "keep:\u0664", "keep:10000", ""])
def test_what_is_no_level(text: str) -> None:
    with pytest.raises(ConfigError, match="unknown level"):
        parse_level(text)


def vectors(seed: int, count: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, 6))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def slow(rows: np.ndarray, count: int) -> list[int]:
    """The definition, by loops."""
    mean = rows.mean(axis=0)
    taken = [max(range(len(rows)), key=lambda place: (float(rows[place] @ mean), -place))]
    while len(taken) < count:
        left = [place for place in range(len(rows)) if place not in taken]
        taken.append(min(left, key=lambda place: (max(float(rows[place] @ rows[other]) for other in taken), place)))
    return sorted(taken)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_farthest_are_those_of_the_definition(seed: int, count: int) -> None:
    rows = vectors(seed, 9)
    places = farthest_apart(rows, count)
    assert places.tolist() == slow(rows, count)
    np.testing.assert_array_equal(farthest_apart(rows * np.arange(1, 10)[:, None], count), places)


@pytest.mark.parametrize("seed", range(5))
def test_their_greatest_similarity_is_near_the_least_that_any_choice_has(seed: int) -> None:
    """The traversal is within twice the best spread, by distances between unit vectors (Gonzalez 1985)."""
    rows = vectors(seed, 8)
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    chosen = farthest_apart(rows, 3)
    spread = min(distance[one, other] for one, other in combinations(chosen, 2))
    best = max(min(distance[a, b] for a, b in combinations(each, 2)) for each in combinations(range(8), 3))
    assert spread >= best / 2


def test_few_and_equal_vectors() -> None:
    rows = vectors(0, 3)
    assert farthest_apart(rows, 3).tolist() == farthest_apart(rows, 9).tolist() == [0, 1, 2]
    assert farthest_apart(rows[:0], 2).tolist() == []
    same = np.repeat(rows[:1], 4, axis=0)
    assert farthest_apart(same, 2).tolist() == [0, 1]
    assert farthest_apart(np.concatenate([same, rows[1:2]]), 2).tolist() == [0, 4]
