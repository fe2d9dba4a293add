"""The frames of several collections as one feature: every video has its own, whichever collection it is of."""

from __future__ import annotations

import numpy as np

from avs.pipeline.train.frames import FrameFeature
from avs.train.frame_choice import FrameChoice


class Grids:
    """Shots of one frame, whose picture shows a number."""

    size = 2

    def __init__(self, ids: list[str], first: int) -> None:
        self.ids, self.first = ids, first
        self.offsets = np.arange(len(ids) + 1)

    def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
        return np.full((len(frames), 3, 2, 2), self.first + position, dtype=np.uint8)


def test_videos_of_two_collections_have_their_own_frames() -> None:
    one, other = object(), object()  # stand for the videos of the collections
    grids = {one: Grids(["shot1_1", "shot1_2", "shot1_3"], 10), other: Grids(["shot2_1", "shot2_2"], 20)}
    feature = FrameFeature("x/frame", FrameChoice(4), 1.0, 0, grids)  # type: ignore[arg-type]
    table = feature.table([(one, ["shot1_3", "shot1_1"]), (other, ["shot2_2"])])  # type: ignore[list-item]
    seen = table.batch(np.array([0, 1, 2])).sequences["x/frame"].values
    assert seen[:, 0, 0, 0, 0].tolist() == [12, 10, 21]
