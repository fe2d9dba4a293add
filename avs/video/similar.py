"""Frames that look like the one before them are left out, so that an encoder does not see a still picture many times.

Pictures are compared as thumbnails, whatever the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avs.core.errors import ConfigError
from avs.core.frames import ShotFrames

THUMBNAIL = (18, 32)  # (H, W), of any picture: noise averages out
SAMPLED, SIMILAR = "sampled_frames", "similar_frames"  # of the tally


@dataclass(frozen=True, slots=True)
class LeaveOutSimilar:
    """Leaves out the frames that are similar to the last kept one of the same shot; the tally counts them.

    Args:
        difference: from which on two frames are not similar: the mean absolute difference of their thumbnails, of 255.

    Raises:
        ConfigError: a difference out of range.
    """

    difference: float

    def __post_init__(self) -> None:
        if not 0 < self.difference <= 255:
            raise ConfigError(
                "the difference from which on frames are not similar is out of range",
                got=self.difference,
                wanted="above 0 and at most 255, such as 4",
            )

    def __call__(self, frames: ShotFrames) -> ShotFrames:
        """The frames that are kept of one shot."""
        kept = distinct(frames.data, self.difference)
        tally = {**frames.tally, SAMPLED: len(frames.data), SIMILAR: len(frames.data) - len(kept)}
        if len(kept) < len(frames.data):
            frames = replace(frames, data=frames.data[kept], pts_s=frames.pts_s[kept])
        return replace(frames, tally=tally)


def distinct(pictures: np.ndarray, difference: float) -> list[int]:
    """Positions of the pictures that are kept: the first, and each that is not similar to the last one kept.

    Args:
        pictures: (F, H, W, 3) uint8.
        difference: least mean absolute difference of thumbnails, of 255.
    """
    kept: list[int] = []
    last = np.empty(0)
    for place, picture in enumerate(pictures):
        small = _thumbnail(picture)
        if not kept or np.abs(small - last).mean() >= difference:
            kept.append(place)
            last = small
    return kept


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    """(18, 32, 3) float32, each value the mean of its part of the picture, rounded."""
    from PIL import Image

    height, width = THUMBNAIL
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)
