from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from files import files
from tiny_videos import MakeVideo, frame_of

from avs.core.errors import VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video import folder as folder_module
from avs.video.clips import ClipSampling
from avs.video.decode import Frame, Video
from avs.video.folder import INDEXED_SUFFIXES, VideoFolder
from avs.video.sampling import Sampling

Shared = Callable[[str], Path]
Span = tuple[float, float]


def shots_of(*spans_s: Span) -> list[Shot]:
    return [Shot(f"shotv_{n}", "v", start_s, end_s) for n, (start_s, end_s) in enumerate(spans_s, start=1)]


def read(path: Path, *spans_s: Span, sampling: Sampling | None = None) -> list[ShotFrames]:
    return list(VideoFolder({"v": path}, sampling or Sampling()).read("v", shots_of(*spans_s)))


def numbers(shot: ShotFrames) -> list[int]:
    return [frame_of(picture) for picture in shot.data]


def test_the_frame_on_screen_at_the_wanted_time_is_taken(make_video: MakeVideo) -> None:
    one, two = read(make_video(), (0.0, 1.0), (1.0, 2.1))
    assert (one.shot, numbers(one), one.pts_s.tolist()) == ("shotv_1", [2, 7], [0.2, 0.7])
    assert (two.shot, numbers(two), two.status, two.reason) == ("shotv_2", [13, 18], "ok", "")
    assert one.data.shape == (2, 64, 96, 3)


SAMPLINGS = (
    Sampling(),
    Sampling("keyframes"),
    Sampling("middle"),
    ClipSampling(4, 0.1, 2),
    Sampling("uniform", frames=5),
    Sampling("keyframes", interval_s=2.0),
)


def same(one: ShotFrames, other: ShotFrames) -> bool:
    texts = [(each.shot, each.status, each.reason, dict(each.tally)) for each in (one, other)]
    arrays = [(each.data, each.pts_s, np.array([]) if each.clips is None else each.clips) for each in (one, other)]
    return texts[0] == texts[1] and all(np.array_equal(*pair) for pair in zip(*arrays, strict=True))


@pytest.mark.parametrize("name", ["", "clips/elf.mp4", "clips/nasa_13013.mp4", "clips/flower.webm", "odd/corrupted.mp4",
                                  "odd/test.avi", "odd/empty.webm", "odd/fire2.mp4", "odd/unordered.mov"])  # fmt: skip
def test_several_samplings_in_one_pass_give_what_each_gives_alone(
    make_video: MakeVideo, shared: Shared, name: str
) -> None:
    path = shared(f"videos/{name}") if name else make_video()
    shots = shots_of((0.0, 1.0), (1.0, 1.2), (1.2, 4.0), (3.5, 5.0), (5.0, 60.0), (2.0, 2.5), (0.0, 2e9))
    together = list(VideoFolder({"v": path}).read_each("v", shots, SAMPLINGS))
    assert len(together) == len(shots)
    for place, sampling in enumerate(SAMPLINGS):
        alone = VideoFolder({"v": path}, sampling).read("v", shots)
        assert all(same(one[place], other) for one, other in zip(together, alone, strict=True)), sampling


