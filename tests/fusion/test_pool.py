from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import by_rank, one_topic, random_runs, run

from avs.core.errors import ConfigError, DataError
from avs.core.ranking import RankedList, Run
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool, pool_runs, ranks_of, require_lists


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("depth", [1, 7, 2000])
def test_the_pool_is_what_dictionaries_give(seed: int, depth: int) -> None:
    runs, _ = random_runs(seed)
    for topic, pool in pool_runs(runs, depth=depth).items():
        tops = {name: r.lists[topic].shots[:depth] for name, r in runs.items()}
        assert pool.shots == tuple(sorted({s for top in tops.values() for s in top}, reverse=True))
        for column, name in enumerate(pool.lists):
            scores = dict(zip(tops[name], runs[name].lists[topic].scores.tolist(), strict=False))
            ranks = {shot: i for i, shot in enumerate(tops[name], start=1)}
            wanted = [scores.get(shot, np.nan) for shot in pool.shots]
            np.testing.assert_array_equal(pool.scores[:, column], wanted)
            assert pool.ranks[:, column].tolist() == [ranks.get(shot, 0) for shot in pool.shots]
            assert pool.held[:, column].tolist() == [shot in ranks for shot in pool.shots]


def test_the_order_of_lists_and_topics_does_not_matter() -> None:
    runs, _ = random_runs(0)
    other = {name: Run(dict(reversed(list(r.lists.items()))), r.tag) for name, r in reversed(list(runs.items()))}
    first, second = pool_runs(runs), pool_runs(other)
    assert list(first) == ["1", "2", "3"] and list(second) == ["3", "2", "1"]
    for topic, pool in first.items():
        assert pool.lists == second[topic].lists == ("m0", "m1", "m2", "m3")
        assert pool.shots == second[topic].shots
        np.testing.assert_array_equal(pool.scores, second[topic].scores)


def test_a_ranking_breaks_ties_by_the_larger_shot_id_as_a_ranked_list_does() -> None:
    pool = one_topic({"x": by_rank("b", "a"), "y": by_rank("c", "a")})
    assert pool.ranking(np.zeros(3), limit=2).shots == ("c", "b")
    assert pool.ranking(np.zeros(3), limit=9).shots == RankedList.from_scores("1", pool.shots, np.zeros(3)).shots


def test_one_weight_alone_gives_the_list_itself_down_to_its_last_shot() -> None:
    runs, _ = random_runs(3, depth=20)
    for topic, pool in pool_runs(runs).items():
        for name in pool.lists:
            for scale in ("minmax", "zscore", "rank", "reciprocal-rank"):
                one = Linear({other: float(other == name) for other in pool.lists}, Scale(scale))
                fused = pool.ranking(one.fuse(pool), limit=1000)
                alone = runs[name].lists[topic].shots
                assert fused.shots[: len(alone)] == alone


def test_columns_are_taken_by_name() -> None:
    pool = one_topic({"x": by_rank("a", "b"), "y": by_rank("b", "c")})
    other = pool.columns(("y", "x"))
    np.testing.assert_array_equal(other.scores, pool.scores[:, ::-1])
    np.testing.assert_array_equal(other.ranks, pool.ranks[:, ::-1])
    assert pool.columns(("x", "y")) is pool


def test_a_missing_list_is_named() -> None:
    with pytest.raises(ConfigError) as error:
        one_topic({"x": by_rank("a", "b"), "y": by_rank("b", "c")}).columns(("x", "z"))
    assert str(error.value) == (
        "the fuser needs lists that are missing\n"
        "  got:    lists x, y\n"
        "  wanted: z\n"
        "  next:   give the lists under the names they had when it was fitted; lists/clip.trec is called clip"
    )
    with pytest.raises(ConfigError, match="^the fuser needs lists that are missing\n"):
        require_lists(("x",), ("z", "x", "y"))


