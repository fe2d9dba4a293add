"""Grids of frames that are decoded each time: the pictures of a frame cache, and an error where a frame is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_videos import write_collection

from avs.core.errors import VideoError
from avs.core.progress import Reporter
from avs.core.shots import read_shot_table
from avs.pipeline.frame_cache import find_shot_videos, make_frame_cache
from avs.video.find import find_videos
from avs.video.frame_cache import CacheSettings
from avs.video.frame_grids import VideoGrids
from avs.video.squares import from_jpeg, to_jpeg

SETTINGS = CacheSettings(fps=2, size=16, quality=95)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    write_collection(tmp_path)
    return tmp_path


def grids_of(folder: Path, settings: CacheSettings = SETTINGS) -> VideoGrids:
    return VideoGrids(read_shot_table(folder / "shots.tsv"), find_videos(folder / "videos"), settings)


def test_they_are_the_pictures_of_a_cache_before_jpeg(collection: Path) -> None:
    found = find_shot_videos(collection / "videos", collection / "shots.tsv")
    cache = make_frame_cache(found, collection / "cache", SETTINGS, workers=0, reporter=Reporter())
    grids = grids_of(collection)
    assert grids.ids == cache.ids and grids.size == cache.size and np.array_equal(grids.offsets, cache.offsets)
    for position in range(len(grids.ids)):
        order = np.array([3, 0, 2])
        one, other = grids.decode(position, order), cache.decode(position, order)
        assert one.shape == other.shape == (3, 3, 16, 16) and one.dtype == np.uint8
        coded = [from_jpeg(to_jpeg(picture.transpose(1, 2, 0), SETTINGS.quality)) for picture in one]
        assert np.array_equal(coded, other)
    assert np.array_equal(grids.decode(1, np.array([3, 0]))[1], grids.decode(1, np.array([0]))[0])
    assert not np.array_equal(grids.decode(1, np.array([0])), grids.decode(2, np.array([0])))


def test_a_video_that_gives_fewer_frames_is_an_error_that_names_it(collection: Path) -> None:
    grids = grids_of(collection, CacheSettings(fps=20, size=16))  # the videos have 10 frames a second
    with pytest.raises(VideoError, match=r"shot00001_2 gives \d+ of 40 frames") as told:
        grids.decode(1, np.arange(40))
    assert "several of these times are on one frame" in str(told.value) and "00001.mp4" in str(told.value)
    (collection / "videos/00002.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="shot00002_1 gives 0 of 1 frames"):
        grids_of(collection).decode(3, np.array([0]))


def test_a_shot_without_a_file_is_not_in_them(collection: Path) -> None:
    (collection / "videos/00002.mp4").unlink()
    grids = grids_of(collection)
    assert grids.missing == ("shot00002_1", "shot00002_2", "shot00002_3") and len(grids.ids) == 6
    assert grids.decode(3, np.array([1])).shape == (1, 3, 16, 16)  # the first of the third video
