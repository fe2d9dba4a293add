"""Captions around a caption: in the order of the shots, within a video, and what a batch makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_clips import clip_pairs

from avs.train.neighbours import neighbours

VIDEOS, NUMBERS = ["b", "a", "b", "a", "b", "c"], np.array([10, 2, 9, 1, 11, 1])  # in time: a 3 1, b 2 0 4, c 5


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (1, [[0], [1], [2], [3], [4], [5]]),
        (2, [[2, 0], [3, 1], [-1, 2], [-1, 3], [0, 4], [-1, 5]]),
        (3, [[2, 0, 4], [3, 1, -1], [-1, 2, 0], [-1, 3, 1], [0, 4, -1], [-1, 5, -1]]),
    ],
)
def test_a_caption_is_in_the_middle_of_those_of_its_video(count: int, wanted: list[list[int]]) -> None:
    assert neighbours(VIDEOS, NUMBERS, count).tolist() == wanted


def test_more_neighbours_than_captions() -> None:
    found = neighbours(["a", "a"], np.array([1, 2]), 9)
    assert [row[row >= 0].tolist() for row in found] == [[0, 1], [0, 1]]


def test_a_batch_has_the_block_of_every_caption() -> None:
    pairs = replace(clip_pairs(6), neighbours=neighbours(VIDEOS, NUMBERS, 3))
    batch = pairs.batch(np.array([1, 5, 0]))
    assert batch.captions.tolist() == [3, 1, 5, 2, 0, 4] and batch.block_of.tolist() == [1, 1, 5, 0, 0, 0]
    assert batch.video_of.tolist() == batch.captions.tolist() and len(batch.texts) == len(batch.videos) == 6
    assert clip_pairs(6).batch(np.array([1, 5])).block_of is None
