"""Some of the frames of shots: those that a trained model reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avs.core.frames import ShotFrames
from avs.train.frame_choice import FrameChoice
from avs.video.sampling import NO_LIMIT, Sampling
from avs.video.views import View

KEY = (0, 0, 0)  # the same for every shot: no choice of a test draws, and "shuffled" is one order for all


def sampling_of(fps: float, choice: FrameChoice) -> dict[str, Any]:
    """What the checkpoint of a model that reads a grid of `fps` frames a second records, see Checkpoint.sampling."""
    grid = Sampling("interval", 1 / fps, NO_LIMIT)
    return {"policy": grid.policy, "interval_s": grid.interval_s, "frames": grid.frames, "choice": choice.to_json()}


@dataclass(frozen=True, slots=True)
class ChosenTimes:
    """The times of a grid that a choice takes, so that no other frame of a long shot is kept in memory."""

    grid: Sampling
    choice: FrameChoice

    def times(self, start_s: float, end_s: float) -> np.ndarray:
        times_s = self.grid.times(start_s, end_s)
        chosen_s: np.ndarray = times_s[np.sort(self.choice.places(len(times_s), KEY))]
        return chosen_s


@dataclass(frozen=True, slots=True)
class OrderOfChoice:
    """Puts the frames at ChosenTimes into the order of the choice."""

    choice: FrameChoice

    def __call__(self, frames: ShotFrames) -> ShotFrames:
        order = self.choice.places(len(frames.data), KEY)  # of all of them, since no more were read
        return replace(frames, data=frames.data[order], pts_s=frames.pts_s[order])


def chosen_view(grid: Sampling, choice: FrameChoice) -> View:
    """The frames that a choice takes of a grid, in the order of the choice."""
    return View(ChosenTimes(grid, choice), OrderOfChoice(choice))
