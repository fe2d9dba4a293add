"""The sessions of a folder of journals: how much is in each, and its questions in order.

Journals only grow, so what was counted once is not read again.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from avs.serve.journal.recorded import RecordedQuestion, read_question, words_of
from avs.serve.journal.session_journal import parse_line
from avs.serve.refusal import Refusal
from avs.serve.shapes import AskedQuery, SessionFacts, SessionLog, Sessions

FUSERS = "fusers"  # beside the journals: fusers that users made are kept in this folder
SHOWN = 8  # shots of a question's list, as a glimpse of it
STARTED = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]+")


class SessionFolder:
    """The journals of a folder.

    Args:
        folder: None: nothing is kept, and nothing is shown.
        own: the journal that this server writes.
    """

    def __init__(self, folder: Path | None, own: Path | None) -> None:
        self.folder, self.own = folder, own
        self._counted: dict[Path, CountedJournal] = {}
        self._lock = threading.Lock()

    def all(self) -> Sessions:
        """All sessions, the newest first."""
        facts = [self._facts(self._journal(path)) for path in self._paths().values()]
        facts.sort(key=lambda one: (one.started_ms or 0, one.id), reverse=True)
        return Sessions(kept=self.folder is not None, sessions=facts)

    def log(self, session: str, start: int, count: int, fingerprint: str) -> SessionLog:
        """Questions `start` to `start + count` of a session.

        Args:
            fingerprint: of all that is opened now.

        Raises:
            Refusal: there is no such session.
        """
        path = self._paths().get(session)
        if path is None:
            raise Refusal(404, "no such session", got=repr(session[:80]), next_step="GET /sessions lists them")
        journal = self._journal(path)
        asked = [_asked(number, question, fingerprint) for number, question in journal.questions(start, start + count)]
        return SessionLog(session=self._facts(journal), start=start, queries=asked)

    def _paths(self) -> dict[str, Path]:
        """Id -> journal. A client names an id and never a path."""
        found = sorted(self.folder.glob("*.jsonl")) if self.folder is not None and self.folder.is_dir() else []
        return {path.stem.encode("utf-8", "replace").decode(): path for path in found}

    def _journal(self, path: Path) -> CountedJournal:
        with self._lock:
            journal = self._counted.get(path)
            if journal is None or path.stat().st_size < journal.read_bytes:
                journal = self._counted[path] = CountedJournal(path)
            journal.read_on()
            return journal

    def _facts(self, journal: CountedJournal) -> SessionFacts:
        now = journal.path == self.own
        return SessionFacts(
            id=journal.path.stem.encode("utf-8", "replace").decode(),
            started_ms=_started_ms(journal.path.stem), ended_ms=journal.ended_ms,
            queries=len(journal.offsets), marks=journal.counts["marks"], submissions=journal.counts["submission"],
            damaged=len(journal.damaged) + (0 if now else len(journal.torn)), bytes=journal.path.stat().st_size,
            now=now,
        )  # fmt: skip


class CountedJournal:
    """What is in a journal, as far as it was read.

    Attributes:
        offsets: where in the file each question begins.
        counts: kind of event -> number of events.
        damaged: numbers, from 1, of lines that cannot be read; torn: that of its last line if it has no end.
        ended_ms: the latest time of an event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_bytes = self.read_lines = 0
        self.damaged: list[int] = []
        self.torn: list[int] = []
        self.offsets: list[int] = []
        self.counts = Counter[str]()
        self.ended_ms: int | None = None

    def read_on(self) -> None:
        """Read what was written since."""
        self.torn = []
        with open(self.path, "rb") as file:
            file.seek(self.read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn = [self.read_lines + 1]
                    break
                self.read_lines += 1
                self._count(line)
                self.read_bytes += len(line)

    def _count(self, line: bytes) -> None:
        event = parse_line(line)
        if event is None or (event["kind"] == "query" and read_question(event) is None):
            self.damaged.append(self.read_lines)
            return
        self.counts[event["kind"]] += 1
        if event["kind"] == "query":
            self.offsets.append(self.read_bytes)
        at_ms = event.get("at_ms")
        if isinstance(at_ms, int) and 0 <= at_ms < 2**53:
            self.ended_ms = max(self.ended_ms or 0, at_ms)

    def questions(self, start: int, end: int) -> list[tuple[int, RecordedQuestion]]:
        """Number, from 1, and question, of the questions from `start` on and before `end`, from 0."""
        found = []
        with open(self.path, "rb") as file:
            for number, offset in enumerate(self.offsets[start:end], start=start + 1):
                file.seek(offset)
                event = parse_line(file.readline())
                question = None if event is None else read_question(event)
                if question is not None:  # None: someone has changed the file since
                    found.append((number, question))
        return found


def _asked(number: int, question: RecordedQuestion, fingerprint: str) -> AskedQuery:
    return AskedQuery(
        number=number, at_ms=question.at_ms, text=words_of(question.query), query=question.query,
        topic=question.query.topic, systems=list(question.systems), fused=question.fused, stamp=question.stamp,
        ms=question.ms, total=len(question.shots), first=list(question.shots[:SHOWN]), list=question.list,
        same=question.fingerprint == fingerprint,
    )  # fmt: skip


def _started_ms(name: str) -> int | None:
    """When a journal was begun, since 1970; None: its name does not say."""
    match = STARTED.fullmatch(name)
    try:
        begun = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None
    return None if begun is None else int(begun.timestamp()) * 1000
