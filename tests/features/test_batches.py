from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from fake_frames import FakeFrames, table

from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.features.batches import Feed, ImageBatches
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
class SlowFrames(FakeFrames):
    """Every shot takes as many seconds as it has frames, by a clock that the test turns."""

    now_s: float = 100.0

    def clock(self) -> float:
        return self.now_s

    def frames(self, shot: Shot) -> ShotFrames:
        found = super().frames(shot)
        self.now_s += len(found.data)
        return found


def test_batches_know_how_long_decoding_and_waiting_took(monkeypatch: pytest.MonkeyPatch) -> None:
    shots, source = table({"00001": 3, "00002": 2}), SlowFrames()
    monkeypatch.setattr(time, "monotonic", source.clock)
    monkeypatch.setattr(time, "perf_counter", source.clock)
    units, waited_s, decode_s = Units(shots, 2), 0.0, {}
    feeds = [*FEEDS, Feed(0, 0, (Geometry(16, 16, "bicubic"),))]
    for batch in ImageBatches(shots, source, units, [(job, (0, 1)) for job in range(units.jobs)], feeds, [0, 1], 2):
        assert (batch.made_s, batch.waited_s) == (source.now_s, waited_s)
        waited_s += 1.0
        source.now_s += waited_s
        if batch.feed == 0:
            decode_s |= {outcome.shot: outcome.decode_s for outcome in batch.outcomes}
        else:
            assert all(decode_s[outcome.shot] == outcome.decode_s for outcome in batch.outcomes)
    frames = FakeFrames()
    assert decode_s == {shot.id: len(frames.frames(shot).data) for shot in shots}
