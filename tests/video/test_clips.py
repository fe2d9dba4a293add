"""Clips of shots: their times, their padding, and the frames that they get."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_videos import write_film

from avs.core.errors import ConfigError, DataError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.clips import ClipSampling, clip_sampling, cut_clips
from avs.video.folder import VideoFolder


def clips_s(sampling: ClipSampling, start_s: float, end_s: float) -> list[list[float]]:
    """Seconds of the frames of each clip, without padding."""
    times_s, places = sampling.times(start_s, end_s), sampling.places(start_s, end_s)
    return [times_s[clip[clip >= 0]].round(6).tolist() for clip in places]


def test_clips_are_in_the_middles_of_equal_parts() -> None:
    assert clips_s(ClipSampling(3, 0.5, 2), 10.0, 18.0) == [[11.5, 12.0, 12.5], [15.5, 16.0, 16.5]]
    assert clips_s(ClipSampling(2, 1.0), 0.0, 5.0) == [[2.0, 3.0]]


def test_clips_at_the_ends_are_moved_inwards_and_may_overlap() -> None:
    assert clips_s(ClipSampling(3, 1.0, 2), 0.0, 5.0) == [[0.5, 1.5, 2.5], [2.5, 3.5, 4.5]]
    sampling = ClipSampling(3, 1.0, 2)
    assert len(sampling.times(0.0, 5.0)) == 5, "a frame that two clips share is read once"


def test_a_shot_that_is_shorter_gives_one_padded_clip() -> None:
    sampling = ClipSampling(4, 1.0, 3)
    assert clips_s(sampling, 0.0, 2.5) == [[0.75, 1.75]]
    assert sampling.places(0.0, 2.5).tolist() == [[0, 1, -1, -1]]
    assert clips_s(sampling, 0.0, 0.2) == [[0.1]]
    assert clips_s(sampling, 0.1, 4.1) == [[0.6, 1.6, 2.6, 3.6]], "4.1 - 0.1 is a little less than 4"


@given(
    st.floats(0, 5000), st.floats(0.01, 500), st.integers(1, 40), st.floats(0.01, 3), st.integers(1, 12)
)  # fmt: skip
def test_clips_are_whole_within_the_shot_and_evenly_spaced(
    start_s: float, length_s: float, frames: int, interval_s: float, clips: int
) -> None:
    sampling, end_s = ClipSampling(frames, interval_s, clips), start_s + length_s
    times_s, places = sampling.times(start_s, end_s), sampling.places(start_s, end_s)
    assert (np.diff(times_s) > 0).all() and start_s <= times_s[0] and times_s[-1] < end_s
    assert set(places[places >= 0].tolist()) == set(range(len(times_s)))
    assert (np.diff((places < 0).astype(int), axis=1) >= 0).all(), "padding comes last"
    if length_s >= frames * interval_s * 1.001:
        assert places.shape == (clips, frames) and (places >= 0).all()
        np.testing.assert_allclose(np.diff(times_s[places], axis=1), interval_s, rtol=1e-6, atol=1e-9)
    if (places < 0).any():
        assert len(places) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, 0.5, 1), "at least one frame"),
        ((3, 0.5, 0), "a shot at least one clip"),
        ((3, 0.0, 1), "at least 0.001 s apart"),
        ((3, math.nan, 1), "at least 0.001 s apart"),
        ((3, math.inf, 1), "at least 0.001 s apart"),
    ],
)
def test_settings_out_of_range(settings: tuple[int, float, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipSampling(*settings)


def test_a_recipe_must_say_how_many_frames() -> None:
    assert clip_sampling({"frames": 8, "interval_s": 0.1, "clips_per_shot": None}) == ClipSampling(8, 0.1, 1)
    with pytest.raises(ConfigError, match="needs a number of frames"):
        clip_sampling({"frames": None, "interval_s": 0.1})


def test_a_shot_that_ends_later_than_any_video() -> None:
    with pytest.raises(DataError, match="ends later than any video does"):
        ClipSampling(3, 1.0).times(0.0, math.inf)


def frames_at(*times_s: float) -> ShotFrames:
    return ShotFrames("shot1_1", np.zeros((len(times_s), 2, 2, 3), np.uint8), np.array(times_s))


def test_lost_frames_leave_padding_at_the_end_and_a_clip_without_frames_is_left_out() -> None:
    wanted = np.array([[0, 1, 2], [2, 3, 4], [5, 6, -1]])
    cut = cut_clips(frames_at(0.0, 2.0), np.array([0, -1, 1, -1, -1, -1, -1]), wanted)
    assert cut.clips is not None and cut.clips.tolist() == [[0, 1, -1], [1, -1, -1]]
    assert cut.tally == {"clips": 2, "padded_clips": 2}
    whole = cut_clips(frames_at(0.0, 1.0), np.array([0, 1, 1]), np.array([[0, 1, 2]]))
    assert whole.clips is not None and whole.clips.tolist() == [[0, 1, 1]], "one frame may be on screen at two times"
    assert whole.tally == {"clips": 1, "padded_clips": 0}
    last = cut_clips(frames_at(4.0), np.array([-1, -1]), np.array([[0, 1]]))
    assert last.clips is not None and last.clips.tolist() == [[0, -1]], "all that a video gave that breaks off"


def test_clips_of_a_video_have_the_frames_on_screen_at_their_times(tmp_path: Path) -> None:
    write_film(tmp_path / "1.mp4", seed=1)
    shot, sampling = Shot("shot1_1", "1", 0.5, 5.5), ClipSampling(4, 0.2, 3)
    (frames,) = VideoFolder({"1": tmp_path / "1.mp4"}, sampling).read("1", [shot])
    assert frames.clips is not None and frames.tally == {"clips": 3, "padded_clips": 0}
    wanted_s = sampling.times(0.5, 5.5)[sampling.places(0.5, 5.5)]
    found_s = frames.pts_s[frames.clips]
    assert (found_s <= wanted_s + 1e-3).all() and (found_s > wanted_s - 0.2).all()
