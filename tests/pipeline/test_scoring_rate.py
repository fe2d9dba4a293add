from __future__ import annotations

import pytest

from avs.pipeline import scoring_rate
from avs.pipeline.scoring_rate import Rate, at_once, rate_of


def test_a_rate_is_that_of_the_fastest_round(monkeypatch: pytest.MonkeyPatch) -> None:
    took, clock, cpu, runs = iter([0.0, 4.0, 1.0, 2.0, 9.0]), [100.0], [7.0], []

    def job() -> None:
        runs.append(1)
        clock[0] += next(took)
        cpu[0] += 0.5

    monkeypatch.setattr(scoring_rate.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(scoring_rate.time, "process_time", lambda: cpu[0])
    assert rate_of(job, 6, 5.5) == Rate(6.0, 12.0, 6, 3)
    assert len(runs) == 4  # one to warm up


def test_rounds_are_short_where_a_pair_is_dear() -> None:
    assert at_once(1024, 512) == 65_536
    assert at_once(13_336, 240_000) == 2**26 // 13_336
    assert at_once(1024, 10**6) == 2**31 // 10**6
    assert at_once(1024, 10**12) == 8
