"""The video stream of a file, and its packets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from avs.core.errors import VideoError
from avs.core.signs_of_life import sign_of_life

NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails  # cover art, chapter pictures
MAX_READ_ERRORS = 10  # in a row without a packet between them: then the rest of the file cannot be read


def open_stream(path: Path) -> tuple[InputContainer, VideoStream]:
    """An open file and the video stream a player would show: FFmpeg's best one, which is not cover art.

    Raises:
        VideoError: there is no such file, it is no media file, it has no video, or no decoder reads it.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoError("no such video file" if not path.exists() else "not a file", where=path)
    if not path.stat().st_size:
        raise VideoError("the file is empty", where=path)
    try:
        # "file:" prevents that a name such as "rtp:1.mp4" is read as an address; invalid tags do not matter here.
        container = av.open(f"file:{path.absolute()}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoError("not a video that FFmpeg can open", where=path, got=error.strerror) from error
    moving = [stream for stream in container.streams.video if not stream.disposition & NOT_MOVING]
    best = container.streams.best("video")
    if not moving:
        kinds: set[str] = {stream.type for stream in container.streams if stream.type != "video"}
        kinds |= {"cover art"} if best else set()
        container.close()
        raise VideoError("the file has no video", where=path, got=" and ".join(sorted(kinds)) or "nothing")
    stream = best if best in moving else moving[0]
    if stream.codec_context is None:
        container.close()
        raise VideoError("no decoder for this video", where=path, got=stream.name)
    return container, stream


def packets(
    container: InputContainer, stream: VideoStream, *, on_error: Callable[[], None] = lambda: None
) -> Iterator[av.Packet[VideoStream]]:
    """The packets of the stream, and at last an empty one, which flushes the decoder.

    Reading continues after an error in the file, which calls `on_error`, until MAX_READ_ERRORS follow each other.
    """
    errors = 0
    while errors <= MAX_READ_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0
                sign_of_life()
                yield packet
            return
        except av.FFmpegError:
            errors += 1
            on_error()
    flush = cast("av.Packet[VideoStream]", av.Packet())
    flush.stream = stream
    yield flush


def span_of_packets(path: Path, jump_s: float) -> tuple[float, bool]:
    """When the last frame of the packets ends, in the file's time, and whether their times jump back by `jump_s`.

    Packets that the file leaves out of the presentation do not count.

    Raises:
        VideoError: the file cannot be opened.
    """
    container, stream = open_stream(path)
    base = cast(Fraction, stream.time_base)
    end_s, latest_s, goes_back = -math.inf, -math.inf, False
    with container:
        for packet in packets(container, stream):
            if packet.pts is not None and not packet.is_discard:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * base))
            if packet.dts is not None:
                goes_back |= float(packet.dts * base) < latest_s - jump_s
                latest_s = max(latest_s, float(packet.dts * base))
    return end_s, goes_back


@dataclass(frozen=True, slots=True, eq=False)
class Timetable:
    """When frames are on screen, as the packets of a file say.

    Attributes:
        keys_s: time of a key frame in the index -> when it is on screen; all in seconds of the file's own time.
        pts: (N,) int64, ascending: presentation times of the frames, in units of the stream.
    """

    keys_s: Mapping[float, float]
    pts: np.ndarray


def read_timetable(path: Path) -> Timetable | None:
    """The timetable of a file.

    None if the packets say that a clock in the file was set back, so that its index cannot be believed everywhere.
    Every packet must have a time at which it is shown, which no other has; each key frame must be shown after all
    packets before it; and the times at which packets are decoded must not go back. Where a clock was set back between
    two key frames, as where two recordings were joined, the first key frame after it breaks this rule.

    Raises:
        VideoError: the file cannot be opened.
    """
    container, stream = open_stream(path)
    base = cast(Fraction, stream.time_base)
    decoding_times = container.format.name.startswith("mov")  # in the index of an mp4 file
    shown: dict[int, bool] = {}  # presentation time -> whether the file leaves it out of the presentation
    keys: dict[float, float] = {}
    latest: int | None = None
    decoded = -(2**63)
    with container:
        for packet in packets(container, stream):
            if packet.size == 0:  # the one that flushes the decoder
                continue
            time, at = packet.pts, packet.dts if packet.dts is not None else decoded
            if time is None or time in shown or at < decoded:
                return None
            if packet.is_keyframe and latest is not None and time < latest:
                return None
            if packet.is_keyframe:
                keys[float((at if decoding_times else time) * base)] = float(time * base)
            shown[time] = packet.is_discard
            latest, decoded = max(time, time if latest is None else latest), at
    return Timetable(keys, np.array(sorted(time for time, left_out in shown.items() if not left_out), dtype=np.int64))


def key_frame_times(path: Path) -> list[float]:
    """The times of the key frames in the file's index, in seconds of the file's own time; [] without an index.

    The index of an mp4 file has decoding times, which are a little before the frames are on screen. An index whose
    times do not ascend through the file is none: a time may mean two places.

    Raises:
        VideoError: the file cannot be opened.
    """
    container, stream = open_stream(path)
    with container:
        try:
            container.seek(stream.start_time or 0, stream=stream)  # Matroska reads its index when it first seeks
        except av.FFmpegError:
            return []
        base = cast(Fraction, stream.time_base)  # every video stream has one
        keys = sorted((entry.timestamp, entry.pos) for entry in stream.index_entries if entry.is_keyframe)
        if any(here > after for (_, here), (_, after) in pairwise(keys)):
            return []
        return [float(timestamp * base) for timestamp, _ in keys]
