"""Where the key frames of a file are, by its packets: nothing but the first frame is decoded.

The times are those that decoding the whole file would give. A file whose packets do not tell them has no such table: an
AVI file, one whose presentation times are missing, run backwards or jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import cast

import av
from av.video.stream import VideoStream

from avs.video.container import open_stream, packets
from avs.video.decode import INDEXED_FORMATS, JUMP_S

TIMED_FORMATS = (*INDEXED_FORMATS, "mpegts", "mpeg", "flv", "asf")  # their packets have presentation times of their own
TABLES_KEPT = 64  # a long video is read in several jobs; each needs the same table


@dataclass(frozen=True, slots=True)
class KeyPackets:
    """The packets that a file marks as key frames.

    Attributes:
        pts: K ascending presentation times, in the units of the stream.
        times_s: the same in seconds from the presentation of the video's first frame.
    """

    pts: tuple[int, ...]
    times_s: tuple[float, ...]


def key_packets(path: Path) -> KeyPackets | None:
    """The key packets of a file; None if its packets do not tell when their frames are on screen.

    Raises:
        VideoError: the file cannot be opened.
        OSError: there is no such file.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(TABLES_KEPT)
def _read(path: Path, size: int, mtime_ns: int) -> KeyPackets | None:
    """The key packets of a file that has this size and time."""
    container, stream = open_stream(path)
    with container:
        if container.format.name.split(",")[0] not in TIMED_FORMATS:
            return None
        stream.codec_context.thread_count = 1
        scan, zero = _Scan(cast(Fraction, stream.time_base)), None
        for packet in packets(container, stream):
            zero = _first_frame(packet) if zero is None else zero
            if packet.size and not scan.add(packet):
                return None
        # a file made from an AVI file may repeat decoding times as presentation times
        if zero is None or (stream.codec_context.has_b_frames and not scan.reordered):
            return None
        zero_s = float(zero * scan.base)
        return KeyPackets(tuple(scan.keys), tuple(float(pts * scan.base) - zero_s for pts in scan.keys))


def _first_frame(packet: av.Packet[VideoStream]) -> int | None:
    """The presentation time of the first sound frame that decoding this packet gives."""
    try:
        return next((raw.pts for raw in packet.decode() if not raw.is_corrupt), None)
    except av.FFmpegError:
        return None


class _Scan:
    """The key packets so far.

    Attributes:
        keys: their presentation times.
        reordered: whether a packet is presented at another time than it is decoded.
    """

    def __init__(self, base: Fraction) -> None:
        self.base = base
        self.keys: list[int] = []
        self.reordered = False
        self._latest_pts = self._latest_dts = -math.inf

    def add(self, packet: av.Packet[VideoStream]) -> bool:
        """Take the next packet; False if the times of the file cannot be relied on.

        What comes before a key frame in a file is presented before it, and decoding times do not jump back.
        """
        if packet.pts is None or (packet.is_keyframe and packet.pts <= self._latest_pts):
            return False
        if packet.dts is not None:
            if float((packet.dts - self._latest_dts) * self.base) < -JUMP_S:
                return False
            self._latest_dts = max(self._latest_dts, packet.dts)
        self._latest_pts = max(self._latest_pts, packet.pts)
        self.reordered |= packet.pts != packet.dts
        if packet.is_keyframe and not packet.is_discard:
            self.keys.append(packet.pts)
        return True
