"""What is submitted to the evaluation server: a queue that is a file, so that no kill sends anything twice or loses it.

Each line is an event with a checksum: a submission, or its new state. Before a submission leaves, "in-flight" is on
disk. One that is in flight when the queue is opened may have arrived or not: it becomes unknown, and the user is asked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from avs.core.errors import ConfigError
from avs.core.journal import append_synced, checked_line, checked_record
from avs.serve.shapes import SubmissionFacts, SubmissionState

QueueState = Literal[SubmissionState, "forgotten"]
"""As the API has it; a user forgets one that is in doubt, and pages are not shown it any more."""
STATES: tuple[QueueState, ...] = get_args(QueueState)
NOT_SENT = ("rejected", "failed", "forgotten")  # their shots are not sent ones
AGAIN = ("unknown", "failed", "rejected")  # a user may have these sent again


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A submission.

    Attributes:
        server, evaluation: host and id that it is for.
        task: what tells its task from others: the id, or the name where the server gives none.
        task_id: that is sent along.
        start_ms, end_ms: from the first frame of the video; None: times are not known, or it is a text.
        sent_before: another shot of its video was submitted to its task before.
    """

    server: str
    evaluation: str
    task: str
    task_id: str | None
    topic: str | None
    shot: str | None
    video: str | None
    item: str | None
    collection: str | None
    start_ms: int | None
    end_ms: int | None
    text: str | None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    sent_before: bool = False
    state: QueueState = "queued"
    message: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it the same submission as another."""
        return self.server, self.evaluation, self.task, self.item, self.start_ms, self.end_ms, self.text

    def body(self) -> dict[str, Any]:
        """What is sent."""
        answer = {
            "text": self.text, "mediaItemName": self.item, "mediaItemCollectionName": self.collection,
            "start": self.start_ms, "end": self.end_ms,
        }  # fmt: skip
        said = {name: value for name, value in answer.items() if value is not None}
        return {"answerSets": [{**({"taskId": self.task_id} if self.task_id else {}), "answers": [said]}]}

    def shape(self, *, dry_run: bool) -> SubmissionFacts:
        """As the API gives it."""
        given = asdict(self) | ({"state": "failed"} if self.state == "forgotten" else {})
        return SubmissionFacts(
            **{name: given[name] for name in SubmissionFacts.model_fields if name in given}, dry_run=dry_run
        )


FIELDS = frozenset(one.name for one in fields(QueueEntry))


class SubmissionQueue:
    """The submissions of all sessions, in the order in which they were made.

    Args:
        path: of the file. It is held: no other server may have it.

    Attributes:
        damaged: lines that could not be read. What was queued before such a line may have been sent, so it is unknown.
        problem: why the file could not be written; empty: it could.

    Raises:
        ConfigError: another server has it.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.damaged, self.problem = path, 0, ""
        self._lock = threading.RLock()
        self._entries: dict[str, QueueEntry] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115  # it is held until close()
        try:
            self._hold()
            self._load()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let another server have the file."""
        with self._lock:
            self._file.close()

    def entries(self, wanted: Callable[[QueueEntry], bool] = lambda _: True) -> list[QueueEntry]:
        """The submissions that are wanted, the oldest first."""
        with self._lock:
            return [one for one in self._entries.values() if wanted(one)]

    def get(self, entry_id: str) -> QueueEntry | None:
        """A submission."""
        with self._lock:
            return self._entries.get(entry_id)

    def put(self, wanted: Sequence[QueueEntry]) -> list[tuple[QueueEntry, bool]]:
        """Add submissions. One that is there already is given as it is, and not added.

        Returns:
            each, and whether it is new.

        Raises:
            OSError: it cannot be written; then none is added.
        """
        with self._lock:
            known = {one.key: one for one in self._entries.values()}
            videos = {_place(one) for one in self._entries.values() if one.state not in NOT_SENT and one.video}
            found, new = [], []
            for one in wanted:
                if one.key in known:
                    found.append((known[one.key], False))
                    continue
                made = replace(one, sent_before=one.video is not None and _place(one) in videos)
                videos.add(_place(made))
                known[made.key] = made
                found.append((made, True))
                new.append(made)
            self._write(b"".join(_line({"kind": "entry", **asdict(one)}) for one in new))
            self._entries.update({one.id: one for one in new})
            return found

    def change(self, entry_id: str, state: QueueState, message: str = "") -> QueueEntry:
        """Give a submission a new state.

        Raises:
            OSError: "in-flight" cannot be written, so it must not be sent. What is known later counts also when the
                disk is full; after a kill it would be in flight, and asked about.
        """
        with self._lock:
            made = replace(self._entries[entry_id], state=state, message=message)
            event = {"kind": "state", "id": entry_id, "state": state, "message": message}
            try:
                self._write(_line(event))
                self.problem = ""
            except OSError as error:
                self.problem = error.strerror or str(error)
                if state == "in-flight":
                    raise
            self._entries[entry_id] = made
            return made

    def _hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise ConfigError(
                    "another server submits from this queue", where=self.path,
                    next_step="end it, or choose another folder: --sessions FOLDER",
                ) from None  # fmt: skip
            # a file system without locks lets every server in

    def _load(self) -> None:
        """Read the file, close a line that a kill cut short, and ask about what may have been sent."""
        content = self.path.read_bytes()
        for line in content.splitlines(keepends=True):
            try:
                self._take(_read_line(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                self.damaged += 1
                self._doubt()
        if content and not content.endswith(b"\n"):
            self._write(b"\n")
        for one in self.entries(lambda one: one.state == "in-flight"):
            self.change(one.id, "unknown", "the server of avs ended while it was being sent")
        for one in self.entries(lambda one: one.state == "unknown" and one.message == DAMAGED):
            self.change(one.id, "unknown", DAMAGED_BEFORE)

    def _doubt(self) -> None:
        """A line that cannot be read may have said that one of the queued was being sent."""
        for one in list(self._entries.values()):
            if one.state == "queued":
                self._entries[one.id] = replace(one, state="unknown", message=DAMAGED)

    def _take(self, event: dict[str, Any]) -> None:
        if event["kind"] == "entry":
            made = QueueEntry(**{name: event[name] for name in FIELDS})
            if made.id in self._entries:
                raise ValueError("twice")
            self._entries[made.id] = made
        elif event["kind"] == "state" and event["state"] in STATES:
            before = self._entries[event["id"]]
            self._entries[before.id] = replace(before, state=event["state"], message=str(event["message"]))
        else:
            raise ValueError("of no kind")

    def _write(self, data: bytes) -> None:
        """Append, and wait until the disk has it.

        Raises:
            OSError: nothing of it is in the file.
        """
        if data:
            append_synced(self._file, data, self.path)


DAMAGED = "a line of the queue cannot be read"
DAMAGED_BEFORE = "a line of the queue is damaged, so it may have been sent"


def _place(entry: QueueEntry) -> tuple[str, str, str, str | None]:
    """The task and the video of a submission."""
    return entry.server, entry.evaluation, entry.task, entry.video


def _line(event: dict[str, Any]) -> bytes:
    return checked_line(json.dumps(event, ensure_ascii=True, allow_nan=False).encode())


def _read_line(line: bytes) -> dict[str, Any]:
    """The event of a line.

    Raises:
        ValueError: it is damaged, or was cut short.
    """
    record = checked_record(line[:-1]) if line.endswith(b"\n") else None
    if record is None:
        raise ValueError("damaged")
    event: dict[str, Any] = json.loads(record)
    return event


def segment_ms(start_s: float, end_s: float, duration_s: float | None) -> tuple[int, int]:
    """A shot in whole milliseconds, which hold all of it: floor of the start, ceiling of the end, clipped to the video.

    Seconds such as 1.001 have no exact float; so they are first rounded to the microsecond.
    """
    last = math.inf if duration_s is None else math.floor(_ms(duration_s))
    end = min(math.ceil(_ms(end_s)), last)
    return int(max(0, min(math.floor(_ms(start_s)), end))), int(max(0, end))


def position_ms(at_s: float, duration_s: float | None) -> tuple[int, int]:
    """A position as a segment of no length, clipped to the video."""
    start, _ = segment_ms(at_s, at_s, duration_s)
    return start, start


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
