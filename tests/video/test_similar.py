from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.core.frames import ShotFrames
from avs.video.similar import LeaveOutSimilar, distinct


def greys(*values: int) -> np.ndarray:
    """(F, 36, 64, 3) pictures of one grey each."""
    return np.stack([np.full((36, 64, 3), value, dtype=np.uint8) for value in values])


def frames_of(*values: int) -> ShotFrames:
    """A shot whose frames have these greys."""
    if not values:
        return ShotFrames("shotv_0", np.empty((0, 1, 1, 3), np.uint8), np.empty(0), "failed", "no file")
    times_s = np.arange(len(values)) / 2
    return ShotFrames("shotv_0", greys(*values), times_s, "partial", "a reason", {"odd": 1})


def test_a_frame_is_compared_with_the_last_one_that_was_kept() -> None:
    """Slow changes add up, and what comes back is new again."""
    assert distinct(greys(10, 12, 14, 16, 10, 30), 4.0) == [0, 2, 4, 5]
    assert distinct(greys(10, 14), 4.0) == [0, 1]
    assert distinct(greys(10, 14), 4.001) == [0]
    assert distinct(greys(10, 10, 10), 0.001) == [0]
    assert distinct(greys(10, 11, 12), 255) == [0]


def test_the_difference_is_the_mean_over_the_picture_and_its_colours() -> None:
    black = np.zeros((360, 640, 3), np.uint8)
    corner, red = black.copy(), black.copy()
    corner[:36, :64] = 200  # a hundredth of the picture
    red[..., 0] = 6
    for other in (corner, red):
        assert distinct(np.stack([black, other]), 1.99) == [0, 1]
        assert distinct(np.stack([black, other]), 2.01) == [0]


def test_noise_averages_out() -> None:
    noise = np.random.default_rng(0).integers(100, 140, (2, 360, 640, 3)).astype(np.uint8)
    assert np.abs(noise[0].astype(int) - noise[1]).mean() > 10
    assert distinct(noise, 2.0) == [0]


def test_shots_keep_their_times_and_all_else_and_what_was_left_out_is_counted() -> None:
    one, two, none = map(LeaveOutSimilar(4.0), (frames_of(10, 12, 30, 31), frames_of(31, 50), frames_of()))
    assert (one.shot, one.pts_s.tolist(), one.status, one.reason) == ("shotv_0", [0.0, 1.0], "partial", "a reason")
    assert np.array_equal(one.data, greys(10, 30))
    assert one.tally == {"odd": 1, "sampled_frames": 4, "similar_frames": 2}
    assert np.array_equal(two.data, greys(31, 50)), "the last frame of another shot is not compared"
    assert two.tally == {"odd": 1, "sampled_frames": 2, "similar_frames": 0}
    assert (none.status, none.tally) == ("failed", {"sampled_frames": 0, "similar_frames": 0})


@pytest.mark.parametrize("difference", [0.0, -1.0, 255.5, math.nan, math.inf])
def test_a_difference_out_of_range(difference: float) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        LeaveOutSimilar(difference)


def test_it_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(LeaveOutSimilar(4.0))) == LeaveOutSimilar(4.0)
