from __future__ import annotations

import math
import pickle
import tracemalloc

import numpy as np
import pytest

from avs.core.errors import ConfigError, DataError
from avs.video.sampling import MAX_FRAMES, POLICIES, Sampling


def times(policy: str, start_s: float, end_s: float, **settings: float) -> list[float]:
    return Sampling(policy, **settings).times(start_s, end_s).round(6).tolist()  # type: ignore[arg-type]


def test_interval_is_centred_and_spaced_exactly() -> None:
    assert times("interval", 10.0, 12.0) == [10.25, 10.75, 11.25, 11.75]
    assert times("interval", 10.0, 12.4) == [10.45, 10.95, 11.45, 11.95]
    assert times("interval", 0.0, 10.0, interval_s=4.0) == [3.0, 7.0]


def test_a_shot_shorter_than_the_interval_gives_its_middle() -> None:
    assert times("interval", 3.0, 3.3) == [3.15]
    assert times("interval", 3.0, 3.5) == [3.25]


def test_a_whole_number_of_intervals_counts_whole_in_floats() -> None:
    assert 4.1 - 0.1 < 4.0
    assert len(times("interval", 0.1, 4.1)) == 8


def test_a_very_long_shot_is_spread_over_not_cut_off() -> None:
    long = times("interval", 0.0, 7200.0)
    assert len(long) == MAX_FRAMES
    assert (long[0], long[-1]) == (30.0, 7170.0)
    assert len(times("interval", 0.0, 60.0, frames=10)) == 10


def test_uniform_gives_exactly_so_many() -> None:
    assert times("uniform", 0.0, 8.0, frames=4) == [1.0, 3.0, 5.0, 7.0]
    assert len(times("uniform", 0.0, 0.1, frames=12)) == 12


def test_head_and_tail_are_the_ends_of_the_grid() -> None:
    grid = times("interval", 0.0, 5.0, interval_s=1.0)
    assert grid == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert times("head", 0.0, 5.0, interval_s=1.0, frames=2) == grid[:2]
    assert times("tail", 0.0, 5.0, interval_s=1.0, frames=2) == grid[-2:]
    assert times("head", 0.0, 5.0, interval_s=1.0, frames=12) == grid


@pytest.mark.parametrize("seed", range(20))
def test_only_what_is_kept_of_the_grid_is_computed_and_to_the_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start_s, interval_s, frames = rng.uniform(0, 5000), rng.uniform(0.1, 3), int(rng.integers(1, 50))
    end_s = start_s + 10 ** rng.uniform(-1, 3)
    count = max(1, int((end_s - start_s) / interval_s + 1e-6))
    grid = (start_s + end_s - (count - 1) * interval_s) / 2 + interval_s * np.arange(count)
    whole = {"interval": grid, "head": grid[:frames], "tail": grid[-frames:]}
    for policy, wanted in whole.items():
        found = Sampling(policy, interval_s, count if policy == "interval" else frames).times(start_s, end_s)
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_shot_of_months_needs_no_memory(policy: str) -> None:
    tracemalloc.start()
    found = Sampling(policy, frames=MAX_FRAMES).times(0.0, 1e7)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == (1 if policy in ("middle", "keyframes") else MAX_FRAMES)
    assert (np.diff(found) > 0).all()
    assert peak_bytes < 100_000


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("end_s", [1e10, 1e300, math.inf, math.nan])
def test_a_shot_that_ends_later_than_any_video(policy: str, end_s: float) -> None:
    with pytest.raises(DataError, match="ends later than any video does"):
        Sampling(policy, frames=3).times(0.0, end_s)


def test_key_frames_are_at_least_an_interval_apart_and_not_too_many() -> None:
    times_s = [0.0, 0.4, 0.5, 0.9, 4.1 - 0.1 - 2.6, 1.5]
    assert Sampling("keyframes").of_key_frames(times_s) == [0, 2, 4]
    assert Sampling("keyframes", interval_s=0.001).of_key_frames(times_s) == [0, 1, 2, 3, 4, 5]
    assert Sampling("keyframes", interval_s=0.9).of_key_frames([0.1, 4.1 - 3.1, 1.9]) == [0, 1, 2]  # 4.1 - 3.1 < 1
    assert Sampling("keyframes", frames=2).of_key_frames([1.0, 2.0, 3.0, 4.0, 5.0]) == [0, 4]
    assert len(Sampling("keyframes").of_key_frames(list(range(1000)))) == MAX_FRAMES
    assert Sampling("keyframes").of_key_frames([]) == []


def test_middle() -> None:
    assert times("middle", 4.0, 5.0) == [4.5]


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("seed", range(20))
def test_every_policy_stays_in_the_shot_and_ascends(policy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start_s = rng.uniform(0, 5000)
    end_s = start_s + 10 ** rng.uniform(-2, 3)
    found = Sampling(policy, interval_s=rng.uniform(0.1, 5), frames=int(rng.integers(1, 20))).times(start_s, end_s)
    assert found.dtype == np.float64
    assert len(found) >= 1
    assert (start_s <= found).all() and (found < end_s).all()
    assert (np.diff(found) > 0).all()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match='unknown sampling policy "unifrom"; did you mean "uniform"'):
        Sampling("unifrom", frames=3)
    for interval_s in (0, -1, 1e-300, math.inf, math.nan):
        with pytest.raises(ConfigError, match="must be at least 0.001 s"):
            Sampling(interval_s=interval_s)
    with pytest.raises(ConfigError, match="sampling policy head needs a number of frames"):
        Sampling("head")
    with pytest.raises(ConfigError, match="must be at least 1"):
        Sampling("uniform", frames=0)


def test_it_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(Sampling("tail", frames=3))) == Sampling("tail", frames=3)
