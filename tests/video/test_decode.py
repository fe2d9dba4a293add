from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st
from tiny_videos import MakeVideo, frame_of, grey_of, set_back, set_display_matrix, set_edit, set_stated_duration

from avs.core.errors import VideoError
from avs.video.container import Timetable, key_frame_times, packets, read_timetable
from avs.video.decode import Video, _Clock, _seconds

Shared = Callable[[str], Path]


def read(path: Path, *spans_s: tuple[float, float]) -> list[tuple[float, float, int]]:
    with Video(path) as video:
        frames = video.frames(spans_s or ((0.0, math.inf),))
        return [(round(f.time_s, 6), round(f.until_s, 6), frame_of(f.rgb())) for f in frames]


def test_every_frame_comes_once_in_display_order_and_stays_until_the_next(make_video: MakeVideo) -> None:
    assert read(make_video()) == [(n / 10, (n + 1) / 10, n) for n in range(40)]


def test_time_runs_from_the_first_frame(make_video: MakeVideo) -> None:
    path = make_video("late.mkv", start_s=7.3)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).time == 7.3
    assert read(path) == read(make_video("early.mkv"))


def test_a_variable_frame_rate(make_video: MakeVideo) -> None:
    times_s = [0, 0.04, 0.08, 1.0, 1.5, 1.52, 4.0]
    found = read(make_video("vfr.mkv", times_s=times_s, fps=25))
    assert [time_s for time_s, _, _ in found] == times_s
    assert [until_s for _, until_s, _ in found[:-1]] == times_s[1:]
    assert [n for _, _, n in found] == list(range(7))


@given(units=st.integers(-(2**62), 2**62), base=st.fractions(min_value=Fraction(1, 10**9), max_value=10))
def test_seconds_are_those_of_exact_arithmetic(units: int, base: Fraction) -> None:
    assert _seconds(units, base) == float(units * base)


def test_reading_goes_on_where_it_stopped(make_video: MakeVideo) -> None:
    with Video(make_video()) as video:
        first = [frame_of(f.rgb()) for f in video.frames([(0.0, 0.5)])]
        rest = [frame_of(f.rgb()) for f in video.frames([(0.0, math.inf)])]
    assert first == list(range(5))
    assert rest == list(range(5, 40))


@pytest.mark.parametrize("name", ["sparse.mp4", "sparse.mkv"])
@pytest.mark.parametrize("start_s", [0.0, 2.5])
def test_seeking_gives_the_same_pixels_and_decodes_less(make_video: MakeVideo, name: str, start_s: float) -> None:
    rng = np.random.default_rng(0)
    pictures = [np.kron(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))] * 1
    pictures = [np.roll(pictures[0], n, axis=1) for n in range(300)]
    path = make_video(name, frames=300, pictures=pictures, start_s=start_s, key_every=12)
    spans_s = [(6.0, 6.35), (14.0, 15.0), (15.0, 15.2), (29.5, 30.0)]
    with Video(path) as video:
        every = {f.time_s: f.rgb() for f in video.frames()}
    with Video(path) as video:
        sought = {f.time_s: f.rgb() for f in video.frames(spans_s)}
    wanted = [t for t in every if any(a - 0.001 <= t < b - 0.001 for a, b in spans_s)]
    assert len(wanted) == 4 + 12 + 5
    assert len(sought) < len(every) / 3
    assert all(np.array_equal(sought[t], every[t]) for t in wanted)


