"""What holds for every set of lists: names of lists and scales of scores do not matter, and one list stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_pools import fused_order, one_topic

from avs.fusion.fuser import Fuser
from avs.fusion.methods.borda import Borda
from avs.fusion.methods.comb import Average, CombMax, CombMnz, CombSum
from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.normalize import NORMALIZATIONS, Scale
from avs.fusion.order import best_first
from avs.fusion.pool import CandidatePool

SHOTS = [f"shot{video}_{number}" for video in (1, 2, 10) for number in (1, 2, 9, 10)]
Lists = dict[str, dict[str, float]]
BY_RANK = [ReciprocalRank(), ReciprocalRank(k=0), Borda()]
SCALES = [("minmax",), ("zscore",), ("zscore", "absent"), ("rank",), ("reciprocal-rank",)]
COMBINATIONS = [fuser(Scale(*how)) for fuser in (Average, CombSum, CombMnz, CombMax) for how in SCALES]
ALL: list[Fuser] = [*BY_RANK, *COMBINATIONS]


@st.composite
def some_lists(draw: st.DrawFn, *, least: int = 1) -> Lists:
    """Lists of multiples of 1/8 with ties; no list has equal scores only."""
    lists = {}
    for name in draw(st.permutations("abcd"))[: draw(st.integers(least, 4))]:
        shots = draw(st.lists(st.sampled_from(SHOTS), min_size=2, unique=True))
        scores = draw(st.lists(st.integers(-8, 8), min_size=len(shots), max_size=len(shots)))
        if len(set(scores)) == 1:
            scores[0] += 1
        lists[name] = {shot: score / 8 for shot, score in zip(shots, scores, strict=True)}
    return lists


def fused(fuser: Fuser, pool: CandidatePool) -> dict[str, float]:
    return dict(zip(pool.shots, fuser.fuse(pool).tolist(), strict=True))


def assert_alike(fusers: Sequence[Fuser], found: CandidatePool, wanted: CandidatePool) -> None:
    for fuser in fusers:
        assert fused(fuser, found) == pytest.approx(fused(fuser, wanted), rel=1e-9, abs=1e-9), fuser


def ranked(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=lambda shot: (scores[shot], shot), reverse=True)


@given(some_lists())
def test_reciprocal_ranks_and_points_are_what_loops_give(lists: Lists) -> None:
    shots = sorted(set().union(*lists.values()))
    rrf, points = dict.fromkeys(shots, Fraction(0)), dict.fromkeys(shots, Fraction(0))
    for scores in lists.values():
        order = ranked(scores)
        for rank, shot in enumerate(order, start=1):
            rrf[shot] += Fraction(1, 60 + rank)
            points[shot] += len(shots) + 1 - rank
        rest = [shot for shot in shots if shot not in scores]
        for shot in rest:
            points[shot] += Fraction(len(rest) + 1, 2)
    pool = one_topic(lists)
    assert fused(ReciprocalRank(), pool) == pytest.approx({shot: float(value) for shot, value in rrf.items()})
    assert fused(Borda(), pool) == points


@given(some_lists(), st.permutations("abcd"))
def test_names_and_order_of_the_lists_do_not_matter(lists: Lists, names: list[str]) -> None:
    renamed = dict(reversed([(names["abcd".index(name)], scores) for name, scores in lists.items()]))
    assert_alike(ALL, one_topic(renamed), one_topic(lists))


@given(some_lists())
def test_ranks_alone_matter_where_a_method_goes_by_ranks(lists: Lists) -> None:
    bent = {name: {shot: 3 + score**3 for shot, score in scores.items()} for name, scores in lists.items()}
    assert_alike(BY_RANK, one_topic(bent), one_topic(lists))


@given(some_lists(), st.data())
def test_scale_and_origin_of_a_list_do_not_matter(lists: Lists, data: st.DataObject) -> None:
    moved = {}
    for name, scores in lists.items():
        factor, origin = data.draw(st.sampled_from([0.25, 1.0, 2.0, 64.0])), data.draw(st.integers(-4, 4))
        moved[name] = {shot: factor * score + origin for shot, score in scores.items()}
    assert_alike(ALL, one_topic(moved), one_topic(lists))


@given(some_lists(), st.integers(1, 3))
def test_copies_of_one_list_keep_its_order(lists: Lists, copies: int) -> None:
    distinct = {shot: float(-rank) for rank, shot in enumerate(ranked(next(iter(lists.values()))))}
    pool = one_topic({f"list {n}": distinct for n in range(copies)})
    for fuser in ALL:
        assert fused_order(pool, fuser.fuse(pool)) == list(distinct), fuser


@given(some_lists(least=2), st.integers(1, 12))
def test_a_fused_list_is_the_head_of_the_full_sort(lists: Lists, limit: int) -> None:
    pool = one_topic(lists)
    found = pool.ranking(Average().fuse(pool), limit=limit)
    assert list(found.shots) == ranked(fused(Average(), pool))[:limit]


@given(st.lists(st.lists(st.integers(-2, 2), min_size=7, max_size=7), min_size=1, max_size=4), st.integers(1, 9))
def test_the_best_are_the_head_of_a_full_sort(rows: list[list[int]], limit: int) -> None:
    wanted = [sorted(range(7), key=lambda i: (-row[i], i))[:limit] for row in rows]
    assert best_first(np.array(rows, dtype=float), limit).tolist() == wanted


@given(some_lists(), st.sampled_from(list(NORMALIZATIONS)))
def test_a_normalization_keeps_the_order_of_every_list(lists: Lists, name: str) -> None:
    pool = one_topic(lists)
    values = Scale(name)(pool)
    for column, scores in enumerate(lists[name] for name in sorted(lists)):
        own = dict(zip(pool.shots, values[:, column].tolist(), strict=True))
        order = ranked(scores)
        assert all(own[before] >= own[after] for before, after in zip(order, order[1:], strict=False))
        assert all(own[shot] < min(own[held] for held in scores) for shot in own if shot not in scores)
