"""Hashes of video files, which show whether a folder of videos has changed. They are kept with what is made from it.

videos.tsv      a line per video: video, bytes, fingerprint, file (relative to the folder)

A file of up to 64 MiB is hashed whole. For a larger one, its size, first and last MiB are hashed, as in
`avs.core.artifacts`: an archive has terabytes. A change that keeps the size and both ends is not noticed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from avs.core.artifacts import atomic_write, fingerprint_file, require_path
from avs.core.errors import FormatError
from avs.core.progress import Reporter

HEADER = "video\tbytes\tfingerprint\tfile"
VIDEOS_FILE = "videos.tsv"
THREADS = 4  # hashing waits for the disk and releases the interpreter's lock


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video file and its hash.

    Attributes:
        video: its id.
        bytes: its size.
        fingerprint: fingerprint of its content, by fingerprint_file.
        file: its path, relative to the folder of videos.
    """

    video: str
    bytes: int
    fingerprint: str
    file: str


def fingerprint_videos(videos: Mapping[str, Path], folder: Path, reporter: Reporter | None = None) -> list[VideoFile]:
    """The hash of every file of `videos` (id -> file below `folder`), in their order."""

    def read(item: tuple[str, Path]) -> VideoFile:
        video, path = item
        name = Path(os.path.relpath(path, folder)).as_posix()
        return VideoFile(video, path.stat().st_size, fingerprint_file(path), name)

    hashed = []
    with (
        (reporter or Reporter()).stage("hash videos", len(videos), "videos") as stage,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        for file in threads.map(read, videos.items()):
            hashed.append(file)
            stage.advance()
    return hashed


def listing_fingerprint(files: Iterable[VideoFile]) -> str:
    """`sha256:...` of ids, sizes and hashes; the locations of the files do not matter."""
    listing = "".join(f"{file.video}\t{file.bytes}\t{file.fingerprint}\n" for file in files)
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def videos_table(artefact: Path) -> Path:
    """The path of the table of an artefact's videos: inside a store, next to a shot table."""
    return artefact / VIDEOS_FILE if artefact.is_dir() else artefact.with_name(f"{artefact.stem}.{VIDEOS_FILE}")


def write_videos(files: Sequence[VideoFile], path: Path) -> None:
    """Write the table that read_videos reads."""
    with atomic_write(path) as out:
        out.write(HEADER + "\n")
        out.writelines(f"{file.video}\t{file.bytes}\t{file.fingerprint}\t{file.file}\n" for file in files)


def read_videos(path: Path) -> list[VideoFile]:
    """The videos of a table.

    Raises:
        FormatError: the file is no such table, or a line has another format.
    """
    lines = require_path(path, what="table of videos").read_text(encoding="utf-8").splitlines()
    if not lines or lines[0] != HEADER:
        raise FormatError("not a table of videos", where=f"{path}:1", got=lines[:1], wanted=HEADER.split("\t"))
    files = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t", 3)
        if len(fields) < 4 or not fields[1].isdecimal():
            raise FormatError(
                "not a line of a table of videos", where=f"{path}:{number}", got=repr(line), wanted=HEADER
            )
        files.append(VideoFile(fields[0], int(fields[1]), fields[2], fields[3]))
    return files


def contents_fingerprint(files: Mapping[str, Path]) -> str:
    """`sha256:...` of the ids and contents of small files, such as master shot tables."""
    digest = hashlib.sha256()
    for video, path in files.items():
        digest.update(f"{video}\t{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def sizes_of_shots_table(videos: Mapping[str, Path]) -> str:
    """What older shot tables recorded instead of hashes: the ids and sizes of their videos."""
    listing = "\n".join(f"{video}\t{path.stat().st_size}" for video, path in videos.items())
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def sizes_of_store(videos: Mapping[str, Path]) -> str:
    """What older feature stores recorded instead of hashes: the ids and sizes of their videos."""
    listing = "\n".join(f"{video} {path.stat().st_size}" for video, path in videos.items())
    return f"sha256-sizes:{hashlib.sha256(listing.encode()).hexdigest()}"
