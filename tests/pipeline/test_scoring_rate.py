from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avs.models.architectures.footprint import Footprint
from avs.models.retrieval import RetrievalModel
from avs.pipeline import scoring_rate
from avs.pipeline.scoring_rate import Rate, at_once, pair_rate, rate_of


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


class Recording(RetrievalModel):
    """Remembers what it is asked to score."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[tuple[int, ...], tuple[int, ...], torch.dtype]] = []

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        self.asked.append((tuple(texts.shape), tuple(videos.shape), videos.dtype))
        return torch.zeros(len(texts), len(videos))


def test_all_pairs_are_scored_in_the_blocks_of_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_rate, "MOST_SHOTS", 5000)
    model = Recording()
    rate = pair_rate(model, Footprint(6, 4, 24), 3, seconds=0)
    assert (rate.count, rate.rounds) == (15_000, 1)
    blocks = [((3, 4), (rows, 6), torch.float32) for rows in (2048, 2048, 904)]
    assert model.asked == blocks + blocks  # one round to warm up
