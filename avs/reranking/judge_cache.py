"""The cache of a judge: one readable file of its answers, which grows as they come.

judge   topic   shot        pictures   yes          (tab-separated, one answer a line, below this header)

judge, topic and pictures are the first 16 digits of SHA-256 hashes: of the judge's fingerprint, of the topic's text,
and of a text that identifies the pictures of the shot. Therefore an answer is only used for the same question, and one
file can serve several judges, collections and years.

A batch is appended at once under a lock, so that processes can share the file. An incomplete line that a killed process
has left is ignored, and removed before the next batch is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avs.core.errors import FormatError, Problems
from avs.core.journal import append_synced

HEADER = "judge\ttopic\tshot\tpictures\tyes"
LINE = re.compile(r"([0-9a-f]{16})\t([0-9a-f]{16})\t(\S+)\t([0-9a-f]{16})\t(\d(?:\.\d+)?(?:e-\d+)?)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question to a judge: does the shot show the topic?

    Attributes:
        topic: text of the topic.
        shot: id of the shot.
        pictures: a text that identifies the pictures of the shot, such as a hash of the video and their times.
    """

    topic: str
    shot: str
    pictures: str


class JudgeCache:
    """The answers of one judge.

    Args:
        path: the file, which need not exist yet.
        judge: the judge's fingerprint; answers of other judges in the file are ignored.

    Raises:
        FormatError: the file is something else, or has lines that are no answers; names all of them.
    """

    def __init__(self, path: Path, judge: str) -> None:
        self.path, self._judge = Path(path), short_hash(judge)
        self._answers = _read(self.path, self._judge)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, candidate: Candidate) -> float | None:
        """The probability of "yes", or None if there is no answer."""
        return self._answers.get(_key(candidate))

    def add(self, candidates: Sequence[Candidate], yes: Sequence[float]) -> None:
        """Write the answers to `candidates`; they are on disk when this returns."""
        lines = []
        for candidate, probability in zip(candidates, yes, strict=True):
            topic, shot, pictures = _key(candidate)
            written = f"{probability:.9g}"
            self._answers[topic, shot, pictures] = float(written)  # the value that a later run reads
            lines.append(f"{self._judge}\t{topic}\t{shot}\t{pictures}\t{written}\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _append(self.path, "".join(lines).encode())


def short_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _key(candidate: Candidate) -> tuple[str, str, str]:
    return short_hash(candidate.topic), candidate.shot, short_hash(candidate.pictures)


def _read(path: Path, judge: str) -> dict[tuple[str, str, str], float]:
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1].decode("utf-8", errors="replace")  # an incomplete last line is ignored
    lines = whole.split("\n")[:-1]
    first = content.partition(b"\n")[0].decode("utf-8", errors="replace")
    if first != HEADER and (lines or not HEADER.startswith(first)):  # a killed process may leave half a header
        raise FormatError(
            "not a file of a judge's answers",
            where=f"{path}:1",
            got=repr(first[:80]),
            wanted=repr(HEADER),
            next_step="give another --cache; the file need not exist",
        )
    problems = Problems(f"answers in {path}")
    answers = {}
    for number, line in enumerate(lines[1:], start=2):
        match = LINE.fullmatch(line)
        if match is None or not float(match[5]) <= 1:
            problems.add(f"{path}:{number}", f"expected {HEADER!r}, got {line[:120]!r}")
        elif match[1] == judge:
            answers[match[2], match[3], match[4]] = float(match[5])
    problems.raise_if_any(FormatError, next_step="delete these lines; their questions are then asked again")
    return answers


def _append(path: Path, lines: bytes) -> None:
    """Write `lines` after the last complete line of the file, under a lock."""
    with open(path, "a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = _end_of_last_line(file.fileno())
        file.truncate(end)
        append_synced(file, lines if end else f"{HEADER}\n".encode() + lines, path)


def _end_of_last_line(file: int, *, block: int = 2**16) -> int:
    """Offset after the last line feed; 0, if there is none."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - block)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
