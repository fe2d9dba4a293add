"""The pictures of one shot as they are decoded, in one array."""

from __future__ import annotations

import numpy as np

from avs.video.decode import Frame


class FrameStack:
    """Up to `most` frames, all in the size of the first: a video may change its size midway.

    Attributes:
        times_s: when they appear on screen.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.times_s: list[float] = []
        self._data = np.empty((0, 1, 1, 3), dtype=np.uint8)

    def add(self, frame: Frame) -> None:
        """Put a frame behind the others."""
        if not self.times_s:
            first = frame.rgb()
            self._data = np.empty((self.most, *first.shape), dtype=np.uint8)
            self._data[0] = first
        else:
            height, width = self._data.shape[1:3]
            self._data[len(self.times_s)] = frame.rgb(size=(height, width))
        self.times_s.append(frame.time_s)

    @property
    def data(self) -> np.ndarray:
        """(F, H, W, 3) uint8 RGB."""
        return self._data[: len(self.times_s)]

    @property
    def pts_s(self) -> np.ndarray:
        """(F,) float64 seconds, which are times_s."""
        return np.array(self.times_s)
