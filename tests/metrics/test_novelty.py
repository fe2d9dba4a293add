from __future__ import annotations

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.core.qrels import Qrels, TopicQrels
from avs.metrics.novelty import TeamRun, novelty

POOL = TopicQrels("1", ("a", "b", "c", "d"), np.ones(4), np.array([1, 1, 1, 0]))
EMPTY = TopicQrels("2", ("a",), np.ones(1), np.array([1]))
QRELS = Qrels({"1": POOL, "2": EMPTY})


def run(name: str, team: str, shots: list[str]) -> TeamRun:
    return TeamRun(name, team, {"1": (shots, np.arange(len(shots), 0.0, -1))})


def test_only_shots_no_other_team_found_count_by_how_many_runs_found_them() -> None:
    runs = [run("x1", "X", ["a", "b", "d"]), run("x2", "X", ["b"]), run("y1", "Y", ["a", "c"]), run("y2", "Y", [])]
    scores = {n.run: (n.score, n.unique_shots) for n in novelty(runs, QRELS)}
    half, three_quarters = (1 - 2 / 4) / 2, (1 - 1 / 4) / 2  # two topics
    assert scores == {"x1": (half, 1), "x2": (half, 1), "y1": (three_quarters, 1), "y2": (0.0, 0)}


def test_one_team_is_refused() -> None:
    with pytest.raises(DataError, match="novelty needs runs of at least two teams\n  got:    teams: X"):
        novelty([run("x1", "X", ["a"])], QRELS)


def test_only_the_first_1000_of_a_list_count_by_the_last_line_of_a_shot() -> None:
    other = run("y", "Y", ["d"])

    def found(shots: list[str], scores: list[float]) -> int:
        return novelty([TeamRun("x", "X", {"1": (shots, np.array(scores))}), other], QRELS)[0].unique_shots

    others = [f"shot{i}" for i in range(999)]
    assert found([*others, "a"], [2.0] * 999 + [1.0]) == 1
    assert found([*others, "b", "a"], [2.0] * 999 + [1.5, 1.0]) == 1  # a is on rank 1,001
    assert found(["a", *others, "d", "a"], [3.0, *[2.0] * 999, 1.5, 1.0]) == 0  # of two lines of a the last counts
    assert found([*others, "b", "c", "a"], [2.0] * 999 + [1.5, 1.0, 1.7]) == 1  # the best three compete for one place
