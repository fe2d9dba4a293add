from __future__ import annotations

import json
from pathlib import Path

import pytest

from avs.cli.main import main

SHOTS = {"F_M_C_D_ONE.21_1": "1 2 3", "F_M_C_D_TWO.21_1": "2 4 1", "F_M_C_D_TWO.21_2": "4 2 3"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    topics = ("661", "662", "663")
    Path("qrels").write_text("".join(f"1{t} 0 shot1_{n} 1 {n % 2}\n" for t in topics for n in range(1, 5)))
    Path("runs").mkdir()
    for name, order in SHOTS.items():
        lines = [f"{t} 0 shot1_{n} {r} {9 - r} T\n" for t in topics for r, n in enumerate(order.split(), start=1)]
        Path(f"runs/{name}.trec").write_text("".join(lines))


def compare(*words: str) -> int:
    return main(["compare", *words, "--qrels", "qrels"])


def test_two_runs_topic_by_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("runs/F_M_C_D_ONE.21_1.trec", "runs/F_M_C_D_TWO.21_1.trec", "--measure", "P@1", "--json") == 0
    out, err = capsys.readouterr()
    pair = json.loads(out)["pairs"][0]
    assert (pair["difference"], pair["wins"], pair["losses"], pair["p"]) == (1.0, 3, 0, 0.25)
    assert pair["topics"] == {"661": 1.0, "662": 1.0, "663": 1.0}
    assert err == "two-sided paired randomization test over 3 topics, all 8 swaps (exact)\n"


def test_many_runs_give_a_matrix_of_wins(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(*(f"runs/{name}.trec" for name in SHOTS), "--measure", "P@1") == 0
    matrix = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert [line.split("\t")[1:] for line in matrix[1:]] == [["0", "3", "3"], ["0", "0", "0"], ["0", "0", "0"]]


def test_novelty_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("qrels").write_text("1661 0 shot1_1 1 1\n1661 0 shot1_4 1 1\n")
    assert compare("--novelty", "runs") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    third = f"{1 / 3:.4f}"
    assert rows[1:3] == [["F_M_C_D_TWO.21_1", "TWO", third, "1"], ["F_M_C_D_TWO.21_2", "TWO", third, "1"]]
    Path("runs/mine.trec").write_text("661 0 shot1_1 1 1 T\n")
    assert compare("--novelty", "runs") == 2
    assert "runs/mine.trec: no team: it has no pid, and its name is not a run id" in capsys.readouterr().err


def test_a_count_is_not_compared_and_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    files = ("runs/F_M_C_D_ONE.21_1.trec", "runs/F_M_C_D_TWO.21_1.trec")
    assert compare(*files, "--measure", "num_ret") == 2
    assert capsys.readouterr().err.startswith("avs compare: a count cannot be compared\n  got:    num_ret")
    assert compare(*files, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_one_run_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("runs/F_M_C_D_ONE.21_1.trec") == 2
    assert "give two runs or more, or --novelty FOLDER" in capsys.readouterr().err
