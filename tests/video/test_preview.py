"""The policy `keyframes`: the same pictures and times as decoding everything gives, and nothing made up."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from files import files
from tiny_videos import MakeVideo, copied, damaged, frame_of, moving, set_back

from avs.core.errors import VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video import folder as folder_module
from avs.video.decode import Video
from avs.video.folder import VideoFolder
from avs.video.preview import WITHOUT_KEY_FRAME, WITHOUT_KEY_TIMES
from avs.video.sampling import Sampling

Shared = Callable[[str], Path]
Span = tuple[float, float]


def shots_of(*spans_s: Span) -> list[Shot]:
    return [Shot(f"shotv_{n}", "v", start_s, end_s) for n, (start_s, end_s) in enumerate(spans_s, start=1)]


def read(path: Path, *spans_s: Span, **settings: float) -> list[ShotFrames]:
    source = VideoFolder({"v": path}, Sampling("keyframes", **settings))  # type: ignore[arg-type]
    return list(source.read("v", shots_of(*spans_s)))


def numbers(shot: ShotFrames) -> list[int]:
    return [frame_of(picture) for picture in shot.data]


def lacking(found: list[ShotFrames]) -> tuple[int, int]:
    """How many shots lack a key frame, and how many lack the times of key frames."""
    return tuple(sum(shot.tally[name] for shot in found) for name in (WITHOUT_KEY_FRAME, WITHOUT_KEY_TIMES))  # type: ignore[return-value]


def decoded(path: Path) -> dict[float, tuple[bool, np.ndarray]]:
    """Time of a frame -> whether it is a key frame, and its picture, when the whole file is decoded."""
    with Video(path) as video:
        return {frame.time_s: (frame.raw.key_frame, frame.rgb()) for frame in video.frames()}


def pieces(path: Path, seconds: float) -> list[Span]:
    with Video(path) as video:
        end_s = video.duration_s()
    count = max(1, round(end_s / seconds))
    edges = np.linspace(0, end_s, count + 1).round(3).tolist()
    return list(zip(edges, edges[1:], strict=False))


def require_as_decoded(path: Path, spans_s: list[Span]) -> list[ShotFrames]:
    """What is read is what decoding gives, bytes and times; a shot with key frames has no other frames."""
    every = decoded(path)
    found = read(path, *spans_s)
    assert [shot.shot for shot in found] == [shot.id for shot in shots_of(*spans_s)]
    for (start_s, end_s), shot in zip(spans_s, found, strict=True):
        for time_s, picture in zip(shot.pts_s.tolist(), shot.data, strict=True):
            assert np.array_equal(picture, every[time_s][1]), (path.name, time_s)
        if len(shot.data) and not sum(shot.tally.values()):
            assert all(every[time_s][0] for time_s in shot.pts_s.tolist())
            assert start_s - 0.001 <= shot.pts_s[0] and shot.pts_s[-1] < end_s
    return found


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("x264", ["scenecut=0", "scenecut=0:open-gop=1:bframes=3", "scenecut=0:interlaced=1"])
def test_key_frames_are_those_of_decoding_everything(make_video: MakeVideo, name: str, x264: str) -> None:
    path = make_video(name, frames=100, pictures=moving(100), key_every=12, start_s=1.4, x264=x264)
    found = require_as_decoded(path, [(0.0, 2.0), (2.0, 2.3), (2.3, 6.0), (6.0, 10.0)])
    assert [len(shot.data) for shot in found] == [2, 1, 3, 4]
    assert all(shot.status == "ok" for shot in found)
    assert lacking(found) == (1, 0)


def test_a_shot_takes_its_key_frames_and_one_without_takes_its_middle(make_video: MakeVideo) -> None:
    one, two, three = read(make_video(), (0.0, 1.7), (1.7, 2.3), (2.3, 4.0))  # key frames at 0, 0.8, 1.6, 2.4, 3.2 s
    assert (numbers(one), one.pts_s.tolist()) == ([0, 8, 16], [0.0, 0.8, 1.6])
    assert (numbers(two), two.pts_s.tolist(), two.status) == ([20], [2.0], "ok")
    assert numbers(three) == [24, 32]
    assert [shot.tally[WITHOUT_KEY_FRAME] for shot in (one, two, three)] == [0, 1, 0]


def test_key_frames_are_apart_and_no_more_than_asked_for(make_video: MakeVideo) -> None:
    path = make_video(key_every=2)
    (half,) = read(path, (0.0, 4.0))
    assert half.pts_s.tolist() == pytest.approx(np.arange(0, 40, 6) / 10)  # those at 0.2 and 0.4 s are too near
    (second,) = read(path, (0.0, 4.0), interval_s=1.0)
    assert numbers(second) == [0, 10, 20, 30]
    (few,) = read(path, (0.0, 4.0), interval_s=0.2, frames=3)
    assert numbers(few) == [0, 18, 38]


def test_a_key_frame_at_the_edge_is_of_one_shot(make_video: MakeVideo) -> None:
    """Tables round times to a millisecond."""
    path = make_video("ntsc.mkv", times_s=[n * 1001 / 30000 for n in range(40)], fps=30)
    key_s = round(8 * 1001 / 30000, 3)
    before, after = read(path, (0.0, key_s), (key_s, 0.5))
    assert (numbers(before), numbers(after)) == ([0], [8])
    before, after = read(make_video(), (0.0, 0.8005), (0.8005, 1.5))
    assert (numbers(before), numbers(after)) == ([0], [8])


def test_shots_in_any_order_that_overlap(make_video: MakeVideo) -> None:
    spans_s = [(2.0, 3.0), (0.0, 4.0), (0.1, 0.7), (3.3, 4.0), (0.1, 0.7), (0.0, 2.2), (1.7, 2.3), (0.2, 0.6)]
    path = make_video()
    found = read(path, *spans_s)
    assert [shot.shot for shot in found] == [f"shotv_{n}" for n in range(1, 9)]
    for span_s, shot in zip(spans_s, found, strict=True):
        (alone,) = read(path, span_s)
        assert (numbers(shot), shot.tally) == (numbers(alone), alone.tally)


def test_shots_without_key_frames_are_read_as_ever(make_video: MakeVideo) -> None:
    """Variable frame rate; frames that last longer than the shot; shots that overlap."""
    rng = np.random.default_rng(3)
    times_s = np.concatenate([[0.0], np.cumsum(rng.choice([0.04, 0.1, 0.5, 1.2], 39))]).round(3)
    path = make_video("vfr.mkv", times_s=times_s.tolist(), key_every=100)
    starts_s = np.sort(rng.uniform(0.1, times_s[-1] - 1, 12)).round(3)
    spans_s = [(float(a), float(a + rng.choice([0.02, 0.3, 2.0]))) for a in starts_s]
    middles = list(VideoFolder({"v": path}, Sampling("middle")).read("v", shots_of(*spans_s)))
    found = read(path, *spans_s)
    assert [numbers(shot) for shot in found] == [numbers(shot) for shot in middles]
    assert lacking(found) == (12, 0)


def test_a_part_of_a_video_gives_what_the_whole_gives(make_video: MakeVideo, shared: Shared) -> None:
    """A long video is read in several jobs."""
    for path in (make_video(frames=100), shared("videos/clips/car-detection.mp4")):
        spans_s = pieces(path, 1.1)
        whole = read(path, *spans_s)
        for first in (len(spans_s) // 3, len(spans_s) * 2 // 3):
            for one, other in zip(read(path, *spans_s[first:]), whole[first:], strict=True):
                assert np.array_equal(one.data, other.data) and np.array_equal(one.pts_s, other.pts_s)
                assert one.tally == other.tally


def test_only_shots_without_key_frames_are_decoded(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video()
    took: list[float] = []
    frame_of_video = Video._frame
    monkeypatch.setattr(Video, "_frame", lambda self, now: took.append(now.file_s) or frame_of_video(self, now))
    read(path, (0.0, 1.7), (2.3, 4.0))
    assert took == []
    read(path, (0.0, 1.7), (2.5, 3.1))
    assert took[-1] == pytest.approx(2.8)  # the middle, and nothing after it
    assert took[0] == pytest.approx(2.4)  # the key frame before the shot, though the index would say 2.2 s


def test_a_seek_that_lands_too_late_reads_from_the_start(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video()
    opened: list[int] = []

    class Late:
        """A container that seeks too far."""

        def __init__(self, container: av.container.InputContainer) -> None:
            self._container = container

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def seek(self, pts: int, **more: object) -> None:
            self._container.seek(pts * 2, **more)  # type: ignore[arg-type]

    def late(path: Path) -> tuple[object, object]:
        container, stream = open_stream(path)
        opened.append(1)
        return Late(container), stream

    from avs.video import preview

    open_stream = preview.open_stream
    monkeypatch.setattr(preview, "open_stream", late)
    (shot,) = read(path, (1.0, 2.0))
    assert (numbers(shot), len(opened)) == ([16], 2)


def test_what_a_file_calls_a_key_frame_must_be_one(make_video: MakeVideo) -> None:
    def marked(packet: av.Packet) -> None:
        packet.is_keyframe = True

    path = make_video("plain.asf", pictures=moving(40), codec="wmv2", b_frames=0)  # FFmpeg does not look into packets
    path = copied(path, "marked.asf", marked)
    with av.open(str(path)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    every = decoded(path)
    one, two = read(path, (0.0, 0.7), (0.9, 1.5))
    assert one.pts_s.tolist() == [0.0] and one.tally[WITHOUT_KEY_FRAME] == 0 and one.status == "ok"
    assert two.pts_s.tolist() == [1.2] and two.tally[WITHOUT_KEY_FRAME] == 1
    assert np.array_equal(two.data[0], every[1.2][1])


def test_a_refresh_spread_over_frames_is_no_key_frame(make_video: MakeVideo) -> None:
    path = make_video(frames=60, pictures=moving(60), x264="scenecut=0:intra-refresh=1")
    found = require_as_decoded(path, [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)])
    assert [len(shot.data) for shot in found] == [1, 1, 1]
    assert lacking(found) == (2, 0)


def test_a_damaged_key_frame_is_said_to_be_missing(make_video: MakeVideo) -> None:
    path = damaged(make_video("broken.mkv", pictures=moving(40)), 2)
    one, two = read(path, (0.0, 2.0), (1.5, 2.2))
    assert (one.status, one.reason) == ("partial", "2/3 key frames, decode error at 1.6 s")
    assert one.pts_s.tolist() == [0.0, 0.8]
    assert two.tally[WITHOUT_KEY_FRAME] == 1 and (two.status, two.pts_s.tolist()) == ("partial", [1.8])
    assert "damaged by the decode error" in two.reason


@pytest.mark.parametrize("name", ["a.avi", "jump.mkv"])
def test_without_times_every_shot_is_decoded_and_said_so(make_video: MakeVideo, name: str) -> None:
    path = make_video(name, frames=100, codec="mpeg4" if name == "a.avi" else "libx264", b_frames=0)
    if name == "jump.mkv":
        set_back(path, 2400, 1500)
    found = require_as_decoded(path, [(0.0, 1.0), (1.0, 3.0), (3.0, 4.0)])
    assert np.concatenate([shot.pts_s for shot in found]).tolist() == pytest.approx([0.5, 2.0, 3.5])
    assert lacking(found) == (0, 3)


def test_one_key_frame_only(make_video: MakeVideo) -> None:
    path = make_video(key_every=100, pictures=moving(40))
    found = require_as_decoded(path, [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)])
    assert np.concatenate([shot.pts_s for shot in found]).tolist() == pytest.approx([0.0, 1.5, 3.0])
    assert lacking(found) == (2, 0)


def test_a_size_change_midway_keeps_the_shots_size(make_video: MakeVideo, tmp_path: Path) -> None:
    small, large = (make_video(f"{n}.ts", frames=10, size=size, b_frames=0, start_s=start)
                    for n, size, start in ((0, (64, 96), 0.0), (1, (128, 160), 1.0)))  # fmt: skip
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    (shot,) = read(both, (0.0, 2.0))
    assert (shot.data.shape, numbers(shot)) == ((3, 64, 96, 3), [0, 8, 8])  # that at 1.0 s is too near


def test_beyond_the_end_and_no_end(make_video: MakeVideo) -> None:
    inside, across, beyond, endless = read(make_video(), (0.0, 1.0), (3.3, 9.0), (5.0, 6.0), (1.0, float("inf")))
    assert inside.status == "ok"
    assert (across.status, across.reason) == ("partial", "1/1 frames, the video ends at 4.0 s")
    assert (beyond.status, beyond.reason, sum(beyond.tally.values())) == (
        "failed",
        "0/1 frames, the video ends at 4.0 s",
        0,
    )
    (alone,) = read(make_video(), (5.0, 6.0))
    assert (alone.status, alone.reason) == (beyond.status, beyond.reason)
    assert endless.reason == "a shot ends later than any video does (inf s)"


def test_files_that_give_nothing_fail_every_shot_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"words" * 100)
    for name, reason in (("none.mp4", "no such video file"), ("text.mp4", "not a video that FFmpeg can open")):
        found = read(tmp_path / name, (0.0, 1.0), (1.0, 2.0))
        assert [shot.status for shot in found] == ["failed", "failed"]
        assert all(reason in shot.reason for shot in found)
    (without_id,) = VideoFolder({}, Sampling("keyframes")).read("v", shots_of((0.0, 1.0)))
    assert without_id.reason == "no video file has this id (v)"


def test_it_crosses_processes(make_video: MakeVideo) -> None:
    source = VideoFolder({"v": make_video()}, Sampling("keyframes"))
    (shot,) = pickle.loads(pickle.dumps(source)).read("v", shots_of((0.0, 1.0)))
    assert numbers(shot) == [0, 8]


def test_real_clips(shared: Shared) -> None:
    found = [
        shot
        for path in [*files(shared("videos/clips"), "*.mp4"), *files(shared("videos/clips"), "flower.webm")]
        if path.stat().st_size < 1_200_000
        for shot in require_as_decoded(path, pieces(path, 3.0))
    ]
    assert len(found) > 10 and all(shot.status == "ok" for shot in found)
    assert 0 < lacking(found)[0] < len(found) / 2 and lacking(found)[1] == 0


def test_odd_files(shared: Shared) -> None:
    for path in files(shared("videos/odd"), "*"):
        try:
            spans_s = pieces(path, 2.0)
        except VideoError:
            assert [shot.status for shot in read(path, (0.0, 1.0))] == ["failed"]
            continue
        found = require_as_decoded(path, spans_s)
        assert all(len(shot.data) for shot in found)
        assert lacking(found)[1] == (len(found) if path.suffix == ".avi" else 0)
        assert all(shot.status == "ok" for shot in found) == (path.name != "corrupted.mp4")


def test_the_reason_of_an_unreadable_file_is_that_of_decoding(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Video:
        raise VideoError("no frame can be decoded", got="2 decode errors")

    path = make_video("a.avi", codec="mpeg4")
    monkeypatch.setattr(folder_module, "Video", refused)
    found = read(path, (0.0, 1.0), (1.0, 2.0))
    assert [shot.reason for shot in found] == ["no frame can be decoded (2 decode errors)"] * 2
