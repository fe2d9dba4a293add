from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.connection import Connection

import numpy as np
import pytest
import torch
from fake_frames import FakeFrames, table
from torch.utils.data import get_worker_info

from avs.features import batches as batches_module
from avs.features.batches import Feed, ImageBatches, load_batches
from avs.features.preprocess import Geometry
from avs.features.units import Units

FEEDS = [Feed(0, 0, (Geometry(8, None, "bicubic"),))]


def test_batches_hold_the_frames_of_their_unit_in_order() -> None:
    shots = table({"00001": 5, "00002": 2})
    units = Units(shots, 2)
    source = FakeFrames(failed={"shot00001_2"})
    claims = [(job, (0, 2)) for job in range(units.jobs)]
    geometries = (Geometry(16, 16, "bicubic"), Geometry(8, None, "bicubic"))
    found: dict[int, list] = {}
    for batch in ImageBatches(shots, source, units, claims, [Feed(0, 0, geometries)], [0, 0, 0], 2):
        assert batch.stores == (0, 2)
        assert len(batch.images[0]) == len(batch.images[1]) <= 2
        assert batch.images[0].shape[1:] == (3, 16, 16) and batch.images[1].shape[1:] == (3, 8, 8)
        found.setdefault(batch.unit, []).append(batch)
    assert sorted(found) == list(range(len(units)))
    for unit, batches in found.items():
        assert [bool(batch.outcomes) for batch in batches] == [False] * (len(batches) - 1) + [True]
        assert all(len(batch.images[0]) == 2 for batch in batches[:-1])
        outcomes = batches[-1].outcomes
        assert [outcome.shot for outcome in outcomes] == [shots.ids[row] for row in units.rows(unit)]
        expected = [source.frames(shots.get(outcome.shot)).data for outcome in outcomes]
        images = np.concatenate([batch.images[1] for batch in batches])
        np.testing.assert_array_equal(images, np.concatenate([geometries[1].apply(data) for data in expected]))


def test_only_what_is_claimed_is_decoded_and_a_video_of_one_job_in_one_pass() -> None:
    shots = table({"00001": 6, "00002": 2})
    source = FakeFrames(uncut={"00001"})
    units = Units(shots, 2, source.uncut)
    assert units.jobs == 2
    list(ImageBatches(shots, source, units, [(1, (0,)), (0, (0,))], FEEDS, [0], 2))
    assert source.asked == [
        ("00002", ["shot00002_1", "shot00002_2"]),
        ("00001", [f"shot00001_{n}" for n in range(1, 7)]),
    ]


@dataclass
class JobOfWorker:
    """Every worker claims the job of its number."""

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        worker = get_worker_info()
        assert worker is not None
        yield worker.id, (0,)


def begin_one_and_never_the_other(end: Connection, worker: int) -> None:
    """The second worker does not hang on its lifeline, like one that still imports torch."""
    if worker == 1:
        time.sleep(10_000)


def test_a_worker_that_has_not_begun_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_begin", begin_one_and_never_the_other)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 10_000)  # what torch waits for a worker
    shots = table({"00001": 2, "00002": 2, "00003": 2, "00004": 2})
    units = Units(shots, 2)
    batches = ImageBatches(shots, FakeFrames(), units, JobOfWorker(), FEEDS, [0], 2)
    loaded = load_batches(batches, workers=2, pin=False)
    assert next(loaded).unit == 0
    before = set(active_children())
    assert len(before) == 2
    loaded.close()
    assert not before & set(active_children())