def test_a_frame_that_several_samplings_take_is_converted_once(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[float] = []
    scaled = Frame._scaled
    monkeypatch.setattr(
        Frame, "_scaled", lambda frame, *size: (converted.append(frame.time_s), scaled(frame, *size))[1]
    )
    samplings = [Sampling("interval", 0.5), Sampling("interval", 0.1)]
    ((one, two),) = VideoFolder({"v": make_video()}).read_each("v", shots_of((0.0, 2.0)), samplings)
    assert len(set(one.pts_s.tolist()) | set(two.pts_s.tolist())) == len(converted) < len(one.data) + len(two.data)


def naive(frames: list[tuple[float, int]], end_s: float, shot: Span, wanted_s: np.ndarray) -> list[int]:
    """All frames at hand: the last that began at or before the time, or the shot's first, or the one on screen."""
    start_s, stop_s = shot
    inside = [(t, n) for t, n in frames if start_s - 0.001 <= t < stop_s - 0.001]
    found = []
    for wanted in wanted_s:
        if wanted < end_s:
            last = [(t, n) for t, n in frames if t <= wanted + 0.001][-1]
            found.append(last if last in inside or not inside else max(last, inside[0]))
    return sorted({n for _, n in found})


@pytest.mark.parametrize("seed", range(8))
def test_one_pass_over_many_shots_agrees_with_looking_at_all_frames(make_video: MakeVideo, seed: int) -> None:
    """Variable frame rate, shots that overlap, touch and leave gaps, any policy."""
    rng = np.random.default_rng(seed)
    times_s = np.concatenate([[0.0], np.cumsum(rng.choice([0.04, 0.1, 0.5, 1.2], 39))]).round(3)
    path = make_video("vfr.mkv", times_s=times_s.tolist())
    with Video(path) as video:
        frames = [(frame.time_s, frame_of(frame.rgb())) for frame in video.frames()]
        end_s = video.end_s or 0.0
    assert [n for _, n in frames] == list(range(40))
    starts_s = np.sort(rng.uniform(0, times_s[-1] - 1, 12)).round(3)
    spans_s = [(float(a), float(a + rng.choice([0.02, 0.3, 2.0, 6.0]))) for a in starts_s]
    sampling = Sampling(["interval", "uniform", "head", "middle"][seed % 4], frames=5)
    for span_s, shot in zip(spans_s, read(path, *spans_s, sampling=sampling), strict=True):
        assert numbers(shot) == naive(frames, end_s, span_s, sampling.times(*span_s)), span_s


def test_no_frame_of_a_neighbouring_shot_is_taken(make_video: MakeVideo) -> None:
    slow = make_video("slow.mkv", times_s=[0.0, 1.0, 2.0, 3.0], fps=1)
    one, two = read(slow, (0.0, 1.6), (1.6, 3.2))
    assert numbers(one) == [0, 1]
    assert numbers(two) == [2]  # frame 1 is still on screen at 1.85 s, but belongs to the shot before


def test_a_shot_in_which_no_frame_begins_takes_the_one_on_screen(make_video: MakeVideo) -> None:
    (shot,) = read(make_video(), (1.02, 1.08))
    assert (numbers(shot), shot.status) == ([10], "ok")


def test_times_rounded_to_milliseconds_find_their_frame(make_video: MakeVideo) -> None:
    path = make_video("ntsc.mkv", times_s=[n * 1001 / 30000 for n in range(30)], fps=30)
    for n in range(1, 29):
        start_s, end_s = round(n * 1001 / 30000, 3), round((n + 1) * 1001 / 30000, 3)
        (shot,) = read(path, (start_s, end_s))
        assert numbers(shot) == [n]


def test_wanted_times_on_one_frame_give_it_once(make_video: MakeVideo) -> None:
    slow = make_video("slow.mkv", times_s=[0.0, 1.0, 2.0, 3.0], fps=1)
    (shot,) = read(slow, (0.0, 4.0))
    assert (numbers(shot), shot.status) == ([0, 1, 2, 3], "ok")


def test_shots_come_in_the_order_asked_for_overlapping_or_not(make_video: MakeVideo) -> None:
    spans_s = [(2.0, 3.0), (0.0, 4.0), (0.5, 1.0), (3.5, 4.0), (0.5, 1.0)]
    path = make_video()
    found = read(path, *spans_s)
    assert [shot.shot for shot in found] == [f"shotv_{n}" for n in range(1, 6)]
    for span_s, shot in zip(spans_s, found, strict=True):
        assert numbers(shot) == numbers(read(path, span_s)[0])


def test_a_shot_is_given_out_before_the_rest_is_decoded(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    frames = Video.frames

    def counted(self: Video, spans_s: list[Span], *, needed: np.ndarray | None):
        for frame in frames(self, spans_s, needed=needed):
            decoded.append(frame.time_s)
            yield frame

    monkeypatch.setattr(Video, "frames", counted)
    reading = VideoFolder({"v": make_video()}).read("v", shots_of((0.0, 1.0), (1.0, 2.0), (2.0, 4.0)))
    next(reading)
    assert decoded[-1] < 1.0
    reading.close()


def test_beyond_the_end(make_video: MakeVideo) -> None:
    inside, across, barely, beyond = read(make_video(), (0.0, 3.0), (3.0, 5.0), (3.85, 6.0), (5.0, 6.0))
    assert inside.status == "ok"
    assert (across.status, across.reason, numbers(across)) == (
        "partial",
        "2/4 frames, the video ends at 4.0 s",
        [32, 37],
    )
    assert (barely.status, barely.reason, numbers(barely)) == ("partial", "1/4 frames, the video ends at 4.0 s", [39])
    assert (beyond.status, beyond.reason) == ("failed", "0/2 frames, the video ends at 4.0 s")


def test_a_shot_without_an_end_fails_and_the_others_do_not(make_video: MakeVideo) -> None:
    one, endless, two = read(make_video(), (0.0, 1.0), (1.0, math.inf), (1.0, 2.0))
    assert (endless.status, endless.reason) == ("failed", "a shot ends later than any video does (inf s)")
    assert (numbers(one), numbers(two)) == ([2, 7], [12, 17])


def test_files_that_give_nothing_fail_every_shot_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"words" * 100)
    for path, reason in (
        (tmp_path / "none.mp4", "no such video file"),
        (tmp_path / "text.mp4", "not a video that FFmpeg can open (Invalid data found when processing input)"),
    ):
        found = read(path, (0.0, 1.0), (1.0, 2.0))
        assert [(shot.shot, shot.status, shot.reason) for shot in found] == [
            ("shotv_1", "failed", reason),
            ("shotv_2", "failed", reason),
        ]
    (found_none,) = VideoFolder({}).read("v", shots_of((0.0, 1.0)))
    assert found_none.reason == "no video file has this id (v)"


def test_a_truncated_file_keeps_what_it_has(make_video: MakeVideo) -> None:
    path = make_video("cut.mkv", b_frames=0)
    with av.open(str(path)) as container:
        cut = next(packet.pos for packet in container.demux(video=0) if packet.pts == 2000)
    path.write_bytes(path.read_bytes()[:cut])
    first, across, last = read(path, (0.0, 1.0), (1.0, 3.0), (3.0, 4.0))
    assert (first.status, numbers(first)) == ("ok", [2, 7])
    assert (across.status, across.reason) == ("partial", "2/4 frames, the video ends at 2.0 s")
    assert (last.status, last.reason) == ("failed", "0/2 frames, the video ends at 2.0 s")


def test_a_size_change_midway_keeps_the_shots_size(make_video: MakeVideo, tmp_path: Path) -> None:
    small, large = (make_video(f"{n}.ts", frames=10, size=size, b_frames=0, start_s=start)
                    for n, size, start in ((0, (64, 96), 0.0), (1, (128, 160), 1.0)))  # fmt: skip
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    (shot,) = read(both, (0.0, 2.0), sampling=Sampling("uniform", frames=4))
    assert (shot.data.shape, shot.status) == ((4, 64, 96, 3), "ok")
    assert numbers(shot)[:2] == [2, 7]


def test_it_crosses_processes(make_video: MakeVideo) -> None:
    folder = VideoFolder({"v": make_video()}, Sampling("middle"))
    (shot,) = pickle.loads(pickle.dumps(folder)).read("v", shots_of((0.0, 4.0)))
    assert numbers(shot) == [20]


ODD = {
    "av1_video.mkv": "ok",
    "corrupted.mp4": "partial",
    "empty.webm": "failed",
    "fire2.mp4": "ok",
    "h264_10bits.mp4": "ok",
    "h265_10bits.mp4": "ok",
    "no_duration.webm": "ok",
    "test.avi": "ok",
    "test_video.mp4": "ok",
    "unordered.mov": "ok",
    "video_0.mov": "ok",
    "video_180.mov": "ok",
    "video_270.mov": "ok",
    "video_90.mov": "ok",
    "video_with_failing_audio.mp4": "ok",
    "with-attached-pic.mp3": "failed",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_end_well_or_with_a_reason(shared: Shared, name: str) -> None:
    path = shared(f"videos/odd/{name}")
    duration_s = 1.0
    if ODD[name] != "failed":
        with Video(path) as video:
            duration_s = video.duration_s()
    (shot,) = read(path, (0.0, duration_s))
    assert shot.status == ODD[name]
    assert (shot.reason == "") == (shot.status == "ok")
    assert (len(shot.data) > 0) == (shot.status != "failed")
    if len(shot.data) and name not in ("test_video.mp4", "unordered.mov"):  # of one colour
        assert all(picture.std() > 1 for picture in shot.data)


def test_corrupted_file_by_shot(shared: Shared) -> None:
    reasons = [shot.reason for shot in read(shared("videos/odd/corrupted.mp4"), (0, 2), (2.5, 4.0), (4, 5), (5, 6))]
    assert reasons == [
        "",
        "2/3 frames, decode error at 3.2 s",
        "2/2 frames, perhaps damaged by the decode error at 3.2 s",
        "0/2 frames, the video ends at 5.0 s",
    ]


def test_master_shots_of_iacc3_give_frames(shared: Shared) -> None:
    for path in files(shared("iacc3"), "*.mp4"):
        with Video(path) as video:
            duration_s = video.duration_s()
        (shot,) = read(path, (0.0, duration_s))
        assert (shot.status, len(shot.data)) == ("ok", max(1, int(duration_s / 0.5 + 1e-6)))


def test_sparse_shots_of_a_real_file_are_the_same_by_seeking_and_in_sequence(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared("videos/clips/car-detection.mp4")
    spans_s = ((6.0, 7.0), (16.2, 17.3), (29.0, 29.9))
    sought = read(path, *spans_s)
    decoded = []
    take = Video._frame
    monkeypatch.setattr(Video, "_frame", lambda self, now: decoded.append(now) or take(self, now))
    again = read(path, *spans_s)
    by_seeking = len(decoded)
    monkeypatch.setattr("avs.video.decode.INDEXED_FORMATS", ())
    in_sequence = read(path, *spans_s)
    assert by_seeking < (len(decoded) - by_seeking) * 0.75
    for one, two, three in zip(sought, again, in_sequence, strict=True):
        assert one.status == two.status == three.status == "ok"
        assert one.pts_s.tolist() == two.pts_s.tolist() == three.pts_s.tolist()
        assert np.array_equal(one.data, two.data) and np.array_equal(one.data, three.data)


@pytest.mark.parametrize(
    ("lost_s", "why"),
    [
        (0.5, "the file has no frame for 0.5 s"),
        (2.0, "decode error at 1.5 s"),
        (3.5, "decode error at 3.0 s"),
        (4.0, "the video ends at 4.0 s"),
    ],
)
def test_a_lost_frame_is_the_fault_of_the_last_error_before_it(lost_s: float, why: str) -> None:
    video = SimpleNamespace(end_s=4.0, errors_s=[1.5, 1.0, 3.0])
    assert folder_module._why(lost_s, video) == why  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["clips", "odd"])
def test_some_shots_of_a_real_file_are_as_in_one_pass_over_all(shared: Shared, name: str) -> None:
    """So a long video can be cut into jobs. Files without a usable index are read from their beginning."""
    videos = [path for path in files(shared(f"videos/{name}"), "*") if path.suffix in INDEXED_SUFFIXES]
    read_parts = 0
    for path in videos:
        try:
            with Video(path) as video:
                end_s = video.duration_s()
        except VideoError:
            continue
        shots = shots_of(*[(float(second), second + 1.0) for second in range(min(6, int(end_s)))])
        source = VideoFolder({"v": path}, Sampling("middle"))
        whole = list(source.read("v", shots))
        for first in {len(shots) // 2, len(shots) - 2} - {0, -1, -2}:
            for alone, frames in zip(source.read("v", shots[first:]), whole[first:], strict=True):
                assert alone.status == frames.status and np.array_equal(alone.pts_s, frames.pts_s), path.name
                assert np.array_equal(alone.data, frames.data), path.name
            read_parts += 1
    assert read_parts > 5


def test_a_video_is_cut_only_if_its_format_has_an_index() -> None:
    source = VideoFolder({"a": Path("a.MP4"), "b": Path("b.webm"), "c": Path("c.avi"), "d": Path("d.ts")})
    assert [source.begins_anywhere(video) for video in "abcde"] == [True, True, False, False, False]
