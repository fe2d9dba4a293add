from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from avs.core.errors import AvsError, FormatError, VideoError
from avs.core.ids import format_shot_id, parse_shot_id
from avs.video.decode import Video
from avs.video.find import VIDEO_SUFFIXES, find_videos, video_id


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
@pytest.mark.parametrize("upper", [False, True])
def test_suffixes(tmp_path: Path, suffix: str, upper: bool) -> None:
    name = f"00123{suffix.upper() if upper else suffix}"
    assert find_videos(touch(tmp_path, name)) == {"00123": tmp_path / name}


def test_ids_are_stems_in_natural_order_below_the_folder_too(tmp_path: Path) -> None:
    touch(tmp_path, "a10.mp4", "a9.mp4", "deep/er/a1.mkv", "notes.txt", ".hidden.mp4")
    assert list(find_videos(tmp_path)) == ["a1", "a9", "a10"]


def test_no_videos_says_what_there_is(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.txt", "c.jpg", "README")
    with pytest.raises(VideoError) as caught:
        find_videos(tmp_path)
    assert caught.value.what == "no video files"
    assert caught.value.got == "2 .txt, 1 no suffix, 1 .jpg"
    assert ".mp4" in str(caught.value.wanted)
    with pytest.raises(VideoError, match="an empty folder"):
        find_videos(touch(tmp_path / "empty", "x/.keep") / "x")


def test_no_such_folder(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4")
    with pytest.raises(AvsError, match="did you mean .*videos"):
        find_videos(tmp_path / "video")


def test_two_files_of_one_stem_are_named_with_the_way_out(tmp_path: Path) -> None:
    touch(tmp_path, "flower.mp4", "flower.webm")
    with pytest.raises(FormatError) as caught:
        find_videos(tmp_path)
    assert f'{tmp_path}/flower.webm: the id "flower" is taken by {tmp_path}/flower.mp4' in str(caught.value)
    assert "--video-ids name" in str(caught.value)
    assert list(find_videos(tmp_path, ids="name")) == ["flower-mp4", "flower-webm"]


ODD_NAMES = [
    "my film",
    "#1",
    "ünder",
    "_x",
    "-x",
    ".x",
    "a.b c",
    "a.20b c",
    "x--my",
    "x--my.20film",
    "100%",
    "雪",
    "a\u00a0b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_get_ids_that_tell_the_name(name: str) -> None:
    video = video_id(name)
    assert parse_shot_id(format_shot_id(video, 3)) == (video, 3)
    assert video.startswith("x--")
    assert unquote(video[3:].replace(".", "%")) == name


@pytest.mark.parametrize("seed", range(5))
def test_no_two_names_have_one_id(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = {"".join(rng.choice([*"ax2._- %é雪"], rng.integers(1, 8))) for _ in range(3000)}
    names |= {video_id(name) for name in names}  # names that look like ids
    assert len({video_id(name) for name in names}) == len(names)


def test_ordinary_names_are_their_ids() -> None:
    for name in ("00123", "G1ZpFz-_b7k", "v_1.avi", "xn--a", "MVI_0042", "a--b"):
        assert video_id(name) == name


def test_odd_names_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "my film.mp4", "über/ünder #2.mp4", "fine.mp4", "my film.ünd.mkv")
    found = find_videos(tmp_path)
    assert list(found) == ["fine", "x--.c3.bcnder.20.232", "x--my.20film", "x--my.20film.2e.c3.bcnd"]
    assert found["x--.c3.bcnder.20.232"] == tmp_path / "über/ünder #2.mp4"
    assert "x--my-film.mp4".replace(".", "-") not in find_videos(tmp_path, ids="name")
    assert "x--my.20film-mp4" in find_videos(tmp_path, ids="name")


def test_names_that_are_no_text_are_all_named(tmp_path: Path) -> None:
    touch(tmp_path, "two\nlines.mp4", "tab\there/a.mp4", "line\u2028.mp4", os.fsdecode(b"latin\xe9.mp4"), "fine.mp4")
    with pytest.raises(FormatError) as caught:
        find_videos(tmp_path)
    assert "4 problems" in str(caught.value)
    assert r"'two\nlines.mp4' has control characters or is not UTF-8" in str(caught.value)
    assert "--video-ids" not in str(caught.value)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoError, match="not a folder of videos"):
        find_videos(tmp_path / "a.mp4")


def test_the_gifs_of_tgif_are_videos_with_every_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 80, 160, 240)]
    path = tmp_path / "tumblr_x_500.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=250, loop=0)
    assert find_videos(tmp_path) == {"tumblr_x_500": path}
    with Video(path) as video:
        found = [(round(frame.time_s, 2), round(float(frame.rgb().mean()))) for frame in video.frames()]
    assert found == [(0.0, 0), (0.25, 80), (0.5, 160), (0.75, 240)]
