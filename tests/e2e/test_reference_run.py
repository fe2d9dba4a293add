"""The reference run in runs/reference passes the check, and its scores do not change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avs.cli.main import main

REFERENCE = Path(__file__).resolve().parents[2] / "runs" / "reference"
RUN = REFERENCE / "F_M_C_D_DEMO.mini_2.xml"


def test_it_passes_the_check() -> None:
    assert main(["check-run", str(RUN), "--edition", "mini", "--shots", str(REFERENCE / "mini.validShotTable")]) == 0


def test_it_scores_what_it_scored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(RUN), "--qrels", str(REFERENCE / "avs.qrels.mini"), "--json"]) == 0
    overall = json.loads(capsys.readouterr().out)["runs"][0]["all"]
    assert overall["infAP"] == pytest.approx(0.5867, abs=5e-5)
    assert overall["infNDCG"] == pytest.approx(0.6664, abs=5e-5)