@pytest.mark.parametrize("name", ["sparse.mp4", "sparse.mkv"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_span_that_begins_with_a_key_frame_is_read_from_it_on(
    make_video: MakeVideo, name: str, b_frames: int
) -> None:
    """Jobs often begin at a cut, and so with a key frame; what is decoded before it is lost time."""
    path = make_video(name, frames=100, key_every=20, start_s=2.5, b_frames=b_frames)
    for start_s in (4.0, 6.0):
        with Video(path) as video:
            found = [(frame.time_s, frame_of(frame.rgb())) for frame in video.frames([(start_s, start_s + 0.55)])]
        np.testing.assert_allclose([time_s for time_s, _ in found], start_s + np.arange(6) / 10, atol=1e-6)
        assert [n for _, n in found] == [n % 40 for n in range(round(10 * start_s), round(10 * start_s) + 6)]


def test_nothing_is_skipped_when_no_key_frame_lies_between(make_video: MakeVideo) -> None:
    assert len(read(make_video(frames=40, key_every=100), (3.0, 3.5))) == 35


def test_an_index_that_lies_is_not_believed(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(frames=40)
    monkeypatch.setattr("avs.video.decode.key_frame_times", lambda _: [2.0])
    monkeypatch.setattr("avs.video.decode.Video._land_on", lambda self, key_s: False)
    assert [n for _, _, n in read(path, (3.0, 3.5))] == list(range(35))


def test_a_seek_that_lands_too_late_is_undone(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(frames=100)
    land_on = Video._land_on
    landed = []
    monkeypatch.setattr(Video, "_land_on", lambda self, key_s: landed.append(key_s) or land_on(self, key_s + 3.2))
    with Video(path) as video:
        times_s = [frame.time_s for frame in video.frames([(4.0, 4.5)])]
    assert landed == pytest.approx([4.0, 3.2])
    np.testing.assert_allclose(times_s, np.arange(45) / 10)


def test_an_error_of_reading_makes_the_next_frames_suspect(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(
        container: InputContainer, stream: VideoStream, *, on_error: Callable[[], None]
    ) -> Iterator[av.Packet[VideoStream]]:
        for number, packet in enumerate(packets(container, stream)):
            if number == 20:
                on_error()
            yield packet

    monkeypatch.setattr("avs.video.decode.packets", failing)
    with Video(make_video("error.mkv", b_frames=0, key_every=8)) as video:
        frames = list(video.frames())
        (error_s,) = video.errors_s
    assert 1.5 < error_s <= 2.0
    suspect = [frame.time_s for frame in frames if frame.error_s == error_s]
    assert suspect and error_s <= suspect[0] and suspect[-1] == pytest.approx(2.3)


def test_after_a_broken_packet_frames_go_on_and_the_gap_is_no_frames_time(make_video: MakeVideo) -> None:
    path = make_video("broken.mkv", codec="libx264", b_frames=0, key_every=10)
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(video=0) if p.pts == 1500)
        coded = bytes(packet)
    path.write_bytes(data.replace(coded, b"\x00\x00\x00\x01" + b"\xff" * (len(coded) - 4)))
    with Video(path) as video:
        frames = list(video.frames())
        assert video.errors_s == [1.5]
    assert [f.time_s for f in frames] == [n / 10 for n in range(40) if n != 15]
    assert frames[14].until_s == 1.5
    assert [f.error_s for f in frames] == [None] * 15 + [1.5] * 4 + [None] * 20


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("none.mp4", None, "no such video file"),
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"not a video at all" * 50, "not a video that FFmpeg can open"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, content: bytes | None, what: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError) as caught:
        Video(path)
    assert caught.value.what == what
    assert caught.value.where == path


ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "as stored": ((1, 0, 0, 1), lambda stored: stored),
    "90 degrees clockwise": ((0, 1, -1, 0), lambda stored: np.rot90(stored, 3)),
    "180 degrees": ((-1, 0, 0, -1), lambda stored: np.rot90(stored, 2)),
    "270 degrees clockwise": ((0, -1, 1, 0), lambda stored: np.rot90(stored, 1)),
    "mirrored left to right": ((-1, 0, 0, 1), np.fliplr),
    "mirrored top to bottom": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda stored: stored.transpose(1, 0, 2)),
    "transposed and turned": ((0, -1, -1, 0), lambda stored: np.rot90(stored, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_frames_are_shown_as_the_display_matrix_says(make_video: MakeVideo, name: str) -> None:
    """In the stored size, and in a size that is given as the player's height and width."""
    matrix, upright = ORIENTATIONS[name]
    corners = np.array([[0, 90], [160, 250]], dtype=np.uint8)
    picture = np.kron(corners[:, :, None], np.ones((32, 48, 3), dtype=np.uint8))
    path = make_video(pictures=[picture] * 3, frames=3)
    set_display_matrix(path, *matrix)
    expected = upright(picture)
    half = expected.shape[0] // 2, expected.shape[1] // 2
    with Video(path) as video:
        for frame in video.frames():
            for found, wanted in ((frame.rgb(), expected), (frame.rgb(size=half), expected[::2, ::2])):
                assert found.shape == wanted.shape
                assert np.abs(found.astype(int) - wanted).mean() < 4


def test_a_name_that_looks_like_an_address(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("plain.mp4")
    odd = path.rename(tmp_path / "rtp:1 50%d ü.mp4")
    assert len(read(odd)) == 40


def rewound(make_video: MakeVideo, b_frames: int) -> Path:
    """100 frames of 10 fps in key frames' clusters; the file's clock jumps from 2.3 s to 0.9 s. Greys tell frames."""
    rows = np.random.default_rng(0).choice([-20, 20], (100, 64, 96, 1))
    pictures = [np.clip(rows[n] + grey_of(n), 0, 255).astype(np.uint8).repeat(3, axis=2) for n in range(100)]
    path = make_video("rewound.mkv", frames=100, pictures=pictures, b_frames=b_frames)
    set_back(path, 2400, 1500)
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
def test_time_that_jumps_back_goes_on(make_video: MakeVideo, tmp_path: Path, b_frames: int) -> None:
    """Two transport streams in one file, whose second part starts its clock again."""
    first, second = (make_video(f"{n}.ts", frames=n, b_frames=b_frames) for n in (20, 15))
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    found = read(both)
    assert [n for _, _, n in found] == [*range(20), *range(15)]
    np.testing.assert_allclose([time_s for time_s, _, _ in found], np.arange(35) / 10, atol=1e-6)
    np.testing.assert_allclose([until_s for _, until_s, _ in found], np.arange(1, 36) / 10, atol=1e-6)
    with Video(both) as video:
        assert video.duration_s() == pytest.approx(3.5)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_time_that_jumps_back_in_a_file_with_an_index(make_video: MakeVideo, b_frames: int) -> None:
    """A time in its index may mean two places, so no place is sought, and any span gives the frames of the whole."""
    path = rewound(make_video, b_frames)
    with av.open(str(path)) as container:
        stated_s = [float(packet.pts) / 1000 for packet in container.demux(video=0) if packet.pts is not None]
    assert stated_s[23:25] == [2.3, 0.9]
    with Video(path) as video:
        every = {frame.time_s: frame.rgb() for frame in video.frames()}
        assert video.duration_s() == pytest.approx(10.0)
    np.testing.assert_allclose([*every], np.arange(100) / 10, atol=1e-6)
    for start_s in (1.8, 4.5, 9.0):
        with Video(path) as video:
            found = [frame for frame in video.frames([(start_s, start_s + 0.35)]) if frame.time_s >= start_s - 0.001]
        assert len(found) == 4
        assert all(np.array_equal(frame.rgb(), every[frame.time_s]) for frame in found)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_jump_back_that_the_index_does_not_show_is_not_sought_over(make_video: MakeVideo, b_frames: int) -> None:
    """By 0.3 s between key frames 0.8 s apart: the times in the index ascend, and are too early behind the jump."""
    rows = np.random.default_rng(0).choice([-20, 20], (100, 64, 96, 1))
    pictures = [np.clip(rows[n] + grey_of(n), 0, 255).astype(np.uint8).repeat(3, axis=2) for n in range(100)]
    path = make_video("joined.mkv", frames=100, pictures=pictures, b_frames=b_frames)
    assert read_timetable(path)
    set_back(path, 2400, 300)
    keys_s = key_frame_times(path)
    assert len(keys_s) > 10 and keys_s == sorted(keys_s) and read_timetable(path) is None
    with Video(path) as video:
        every = {frame.time_s: frame.rgb() for frame in video.frames()}
    assert len(every) == 100
    with Video(path) as video:
        found = [frame for frame in video.frames([(7.0, 7.5)]) if frame.time_s >= 6.999]
    assert len(found) == 5
    assert all(np.array_equal(frame.rgb(), every[frame.time_s]) for frame in found)


def test_after_a_jump_back_nothing_is_sought(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the index says: the clock no longer agrees with it."""
    path = rewound(make_video, 0)
    index_s = [n / 10 for n in range(0, 85, 8)]
    table = Timetable(dict(zip(index_s, index_s, strict=True)), np.arange(100))
    monkeypatch.setattr("avs.video.decode.read_timetable", lambda _: table)
    monkeypatch.setattr("avs.video.decode.key_frame_times", lambda _: index_s)
    with Video(path) as video:
        times_s = [frame.time_s for frame in video.frames([(0.0, 3.0), (7.0, 7.5)])]
    np.testing.assert_allclose(times_s, np.arange(75) / 10, atol=1e-6)


def test_a_decode_error_after_a_jump_back_has_the_time_of_its_frame(make_video: MakeVideo) -> None:
    path = rewound(make_video, 0)
    with av.open(str(path)) as container:
        coded = bytes([packet for packet in container.demux(video=0) if packet.pts is not None][50])
    path.write_bytes(path.read_bytes().replace(coded, b"\x00\x00\x00\x01" + b"\xff" * (len(coded) - 4)))
    with Video(path) as video:
        frames = list(video.frames())
        assert video.errors_s == pytest.approx([5.0])
    assert frames[49].until_s == pytest.approx(5.0)


def ticks(*times: tuple[int | None, int | None], frame_s: float = 0.1) -> list[float]:
    """What the clock says of frames with these presentation and decoding times, in hundredths of a second."""
    clock = _Clock()
    raws = [cast(av.VideoFrame, SimpleNamespace(pts=pts, dts=dts)) for pts, dts in times]
    return [round(clock.tick(raw, Fraction(1, 100), frame_s), 6) for raw in raws]


def test_the_clock_stands_still_in_small_disorder_and_goes_on_after_a_jump() -> None:
    assert ticks((-20, None), (-10, None), (0, None)) == [-0.2, -0.1, 0.0]
    assert ticks((0, None), (10, None), (8, None), (20, None)) == [0.0, 0.1, 0.1, 0.2]
    assert ticks((100, None), (110, None), (50, None), (60, None)) == [1.0, 1.1, 1.2, 1.3]
    assert ticks((0, None), (None, None), (None, None)) == [0.0, 0.1, 0.2]
    assert ticks((None, None), (None, None), (0, None)) == [0.1, 0.2, 0.3]
    assert ticks((100, None), (50, None), frame_s=math.inf) == [1.0, 1.001]


def test_the_clock_trusts_decoding_times_where_presentation_times_run_backwards() -> None:
    assert ticks((20, 0), (10, 10), (40, 20), (30, 30), (60, 40)) == [0.2, 0.2, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(("stated_s", "found_s"), [(0.23, 4.0), (3.8, 4.0), (3.95, 3.95)])
def test_a_stated_duration_is_taken_unless_the_packets_last_longer(
    make_video: MakeVideo, stated_s: float, found_s: float
) -> None:
    path = make_video()
    set_stated_duration(path, stated_s)
    with Video(path) as video:
        assert video.duration_s() == pytest.approx(found_s)


def test_packets_that_an_edit_list_leaves_out_do_not_count(make_video: MakeVideo) -> None:
    path = make_video()
    set_edit(path, 1.95)
    with Video(path) as video:
        assert video.duration_s() == pytest.approx(1.95)
        assert len(list(video.frames())) == 20


def test_duration_is_announced_or_counted(make_video: MakeVideo) -> None:
    for name in ("announced.mp4", "counted.mkv"):
        with Video(make_video(name, start_s=2.0)) as video:
            assert video.duration_s() == pytest.approx(4.0, abs=0.0015)


# Real files. Frame tables of nasa_13013.mp4 lie beside it, one a stream, as ffprobe's best_effort times.


@pytest.mark.parametrize(("stream", "shown"), [(3, True), (0, False)])
def test_the_stream_a_player_shows_and_its_times(shared: Shared, stream: int, shown: bool) -> None:
    path = shared("videos/clips/nasa_13013.mp4")
    table = json.loads((path.parent / f"{path.name}.stream{stream}.all_frames_info.json").read_text())
    expected = np.array([float(row["pts_time"]) for row in table])
    with Video(path) as video:
        frames = list(video.frames())
        assert float(video.fps or 0) == pytest.approx(30000 / 1001)
    found = np.array([frame.time_s for frame in frames])
    assert (len(found) == len(expected)) == shown
    if shown:
        np.testing.assert_allclose(found, expected - expected[0], atol=1e-6)
        np.testing.assert_allclose([f.until_s for f in frames[:-1]], found[1:], atol=1e-9)


def test_frames_share_a_converter_whatever_it_converted_before(shared: Shared) -> None:
    """Of other colours, depth and size: each picture is what a converter of its own makes of the frame."""
    frames = []
    for name in ("clips/flower.mp4", "odd/h264_10bits.mp4", "odd/av1_video.mkv"):
        with Video(shared(f"videos/{name}")) as video:
            frames.append(list(islice(video.frames(), 6)))
        assert len({id(frame.converter) for frame in frames[-1]}) == 1
    kinds = {(frame.raw.format.name, frame.raw.width, frame.raw.colorspace) for frame, *_ in frames}
    assert len(kinds) == 3
    converter = VideoReformatter()
    for number, frame in enumerate(chain.from_iterable(zip(*frames, strict=True))):
        size = (number + 40, 2 * number + 31) if number % 2 else None
        height, width = size or (None, None)
        alone = frame.raw.to_ndarray(format="rgb24", height=height, width=width, threads=1)
        np.testing.assert_array_equal(replace(frame, converter=converter).rgb(size=size), alone)


@pytest.mark.parametrize(("name", "turns"), [("video_90", 3), ("video_180", 2), ("video_270", 1)])
def test_frames_are_turned_upright(shared: Shared, name: str, turns: int) -> None:
    """The name says how far clockwise the stored pixels must be turned; rot90 counts the other way."""
    path = shared(f"videos/odd/{name}.mov")
    with Video(path) as video, av.open(str(path)) as container:
        upright = [frame.rgb() for frame in video.frames()]
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(upright) == 3
    for one, other in zip(upright, stored, strict=True):
        np.testing.assert_array_equal(one, np.rot90(other, turns))


@pytest.mark.parametrize(
    ("name", "frames", "end_s"),
    [
        ("odd/unordered.mov", 4, 0.125),
        ("odd/h264_10bits.mp4", 30, 1.0),
        ("odd/h265_10bits.mp4", 30, 1.0),
        ("odd/av1_video.mkv", 125, 5.0),
        ("odd/no_duration.webm", 74, 4.938),
        ("odd/video_with_failing_audio.mp4", 280, 11.2),
        ("odd/test_video.mp4", 5, 5.0),
        ("odd/fire2.mp4", 25, 2.379767),
        ("clips/flower.mp4", 150, 5.005),
        ("clips/flower.webm", 150, 5.005),
    ],
)
def test_real_files_give_all_their_frames_soundly(shared: Shared, name: str, frames: int, end_s: float) -> None:
    with Video(shared(f"videos/{name}")) as video:
        found = list(video.frames())
        assert (len(found), video.errors_s) == (frames, [])
        assert video.end_s == pytest.approx(end_s, abs=1e-3)
        assert video.duration_s() == pytest.approx(end_s, abs=1e-3)
    assert all(a.time_s < a.until_s == b.time_s for a, b in zip(found, found[1:], strict=False))


def test_a_corrupted_file_is_read_past_its_errors_and_says_which_frames_to_trust(shared: Shared) -> None:
    """It announces 50 frames; 28 come before the first error, and no key frame after it."""
    with Video(shared("videos/odd/corrupted.mp4")) as video:
        frames = list(video.frames())
        assert video.errors_s == pytest.approx([3.0, 3.2])
    assert sum(frame.error_s is None for frame in frames) == 28
    assert len(frames) == 48


def test_avi_times_do_not_run_backwards(shared: Shared) -> None:
    with Video(shared("videos/odd/test.avi")) as video:
        times = [frame.time_s for frame in video.frames()]
    assert len(times) == 164
    assert times == sorted(times)
    assert times[-1] == pytest.approx(6.52)


def test_cover_art_is_not_video(shared: Shared) -> None:
    with pytest.raises(VideoError) as caught:
        Video(shared("videos/odd/with-attached-pic.mp3"))
    assert (caught.value.what, caught.value.got) == ("the file has no video", "audio and cover art")


def test_two_codings_of_one_film_look_alike(shared: Shared) -> None:
    pictures = []
    for name in ("flower.mp4", "flower.webm"):
        with Video(shared(f"videos/clips/{name}")) as video:
            pictures.append([f.rgb() for n, f in enumerate(video.frames()) if n in (0, 30, 75, 147)])
    for one, other in zip(*pictures, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 6


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError) as caught, Video(path):
        pass
    assert (caught.value.what, caught.value.got) == ("the file has no video", "audio")
