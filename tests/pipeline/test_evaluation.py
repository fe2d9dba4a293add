from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import TOPICS, tiny_qrels, tiny_run

from avs.core.errors import ConfigError
from avs.core.qrels import Qrels
from avs.metrics.evaluation import DEFAULT_MEASURES
from avs.pipeline.evaluation import evaluate, read_runs
from avs.trecvid.trec import write_trec


@pytest.fixture
def qrels(tmp_path: Path) -> Qrels:
    return tiny_qrels(tmp_path)


def test_a_run_is_evaluated_by_names_of_measures(qrels: Qrels) -> None:
    scores = evaluate(tiny_run("one", "1 2 3"), qrels, ["xinfAP", "P@1", "AP"])
    assert scores.means == pytest.approx({"xinfAP": 5 / 6, "P@1": 1.0, "AP": 5 / 6}, abs=1e-4)
    assert repr(scores) == "Scores(one, 3 topics: xinfAP 0.8333, P@1 1.0000, AP 0.8333)"
    frame = scores.to_pandas()
    assert list(frame.index) == list(TOPICS) and list(frame.columns) == ["xinfAP", "P@1", "AP"]
    assert frame.loc["662", "P@1"] == 1.0
    with pytest.raises(ConfigError, match='unknown measure; did you mean "infAP"'):
        evaluate(tiny_run("one", "1"), qrels, ["infPA"])


def test_runs_of_one_name_are_told_apart_and_topic_ids_are_those_of_the_qrels(tmp_path: Path, qrels: Qrels) -> None:
    for folder in ("a", "b"):
        write_trec(tiny_run("one", "1 2"), tmp_path / folder / "one.trec")
    text = (tmp_path / "b/one.trec").read_text()
    (tmp_path / "b/one.trec").write_text("".join(f"1{line}\n" for line in text.splitlines()))
    runs = dict(read_runs([tmp_path / "a/one.trec", tmp_path / "b/one.trec"], qrels))
    assert list(runs) == ["one", f"{tmp_path / 'b'}/one"]
    assert [tuple(columns) for columns in runs.values()] == [TOPICS, TOPICS]


def test_without_names_all_measures_of_sample_eval_are_told(qrels: Qrels) -> None:
    scores = evaluate(tiny_run("one", "1 2 3"), qrels)
    assert scores.measures == DEFAULT_MEASURES and {"infAP", "infNDCG", "iP@10"} <= set(scores.means)
