from __future__ import annotations

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.core.frames import ShotFrames

PICTURES, TIMES_S = np.zeros((3, 2, 2, 3), np.uint8), np.arange(3.0)


@pytest.mark.parametrize("clips", [[[0, 1], [2, -1]], [[0, 0]], np.empty((0, 4), int)])
def test_clips_of_frames(clips: object) -> None:
    frames = ShotFrames("shot1_1", PICTURES, TIMES_S, clips=np.array(clips))
    assert frames.clips is not None


@pytest.mark.parametrize("clips", [[[0, 3]], [[-1, 0]], [[0, -1, 1]], [[-1, -1]], [[0, -2]], [0, 1]])
def test_what_are_no_clips(clips: object) -> None:
    with pytest.raises(DataError, match="clips must be"):
        ShotFrames("shot1_1", PICTURES, TIMES_S, clips=np.array(clips))


@pytest.mark.parametrize(
    ("data", "pts_s", "status", "reason"),
    [
        (PICTURES.astype(float), TIMES_S, "ok", ""),
        (PICTURES[..., :2], TIMES_S, "ok", ""),
        (PICTURES, TIMES_S[:2], "ok", ""),
        (PICTURES, TIMES_S, "ok", "a reason"),
        (PICTURES, TIMES_S, "partial", ""),
        (PICTURES, TIMES_S, "failed", "a reason"),
        (PICTURES[:0], TIMES_S[:0], "ok", ""),
    ],
)
def test_frames_that_contradict_themselves(data: np.ndarray, pts_s: np.ndarray, status: str, reason: str) -> None:
    with pytest.raises(DataError):
        ShotFrames("shot1_1", data, pts_s, status, reason)  # type: ignore[arg-type]
