from __future__ import annotations

import numpy as np
import pytest

from avs.train.sampler import EpochSampler


@pytest.mark.parametrize(("size", "batch", "workers"), [(10, 3, 1), (10, 3, 2), (9, 3, 2), (2, 5, 2), (13, 4, 3)])
def test_an_epoch_holds_every_caption_once(size: int, batch: int, workers: int) -> None:
    samplers = [EpochSampler(size, batch, seed=1, rank=r, workers=workers) for r in range(workers)]
    shares = [list(sampler.batches(4)) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert all(len(rows) for share in shares for rows in share)
    assert sorted(np.concatenate([rows for share in shares for rows in share]).tolist()) == list(range(size))


def test_the_workers_together_see_what_one_alone_sees() -> None:
    alone = list(EpochSampler(50, 8, seed=3).batches(2))
    shares = [list(EpochSampler(50, 8, seed=3, rank=r, workers=3).batches(2)) for r in range(3)]
    for step, rows in enumerate(alone[: len(shares[0]) - 1]):  # a rest of fewer rows than workers joins the last batch
        assert np.concatenate([share[step] for share in shares]).tolist() == rows.tolist()


def test_order_follows_seed_and_epoch_and_can_be_entered_anywhere() -> None:
    sampler = EpochSampler(40, 8, seed=5)
    first = [rows.tolist() for rows in sampler.batches(0)]
    assert first == [rows.tolist() for rows in EpochSampler(40, 8, seed=5).batches(0)]
    assert first != [rows.tolist() for rows in sampler.batches(1)]
    assert first != [rows.tolist() for rows in EpochSampler(40, 8, seed=6).batches(0)]
    assert first[3:] == [rows.tolist() for rows in sampler.batches(0, first=3)]
