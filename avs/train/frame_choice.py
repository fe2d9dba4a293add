"""Which frames of a grid a training or a test reads, and in which order.

A grid has n frames at equal distances in time, such as one a second. A choice takes at most `frames` of them. It
follows from a key, (seed, epoch, caption), and from nothing else. So neither the number of processes, nor the order in
which they work, nor a run that was killed and goes on can change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from avs.core.columns import spaced_places
from avs.core.errors import ConfigError, Problems, did_you_mean
from avs.core.registry import Registry

Key = tuple[int, int, int]
Policy = Callable[[int, int, Generator], np.ndarray]
FRAME_POLICIES: Registry[Policy] = Registry("policy of frames")
ORDERS = ("normal", "reversed", "shuffled")
RANDOM_POLICIES = ("random", "jittered")  # a test takes "linspace" instead
LEAST_JITTER = 2  # CLIP2Video leaves frames in place when half their distance is this or less


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """At most `frames` of the frames of a grid.

    A grid that has no more than `frames` gives all of them: none is repeated, and none is made up.

    Args:
        frames: the largest number of frames.
        policy: linspace (CLIP4Clip's "uniform"), head, tail, random (clip-ft) or jittered (CLIP2Video).
        order: normal, reversed or shuffled: how the chosen frames follow each other.

    Raises:
        ConfigError: values that are not known or out of range; names all of them at once.
    """

    frames: int
    policy: str = "linspace"
    order: str = "normal"

    def __post_init__(self) -> None:
        problems = Problems("choice of frames")
        if isinstance(self.frames, bool) or not isinstance(self.frames, int) or self.frames < 1:
            problems.add("frames", f"must be a whole number from 1 on, got {self.frames!r}")
        for name, value, known in (("policy", self.policy, list(FRAME_POLICIES)), ("order", self.order, ORDERS)):
            if value not in known:
                hint = did_you_mean(str(value), known)
                problems.add(name, f"is one of {', '.join(known)}, got {value!r}{hint}")
        problems.raise_if_any(ConfigError)

    @property
    def in_test(self) -> FrameChoice:
        """The choice of a test that goes with this one of a training: what is drawn becomes "linspace"."""
        return replace(self, policy="linspace") if self.policy in RANDOM_POLICIES else self

    @property
    def draws(self) -> bool:
        """Whether a training may see other frames, or another order, from one epoch to the next."""
        return self.policy in RANDOM_POLICIES or self.order == "shuffled"

    def to_json(self) -> dict[str, Any]:
        """All fields, as a checkpoint records them."""
        return asdict(self)

    def places(self, count: int, key: Key) -> np.ndarray:
        """(min(frames, count),) int64 places in a grid of `count` frames.

        Args:
            count: number of frames in the grid; 0 gives none.
            key: seed, epoch and number of the caption (in a test: seed, 0 and number of the video), all from 0 on.

        >>> FrameChoice(4).places(10, (0, 0, 0))
        array([0, 3, 6, 9])
        """
        drawn = np.random.default_rng(key)
        if count <= self.frames:
            chosen = np.arange(count)
        else:
            chosen = FRAME_POLICIES.get(self.policy)(count, self.frames, drawn)
        if self.order == "reversed":
            return chosen[::-1].copy()
        return drawn.permutation(chosen) if self.order == "shuffled" else chosen


@FRAME_POLICIES.register("linspace")
def linspace(count: int, frames: int, drawn: Generator) -> np.ndarray:
    """`core.columns.spaced_places`: CLIP4Clip's "uniform", always with the first and the last frame.

    One frame is the first. `avs.video.sampling`'s "uniform" is another: it takes middles of equal parts of a shot.
    """
    return spaced_places(count, frames)


@FRAME_POLICIES.register("head")
def head(count: int, frames: int, drawn: Generator) -> np.ndarray:
    """The first frames (CLIP4Clip's slice_framepos 0)."""
    return np.arange(frames)


@FRAME_POLICIES.register("tail")
def tail(count: int, frames: int, drawn: Generator) -> np.ndarray:
    """The last frames (CLIP4Clip's slice_framepos 1)."""
    return np.arange(count - frames, count)


@FRAME_POLICIES.register("random")
def random(count: int, frames: int, drawn: Generator) -> np.ndarray:
    """Any `frames` different places, in order of time: every such set is as likely as another (clip-ft)."""
    return np.sort(drawn.choice(count, frames, replace=False))


@FRAME_POLICIES.register("jittered")
def jittered(count: int, frames: int, drawn: Generator) -> np.ndarray:
    """`linspace`, but each frame between the first and the last is moved by less than half a distance (CLIP2Video).

    The move is drawn from `[-step, step)`, where step is half the distance of the first two. The upper end is left out,
    so two frames never fall on one place. Where step is 2 or less, nothing moves.
    """
    places = linspace(count, frames, drawn)
    step = int(places[1] - places[0]) // 2 if frames > 1 else 0
    if step > LEAST_JITTER and frames > 2:
        places[1:-1] += drawn.integers(-step, step, frames - 2)
    return places
