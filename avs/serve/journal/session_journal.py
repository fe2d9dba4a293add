"""The journal of a session: `sessions/<utc>-<id>.jsonl`, an event a line, on disk before anything else is done with it.

What `append` returned from outlives a kill. A line that a kill has cut short is the last of its file, since each start
of the server has a file of its own; it is counted, and never read.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avs.core.journal import append_synced
from avs.serve.refusal import Refusal


def now_ms() -> int:
    """Milliseconds since 1970, as events say when they were."""
    return time.time_ns() // 1_000_000


class SessionJournal:
    """A journal that this process writes.

    Args:
        folder: of all journals; None: nothing is kept (read-only).
        most_bytes: more is refused.

    Attributes:
        path: of this journal. The file is made with its first event.
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.path: Path | None = None
        self._lock = threading.Lock()
        self._size = 0
        if folder is not None:
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.jsonl"
            self.path = folder / name

    def append(self, kind: str, event: dict[str, Any]) -> None:
        """Write an event.

        Raises:
            Refusal: the journal has reached its limit.
            OSError: it cannot be written; then nothing of it is in the file.
        """
        if self.path is None:
            return
        line = json.dumps({"kind": kind, **event}, ensure_ascii=False, allow_nan=False)
        data = line.encode("utf-8", "replace") + b"\n"
        with self._lock:
            if self._size + len(data) > self.most_bytes:
                raise Refusal(
                    503, "the journal of this session is full", where=self.path, got=f"{self._size:,} bytes",
                    wanted=f"at most {self.most_bytes:,}", next_step="start the server again: it begins a new journal",
                )  # fmt: skip
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                append_synced(file, data, self.path)
            self._size += len(data)


class JournalReader:
    """The events of all journals of a folder, in the order of their files.

    Args:
        kinds: events of other kinds are passed over unread: lists are long.

    Attributes:
        damaged: file -> number of lines that could not be read.
    """

    def __init__(self, folder: Path, kinds: Collection[str]) -> None:
        self.folder, self.damaged = folder, dict[Path, int]()
        self._begins = tuple(f'{{"kind": "{kind}"'.encode() for kind in kinds)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        files = sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else []
        for path in files:
            with open(path, "rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        self._damaged(path)
                    elif line.startswith(self._begins):
                        event = parse_line(line)
                        if event is None:
                            self._damaged(path)
                        else:
                            yield event

    def _damaged(self, path: Path) -> None:
        self.damaged[path] = self.damaged.get(path, 0) + 1


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The event of a line, whose kind is a text; None: the line cannot be read."""
    if not line.endswith(b"\n"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
