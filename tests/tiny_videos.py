"""Small videos made on the spot: grey frames whose brightness says which they are, and films of coloured noise."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MakeVideo = Callable[..., Path]
FPS, SECONDS = 10, 6


def grey_of(frame: int) -> int:
    """The brightness of frame number `frame`: steps of 6 survive lossy coding, and 40 of them fit."""
    return 8 + 6 * (frame % 40)


def frame_of(picture: np.ndarray) -> int:
    """Which frame a decoded picture is."""
    return round((float(picture.mean()) - 8) / 6)


def write_film(path: Path, seed: int) -> None:
    """A film of 6 s whose picture changes every two seconds, in MPEG-4."""
    import av

    colours = np.random.default_rng(seed).integers(0, 256, (SECONDS // 2, 12, 16, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = colours[number // (2 * FPS)].repeat(4, axis=0).repeat(4, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_collection(folder: Path, films: int = 3) -> None:
    """`folder/videos/` with films, and `folder/shots.tsv` with three shots of 2 s per film."""
    (folder / "videos").mkdir(parents=True)
    lines = ["shot\tvideo\tstart_s\tend_s"]
    for number in range(1, films + 1):
        write_film(folder / f"videos/{number:05d}.mp4", seed=number)
        lines += [f"shot{number:05d}_{n + 1}\t{number:05d}\t{2 * n}.000000\t{2 * n + 2}.000000" for n in range(3)]
    (folder / "shots.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def copied(path: Path, name: str, change: Callable[[Any], None] = lambda packet: None) -> Path:
    """A file of this name beside it, with the same packets, each changed by `change`."""
    import av

    target = path.with_name(name)
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                change(packet)
                container.mux(packet)
    return target


def moving(frames: int) -> list[np.ndarray]:
    """Pictures of noise that moves, so that a frame that lacks another one is not the right one."""
    noise = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    picture = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    return [np.roll(picture, n, axis=1) for n in range(frames)]


def damaged(path: Path, key: int) -> Path:
    """The file, now with a key packet whose second half is zero."""
    import av

    with av.open(str(path)) as container:
        coded = [bytes(packet) for packet in container.demux(video=0) if packet.size and packet.is_keyframe][key]
    data = path.read_bytes()
    assert data.count(coded) == 1
    path.write_bytes(data.replace(coded, coded[: len(coded) // 2] + bytes(len(coded) - len(coded) // 2)))
    return path


def set_back(path: Path, at_ms: int, by_ms: int) -> None:
    """Set the clock of a Matroska file back `by_ms`, from its first cluster of `at_ms` or later on; its index too."""

    def earlier(match: re.Match[bytes]) -> bytes:
        time_ms = int.from_bytes(match[2], "big")
        return match[1] + (time_ms - by_ms * (time_ms >= at_ms)).to_bytes(2, "big")

    data = re.sub(rb"(\x1f\x43\xb6\x75.{1,14}?\xe7\x82)(..)", earlier, path.read_bytes(), flags=re.DOTALL)
    path.write_bytes(re.sub(rb"(\xbb.\xb3\x82)(..)", earlier, data, flags=re.DOTALL))


def set_stated_duration(path: Path, seconds: float) -> None:
    """Make the header of an mp4 file's stream state another duration."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdhd") + 16
    (units_per_s,) = struct.unpack(">I", data[start : start + 4])
    data[start + 4 : start + 8] = struct.pack(">I", round(seconds * units_per_s))
    path.write_bytes(bytes(data))


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Make an mp4 file say that a player must show the stored pixel (x, y) at (a x + c y, b x + d y)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


def set_edit(path: Path, seconds: float) -> None:
    """Make the edit list of an mp4 file, whose movie counts milliseconds, keep only the first `seconds`."""
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 12
    data[start : start + 4] = struct.pack(">I", round(seconds * 1000))
    path.write_bytes(bytes(data))
