from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import ConfigError, DataError
from avs.core.qrels import Qrels
from avs.core.ranking import RankedList, Run
from avs.pipeline.evaluation import compare, evaluate, novelty_of_folder, read_runs
from avs.trecvid.qrels import read_qrels
from avs.trecvid.trec import write_trec

TOPICS = ("661", "662", "663")


def run(tag: str, order: str) -> Run:
    """A run with the same list for every topic; `order` names shots by their numbers."""
    shots = [f"shot1_{number}" for number in order.split()]
    return Run({t: RankedList.from_scores(t, shots, [-float(n) for n in range(len(shots))]) for t in TOPICS}, tag)


@pytest.fixture
def qrels(tmp_path: Path) -> Qrels:
    """Shots 1 and 3 are relevant, 2 and 4 are not."""
    lines = (f"1{topic} 0 shot1_{n} 1 {n % 2}\n" for topic in TOPICS for n in range(1, 5))
    (tmp_path / "qrels").write_text("".join(lines))
    return read_qrels(tmp_path / "qrels")


def test_a_run_is_evaluated_by_names_of_measures(qrels: Qrels) -> None:
    scores = evaluate(run("one", "1 2 3"), qrels, ["xinfAP", "P@1", "AP"])
    assert scores.means == pytest.approx({"xinfAP": 5 / 6, "P@1": 1.0, "AP": 5 / 6}, abs=1e-4)
    assert repr(scores) == "Scores(one, 3 topics: xinfAP 0.8333, P@1 1.0000, AP 0.8333)"
    frame = scores.to_pandas()
    assert list(frame.index) == list(TOPICS) and list(frame.columns) == ["xinfAP", "P@1", "AP"]
    assert frame.loc["662", "P@1"] == 1.0
    with pytest.raises(ConfigError, match='unknown measure; did you mean "infAP"'):
        evaluate(run("one", "1"), qrels, ["infPA"])


def test_runs_are_compared_pair_by_pair(qrels: Qrels) -> None:
    runs = [run("one", "1 2 3"), run("two", "2 4 1"), run("three", "1 3 2")]
    comparison = compare(runs, qrels, "P@1", seed=3)
    assert [(pair.run, pair.against, pair.wins, pair.losses) for pair in comparison.pairs] == [
        ("one", "two", 3, 0), ("one", "three", 0, 0), ("two", "three", 0, 3),
    ]  # fmt: skip
    assert comparison.pairs[0].p == 2 / 2**3, "of all 8 swaps two are as extreme: none and all"
    assert comparison.wins.tolist() == [[0, 3, 0], [0, 0, 0], [0, 3, 0]]
    assert str(comparison).splitlines() == [
        "P@1 over 3 topics, paired randomization test, all 8 swaps (exact)",
        "one - two: +1.0000 (p = 0.2500)",
        "one - three: +0.0000 (p = 1.0000)",
        "two - three: -1.0000 (p = 0.2500)",
    ]
    assert comparison.to_pandas()["difference"].tolist() == [1.0, 0.0, -1.0]
    with pytest.raises(ConfigError, match="a count cannot be compared"):
        compare(runs, qrels, "num_ret")
    with pytest.raises(DataError, match="needs two runs"):
        compare(runs[:1], qrels)


def test_runs_of_one_name_are_told_apart_and_topic_ids_are_those_of_the_qrels(tmp_path: Path, qrels: Qrels) -> None:
    for folder in ("a", "b"):
        write_trec(run("one", "1 2"), tmp_path / folder / "one.trec")
    text = (tmp_path / "b/one.trec").read_text()
    (tmp_path / "b/one.trec").write_text("".join(f"1{line}\n" for line in text.splitlines()))
    runs = dict(read_runs([tmp_path / "a/one.trec", tmp_path / "b/one.trec"], qrels))
    assert list(runs) == ["one", f"{tmp_path / 'b'}/one"]
    assert [tuple(columns) for columns in runs.values()] == [TOPICS, TOPICS]


def test_novelty_of_a_folder_is_sorted_and_an_empty_folder_is_refused(tmp_path: Path, qrels: Qrels) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(DataError, match="no run files in the folder"):
        novelty_of_folder(folder, qrels)
    write_trec(run("one", "2"), folder / "F_M_C_D_ONE.21_1.trec")
    write_trec(run("two", "1"), folder / "F_M_C_D_TWO.21_1.trec")
    assert [(n.team, n.score, n.unique_shots) for n in novelty_of_folder(folder, qrels)] == [
        ("TWO", 1 / 2, 3), ("ONE", 0.0, 0),
    ]  # fmt: skip
