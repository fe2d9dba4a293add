"""Texts of shots, made by any OCR or ASR, as a filter of words: SQLite's FTS5, over an index that is built once.

The file has a line for every text: shot, kind, text, with tabs between them. Words are runs of letters and digits of
any alphabet, without regard to case and accents. Each word, or "quoted phrase", must be in some text of the shot. What
is typed is never syntax: FTS5 is asked for one quoted phrase after another.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from avs.core.artifacts import Manifest, fingerprint_content, read_manifest, write_artefact
from avs.core.contents import hash_once
from avs.core.errors import FormatError, MissingDependencyError, Problems
from avs.serve.opened import Report
from avs.serve.opened.shot_columns import ShotColumns
from avs.serve.shapes import MOST_KINDS, ShotText

HEADER = "shot\tkind\ttext"
LAYOUT = 1  # of the database; another one is built anew
LINES_A_REPORT = 50_000
KEPT = 8
PIECE = re.compile(r'"([^"]*)(?:"|$)|([^\s"]+)')
SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE texts (number INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    text, content = 'texts', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2'
);
"""


class TextTable:
    """T texts of the N shots of a collection.

    Args:
        database: that open_texts made.
        columns: the shots.

    Attributes:
        kinds: kind -> number of its texts.
        shot_of, kind_of: (T,) row of the shot of each text, and place of its kind among `kinds`.
    """

    def __init__(self, database: Path, columns: ShotColumns, fingerprint: str) -> None:
        self.fingerprint, self._count = fingerprint, len(columns)
        place = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
        self._lock = threading.Lock()
        self._database = sqlite3.connect(place, uri=True, check_same_thread=False)
        facts = dict(self._database.execute("SELECT name, data FROM facts").fetchall())
        names = json.loads(facts["kinds"])
        self.shot_of = np.frombuffer(facts["shots"], dtype=np.int64)
        self.kind_of = np.frombuffer(facts["kind_of"], dtype=np.int16)
        counts = np.bincount(self.kind_of, minlength=len(names)).tolist()
        self.kinds: dict[str, int] = dict(zip(names, counts, strict=True))
        self._found: OrderedDict[tuple[str, tuple[str, ...]], np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.shot_of)

    def matching(self, words: str, kinds: Sequence[str]) -> np.ndarray:
        """(N,) bool: the shots with every word and phrase in some text; without any, the shots with a text.

        Args:
            kinds: of texts that count; empty: all.
        """
        key = (words, tuple(sorted(set(kinds))))
        with self._lock:
            if key not in self._found:
                self._found[key] = self._match(phrases_of(words), kinds)
                if len(self._found) > KEPT:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            return self._found[key]

    def _match(self, phrases: Sequence[str], kinds: Sequence[str]) -> np.ndarray:
        counting = np.ones(len(self), dtype=bool)
        if kinds:
            names = list(self.kinds)
            counting = np.isin(self.kind_of, [names.index(kind) for kind in kinds])
        if not phrases:
            return self._shots(np.flatnonzero(counting))
        found = np.ones(self._count, dtype=bool)
        for phrase in phrases:
            hits = self._database.execute("SELECT rowid FROM words WHERE words MATCH ?", (f'"{phrase}"',))
            texts = np.fromiter((number for (number,) in hits), dtype=np.int64)
            found &= self._shots(texts[counting[texts]])
        return found

    def _shots(self, texts: np.ndarray) -> np.ndarray:
        """(N,) bool: the shots of texts."""
        shots = np.zeros(self._count, dtype=bool)
        shots[self.shot_of[texts]] = True
        return shots

    @cached_property
    def _by_shot(self) -> tuple[np.ndarray, np.ndarray]:
        """(T,) numbers of the texts in the order of their shots, and (T,) those shots."""
        order = np.argsort(self.shot_of, kind="stable")
        return order, self.shot_of[order]

    def of(self, row: int) -> list[ShotText]:
        """The texts of the shot in a row of the collection, in the order of the file."""
        names, (order, shots) = list(self.kinds), self._by_shot
        first, last = np.searchsorted(shots, [row, row + 1]).tolist()
        found = []
        for number in order[first:last].tolist():
            with self._lock:
                (text,) = self._database.execute("SELECT text FROM texts WHERE number = ?", (number,)).fetchone()
            found.append(ShotText(kind=names[self.kind_of[number]], text=text))
        return found


def phrases_of(words: str) -> list[str]:
    """What is looked for: words, and phrases of quotation marks, each once. What has no letter or digit is not one.

    >>> phrases_of('exit "Gate  12" -- exit')
    ['exit', 'Gate  12']
    """
    readable = words.encode("utf-8", "replace").decode().replace("\0", " ")
    pieces = [quoted or plain for quoted, plain in PIECE.findall(readable)]
    return list(dict.fromkeys(piece for piece in pieces if any(letter.isalnum() for letter in piece)))


def words_left_out(words: str) -> list[str]:
    """Pieces of what was typed that are not looked for: they have no letter or digit."""
    pieces = [quoted or plain for quoted, plain in PIECE.findall(words)]
    return [piece for piece in pieces if piece.strip() and not any(letter.isalnum() for letter in piece)]


