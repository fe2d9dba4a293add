from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_videos import MakeVideo, damaged, moving, set_edit

from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.clips import ClipSampling
from avs.video.decode import Video
from avs.video.folder import VideoFolder
from avs.video.sampling import Sampling, Times
from avs.video.sparing import Sparing, SparingError

Shared = Callable[[str], Path]
SAMPLINGS = (Sampling(), Sampling("middle"), Sampling("uniform", frames=3), ClipSampling(4, 0.1, 1))


class Spared:
    """Counts the frames that are spared, and keeps the shots of each pass over a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.passes = 0, list[list[str]]()
        spared_before, one_pass = Sparing.spared_before, VideoFolder._pass

        def counted(sparing: Sparing, pts: int | None) -> list[int]:
            spared = spared_before(sparing, pts)
            self.count += len(spared)
            return spared

        def kept(folder: VideoFolder, video: str, shots: list[Shot], *rest: Any, **options: Any) -> Any:
            self.passes.append([shot.id for shot in shots])
            return one_pass(folder, video, shots, *rest, **options)

        monkeypatch.setattr(Sparing, "spared_before", counted)
        monkeypatch.setattr(VideoFolder, "_pass", kept)


def random_shots(seed: int, end_s: float) -> list[Shot]:
    """Some shots, some of which overlap, of any length, in order of time; the last may lie beyond the end."""
    rng = np.random.default_rng(seed)
    starts_s = np.sort(rng.uniform(0, end_s, 6))
    return [Shot(f"shotv_{n}", "v", start, start + rng.uniform(0.02, 3)) for n, start in enumerate(starts_s.tolist())]


def read(path: Path, shots: list[Shot], sampling: Times) -> list[ShotFrames]:
    return list(VideoFolder({"v": path}, sampling).read("v", shots))


def read_all(path: Path, shots: list[Shot], sampling: Times) -> list[ShotFrames]:
    """The same when no frame is spared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avs.video.decode.CODECS", ())
        return read(path, shots, sampling)


def require_same(one: list[ShotFrames], other: list[ShotFrames]) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a.shot, a.status, a.reason) == (b.shot, b.status, b.reason)
        assert np.array_equal(a.pts_s, b.pts_s) and np.array_equal(a.data, b.data)


@pytest.mark.parametrize("name", ["moving.mp4", "moving.mkv"])
@pytest.mark.parametrize(
    "x264", ["scenecut=0", "b-pyramid=none:bframes=5:b-adapt=0", "ref=4:open-gop=1", "intra-refresh=1"]
)
def test_what_is_wanted_is_the_same_to_the_last_bit(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, name: str, x264: str
) -> None:
    path = make_video(name, frames=150, fps=15, start_s=1.3, key_every=40, pictures=moving(150), b_frames=3, x264=x264)
    spared = Spared(monkeypatch)
    for seed in range(8):
        for sampling in SAMPLINGS:
            shots = random_shots(seed, 10.0)
            found = read(path, shots, sampling)
            # where pictures are refreshed line by line, the key frames of the index are not key frames
            assert len(spared.passes) == 1 or x264 == "intra-refresh=1"
            require_same(found, read_all(path, shots, sampling))
            spared.passes.clear()
    assert spared.count > 300


@pytest.mark.parametrize("name", ["clips/flower.mp4", "clips/friday.mp4", "clips/nasa_13013.mp4", "odd/h264_10bits.mp4",
                                  "odd/video_with_failing_audio.mp4", "odd/unordered.mov"])  # fmt: skip
