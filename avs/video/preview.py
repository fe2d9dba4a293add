"""Key frames of shots, each decoded alone: a preview of a collection at a fraction of the cost of decoding it.

A key frame is coded without any other, so its pixels and its time are those that decoding the whole video gives. The
decoder is emptied after each, and nothing depends on what was read before. A shot without a key frame is decoded up to
its middle and takes the frame there, and so is every shot of a file whose packets do not tell the times of key frames.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av
from av.video.stream import VideoStream

from avs.core.errors import VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.container import open_stream, packets
from avs.video.decode import INDEXED_FORMATS, Frame, slack_s
from avs.video.frame_stack import FrameStack
from avs.video.key_packets import KeyPackets, key_packets
from avs.video.sampling import LATEST_S, Sampling

WITHOUT_KEY_FRAME, WITHOUT_KEY_TIMES = "without_key_frame", "without_key_times"  # of the tally

Decode = Callable[[Sequence[Shot], Sequence[float]], Iterator[ShotFrames]]


def read_key_frames(
    path: Path, shots: Sequence[Shot], sampling: Sampling, decode: Decode
) -> Iterator[tuple[int, ShotFrames]]:
    """Positions in `shots`, which are of one video, and their frames, about in the order of `shots`.

    The tally of a shot says whether it took another frame: for want of a key frame that can be decoded, or of times.

    Args:
        path: the video.
        sampling: which of several key frames are taken.
        decode: gives the frame at the middle of shots, in their order, of a video whose key frames have these times.
    """
    table = _table(path)
    keys_s = table.times_s if table else ()
    wanted = _wanted(shots, sampling, table)
    others = decode([shot for place, shot in enumerate(shots) if place not in wanted], keys_s)
    alone = _read_alone(path, {place: shots[place] for place in wanted}, wanted, table)
    lacks = WITHOUT_KEY_FRAME if table else WITHOUT_KEY_TIMES
    given: set[int] = set()
    for place in range(len(shots)):
        if place not in wanted:
            yield place, _tallied(next(others), lacks)
            continue
        while place not in given:
            read, frames = next(alone)
            given.add(read)
            if frames is None:
                (frames,) = decode([shots[read]], keys_s)
                yield read, _tallied(frames, lacks)
            else:
                yield read, _tallied(frames)


def _tallied(frames: ShotFrames, lacks: str = "") -> ShotFrames:
    """The frames, counted as those of a shot that lacks something, unless it has no frame at all."""
    tally = {WITHOUT_KEY_FRAME: 0, WITHOUT_KEY_TIMES: 0}
    if lacks and len(frames.data):
        tally[lacks] = 1
    return replace(frames, tally=tally)


def _table(path: Path) -> KeyPackets | None:
    """The key packets; None also for a file that cannot be read, whose shots fail with the reason when decoded."""
    try:
        return key_packets(path)
    except (VideoError, OSError):
        return None


def _wanted(shots: Sequence[Shot], sampling: Sampling, table: KeyPackets | None) -> dict[int, list[int]]:
    """Positions of the shots that have key frames -> the presentation times of those that are taken."""
    found: dict[int, list[int]] = {}
    for place, shot in enumerate(shots):
        if table is None or not shot.end_s <= LATEST_S:
            continue
        slack = slack_s(shot.start_s, shot.end_s)
        first, end = (bisect_left(table.times_s, time_s - slack) for time_s in (shot.start_s, shot.end_s))
        taken = sampling.of_key_frames(table.times_s[first:end])
        if taken:
            found[place] = [table.pts[first + key] for key in taken]
    return found


def _read_alone(
    path: Path, shots: Mapping[int, Shot], wanted: Mapping[int, Sequence[int]], table: KeyPackets | None
) -> Iterator[tuple[int, ShotFrames | None]]:
    """Positions and frames of the shots that have key frames, in order of their last; None: none could be decoded."""
    if table is None:
        return
    time_of = dict(zip(table.pts, table.times_s, strict=True))
    first_use = sorted(wanted, key=lambda place: wanted[place][0], reverse=True)
    open_shots: dict[int, _KeyFrames] = {}
    every = sorted({pts for each in wanted.values() for pts in each})
    if not every:
        return
    with _KeyDecoder(path, every[0]) as decoder:
        for pts in every:
            while first_use and wanted[first_use[-1]][0] <= pts:
                place = first_use.pop()
                open_shots[place] = _KeyFrames(shots[place], wanted[place])
            raw, sound = decoder.frame(pts)
            for place in [place for place in open_shots if pts in wanted[place]]:
                open_shots[place].offer(time_of[pts], raw, sound=sound)
                if pts == wanted[place][-1]:
                    yield place, open_shots.pop(place).finish()


class _KeyFrames:
    """Collects the key frames of one shot."""

    def __init__(self, shot: Shot, wanted: Sequence[int]) -> None:
        self.shot, self.stack = shot, FrameStack(len(wanted))
        self.lost_s: list[float] = []

    def offer(self, time_s: float, raw: av.VideoFrame | None, *, sound: bool) -> None:
        """Take the picture of a key packet; None: it gave none, and if it is not sound, by an error."""
        if raw is None:
            if not sound:
                self.lost_s.append(time_s)
            return
        # when the next frame replaces it is not known, and does not matter
        self.stack.add(Frame(time_s, math.inf, None, raw))

    def finish(self) -> ShotFrames | None:
        """What was collected, and the reason if a key frame is missing; None if there is nothing."""
        found = len(self.stack.times_s)
        if not found:
            return None
        if not self.lost_s:
            return ShotFrames(self.shot.id, self.stack.data, self.stack.pts_s)
        reason = f"{found}/{found + len(self.lost_s)} key frames, decode error at {max(self.lost_s):.1f} s"
        return ShotFrames(self.shot.id, self.stack.data, self.stack.pts_s, "partial", reason)


class _KeyDecoder:
    """Decodes key packets of a file, in their order from the one presented at `first_pts` on, each alone."""

    def __init__(self, path: Path, first_pts: int) -> None:
        self.path = path
        self._open()
        if self._container.format.name.split(",")[0] in INDEXED_FORMATS:
            self._skip_to(first_pts)

    def __enter__(self) -> _KeyDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _open(self) -> None:
        self._container, self._stream = open_stream(self.path)
        self._stream.codec_context.thread_count = 1
        self._keys: Iterator[av.Packet[VideoStream]] = self._key_packets()

    def _skip_to(self, pts: int) -> None:
        """Leave out what comes before a key packet, so that a part of a long video is not read from its beginning."""
        try:
            self._container.seek(pts, stream=self._stream)
        except av.FFmpegError:
            first = None
        else:
            first = next(self._keys, None)
        if first is None or first.pts is None or first.pts > pts:  # the index is wrong
            self._container.close()
            self._open()
        else:
            self._keys = chain([first], self._keys)

    def _key_packets(self) -> Iterator[av.Packet[VideoStream]]:
        return (packet for packet in packets(self._container, self._stream) if packet.size and packet.is_keyframe)

    def frame(self, pts: int) -> tuple[av.VideoFrame | None, bool]:
        """The picture of the key packet that is presented at `pts`, if it has one, and whether there was no error."""
        for packet in self._keys:
            if packet.pts == pts:
                return self._decode(packet)
        return None, False

    def _decode(self, packet: av.Packet[VideoStream]) -> tuple[av.VideoFrame | None, bool]:
        context = self._stream.codec_context
        try:
            raws = [*context.decode(packet), *context.decode(None)]
        except av.FFmpegError:
            return None, False
        finally:
            context.flush_buffers()  # it begins anew
        # a file may mark what needs other frames: the decoder gives nothing, or a picture that is no key frame
        raw = next((raw for raw in raws if raw.key_frame), None)
        return (None, False) if raw is not None and raw.is_corrupt else (raw, True)
