from __future__ import annotations

import io
import sys
import time

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


def test_a_stage_tells_more_figures_and_what_others_do(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False).stage("extract tiny", 10, "shots") as stage:
        stage.advance(4, note="212 frames/s")
        stage.advance(0, elsewhere=5)
    assert capsys.readouterr().err.endswith("failed 0, 5 by other processes, 212 frames/s\n")


def test_the_time_left_counts_what_others_do_and_the_rate_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = progress._Counted(100, "shots")
    monkeypatch.setattr(time, "monotonic", lambda: counted.start + 60.0)
    assert counted.eta == "?"
    counted.add(10, 0, 0, "")
    assert (counted.rate, counted.eta) == ("0.167 shots/s", "9:00")
    counted.add(0, 0, 40, "")
    assert (counted.rate, counted.eta) == ("0.167 shots/s", "1:00")
    counted.add(51, 0, 0, "")  # one job was done twice
    assert counted.eta == "0:00"
    assert progress._Counted(0, "shots").eta == "0:00"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00"), (44.9, "0:44"), (3599, "59:59"), (3600, "1:00:00"), (450_309, "125:05:09")]
)
def test_times_read_as_a_clock(seconds: float, said: str) -> None:
    assert progress._clock(seconds) == said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("note", ["", "212 frames/s, device waits 31 %"])
def test_on_a_terminal_a_stage_is_a_bar_with_its_note_below(monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Reporter(quiet=False).stage("extract tiny", 10, "shots") as stage:
        stage.advance(9, failed=1, note=note)
        stage.advance(1)
    *_, last = screen.getvalue().replace("\x1b[?25h", "").rstrip().split("extract tiny")
    assert "10/10" in last and "shots/s  eta 0:00  failed 1" in last
    assert len(last.splitlines()) == (2 if note else 1) and last.endswith(note)


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
    assert progress.three_digits(rate) == said


def test_a_command_that_runs_others_suggests_none_of_their_next_ones(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=False)
    with no_suggestions():
        reporter.suggest("avs search")
        reporter.say("wrote x")
    reporter.suggest("avs eval")
    assert capsys.readouterr().err == "wrote x\nnext: avs eval\n"
