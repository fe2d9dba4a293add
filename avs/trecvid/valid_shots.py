"""The shots of a collection, from NIST's table, a list of ids, or a shot table of avs, recognised by content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from avs.core.artifacts import require_path
from avs.core.errors import FormatError, Problems
from avs.core.ids import parse_shot_id
from avs.core.shots import HEADER, read_shot_table

LAST_SHOT = re.compile(r"[1-9][0-9]{0,8}")
WANTED = (
    "NIST's table (`07476 15`: video and its last shot), a list of shot ids, or a shot table of avs "
    f"(header `{' '.join(HEADER.split())}`)"
)


class ValidShots:
    """The shots that exist.

    Args:
        numbers: video id, as written in shot ids -> the numbers of its shots.
        dropped: shot ids that were removed from the collection.
        name: the file they were read from.
    """

    def __init__(self, numbers: Mapping[str, range | frozenset[int]], dropped: frozenset[str], name: str) -> None:
        self._numbers, self._dropped, self.name = numbers, dropped, name
        self._unpadded = {video.lstrip("0"): video for video in numbers}

    def __len__(self) -> int:
        return sum(len(numbers) for numbers in self._numbers.values()) - len(self._dropped)

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, as written in shot ids."""
        return tuple(self._numbers)

    def __contains__(self, shot: str) -> bool:
        return self.problem(shot) is None

    def problem(self, shot: str) -> str | None:
        """Why `shot` is not one of them, or None if it is."""
        try:
            video, number = parse_shot_id(shot)
        except FormatError as error:
            return f"{error.what}, wanted {error.wanted}"
        if shot in self._dropped:
            return "dropped from the collection"
        if video not in self._numbers:
            padded = self._unpadded.get(video.lstrip("0"))
            hint = f"; zero padding matters: shot{padded}_{number}" if padded else ""
            return f"{self.name} has no video {video}{hint}"
        numbers = self._numbers[video]
        if number not in numbers:
            return f"video {video} has shots {min(numbers)}..{max(numbers)}"
        return None


def read_valid_shots(path: Path, *, dropped: Path | None = None) -> ValidShots:
    """The shots of a collection, without those of `dropped` (a file with one id per line).

    Raises:
        FormatError: none of the three formats, a malformed line, or a dropped shot that is not in the table.
    """
    path = Path(path)
    if require_path(path, what="shot table").is_dir():
        raise FormatError(
            "a shot table must be a file", where=path, next_step="import a folder with `avs shots --msb FOLDER`"
        )
    text = _text(path)
    first = text.lstrip().split("\n", 1)[0].rstrip("\r")
    words = first.split()
    numbers: Mapping[str, range | frozenset[int]]
    if first == HEADER:
        numbers = _by_video(read_shot_table(path).ids)
    elif len(words) == 1 and words[0].startswith("shot"):
        numbers = _by_video(_read_ids(path, text))
    elif len(words) == 2 and words[1].isdigit():
        numbers = _read_nist(path, text)
    else:
        raise FormatError("not a shot table", where=f"{path}:1", got=repr(first[:80]), wanted=WANTED)
    whole = ValidShots(numbers, frozenset(), path.name)
    return whole if dropped is None else ValidShots(numbers, _read_dropped(Path(dropped), whole), path.name)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("not a text file", where=path, got=str(error), wanted=WANTED) from error


def _by_video(ids: Iterable[str]) -> dict[str, frozenset[int]]:
    numbers: dict[str, set[int]] = {}
    for shot in ids:
        video, number = parse_shot_id(shot)
        numbers.setdefault(video, set()).add(number)
    return {video: frozenset(shots) for video, shots in numbers.items()}


def _read_ids(path: Path, text: str) -> list[str]:
    problems = Problems(f"shot list {path}")
    ids = []
    for number, line in enumerate(text.split("\n"), start=1):
        shot = line.strip()
        if not shot:
            continue
        try:
            parse_shot_id(shot)
        except FormatError as error:
            problems.add(f"{path}:{number}", f"{error.what}: {shot}")
        ids.append(shot)
    problems.raise_if_any(FormatError)
    return ids


def _read_nist(path: Path, text: str) -> dict[str, range]:
    problems = Problems(f"shot table {path}")
    numbers: dict[str, range] = {}
    for line_number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or LAST_SHOT.fullmatch(words[1]) is None:
            problems.add(
                f"{path}:{line_number}", f"expected a video and the number of its last shot, got {line.strip()!r}"
            )
        elif words[0] in numbers:
            problems.add(f"{path}:{line_number}", f"video {words[0]} is repeated")
        else:
            numbers[words[0]] = range(1, int(words[1]) + 1)
    problems.raise_if_any(FormatError)
    return numbers


def _read_dropped(path: Path, whole: ValidShots) -> frozenset[str]:
    ids = _read_ids(path, _text(require_path(path, what="list of dropped shots")))
    problems = Problems(f"dropped shots {path}")
    for shot in ids:
        if (reason := whole.problem(shot)) is not None:
            problems.add(shot, reason)
    problems.raise_if_any(FormatError, next_step="give the list that belongs to the table")
    return frozenset(ids)
