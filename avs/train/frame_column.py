"""The frames of videos as a column: pictures that are chosen anew for every caption and epoch, decoded by threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from avs.core.errors import ConfigError
from avs.train.frame_choice import FrameChoice

TEST_EPOCH = 0  # a test draws, if at all, as this epoch


class FrameGrids(Protocol):
    """N videos or shots, each with a grid of frames in time, such as a frame cache. Threads decode at once."""

    @property
    def offsets(self) -> np.ndarray:
        """(N+1,) int64; the grid of item i has offsets[i+1] - offsets[i] frames, at least 1."""
        ...

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        ...

    def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
        """(F, 3, S, S) uint8 RGB pictures of the `frames` of one item, in the order asked for."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ChainedGrids:
    """The items of several grids, one after another: the frames of several collections.

    Raises:
        ConfigError: pictures of different sizes, or no grids.
    """

    parts: tuple[FrameGrids, ...]
    offsets: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        sizes = {part.size for part in self.parts}
        if len(sizes) != 1:
            raise ConfigError(
                "frames of several collections have one size",
                got=", ".join(map(str, sorted(sizes))) or "no collection",
                next_step="make their frame caches with the same size",
            )
        counts = [np.diff(part.offsets) for part in self.parts]
        object.__setattr__(self, "offsets", np.cumsum([0, *np.concatenate(counts)], dtype=np.int64))

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.parts[0].size

    def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
        """(F, 3, S, S) uint8, as FrameGrids."""
        for part in self.parts:
            if position < len(part.offsets) - 1:
                return part.decode(position, frames)
            position -= len(part.offsets) - 1
        raise IndexError(f"no item {position} after the last collection")


@dataclass(frozen=True, slots=True, eq=False)
class FrameColumn:
    """The chosen frames of N videos.

    Attributes:
        grids: the videos and their frames.
        choice: of frames in a training; a test takes `choice.in_test`.
        seed: of what is drawn.
        threads: number of threads that decode. They do not change what comes out.

    Raises:
        ConfigError: fewer than one thread.
    """

    grids: FrameGrids
    choice: FrameChoice
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError("frames are decoded by at least one thread", got=self.threads)

    def __len__(self) -> int:
        return len(self.grids.offsets) - 1

    @property
    def dim(self) -> int:
        """Number of values in a picture: 3 S S."""
        return 3 * self.grids.size**2

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, L, 3, S, S) uint8 as a test sees the videos, black after a video's end, and (B,) int64 lengths."""
        keys = [(self.seed, TEST_EPOCH, row) for row in rows.tolist()]
        return self._pictures(rows, self.choice.in_test, keys)

    def take_for(self, rows: np.ndarray, epoch: int, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same as a training sees them.

        Args:
            rows: (B,) of the N videos.
            epoch: of the training.
            captions: (B,) numbers of the captions of `rows`.
        """
        keys = [(self.seed, epoch, caption) for caption in captions.tolist()]
        return self._pictures(rows, self.choice, keys)

    def _pictures(
        self, rows: np.ndarray, choice: FrameChoice, keys: Sequence[tuple[int, int, int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = np.diff(self.grids.offsets)[rows].tolist()
        chosen = [choice.places(count, key) for count, key in zip(counts, keys, strict=True)]
        lengths = np.array([len(places) for places in chosen], dtype=np.int64)
        size = self.grids.size
        padded = np.zeros((len(rows), int(lengths.max(initial=0)), 3, size, size), dtype=np.uint8)

        def decode(place: int) -> None:
            padded[place, : lengths[place]] = self.grids.decode(int(rows[place]), chosen[place])

        with ThreadPoolExecutor(self.threads) as pool:  # Pillow decodes without the interpreter's lock
            for _ in pool.map(decode, range(len(rows))):  # an error in a thread is raised here
                pass
        return padded, lengths
