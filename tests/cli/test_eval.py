from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from avs.cli.main import main

QRELS = "".join(f"1{topic} 0 shot1_{n} 1 {n % 2}\n" for topic in (661, 662) for n in range(1, 5))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("qrels").write_text(QRELS)
    Path("x.trec").write_text("661 0 shot1_1 1 2 T\n661 0 shot1_3 2 1 T\n")


def evaluate(*words: str) -> int:
    return main(["eval", "x.trec", "--qrels", "qrels", *words])


def test_missing_topics_count_as_0_and_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "infAP,AP,P@4,R@1,nDCG@10,num_ret") == 0
    out, err = capsys.readouterr()
    assert (
        out == "run\ttopic\tinfAP\tAP\tP@4\tR@1\tnDCG@10\tnum_ret\nx\tall\t0.5000\t0.5000\t0.2500\t0.2500\t0.5000\t2\n"
    )
    assert err == "warning: x: no shots for 1 of 2 topics, each counts as 0: 662\n"


def test_the_official_mean_is_over_the_topics_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "AP", "--official-mean", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert data["mean_over"] == "topics of the run" and data["runs"][0]["all"] == {"AP": 1.0} and err == ""
    assert data["runs"][0]["missing"] == ["662"]


def test_the_table_has_all_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "AP", "--per-topic", "--format", "table") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()][2:] == [
        ["x", "661", "1.0000"],
        ["x", "662", "0.0000"],
        ["x", "all", "0.5000"],
    ]


def test_measures_are_known_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "XINFAP,xinfAP,ip@4,INFndcg,p@2", "--quiet", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["runs"][0]["all"]) == ["xinfAP", "iP@4", "infNDCG", "P@2"]


def test_unknown_measures_are_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "infPA,iP,P@x") == 2
    assert capsys.readouterr().err == (
        "avs eval: measures: 3 problems\n"
        '  infPA: unknown measure; did you mean "infAP"?\n'
        "  iP: needs a cut-off, such as iP@10\n"
        "  P@x: the cut-off is not a whole number from 1\n"
        "  next:   known measures: infAP, xinfAP, infNDCG, inum_rel_ret, inum_rel, num_ret, AP, nDCG, "
        "iP@k, AP@k, P@k, R@k, nDCG@k\n"
    )


def test_ap_is_refused_where_shots_are_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    Path("qrels").write_text(QRELS + "1661 0 shot1_9 1 -1\n")
    assert evaluate("--measures", "AP") == 2
    assert capsys.readouterr().err.startswith("avs eval: only for full judgments: AP\n  got:    1 of 9 pooled shots")


def test_qrels_without_judgments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("qrels").write_text("1661 0 shot1_9 1 -1\n")
    assert evaluate() == 2
    assert capsys.readouterr().err == (
        "avs eval: the qrels have no judgments\n  got:    1 rows, all of them -1 (pooled, not judged)\n"
    )


def test_a_run_of_other_topics_and_an_empty_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.trec").write_text("701 0 shot1_1 1 2 T\n")
    assert evaluate() == 2
    assert "no topic of the run is in the qrels" in capsys.readouterr().err
    Path("x.trec").write_text("")
    assert evaluate() == 2
    assert "the run file is empty" in capsys.readouterr().err


def test_xinfap_is_another_name_of_infap(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--measures", "xinfAP,infAP", "--quiet") == 0
    assert capsys.readouterr().out == "run\ttopic\txinfAP\tinfAP\nx\tall\t0.5000\t0.5000\n"


@pytest.mark.parametrize("verb", ["eval", "compare", "check-run", "info"])
def test_force_is_refused_where_nothing_is_written(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "x.trec", "--force"]) == 2
    assert capsys.readouterr().err == (
        f"avs {verb}: --force is no longer an option of avs {verb}\n"
        "  next:   use the same command without it: this verb writes no file\n"
    )


def test_nothing_heavy_is_imported() -> None:
    heavy = {"torch", "transformers", "pandas", "scipy", "av", "lightgbm", "lxml"}
    code = (
        "import sys, avs.cli.eval, avs.cli.main\n"
        "avs.cli.main.main(['eval', 'x.trec', '--qrels', 'qrels', '--quiet'])\n"
        f"sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_cutoffs_are_those_of_inferred_precision(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--cutoffs", "1, 3", "--format", "tsv", "--quiet") == 0
    header = capsys.readouterr().out.splitlines()[0].split("\t")
    assert [name for name in header if name.startswith("iP@")] == ["iP@1", "iP@3"]
    for bad in ("0", "1,x", "-1", "２"):
        assert evaluate("--cutoffs", bad) == 2
        assert "--cutoffs are whole numbers from 1" in capsys.readouterr().err
