"""The warnings and tables that tell of scores."""

from __future__ import annotations

from pathlib import Path

from tiny_runs import tiny_qrels, tiny_run

from avs.core.ranking import RankedList, Run
from avs.metrics.report import aligned, warnings
from avs.pipeline.evaluation import evaluate


def test_missing_and_strange_topics_are_told_with_their_effect(tmp_path: Path) -> None:
    lists = dict(tiny_run("one", "1 2").lists)
    del lists["662"]
    lists["999"] = RankedList("999", ("shot1_1",), [1.0])
    scores = evaluate(Run(lists, "one"), tiny_qrels(tmp_path))
    ignored = "one: 1 topics are not in the qrels, ignored: 999"
    left_out = "one: no shots for 1 of 3 topics, left out of the mean, as sample_eval.pl does: 662"
    assert list(warnings([scores], official_mean=True)) == [left_out, ignored]
    counted = "one: no shots for 1 of 3 topics, each counts as 0: 662"
    assert list(warnings([scores], official_mean=False)) == [counted, ignored]


def test_columns_stand_under_each_other() -> None:
    rows = [["run", "topic", "AP"], ["a long name", "all", "0.5"], ["b", "661", "10.25"]]
    assert aligned(rows).splitlines() == [
        "run          topic     AP",
        "-----------  -----  -----",
        "a long name  all      0.5",
        "b            661    10.25",
    ]
