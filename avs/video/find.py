"""The video files of a folder and their ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from avs.core.artifacts import require_path
from avs.core.errors import FormatError, Problems, VideoError
from avs.core.ids import format_shot_id, natural_key

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogg .ogv .ts .vob .webm "
    ".wmv".split()
)
VideoIds = Literal["stem", "name"]
ENCODED = "x--"  # begins the ids of names that have other characters than an id may have
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # would break a line, or is no UTF-8


def video_id(name: str) -> str:
    """The id of a video named `name`, without suffix: the name itself if an id may be so written.

    Another name becomes `x--` and its UTF-8 bytes: letters, digits, "_" and "-" as they are, any other as "." and two
    hexadecimal digits. So no two names have one id, and `unquote(id[3:].replace(".", "%"))` is the name. A name that
    begins with `x--` itself is encoded too.

    >>> video_id("00123"), video_id("my film #2"), video_id("Müller")
    ('00123', 'x--my.20film.20.232', 'x--M.c3.bcller')
    """
    try:
        format_shot_id(name, 1)
        plain = not name.startswith(ENCODED)
    except FormatError:
        plain = False
    if plain:
        return name
    return ENCODED + re.sub(r"[^A-Za-z0-9_-]", lambda odd: "".join(f".{b:02x}" for b in os.fsencode(odd[0])), name)


def find_videos(folder: Path, *, ids: VideoIds = "stem") -> Mapping[str, Path]:
    """Video id -> file, in natural order: all files below `folder` with the suffix of a video, except hidden ones.

    Args:
        ids: "stem" takes `00123` from `00123.mp4`; "name" takes `00123-mp4`, for a folder in which stems repeat.
            `video_id` encodes other characters.

    Raises:
        VideoError: there is no video; names the known suffixes and those of the files.
        FormatError: two files have one id, or a name has control characters or is not UTF-8; names all of them at once.
    """
    if not require_path(folder, what="video folder").is_dir():
        raise VideoError("not a folder of videos", where=folder, got="a file", next_step="give its folder")
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith("."))
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        seen = Counter(path.suffix or "no suffix" for path in files)
        raise VideoError(
            "no video files",
            where=folder,
            got=", ".join(f"{count} {suffix}" for suffix, count in seen.most_common()) or "an empty folder",
            wanted=" ".join(sorted(VIDEO_SUFFIXES)),
        )
    return _by_id(folder, videos, ids)


def _by_id(folder: Path, videos: list[Path], ids: VideoIds) -> Mapping[str, Path]:
    problems = Problems(f"video files in {folder}")
    path_of: dict[str, Path] = {}
    for path in videos:
        if _NO_TEXT.search(str(path.relative_to(folder))):
            problems.add(folder, f"{path.name!a} has control characters or is not UTF-8; rename the file or its folder")
            continue
        video = video_id(path.stem if ids == "stem" else path.name.replace(".", "-"))
        if video in path_of:
            problems.add(path, f'the id "{video}" is taken by {path_of[video]}')
        path_of.setdefault(video, path)
    twins = any("is taken by" in what for _, what in problems.items)
    step = "--video-ids name tells flower-mp4 from flower-webm; files of one name in two folders must be renamed"
    problems.raise_if_any(FormatError, next_step=step if twins else None)
    return {video: path_of[video] for video in sorted(path_of, key=natural_key)}
