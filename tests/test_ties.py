"""Ties are broken as the docstrings promise, among so many that a sort which is not stable would mix them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avs.core.objective import Objective, TopicObjective
from avs.core.ranking import RankedList
from avs.fusion.methods.ltr import Ltr
from avs.fusion.methods.ltr_features import feature_names
from avs.fusion.pool import CandidatePool, ranks_of
from avs.metrics.significance import largest_differences
from avs.pipeline.fuse.study import _list_values
from avs.reranking.fitting import _values
from avs.trecvid.qrels import read_qrels
from avs.trecvid.trec import read_trec

COUNT = 200
SHOTS = tuple(f"shotv_{n}" for n in sorted(range(1, COUNT + 1), key=str, reverse=True))  # as pools have them
EQUAL = np.ones((COUNT, 1))
GROUPS = np.arange(COUNT) % 3  # of equal values
GROUPED = sorted(range(COUNT), key=lambda i: (-GROUPS[i], i))  # the largest first


def pool_of(scores: np.ndarray) -> CandidatePool:
    return CandidatePool("1", ("a",), SHOTS, scores[:, None], ranks_of(scores[:, None]), np.ones((COUNT, 1), bool))


def recorder(orders: list[Any]) -> Objective:
    """A measure of 0 for everything, which records the orders that it is given."""

    def objective(topic: str, shots: Sequence[str]) -> TopicObjective:
        def measure(order: np.ndarray) -> np.ndarray:
            orders.append(order.tolist())
            return np.zeros(order.shape[:-1])

        return measure

    return objective


def test_ranks_of_equal_scores_are_in_row_order() -> None:
    order = np.argsort(ranks_of(GROUPS[:, None].astype(float))[:, 0])
    assert order.tolist() == GROUPED


def test_fused_shots_of_equal_scores_come_in_the_order_of_the_pool() -> None:
    ranked = pool_of(EQUAL[:, 0]).ranking(GROUPS.astype(float), limit=COUNT)
    assert ranked.shots == tuple(SHOTS[i] for i in GROUPED)


def test_a_single_list_is_measured_in_the_order_of_the_pool() -> None:
    orders: list[Any] = []
    _list_values(pool_of(GROUPS.astype(float)), recorder(orders))
    assert orders == [GROUPED]


def test_topics_of_equal_differences_come_in_their_order() -> None:
    topics = [str(n) for n in range(COUNT)]
    signs = np.where(np.arange(COUNT) % 2, 1.0, -1.0)
    found = largest_differences(GROUPS * signs, np.zeros(COUNT), topics)
    assert [topic for topic, _ in found] == [topics[i] for i in GROUPED]


def test_evidence_that_is_equal_keeps_the_order_of_the_list() -> None:
    orders: list[Any] = []
    ranked = RankedList("1", SHOTS, EQUAL[:, 0])
    _values(ranked, GROUPS[None].astype(float), recorder(orders))
    assert orders[0][0] == GROUPED  # by the evidence alone


def test_features_of_equal_gain_come_in_their_order() -> None:
    lists = tuple(f"list{n}" for n in range(COUNT // 4))
    names = feature_names(lists)

    class Booster:
        def feature_importance(self, kind: str, *, iteration: int) -> np.ndarray:
            return (np.arange(len(names)) % 3).astype(float)

    model = Ltr(lists, 1, "")
    vars(model)["_booster"] = Booster()
    assert list(model.importances()) == sorted(names, key=lambda name: -(names.index(name) % 3))


def test_lines_of_one_rank_are_checked_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    score_of = {row: COUNT - place for place, row in enumerate(GROUPED)}
    path.write_text("".join(f"1 0 {shot} {3 - GROUPS[n]} {score_of[n]} T\n" for n, shot in enumerate(SHOTS)))
    assert read_trec(path).lists["1"].shots == tuple(SHOTS[i] for i in GROUPED)


@pytest.mark.parametrize("topics", [2, 3])
def test_judgments_of_topics_in_turn_keep_the_order_of_their_lines(tmp_path: Path, topics: int) -> None:
    path = tmp_path / "qrels"
    path.write_text("".join(f"{1 + n % topics} 0 {shot} 0\n" for n, shot in enumerate(SHOTS)))
    found = read_qrels(path).topics
    for topic in range(topics):
        assert tuple(found[str(topic + 1)].shots) == SHOTS[topic::topics]