def open_texts(table: Path, columns: ShotColumns, cache: Path, report: Report) -> TextTable:
    """The texts of a file: from the cache, or from the file, and then they are kept in the cache.

    Raises:
        FormatError: lines that cannot be used; all of them at once.
        MissingDependencyError: this Python's SQLite has no FTS5.
    """
    fingerprint = fingerprint_content(table)
    inputs = {"texts": fingerprint, "shots": columns.fingerprint}
    manifest = Manifest("text-index", {"layout": LAYOUT}, inputs, paths={"texts": table})
    database = cache / f"texts-{manifest.fingerprint[:24]}.sqlite"
    try:
        whole = hash_once(database) == read_manifest(database)["output"]
    except (OSError, FormatError):
        whole = False  # never written, or not to the end
    if not whole:
        write_artefact(database, manifest, lambda beside: _build(table, columns, beside, report))
    return TextTable(database, columns, fingerprint)


def _build(table: Path, columns: ShotColumns, database: Path, report: Report) -> None:
    """Write the database of a file of texts.

    Raises:
        FormatError, MissingDependencyError: as open_texts.
    """
    database.unlink(missing_ok=True)  # what a kill has left
    reader = _TextReader(table, columns, report)
    with _as_os_errors(database), closing(sqlite3.connect(database, isolation_level=None)) as connection:
        _make_tables(connection)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", reader.texts())
        reader.problems.raise_if_any(FormatError, next_step=f"mend these lines; each is {HEADER!r}")
        connection.execute("INSERT INTO words(words) VALUES ('rebuild')")
        connection.executemany("INSERT INTO facts VALUES (?, ?)", reader.facts())
        connection.execute("COMMIT")
    with open(database, "rb+") as file:
        os.fsync(file.fileno())


def _make_tables(connection: sqlite3.Connection) -> None:
    try:
        connection.executescript(SCHEMA)
    except sqlite3.OperationalError as error:
        if "fts5" not in str(error):
            raise
        raise MissingDependencyError(
            "--text-table needs SQLite with FTS5", got=f"SQLite {sqlite3.sqlite_version}: {error}",
            next_step="use a Python whose sqlite3 has it, such as that of python.org or of conda",
        ) from error  # fmt: skip


@contextmanager
def _as_os_errors(path: Path) -> Iterator[None]:
    """What SQLite cannot write is told as the system tells it."""
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


class _TextReader:
    """Reads the lines of a file of texts; what is wrong with them is collected."""

    def __init__(self, table: Path, columns: ShotColumns, report: Report) -> None:
        self.table, self.columns, self.report = table, columns, report
        self.problems = Problems(f"texts in {table}")
        self._shots, self._kind_of = array("q"), array("h")
        self._kinds: dict[str, int] = {}

    def texts(self) -> Iterator[tuple[int, str]]:
        """The number and the text of every line that is right."""
        size = max(self.table.stat().st_size, 1)
        with open(self.table, "rb") as file:
            done = 0
            for number, line in enumerate(file, start=1):
                if number % LINES_A_REPORT == 1:
                    self.report(f"texts in {self.table.name}", 100 * done // size, 100)
                done += len(line)
                text = self._text(number, line)
                if text is not None:
                    yield len(self._shots) - 1, text
        if not self._shots and not len(self.problems):
            self.problems.add(self.table, "no texts")

    def facts(self) -> list[tuple[str, bytes | str]]:
        """What the database says of its texts beside the texts."""
        return [
            ("shots", self._shots.tobytes()), ("kind_of", self._kind_of.tobytes()),
            ("kinds", json.dumps(list(self._kinds))),
        ]  # fmt: skip

    def _text(self, number: int, line: bytes) -> str | None:
        """The text of a line; None: it has none, or is wrong."""
        if number == 1 and line.rstrip(b"\r\n") == HEADER.encode():
            return None
        try:
            fields = line.decode().rstrip("\r\n").split("\t")
            wrong = self._what_is_wrong(fields)
        except UnicodeDecodeError as error:
            wrong = f"not UTF-8: byte 0x{line[error.start]:02x}"
        if wrong is not None:
            self.problems.add(f"{self.table}:{number}", wrong)
            return None
        shot, kind, text = fields
        self._kind_of.append(self._kinds.setdefault(kind, len(self._kinds)))
        self._shots.append(self.columns.row(shot))
        return text

    def _what_is_wrong(self, fields: list[str]) -> str | None:
        if len(fields) != 3:
            return f"{len(fields)} fields between tabs, wanted 3"
        shot, kind, text = fields
        if shot not in self.columns:
            return f"unknown shot {shot[:80]!r}"
        if not text.strip() or not kind.strip():
            return "the text is empty" if kind.strip() else "the kind is empty"
        if kind not in self._kinds and len(self._kinds) == MOST_KINDS:
            return f"kind {kind[:40]!r} is one more than {MOST_KINDS}"
        return None
