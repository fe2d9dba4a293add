"""Master shot tables of NIST and the collections, read into shots `[start_s, end_s)` that are numbered from 1 by row.

V3C has one `<video>.tsv` per video with the header startframe, starttime, endframe, endtime. IACC.3 has
`<video>.msb.csv` with rows `start,end`, or NIST's raw `<video>.msb` with header lines and blanks; both count frames, so
they need a frame rate. The last frame of a row belongs to its shot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

from avs.core.artifacts import require_path
from avs.core.errors import FormatError, Problems, VideoError
from avs.core.ids import format_shot_id, natural_key
from avs.core.shots import ShotTable
from avs.video.find import video_id

TABLE_SUFFIXES = (".tsv", ".csv", ".msb")
V3C_HEADER = ("startframe", "starttime", "endframe", "endtime")
_FRAMES = re.compile(r"\s*(\d+)(?:\s*,\s*|\s+)(\d+)\s*")

Span = tuple[float, float]
FpsOf = Callable[[str], Fraction | None]


def find_master_shots(path: Path) -> Mapping[str, Path]:
    """Video id -> table, in natural order: one file, or all .tsv, .csv and .msb files below a folder.

    Raises:
        FormatError: there is no table, or a video has two.
    """
    path = require_path(Path(path), what="master shot table or folder")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in TABLE_SUFFIXES)
    if not files:
        raise FormatError("no master shot tables", where=path, wanted="<video>.tsv, <video>.msb.csv or <video>.msb")
    problems = Problems(f"master shot tables in {path}")
    tables: dict[str, Path] = {}
    for file in files:
        video = video_id(file.name.split(".")[0])
        if video in tables:
            problems.add(file, f"video {video} has a table already: {tables[video]}")
        tables.setdefault(video, file)
    problems.raise_if_any(FormatError)
    return {video: tables[video] for video in sorted(tables, key=natural_key)}


def read_master_shots(tables: Mapping[str, Path], *, fps_of: FpsOf) -> ShotTable:
    """The shots of all tables.

    Args:
        tables: video id -> file.
        fps_of: gives the frames per second of a video, for tables that count frames; None when unknown.

    Raises:
        FormatError: lines that are no shots, or unknown frame rates that are needed; names all problems at once, with
            file and line.
    """
    problems = Problems("master shot tables")
    ids: list[str] = []
    spans_s: list[Span] = []
    for video, path in tables.items():
        spans_of_video = read_table(path, video, fps_of, problems)
        ids += [format_shot_id(video, number) for number in range(1, len(spans_of_video) + 1)]
        spans_s += spans_of_video
    problems.raise_if_any(FormatError)
    return ShotTable(ids, [start_s for start_s, _ in spans_s], [end_s for _, end_s in spans_s])


def read_table(path: Path, video: str, fps_of: FpsOf, problems: Problems) -> list[Span]:
    """The shots of one table in row order; its errors are added to `problems`."""
    known = len(problems)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    if path.suffix.lower() == ".tsv":
        spans_s = _v3c(path, lines, problems)
    else:
        spans_s = _in_frames(path, lines, video, fps_of, problems)
    if not spans_s and len(problems) == known:
        problems.add(path, "has no shots")
    return spans_s


def _v3c(path: Path, lines: list[str], problems: Problems) -> list[Span]:
    """A shot ends where the next one begins if no frame is between them; otherwise one frame after `endtime`."""
    if not lines or tuple(lines[0].split()) != V3C_HEADER:
        problems.add(
            f"{path}:1", f"expected the header {' '.join(V3C_HEADER)}, got {lines[0] if lines else 'nothing'!r}"
        )
        return []
    rows: list[tuple[int, float, int, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            first, start, last, end = line.split()
            row = int(first), float(start), int(last), float(end)
        except ValueError:
            problems.add(f"{path}:{number}", f"expected {' '.join(V3C_HEADER)}, got {line.strip()!r}")
            continue
        if not (0 <= row[0] <= row[2] and 0 <= row[1] <= row[3] < float("inf")):
            problems.add(f"{path}:{number}", f"a shot that ends before it begins: {line.strip()!r}")
            continue
        rows.append(row)
    spans_s = []
    for (first_frame, start_s, last_frame, last_s), after in zip_longest(rows, rows[1:]):
        if after is not None and after[0] - last_frame in (0, 1) and after[1] > start_s:
            spans_s.append((start_s, after[1]))
        elif last_frame > 0 and last_s > 0:
            spans_s.append((start_s, last_s + last_s / last_frame))  # frame n is shown at n / fps
        else:
            problems.add(
                path, f"frames {first_frame} to {last_frame} have no length, and no later row shows the frame rate"
            )
    return spans_s


def _in_frames(path: Path, lines: list[str], video: str, fps_of: FpsOf, problems: Problems) -> list[Span]:
    frames: list[tuple[int, int]] = []
    for number, line in enumerate(lines, start=1):
        match = _FRAMES.fullmatch(line)
        if match is not None and int(match[1]) <= int(match[2]):
            frames.append((int(match[1]), int(match[2])))
        elif match is not None:
            problems.add(f"{path}:{number}", f"a shot that ends before it begins: {line.strip()!r}")
        elif frames and line.strip():  # before the first row: NIST's header lines
            problems.add(f"{path}:{number}", f"expected a first and a last frame, got {line.strip()!r}")
    if not frames:
        return []
    try:
        fps = fps_of(video)
    except VideoError as error:
        problems.add(path, f"counts frames, but the frame rate of its video cannot be read: {error.what}")
        return []
    if fps is None:
        problems.add(path, f"counts frames, but the frame rate of video {video} is not known: give its file (--videos)")
        return []
    return [(float(first / fps), float((last + 1) / fps)) for first, last in frames]