def test_lists_over_different_topics_and_lists_of_equal_scores_are_all_told_at_once() -> None:
    runs = {
        "a": run("a", {"1": by_rank("s", "t"), "2": by_rank("s", "t")}),
        "b": run("b", {"1": by_rank("s", "t")}),
        "c": run("c", {"1": {"s": 0.5, "t": 0.5}, "2": by_rank("s", "t")}),
    }
    with pytest.raises(DataError) as error:
        pool_runs(runs)
    assert str(error.value) == (
        "lists that cannot be fused: 2 problems\n"
        "  b: has no shots for topic 2, which other lists have\n"
        "  c: all scores are equal for topic 1, so that there is no order\n"
        "  next:   leave these lists out, or make them again; --partial accepts lists that lack topics"
    )


def test_many_topics_are_counted_not_listed() -> None:
    full = {str(t): by_rank("s", "t") for t in range(1, 9)}
    with pytest.raises(DataError, match="b: has no shots for topics 2, 3, 4, 5, 6 and 2 more, which"):
        pool_runs({"a": run("a", full), "b": run("b", {"1": full["1"]})})


def test_a_list_may_lack_a_topic_when_that_is_said() -> None:
    runs = {"a": run("a", {"1": by_rank("s", "t"), "2": by_rank("s", "t")}), "b": run("b", {"1": by_rank("s", "u")})}
    pool = pool_runs(runs, partial=True)["2"]
    assert pool.shots == ("t", "s") and not pool.held[:, 1].any() and np.isnan(pool.scores[:, 1]).all()


def test_a_list_of_one_shot_is_no_list_of_equal_scores() -> None:
    assert len(one_topic({"a": {"s": 1.0}, "b": by_rank("s", "t")})) == 2


@pytest.mark.parametrize(("runs", "depth"), [({}, 10), ({"a": run("a", {"1": by_rank("s", "t")})}, 0)])
def test_nothing_to_fuse(runs: dict[str, Run], depth: int) -> None:
    with pytest.raises(ConfigError) as error:
        pool_runs(runs, depth=depth)
    assert str(error.value) == (
        f"nothing to fuse\n  got:    {len(runs)} lists, depth {depth}\n  wanted: 1 list, depth 1, or more"
    )


def test_scores_that_are_no_numbers_are_refused_where_they_enter() -> None:
    with pytest.raises(DataError) as error:
        RankedList.from_scores("1", ["a", "b"], np.array([1.0, np.nan]))
    assert str(error.value) == "a score is not a number\n  where:  topic 1\n  got:    b scores NaN"
    with pytest.raises(DataError, match="a score is not a number"):
        RankedList("1", ("a", "b"), np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="a shot occurs twice in a ranked list"):
        RankedList("1", ("a", "a"), np.array([1.0, 0.5]))


def test_recomputed_scores_fill_what_a_list_does_not_hold_and_nothing_else() -> None:
    pool = one_topic({"x": {"a": 0.9, "b": 0.5}, "y": {"b": 0.8, "c": 0.1}})  # shots c, b, a
    true = np.array([[0.7, 0.3], [-1.0, -1.0], [-1.0, np.nan]])
    full = pool.recomputed(true)
    np.testing.assert_array_equal(full.scores, [[0.7, 0.1], [0.5, 0.8], [0.9, np.nan]])
    assert full.ranks.tolist() == [[2, 2], [3, 1], [1, 0]]
    np.testing.assert_array_equal(full.held, pool.held)
    with pytest.raises(DataError, match="recomputed scores must be finite, and one for each candidate and list"):
        pool.recomputed(np.full((3, 2), np.inf))
    with pytest.raises(DataError, match="one for each candidate and list"):
        pool.recomputed(np.zeros((2, 2)))


def test_many_ties_are_broken_by_position() -> None:
    """Few distinct scores among hundreds: a sort that is not stable mixes them."""
    scores = np.random.default_rng(0).integers(0, 3, 500).astype(np.float64)
    shots = tuple(f"shot{i:05d}_1" for i in reversed(range(500)))
    nothing = np.zeros((500, 1))
    pool = CandidatePool("1", ("x",), shots, nothing, nothing.astype(np.int64), nothing.astype(bool))
    wanted = sorted(range(500), key=lambda i: (-scores[i], i))
    assert pool.ranking(scores, limit=400).shots == tuple(shots[i] for i in wanted[:400])
    assert ranks_of(scores[:, None])[wanted, 0].tolist() == list(range(1, 501))
