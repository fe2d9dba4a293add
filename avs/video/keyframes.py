"""A picture of every shot: the middle one of its sampled frames, as JPEG."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from avs.core.artifacts import atomic_write
from avs.core.frames import ShotFrames
from avs.core.ids import parse_shot_id

LONGEST_SIDE = 480
QUALITY = 85
LONGEST_NAME = 200  # of 255 that file systems take: suffixes and temporary names add to it


def write_keyframe(frames: ShotFrames, folder: Path, *, longest_side: int = LONGEST_SIDE) -> Path | None:
    """Write `folder/<video>/<shot>.jpg` and return its path; None for a shot without frames.

    The picture is reduced until its longer side has `longest_side` pixels, and never enlarged.
    """
    if not len(frames.data):
        return None
    from PIL import Image

    picture = Image.fromarray(frames.data[len(frames.data) // 2])
    picture.thumbnail((longest_side, longest_side))
    coded = io.BytesIO()
    picture.save(coded, "jpeg", quality=QUALITY)
    path = keyframe_path(folder, frames.shot)
    with atomic_write(path, "wb") as file:
        file.write(coded.getvalue())
    return path


def keyframe_path(folder: Path, shot: str) -> Path:
    """The path of a shot's keyframe: there is a folder per video, since a collection may have a million shots.

    Ids that are too long for a file system end in a hash.
    """
    return Path(folder) / _short(parse_shot_id(shot).video) / f"{_short(shot)}.jpg"


def _short(name: str) -> str:
    hashed = hashlib.sha256(name.encode()).hexdigest()[:32]
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - len(hashed)]}{hashed}"


def write_keyframes(shots: Iterable[ShotFrames], folder: Path, *, longest_side: int = LONGEST_SIDE) -> int:
    """Write the keyframes of `shots`; returns the number of shots that had frames."""
    return sum(write_keyframe(frames, folder, longest_side=longest_side) is not None for frames in shots)
