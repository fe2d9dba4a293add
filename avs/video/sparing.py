"""Frames that need not be decoded: those that nobody wants and that no other frame is coded against.

H.264 marks the pictures that others are coded against (nal_ref_idc, ITU-T H.264 7.4.1). A decoder that leaves out the
rest gives every other frame to the last bit. Of a file with B-frames they are about half of all frames.

All this holds for files in order. Where anything is not as the packets said, the file is read again and nothing is
spared. Damage in a frame that is spared is not noticed, and does no harm.
"""

from __future__ import annotations

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.stream import VideoStream

CODECS = ("h264",)  # of HEVC, a picture that its own temporal layer does not need may be needed by a higher one


class SparingError(Exception):
    """A frame that was spared is wanted after all, or decoding did not give what the packets said."""


class Sparing:
    """Which frames of a file are decoded, while it is read.

    Args:
        pts: (N,) ascending presentation times of all frames, in units of the stream.
        needed: (N,) bool; the others may be spared.
        reached: presentation time of the last frame that the decoder has given; None: it has given none.
    """

    def __init__(self, pts: np.ndarray, needed: np.ndarray, reached: int | None) -> None:
        self._pts: list[int] = pts.tolist()
        self._number = {time: number for number, time in enumerate(self._pts)}
        self._needed: list[bool] = needed.tolist()
        self._spares = False
        self._reached: int | None = None
        if reached is not None:
            self._reached = self._place(reached)

    def sought(self) -> None:
        """Reading goes on elsewhere in the file."""
        self._reached = None

    def prepare(self, packet: av.Packet[VideoStream], decoder: CodecContext) -> None:
        """Tell the decoder whether the frame of the packet that it gets next may be spared."""
        number = self._number.get(packet.pts) if packet.pts is not None else None
        spares = number is not None and not self._needed[number]
        if spares != self._spares:
            decoder.skip_frame = "NONREF" if spares else "DEFAULT"
            self._spares = spares

    def spared_before(self, pts: int | None) -> list[int]:
        """The presentation times of the frames that were spared between the frame before and the one that came now.

        Raises:
            SparingError: the packets did not say that this frame comes now.
        """
        place = self._place(pts)
        first = place if self._reached is None else self._reached + 1
        if first > place or any(self._needed[first:place]):
            raise SparingError
        self._reached = place
        return self._pts[first:place]

    def _place(self, pts: int | None) -> int:
        if pts not in self._number:
            raise SparingError
        return self._number[pts]
