"""Clips of a shot: several frames at equal distances, which an encoder of clips reads together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avs.core.errors import ConfigError
from avs.core.frames import ShotFrames
from avs.video.sampling import LEAST_INTERVAL_S, require_times

CLIPS = "clips"  # the policy, as recipes and manifests name it
CLIPS_OF_SHOTS, PADDED_CLIPS = "clips", "padded_clips"  # of the tally
SLACK = 1e-6  # of an interval: 2 s computed as 4.1 - 2.1 is slightly less than twenty tenths


@dataclass(frozen=True, slots=True)
class ClipSampling:
    """Clips whose middles are those of equal parts of a shot, moved inwards where a clip would leave the shot.

    A shot that is shorter than a clip gives one clip, with the frames that fit; the rest of the clip is padding.

    Args:
        frames: number of frames F in a clip.
        interval_s: seconds between the frames of a clip.
        clips_per_shot: number of clips of a shot that is long enough for one.

    Raises:
        ConfigError: a setting out of range.
    """

    frames: int
    interval_s: float
    clips_per_shot: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1 or self.clips_per_shot < 1:
            raise ConfigError(
                "a clip needs at least one frame, and a shot at least one clip",
                got=f"{self.frames} frames, {self.clips_per_shot} clips_per_shot",
            )
        if not LEAST_INTERVAL_S <= self.interval_s < np.inf:
            raise ConfigError(
                f"the frames of a clip must be at least {LEAST_INTERVAL_S} s apart", got=f"{self.interval_s} s"
            )

    def times(self, start_s: float, end_s: float) -> np.ndarray:
        """(T,) float64 ascending seconds within `[start_s, end_s)` of all frames of all clips, T >= 1.

        Raises:
            DataError: the shot ends later than any video does.
        """
        return np.unique(self._clips(start_s, end_s))

    def places(self, start_s: float, end_s: float) -> np.ndarray:
        """(C, F) int64 positions in `times` of the frames of each clip; -1 for padding, which comes last.

        >>> ClipSampling(frames=3, interval_s=1.0, clips_per_shot=2).places(0.0, 5.0).tolist()
        [[0, 1, 2], [2, 3, 4]]
        """
        clips_s = self._clips(start_s, end_s)
        _, places = np.unique(clips_s, return_inverse=True)
        padding = np.full((len(clips_s), self.frames - clips_s.shape[1]), -1)
        return np.concatenate([places.reshape(clips_s.shape), padding], axis=1)

    def _clips(self, start_s: float, end_s: float) -> np.ndarray:
        """(C, N) seconds of the frames of each clip; N < F if the shot is too short for more, and then C = 1."""
        require_times(end_s)
        length_s = end_s - start_s
        fitting = min(self.frames, max(1, int(length_s / self.interval_s + SLACK)))
        clips = self.clips_per_shot if fitting == self.frames else 1
        middles_s = start_s + length_s * (np.arange(clips) + 0.5) / clips
        margin_s = fitting * self.interval_s / 2  # each frame stands for the interval around it, within the shot
        if 2 * margin_s < length_s:
            middles_s = middles_s.clip(start_s + margin_s, end_s - margin_s)
        else:
            middles_s = np.full(1, (start_s + end_s) / 2)
        return middles_s[:, None] + self.interval_s * (np.arange(fitting) - (fitting - 1) / 2)


def clip_sampling(settings: Mapping[str, Any]) -> ClipSampling:
    """The sampling that a recipe or a manifest describes with the policy "clips".

    Raises:
        ConfigError: the number of frames is missing, or a setting is out of range.
    """
    if settings.get("frames") is None:
        raise ConfigError("sampling policy clips needs a number of frames per clip", wanted="frames, such as 32")
    clips = settings.get("clips_per_shot")
    return ClipSampling(settings["frames"], settings["interval_s"], 1 if clips is None else clips)


def cut_clips(frames: ShotFrames, given: np.ndarray, wanted: np.ndarray) -> ShotFrames:
    """The frames as clips, without the clips that got no frame. What a clip lacks is padding at its end.

    The tally counts the clips, and those with padding: the shot is too short for them, or frames were lost.

    Args:
        frames: of one shot, at least one.
        given: (T,) int, the positions in `frames` of those at the times of a ClipSampling; -1 for lost ones.
        wanted: (C, F) int, of the ClipSampling, see its `places`.
    """
    found = [clip[clip >= 0] for clip in np.append(given, -1)[wanted]]
    found = [clip for clip in found if len(clip)] or [np.zeros(1, dtype=np.int64)]  # all that the video gave of it
    clips = np.full((len(found), wanted.shape[1]), -1)
    for row, clip in zip(clips, found, strict=True):
        row[: len(clip)] = clip
    padded = int((clips[:, -1] < 0).sum())
    return replace(frames, clips=clips, tally={**frames.tally, CLIPS_OF_SHOTS: len(clips), PADDED_CLIPS: padded})
