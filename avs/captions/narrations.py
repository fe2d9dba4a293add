"""Narrated videos in the layout of HowTo100M: what is said in a video, with times, one JSON object for all videos.

    {"IjVQCFU7hSk": {"start": [0.9, 3.2], "end": [4.1, 6.0], "text": ["cut the onions", "put them in the pan"]}, ...}

As in `caption.json` and `raw_caption.json` of Miech et al. (ICCV 2019), which name YouTube ids, and seconds from the
beginning of the video. The file has several gigabytes on one line, so it is read video by video.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from avs.core.artifacts import require_path
from avs.core.errors import FormatError

LISTS = ("start", "end", "text")
WANTED = '{"VIDEO": {"start": [seconds, ...], "end": [seconds, ...], "text": ["...", ...]}, ...}'
CHUNK = 1 << 24  # characters that are read at once
LONGEST = 1 << 28  # characters of one video's captions
SPACE = re.compile(r"[ \t\n\r]*")
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, and what is no UTF-8


@dataclass(frozen=True, slots=True)
class Narration:
    """What is said in a stretch of a video, in seconds from its beginning."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class CaptionFault:
    """What is wrong with a caption.

    Attributes:
        place: its number in its video, from 0.
        cut: whether it is kept, up to the end of the video; otherwise it is left out.
    """

    place: int
    reason: str
    cut: bool = False


class RepeatedNames(dict[str, Any]):
    """A JSON object with two values of one name, of which it has the last."""


def read_narrated_videos(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and record of every video, in the order of the file; `narrations_of` reads a record.

    Raises:
        FormatError: the file is not UTF-8, or not one JSON object.
    """
    with open(require_path(path, what="file of captions"), encoding="utf-8-sig") as file:
        members = _Members(file, path)
        try:
            yield from members
        except UnicodeDecodeError as error:
            byte = f"byte 0x{error.object[error.start]:02x}"
            raise FormatError("captions must be UTF-8 text", where=f"{path}, {members.place}", got=byte) from error
        except RecursionError as error:
            raise FormatError("not JSON of HowTo100M", where=f"{path}, {members.place}", wanted=WANTED) from error


def narrations_of(record: Any, duration_s: float) -> tuple[list[Narration], list[CaptionFault]]:
    """The captions of a record in order of time, and what is wrong with others.

    White space within a text becomes single spaces. A caption that ends after the video is cut to its end.

    Args:
        duration_s: of the video.

    Raises:
        FormatError: the record has no three lists of one length; says what it has.
    """
    found: list[Narration] = []
    faults: list[CaptionFault] = []
    seen: set[Narration] = set()
    for place, (start, end, text) in enumerate(zip(*_lists(record), strict=True)):
        reason = _fault(start, end, text, duration_s)
        if reason is None:
            whole = Narration(_rounded(start), _rounded(end), " ".join(text.split()))
            reason = "the same caption as one before it" if whole in seen else None
            seen.add(whole)
        if reason is not None:
            faults.append(CaptionFault(place, reason))
            continue
        if whole.end_s > duration_s:
            reason = f"ends at {whole.end_s:g} s; cut to the end of the video at {duration_s:g} s"
            faults.append(CaptionFault(place, reason, cut=True))
        found.append(Narration(whole.start_s, min(whole.end_s, duration_s), whole.text))
    return sorted(found, key=lambda one: one.start_s), faults


def _lists(record: Any) -> list[Sequence[Any]]:
    if isinstance(record, RepeatedNames):
        raise FormatError("a name occurs twice in its JSON object")
    if not isinstance(record, dict):
        raise FormatError(f"a JSON {type(record).__name__}, wanted an object with start, end and text")
    if lacking := [name for name in LISTS if not isinstance(record.get(name), list)]:
        raise FormatError(f"no list of {', '.join(lacking)}")
    lists = [record[name] for name in LISTS]
    if len(set(map(len, lists))) > 1:
        counts = ", ".join(f"{len(values)} of {name}" for name, values in zip(LISTS, lists, strict=True))
        raise FormatError(f"lists of different lengths: {counts}")
    return lists


def _fault(start: Any, end: Any, text: Any, duration_s: float) -> str | None:
    """What is wrong with a caption, if it must be left out."""
    for name, value in (("start", start), ("end", end)):
        if not _is_time(value):
            return f"its {name} is {str(value)[:20]!a}, wanted seconds from 0"
    if not isinstance(text, str):
        return f"its text is {str(text)[:20]!a}, wanted words"
    words = " ".join(text.split())
    if not words:
        return "its text is empty"
    if NO_TEXT.search(words):
        return f"its text has control characters or is not UTF-8: {words[:40]!a}"
    if not _rounded(start) < _rounded(end):
        return f"it ends at {end:g} s and starts at {start:g} s"
    if not _rounded(start) < duration_s:
        return f"it starts at {start:g} s, and the video ends at {duration_s:g} s"
    return None


def _rounded(seconds: float) -> float:
    """To the microsecond, as a shot table has times."""
    return round(float(seconds), 6)


def _is_time(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value) and value >= 0
    except OverflowError:  # an integer of hundreds of digits
        return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedNames(found)


class _Members:
    """The names and values of the JSON object in a file, one after another.

    Attributes:
        place: how far it was read, for messages.
    """

    decoder = json.JSONDecoder(object_pairs_hook=_object)

    def __init__(self, file: IO[str], path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.at = "", 0
        self.place = "at its beginning"

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._take("{")
        while self._sign() != "}":
            name = self._value()
            if not isinstance(name, str):
                raise self._error(f"a {type(name).__name__} where the name of a video should be")
            self._take(":")
            value = self._value()
            self.place = f"after {name!a}"
            yield name, value
            if self._sign() != "}":
                self._take(",")
        self._take("}")
        if self._sign():
            raise self._error(f"{self.text[self.at : self.at + 40]!a} after the end of the object")

    def _sign(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            match = SPACE.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._read():
                return ""

    def _take(self, wanted: str) -> None:
        if self._sign() != wanted:
            raise self._error(
                f"{self.text[self.at : self.at + 40]!a}" if self._sign() else "the end of the file", wanted
            )
        self.at += 1

    def _value(self) -> Any:
        self._sign()
        while True:
            try:
                value, self.at = self.decoder.raw_decode(self.text, self.at)
                return value
            except json.JSONDecodeError as error:
                if len(self.text) - self.at > LONGEST or not self._read():
                    raise self._error(f"{error.msg} in {self.text[self.at : self.at + 40]!a} ...") from error

    def _read(self) -> bool:
        """Read at least as much as is there already, so that a long value is tried few times."""
        read = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + read, 0
        return bool(read)

    def _error(self, got: str, wanted: str = WANTED) -> FormatError:
        return FormatError("not JSON of HowTo100M", where=f"{self.path}, {self.place}", got=got, wanted=wanted)
