from __future__ import annotations

import pytest

from avs.core import progress
from avs.core.progress import Reporter, no_suggestions


def test_without_a_terminal_a_stage_ends_in_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False).stage("extract tiny", 10, "shots") as stage:
        stage.advance(9)
        stage.advance(1, failed=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("progress: extract tiny 10/10 shots, ")
    assert err.endswith("eta 0:00, failed 1\n")


def test_a_long_stage_reports_on_the_way(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with Reporter(quiet=False).stage("x", 2, "shots") as stage:
        stage.advance()
        stage.advance()
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    with reporter.stage("x", 1, "shots") as stage:
        stage.advance()
    reporter.say("done")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("rate", "said"), [(0.0654, "0.0654"), (1.5, "1.5"), (131.2, "131"), (1021.0, "1,020"), (2_345_678.0, "2,350,000")]
)
def test_rates_read_as_numbers(rate: float, said: str) -> None:
    assert progress._three_digits(rate) == said


def test_a_command_that_runs_others_suggests_none_of_their_next_ones(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=False)
    with no_suggestions():
        reporter.suggest("avs search")
        reporter.say("wrote x")
    reporter.suggest("avs eval")
    assert capsys.readouterr().err == "wrote x\nnext: avs eval\n"
