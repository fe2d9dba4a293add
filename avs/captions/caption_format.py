"""The base of all caption formats: the text of a file with its line numbers, and the registry of formats."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avs.core.artifacts import require_path
from avs.core.errors import FormatError, Problems, typed
from avs.core.ids import some
from avs.core.registry import Registry


@dataclass(frozen=True, slots=True)
class SourceCaption:
    """A caption as it is in a file.

    Attributes:
        place: line number, or position such as "sentences[12]", in the file.
        id, video, text: as in core.captions.Caption; the text may be empty and may contain any white space.
        split: the file's name for the caption's part of the collection; None if the file gives none.
    """

    place: int | str
    id: str
    video: str
    text: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The decoded text of a caption file."""

    path: Path
    text: str

    def at(self, place: int | str) -> str:
        """`file:line`, for error messages."""
        return f"{self.path}:{place}"

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines that are not blank, with their numbers from 1. Only a line feed ends a line."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            if line.strip():
                yield number, line.rstrip("\r")

    def rows(self, columns: tuple[str, ...], problems: Problems) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The first line of each row of a comma-separated file with a header, and the row's values of `columns`.

        A row with another number of fields than the header is a problem and is left out.

        Raises:
            FormatError: the header lacks one of `columns`, or a quote is not closed.
        """
        reader, begins = csv.reader(io.StringIO(self.text, newline=""), strict=True), 1
        try:
            header = next(reader, [])
            if missing := [column for column in columns if column not in header]:
                raise FormatError(
                    f"no column {', '.join(missing)}",
                    where=self.at(1),
                    got=", ".join(header),
                    wanted=", ".join(columns),
                )
            chosen = [header.index(column) for column in columns]
            begins = reader.line_num + 1
            for row in reader:
                if len(row) == len(header):
                    yield begins, tuple(row[i] for i in chosen)
                elif row:
                    problems.add(self.at(begins), f"{len(row)} fields, wanted {len(header)}")
                begins = reader.line_num + 1
        except csv.Error as error:
            raise FormatError(
                "not comma-separated values",
                where=self.at(begins),
                got=str(error),
                next_step='quote a field with a comma, a quote or a line break, and double its own quotes: "a ""b"""',
            ) from error

    def json(self) -> Any:
        """The whole file as JSON.

        Raises:
            FormatError: the file is not JSON, or an object has two values of one name.
        """
        try:
            return json.loads(self.text, object_pairs_hook=self._object)
        except json.JSONDecodeError as error:
            raise FormatError("not JSON", where=self.at(error.lineno), got=error.msg) from error

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A JSON object; Python's own would keep the last of several values, and lose the others without a word."""
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
            raise FormatError("a name occurs twice in a JSON object", where=self.path, got=some(twice))
        return found


@dataclass(frozen=True, slots=True)
class CaptionFormat:
    """A layout in which captions are published.

    Attributes:
        layout: one line that describes the content of a file, for messages and documentation.
        recognises: tells whether the first HEAD_CHARACTERS of a file are in this layout.
        parse: gives the captions of a file in its order, and adds the errors of its lines to the problems.
        video_of: gives the video id for an entry of a list of videos, which may be written differently.
    """

    layout: str
    recognises: Callable[[str], bool]
    parse: Callable[[SourceFile, Problems], Iterator[SourceCaption]]
    video_of: Callable[[str], str] = str


HEAD_CHARACTERS = 8192
caption_formats: Registry[CaptionFormat] = Registry("caption format")


class Numbering:
    """Caption ids `<video>#<k>`, where k counts the captions of a video from 0 in the order of the file."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def id(self, video: str) -> str:
        """The next caption id of `video`."""
        k = self._next.get(video, 0)
        self._next[video] = k + 1
        return f"{video}#{k}"


def read_source(path: Path) -> SourceFile:
    """The text of a caption file.

    Raises:
        FormatError: the file is not UTF-8; names the line.
    """
    data = require_path(path, what="caption file").read_bytes()
    try:
        return SourceFile(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            "captions must be UTF-8 text",
            where=f"{path}:{line}",
            got=f"byte 0x{data[error.start]:02x}",
            next_step=f"if it is Latin-1: iconv -f latin1 -t utf-8 {typed(path)} > "
            f"{typed(path.with_suffix('.utf8' + path.suffix))}",
        ) from error


def first_line(head: str) -> str:
    """The first line that is not blank, without its line end."""
    return next((line.rstrip("\r") for line in head.split("\n") if line.strip()), "")


def text_of(record: Mapping[str, Any], key: str) -> str | None:
    """`record[key]` if it is a string, otherwise None."""
    value = record.get(key)
    return value if isinstance(value, str) else None
