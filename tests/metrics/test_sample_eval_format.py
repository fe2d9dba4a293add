"""The golden outputs of NIST's sample_eval.pl, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from files import files

from avs.cli.main import main

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
OWN_CASES = files(Path(__file__).resolve().parents[1] / "golden" / "sample_eval", "*.expected")
NOT_HERE = pytest.mark.skip(reason="sample_eval.pl's outputs (../shared/data/infap_golden) are not here")
CASES = (
    files(DATA / "infap_golden", "*.expected")
    if (DATA / "infap_golden").is_dir()
    else [pytest.param(Path("none"), marks=NOT_HERE)]
)


def printed(capsys: pytest.CaptureFixture[str], run: Path, qrels: Path, *options: str) -> str:
    words = ["eval", str(run), "--qrels", str(qrels), "--format", "sample_eval", "--per-topic", "--official-mean"]
    assert main([*words, *options]) == 0
    return capsys.readouterr().out


def test_the_cases_of_the_repository_are_here() -> None:
    assert len(OWN_CASES) == 12


@pytest.mark.parametrize("case", OWN_CASES, ids=lambda path: path.stem)
def test_every_case_of_the_repository_is_reproduced(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, case.with_suffix(".run"), case.with_suffix(".qrels")) == case.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_golden_output_is_reproduced(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, case.with_suffix(".run"), case.with_suffix(".qrels")) == case.read_text()


@pytest.mark.skipif(not (DATA / "tv21").is_dir(), reason="TV21's qrels and run are not here (../shared/data/tv21)")
def test_a_real_run_of_tv21(capsys: pytest.CaptureFixture[str]) -> None:
    folder = DATA / "tv21"
    cutoffs = ("--cutoffs", "5,10,15,20,30,100,200,500,1000")
    out = printed(capsys, folder / "RUCMM.run", folder / "avs.qrels.main.tv21", *cutoffs)
    assert out == (folder / "RUCMM.sample_eval.txt").read_text() and "infAP\t\tall\t\t0.3430\n" in out
