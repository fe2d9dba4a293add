"""Which captions of a narrated video follow each other: a clip may be about what was said a little before or after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def neighbours(videos: Sequence[str], numbers: np.ndarray, count: int) -> np.ndarray:
    """(N, K) int64: of each of N captions the captions around it and itself, in order of time; -1 where there is none.

    Of an even K, one more comes before than after, as the middle of CLIP4Clip's blocks is number K // 2.

    Args:
        videos: the video of each caption; captions of different videos are no neighbours.
        numbers: (N,) what orders the captions of a video, such as the number of a shot.
        count: K, at least 1.
    """
    total = len(videos)
    codes = np.unique(np.asarray(videos), return_inverse=True)[1]
    order = np.lexsort((numbers, codes))
    found = np.full((total, count), -1, dtype=np.int64)
    for column in range(count):
        step = column - count // 2
        first, last = max(0, -step), total - max(0, step)
        here, there = order[first:last], order[first + step : last + step]
        same = codes[here] == codes[there]
        found[here[same], column] = there[same]
    return found
