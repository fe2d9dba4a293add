from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_runs import tiny_qrels, tiny_run

from avs.core.errors import ConfigError, DataError
from avs.core.qrels import Qrels
from avs.pipeline.comparison import compare, novelty_of_folder
from avs.trecvid.trec import write_trec


@pytest.fixture
def qrels(tmp_path: Path) -> Qrels:
    return tiny_qrels(tmp_path)


def test_runs_are_compared_pair_by_pair(qrels: Qrels) -> None:
    runs = [tiny_run("one", "1 2 3"), tiny_run("two", "2 4 1"), tiny_run("three", "1 3 2")]
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


def test_novelty_of_a_folder_is_sorted_and_an_empty_folder_is_refused(tmp_path: Path, qrels: Qrels) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(DataError, match="no run files in the folder"):
        novelty_of_folder(folder, qrels)
    write_trec(tiny_run("one", "2"), folder / "F_M_C_D_ONE.21_1.trec")
    write_trec(tiny_run("two", "1"), folder / "F_M_C_D_TWO.21_1.trec")
    assert [(n.team, n.score, n.unique_shots) for n in novelty_of_folder(folder, qrels)] == [
        ("TWO", 1 / 2, 3), ("ONE", 0.0, 0),
    ]  # fmt: skip


def test_runs_of_equal_novelty_stand_by_their_names(
    tmp_path: Path, qrels: Qrels, monkeypatch: pytest.MonkeyPatch
) -> None:
    for team in ("ONE", "SIX", "TWO"):
        write_trec(tiny_run("one", "2"), tmp_path / f"runs/F_M_C_D_{team}.21_1.trec")
    files = sorted((tmp_path / "runs").iterdir())
    for order in (files, files[::-1]):  # a file system lists them in any order
        monkeypatch.setattr(Path, "iterdir", lambda folder, order=order: iter(order))
        assert [n.team for n in novelty_of_folder(tmp_path / "runs", qrels)] == ["ONE", "SIX", "TWO"]
    monkeypatch.undo()
    for name in ("b", "a", "c"):
        write_trec(tiny_run("one", "2"), tmp_path / f"runs/{name}.trec")
    files = sorted((tmp_path / "runs").iterdir())
    for order in (files, files[::-1]):
        monkeypatch.setattr(Path, "iterdir", lambda folder, order=order: iter(order))
        with pytest.raises(DataError) as caught:
            novelty_of_folder(tmp_path / "runs", qrels)
        named = re.findall(r"(\w)\.trec: ", str(caught.value))
        assert named == ["a", "b", "c"], caught.value
