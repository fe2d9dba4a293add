from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from avs.core.errors import ConfigError, DataError
from avs.core.ranking import RankedList
from avs.ranking.topk import TopK

if TYPE_CHECKING:
    from collections.abc import Sequence


def ids_in_no_order(count: int, rng: np.random.Generator) -> list[str]:
    return [f"shot{i // 9}_{i % 9 + 1}" for i in rng.permutation(count)]


def collect(scores: np.ndarray, ids: Sequence[str], cuts: Sequence[int], k: int) -> list[RankedList]:
    best = TopK([str(t) for t in range(len(scores))], ids, k=k)
    for first, last in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        best.add(scores[:, first:last], first=first)
    return best.lists()


def assert_as_on_all_scores(scores: np.ndarray, ids: Sequence[str], lists: Sequence[RankedList], k: int) -> None:
    for topic, (row, found) in enumerate(zip(scores, lists, strict=True)):
        wanted = RankedList.from_scores(str(topic), ids, row, limit=k)
        assert found.topic == str(topic)
        assert found.shots == wanted.shots
        np.testing.assert_array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("seed", range(60))
def test_blocks_give_what_all_scores_at_once_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    topics, shots, k = int(rng.integers(1, 6)), int(rng.integers(1, 400)), int(rng.choice([1, 2, 7, 50, 399, 1000]))
    levels = int(rng.choice([1, 2, 3, 20, 10**6]))  # how many different scores there are: from all equal to hardly any
    scores = rng.integers(-levels, levels, size=(topics, shots), endpoint=levels > 1).astype(np.float32) / 8
    if levels == 1:
        scores[:] = 0.25
    ids = ids_in_no_order(shots, rng)
    cuts = sorted(rng.choice(np.arange(1, shots), size=min(shots - 1, int(rng.integers(0, 40))), replace=False))
    assert_as_on_all_scores(scores, ids, collect(scores, ids, [int(c) for c in cuts], k), k)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_the_best_may_come_last_or_first(order: str) -> None:
    scores = np.linspace(-1, 1, 5000, dtype=np.float32)[None, :: 1 if order == "ascending" else -1]
    ids = [f"shot{i}_1" for i in range(5000)]
    lists = collect(scores, ids, range(100, 5000, 100), 30)
    assert_as_on_all_scores(scores, ids, lists, 30)


def test_ties_at_the_cut_are_decided_by_id_even_when_they_come_much_later() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.1, 0.5, 0.5]], dtype=np.float32)
    ids = ["shot3_1", "shot1_1", "shot2_1", "shot9_9", "shot10_1", "shot4_1"]
    (found,) = collect(scores, ids, [1, 2, 3, 4, 5], 3)
    assert found.shots == ("shot1_1", "shot4_1", "shot3_1")


def test_all_equal_scores_stay_within_bounds() -> None:
    topics, k, width, blocks = 2, 50, 200, 40
    ids = [f"shot{i:05d}_1" for i in range(width * blocks)]
    best = TopK(["1", "2"], ids, k=k)
    held = []
    for block in range(blocks):
        best.add(np.full((topics, width), 0.5, dtype=np.float32), first=block * width)
        held.append(best._pending_count + sum(map(len, best._shots)))
    assert max(held) <= topics * (2 * k + width)
    assert best.lists()[0].shots == tuple(sorted(ids, reverse=True)[:k])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_names_the_first_shot(bad: float) -> None:
    best = TopK(["661", "662"], [f"shot1_{i}" for i in range(1, 9)], k=3)
    best.add(np.zeros((2, 4), dtype=np.float32), first=0)
    scores = np.zeros((2, 4), dtype=np.float32)
    scores[1, 2] = scores[0, 3] = bad
    with pytest.raises(DataError) as caught:
        best.add(scores, first=4)
    assert str(caught.value) == (
        f"a score is not a finite number\n  where:  shot1_7, topic 662\n  got:    {np.float32(bad)}\n"
        "  next:   the store holds values that cannot be used: extract this shot's features again"
    )


def test_a_state_stays_what_it_was_and_can_be_gone_back_to() -> None:
    rng, ids = np.random.default_rng(0), [f"shot1_{i}" for i in range(1, 31)]
    scores = rng.normal(size=(2, 30)).astype(np.float32)
    best = TopK(["0", "1"], ids, k=4)
    best.add(scores[:, :10], first=0)
    kept = best.state()
    for _ in range(2):
        best.add(scores[:, 10:] + 9, first=10)
        best.state()
        best.add(scores[:, 10:12] + 20, first=10)  # not merged yet
        best.restore(kept)
    assert_as_on_all_scores(scores[:, :10], ids[:10], best.lists(), 4)
    best.add(scores[:, 10:], first=10)
    assert_as_on_all_scores(scores, ids, best.lists(), 4)


def test_scores_whose_sum_overflows_are_fine() -> None:
    scores = np.full((1, 8), 3e38, dtype=np.float32)
    assert len(collect(scores, [f"shot1_{i}" for i in range(8)], [4], 5)[0]) == 5


def test_a_list_needs_a_length() -> None:
    with pytest.raises(ConfigError, match="the length of a list must be at least 1"):
        TopK(["1"], ["shot1_1"], k=0)
