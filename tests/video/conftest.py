from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tiny_videos import MakeVideo, grey_of


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    def make(
        name: str = "video.mp4",
        *,
        frames: int = 40,
        fps: int = 10,
        times_s: Sequence[float] | None = None,
        start_s: float = 0.0,
        key_every: int = 8,
        b_frames: int = 2,
        pictures: Sequence[np.ndarray] | None = None,
        codec: str = "libx264",
        size: tuple[int, int] = (64, 96),
        x264: str = "scenecut=0",
    ) -> Path:
        """A video of grey frames at `times_s` (else at `fps` from `start_s`), H.264 with B-frames unless told."""
        times_s = [start_s + n / fps for n in range(frames)] if times_s is None else times_s
        if pictures is None:
            pictures = [np.full((*size, 3), grey_of(n), dtype=np.uint8) for n in range(len(times_s))]
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            stream.codec_context.gop_size = key_every
            stream.codec_context.max_b_frames = b_frames
            if codec == "libx264":
                stream.options = {"crf": "10", "x264-params": f"keyint={key_every}:min-keyint={key_every}:{x264}"}
            for time_s, picture in zip(times_s, pictures, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