def test_real_files(shared: Shared, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path, spared = shared(f"videos/{name}"), Spared(monkeypatch)
    with Video(path) as video:
        end_s = video.duration_s()
    for seed, sampling in enumerate(SAMPLINGS):
        shots = [*random_shots(seed, end_s), Shot("shotv_9", "v", 0.0, end_s)]
        require_same(read(path, shots, sampling), read_all(path, shots, sampling))
    assert spared.count or name == "odd/unordered.mov"


def test_damage_that_is_not_seen_does_no_harm(shared: Shared) -> None:
    """Frames that nobody wants may be damaged; a shot that was sound is the same, and one that was not may be."""
    path, shots = shared("videos/odd/corrupted.mp4"), [Shot("shotv_1", "v", n / 2, (n + 1) / 2) for n in range(12)]
    for sampling in SAMPLINGS:
        for one, other in zip(read(path, shots, sampling), read_all(path, shots, sampling), strict=True):
            if other.status == "ok" or one.status != "ok":
                require_same([one], [other])


def test_a_shot_shorter_than_its_frames_is_read_once(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first frame is wanted where the one on screen at the wanted time began before it."""
    path = make_video(frames=150, fps=15, key_every=40, pictures=moving(150), b_frames=3)
    starts_s = np.sort(np.random.default_rng(0).uniform(0, 9, 40)).tolist()
    shots = [Shot(f"shotv_{n}", "v", start_s, start_s + 0.09) for n, start_s in enumerate(starts_s)]
    spared = Spared(monkeypatch)
    found = read(path, shots, Sampling("middle"))
    assert len(spared.passes) == 1
    require_same(found, read_all(path, shots, Sampling("middle")))


def test_the_last_frame_is_always_decoded(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The video ends when it does."""
    asked = []
    monkeypatch.setattr("avs.video.decode.Sparing", lambda pts, needed, reached: asked.append(needed))
    with Video(make_video()) as video:
        next(video.frames(needed=np.zeros(40, dtype=bool)))
    assert asked[0].tolist() == [False] * 39 + [True]


def test_most_frames_of_a_file_with_b_frames_are_spared(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(frames=150, fps=25, key_every=50, b_frames=3, pictures=moving(150))
    spared = Spared(monkeypatch)
    (shot,) = read(path, [Shot("shotv_1", "v", 0.0, 6.0)], Sampling())
    assert len(shot.data) == 12
    assert 60 < spared.count < 138


def test_damage_makes_it_read_again_what_is_left(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("damaged.mkv", frames=60, pictures=moving(60), b_frames=2)
    damaged(path, 4)
    spared = Spared(monkeypatch)
    shots = [Shot(f"shotv_{n}", "v", float(n), n + 1.0) for n in range(6)]
    found = read(path, shots, Sampling())
    assert [len(shots) for shots in spared.passes] == [6, 3] and spared.passes[1] == [shot.id for shot in shots[3:]]
    assert {shot.status for shot in found} > {"ok"}
    require_same(found, read_all(path, shots, Sampling()))


def test_a_frame_that_does_not_come_when_the_packets_say_is_noticed() -> None:
    sparing = Sparing(np.array([0, 10, 20, 30, 40]), np.array([1, 0, 0, 1, 1], dtype=bool), 0)
    assert sparing.spared_before(30) == [10, 20]
    for pts in (30, 20, 35, None):  # again, earlier, of no packet, without a time
        with pytest.raises(SparingError):
            sparing.spared_before(pts)
    assert sparing.spared_before(40) == []
    sparing.sought()
    assert sparing.spared_before(20) == []
    with pytest.raises(SparingError):  # the frame at 30 is needed
        sparing.spared_before(40)


def test_frames_are_spared_only_where_packets_tell_all_times(make_video: MakeVideo) -> None:
    for name, options, able in (
        ("a.mp4", {}, True),
        ("a.mkv", {}, True),
        ("b.mp4", {"b_frames": 0}, False),
        ("c.avi", {"b_frames": 0}, False),
        ("d.mp4", {"codec": "mpeg4"}, False),
    ):
        with Video(make_video(name, **options)) as video:
            times_s = video.times_s()
            assert (times_s is not None) is able, name
            if times_s is not None:
                np.testing.assert_array_equal(times_s, [frame.time_s for frame in video.frames()])
    with Video(make_video("a.mp4"), threads=2) as video:
        assert video.times_s() is None


def test_packets_that_an_edit_list_leaves_out_are_no_frames(make_video: MakeVideo) -> None:
    path = make_video()
    set_edit(path, 1.95)
    with Video(path) as video:
        np.testing.assert_array_equal(video.times_s(), [frame.time_s for frame in video.frames()])
    shots = [Shot("shotv_1", "v", 0.0, 1.0), Shot("shotv_2", "v", 1.0, 3.0)]
    require_same(read(path, shots, Sampling()), read_all(path, shots, Sampling()))
