from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avs.core.frames import ShotFrames
from avs.video.keyframes import keyframe_path, write_keyframe, write_keyframes


def frames(shot: str, count: int, size: tuple[int, int] = (60, 80)) -> ShotFrames:
    greys = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1) * 40
    data = np.broadcast_to(greys, (count, *size, 3)).copy()
    return ShotFrames(shot, data, np.arange(count) / 2.0, *(() if count else ("failed", "no such file")))


def test_the_middle_frame_is_written_upright_and_small(tmp_path: Path) -> None:
    path = write_keyframe(frames("shotv_1", 5, (900, 600)), tmp_path)
    assert path == keyframe_path(tmp_path, "shotv_1") == tmp_path / "v" / "shotv_1.jpg"
    with Image.open(path) as picture:
        assert (picture.size, picture.format) == ((320, 480), "JPEG")
        assert np.asarray(picture).mean() == pytest.approx(80, abs=2)


def test_small_pictures_stay(tmp_path: Path) -> None:
    with Image.open(write_keyframe(frames("shotv_1", 1), tmp_path) or "") as picture:
        assert picture.size == (80, 60)


def test_a_failed_shot_has_none(tmp_path: Path) -> None:
    assert write_keyframes([frames("shotv_1", 1), frames("shotv_2", 0), frames("shotw_1", 2)], tmp_path) == 2
    assert sorted(p.name for p in tmp_path.rglob("*.jpg")) == ["shotv_1.jpg", "shotw_1.jpg"]


def test_long_ids_get_files_of_their_own(tmp_path: Path) -> None:
    """As those of files whose names have a hundred Chinese characters."""
    shots = [f"shotx--{'.e4.bd.a0' * 80}{end}_{n}" for end in "ab" for n in (1, 2)]
    paths = {write_keyframe(frames(shot, 1), tmp_path) for shot in shots}
    assert len(paths) == 4
    assert len({path.parent for path in paths if path}) == 2


def test_many_are_as_small_as_asked_for(tmp_path: Path) -> None:
    assert write_keyframes([frames("shotv_1", 1, (90, 60)), frames("shotv_2", 3)], tmp_path, longest_side=30) == 2
    sizes = []
    for shot in ("shotv_1", "shotv_2"):
        with Image.open(keyframe_path(tmp_path, shot)) as picture:
            sizes.append(picture.size)
    assert sizes == [(20, 30), (30, 23)]
