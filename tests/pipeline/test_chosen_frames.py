"""The frames that a model reads are those of the frame cache's grid, in shots of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_videos import write_film

from avs.core.shots import Shot
from avs.pipeline.chosen_frames import ChosenTimes, chosen_view, sampling_of
from avs.train.frame_choice import FrameChoice
from avs.video.frame_cache import CacheSettings
from avs.video.sampling import Sampling
from avs.video.views import VideoViews


@pytest.mark.parametrize("length_s", [0.4, 3, 119, 300, 7200])
@pytest.mark.parametrize("policy", ["linspace", "tail"])
def test_times_are_those_of_the_cache(length_s: float, policy: str) -> None:
    choice, shot = FrameChoice(5, policy), Shot("shot1_1", "1", 10.25, 10.25 + length_s)
    grid_s = CacheSettings(fps=2).times(shot)
    sampling = sampling_of(2, choice)
    assert sampling.pop("choice") == choice.to_json()
    found_s = ChosenTimes(Sampling(**sampling), choice).times(shot.start_s, shot.end_s)
    np.testing.assert_allclose(found_s, grid_s[choice.places(len(grid_s), (0, 0, 0))], rtol=1e-12)


def test_frames_come_in_the_order_of_the_choice(tmp_path: Path) -> None:
    write_film(tmp_path / "1.mp4", seed=1)
    shot, grid = Shot("shot1_1", "1", 0.0, 6.0), Sampling("interval", 1.0)
    found = {}
    for order in ("normal", "reversed"):
        source = VideoViews({"1": tmp_path / "1.mp4"}, [chosen_view(grid, FrameChoice(3, "tail", order))])
        ((found[order],),) = source.read("1", [shot])
    assert found["normal"].pts_s.tolist() == [3.5, 4.5, 5.5]
    assert found["reversed"].pts_s.tolist() == [5.5, 4.5, 3.5]
    np.testing.assert_array_equal(found["normal"].data, found["reversed"].data[::-1])
