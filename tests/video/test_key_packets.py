from __future__ import annotations

import os
from pathlib import Path

import av
import pytest
from tiny_videos import MakeVideo, copied, damaged, moving, set_back, set_edit

from avs.core.errors import VideoError
from avs.video.decode import Video
from avs.video.key_packets import key_packets


def key_times(path: Path) -> list[float]:
    """Of the key frames when the whole file is decoded."""
    with Video(path) as video:
        return [frame.time_s for frame in video.frames() if frame.raw.key_frame]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_times_are_those_that_decoding_gives(make_video: MakeVideo, name: str, b_frames: int) -> None:
    path = make_video(name, b_frames=b_frames, start_s=7.3)
    found = key_packets(path)
    assert found is not None
    assert list(found.times_s) == key_times(path)
    assert len(found.pts) == len(found.times_s) == 5


def test_leading_pictures_of_an_open_group_come_before_its_key_frame(make_video: MakeVideo) -> None:
    path = make_video(x264="open-gop=1:bframes=3")
    with av.open(str(path)) as container:
        stated = [packet for packet in container.demux(video=0) if packet.pts is not None]
    last = max(place for place, packet in enumerate(stated) if packet.is_keyframe)
    assert stated[last + 1].pts < stated[last].pts
    found = key_packets(path)
    assert found is not None and list(found.times_s) == key_times(path)


def test_packets_that_an_edit_list_leaves_out_are_no_key_frames(make_video: MakeVideo) -> None:
    path = make_video()
    set_edit(path, 1.95)
    found = key_packets(path)
    assert found is not None and list(found.times_s) == key_times(path) == pytest.approx([0.0, 0.8, 1.6])


def test_time_begins_with_the_first_sound_frame(make_video: MakeVideo) -> None:
    path = damaged(make_video("broken.mkv", pictures=moving(40)), 0)
    found = key_packets(path)
    assert found is not None and found.times_s[0] < 0
    assert list(found.times_s[1:]) == key_times(path) and len(found.times_s) == 5


def test_an_avi_file_has_no_times_of_its_own(make_video: MakeVideo) -> None:
    assert key_packets(make_video("a.avi", codec="mpeg4")) is None


def test_decoding_times_that_stand_for_presentation_times_are_not_believed(make_video: MakeVideo) -> None:
    def decoded(packet: av.Packet) -> None:
        packet.pts = packet.dts

    assert key_packets(copied(make_video(), "copy.mp4")) is not None
    assert key_packets(copied(make_video(), "late.mp4", decoded)) is None
    assert key_packets(copied(make_video(b_frames=0), "plain.mp4", decoded)) is not None


def test_a_clock_that_jumps_back_at_a_key_frame(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("jump.mkv", frames=100)
    assert key_packets(path) is not None
    set_back(path, 2400, 1500)
    assert key_packets(path) is None
    first, second = (make_video(f"{n}.ts", frames=n) for n in (20, 15))
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert key_packets(both) is None


def test_presentation_that_jumps_back_though_decoding_does_not(make_video: MakeVideo) -> None:
    def late(packet: av.Packet) -> None:
        packet.pts += int(1 / packet.time_base) if packet.dts * packet.time_base < 2 else 0

    assert key_packets(copied(make_video(b_frames=0), "jump.mp4", late)) is None


def test_a_clock_that_jumps_back_where_no_key_frame_follows(make_video: MakeVideo) -> None:
    path = make_video("jump.mkv", frames=100, key_every=200, b_frames=0)
    assert key_packets(path) is not None
    before = path.read_bytes()
    set_back(path, 5000, 1500)
    assert path.read_bytes() != before
    assert key_packets(path) is None


def test_a_file_that_changed_is_read_again(make_video: MakeVideo) -> None:
    path = make_video()
    assert len(key_packets(path).pts) == 5  # type: ignore[union-attr]
    path = make_video(frames=80)
    assert len(key_packets(path).pts) == 10  # type: ignore[union-attr]
    os.utime(path, ns=(1, 1))
    assert len(key_packets(path).pts) == 10  # type: ignore[union-attr]


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        key_packets(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_bytes(b"words" * 100)
    with pytest.raises(VideoError):
        key_packets(tmp_path / "text.mp4")
