"""Sampling policies: which times of a shot `[start_s, end_s)` are sampled.

A time means the frame on screen then; `avs.video.folder` finds it and never takes one of another shot. Two times that
fall on one frame, as at a low frame rate, give that frame once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avs.core.columns import spaced_places
from avs.core.errors import ConfigError, DataError
from avs.core.registry import Registry

INTERVAL_S = 0.5  # as in RUC's AVS systems and their published features
MAX_FRAMES = 120  # for `interval`: a minute at 0.5 s. A shot without cuts may last an hour, and must fit in memory.
NO_LIMIT = 10**9  # on the frames of `interval`: no shot has more
LEAST_INTERVAL_S = 0.001  # no frame is so short
LATEST_S = 1e9  # 32 years; up to here a float tells a microsecond
TIME_EPSILON_S = 1e-6  # 4 s computed as 4.1 - 0.1 is slightly less than 4 s
KEY_FRAMES = "keyframes"  # the policy whose frames a file decides

Policy = Callable[[float, float, float, int], np.ndarray]
POLICIES: Registry[Policy] = Registry("sampling policy")


class Times(Protocol):
    """What says which times of a shot are read."""

    def times(self, start_s: float, end_s: float) -> np.ndarray:
        """(F,) float64 ascending seconds within `[start_s, end_s)`, F >= 1."""
        ...


def require_times(end_s: float) -> None:
    """Check that the times of a shot can be told apart.

    Raises:
        DataError: the shot ends later than any video does.
    """
    if not end_s <= LATEST_S:
        raise DataError("a shot ends later than any video does", got=f"{end_s} s", wanted=f"at most {LATEST_S:g} s")


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampling policy with its settings.

    Args:
        policy: interval, uniform, head, tail, middle or keyframes.
        interval_s: seconds between frames, for interval, head and tail; at least so many for keyframes.
        frames: number of frames for uniform; the largest number for interval and keyframes (None: MAX_FRAMES), head
            and tail.

    Raises:
        ConfigError: an unknown policy, a setting out of range, or no `frames` for a policy that needs it.
    """

    policy: str = "interval"
    interval_s: float = INTERVAL_S
    frames: int | None = None

    def __post_init__(self) -> None:
        POLICIES.get(self.policy)
        if not LEAST_INTERVAL_S <= self.interval_s < np.inf:
            raise ConfigError(f"the sampling interval must be at least {LEAST_INTERVAL_S} s", got=self.interval_s)
        if self.frames is None and self.policy in ("uniform", "head", "tail"):
            raise ConfigError(f"sampling policy {self.policy} needs a number of frames", wanted="frames, such as 12")
        if self.frames is not None and self.frames < 1:
            raise ConfigError("the number of frames must be at least 1", got=self.frames)

    def times(self, start_s: float, end_s: float) -> np.ndarray:
        """(F,) float64 ascending seconds within `[start_s, end_s)`, F >= 1.

        Raises:
            DataError: the shot ends later than any video does.

        >>> Sampling().times(10.0, 11.6)
        array([10.3, 10.8, 11.3])
        """
        require_times(end_s)
        return POLICIES.get(self.policy)(start_s, end_s, self.interval_s, self.frames or MAX_FRAMES)

    def of_key_frames(self, times_s: Sequence[float]) -> list[int]:
        """Positions of the key frames that are taken, of those of one shot.

        Each is at least `interval_s` after the one before, since in some files every frame is a key frame. If that
        leaves more than `frames`, so many are taken, evenly spaced.

        Args:
            times_s: (K,) ascending seconds.

        >>> Sampling("keyframes").of_key_frames([1.0, 1.2, 1.5, 4.0])
        [0, 2, 3]
        """
        apart: list[int] = []
        for place, time_s in enumerate(times_s):
            if not apart or time_s >= times_s[apart[-1]] + self.interval_s - TIME_EPSILON_S:
                apart.append(place)
        most = self.frames or MAX_FRAMES
        return apart if len(apart) <= most else [apart[place] for place in spaced_places(len(apart), most)]


@POLICIES.register("interval")
def interval(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """A time every `interval_s`, as often as it fits, centred in the shot; the middle of a shorter shot.

    The grid is centred, since frames at a cut are blurred and mixed. A shot that would give more than `frames` times
    gives that many, evenly spaced.
    """
    times_s = _grid(start_s, end_s, interval_s, slice(frames + 1))
    return times_s if len(times_s) <= frames else uniform(start_s, end_s, interval_s, frames)


@POLICIES.register("uniform")
def uniform(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """The middles of `frames` equal parts of the shot.

    Differs from CLIP4Clip's "uniform", which takes int(linspace(0, n - 1, frames)) of a 1 fps grid: that gives short
    shots fewer frames and always takes the first and the last.
    """
    return start_s + (end_s - start_s) * (np.arange(frames) + 0.5) / frames


@POLICIES.register("head")
def head(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """The first `frames` times of the `interval` grid, as CLIP4Clip's slice_framepos 0 takes of its 1 fps grid."""
    return _grid(start_s, end_s, interval_s, slice(frames))


@POLICIES.register("tail")
def tail(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """The last `frames` times of the `interval` grid, as CLIP4Clip's slice_framepos 1 takes of its 1 fps grid."""
    return _grid(start_s, end_s, interval_s, slice(-frames, None))


@POLICIES.register("middle")
def middle(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """The middle of the shot: one frame."""
    return np.array([(start_s + end_s) / 2])


@POLICIES.register(KEY_FRAMES)
def keyframes(start_s: float, end_s: float, interval_s: float, frames: int) -> np.ndarray:
    """The middle of the shot, which a shot without a key frame takes.

    The others take key frames, which a file has where its encoder put them: see avs.video.preview.
    """
    return middle(start_s, end_s, interval_s, frames)


def _grid(start_s: float, end_s: float, interval_s: float, kept: slice) -> np.ndarray:
    """The `kept` times of the grid; a long shot has more than fit in memory."""
    # 4 s computed as 4.1 - 0.1 is slightly less than eight half seconds
    count = max(1, int((end_s - start_s) / interval_s + 1e-6))
    first_s = (start_s + end_s - (count - 1) * interval_s) / 2
    places = range(count)[kept]
    return first_s + interval_s * np.arange(places.start, places.stop)
