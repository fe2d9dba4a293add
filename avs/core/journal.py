"""A journal: records of finished work, one a line, which outlive a kill at any moment.

Each line is the SHA-256 of the record and the record in JSON, separated by a tab. A record is on disk when `append`
returns. A line that a killed process has left incomplete is cut off before the next one is written; a line whose hash
does not fit is not read, so that its work can be done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any


class Journal:
    """The records of one file, which one process writes.

    Args:
        path: the file, which need not exist yet; its folder must.

    Attributes:
        records: those that were whole when it was opened, in their order.
        damaged: numbers of the lines that are not, an incomplete last line not counted.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.records: list[Any] = []
        self.damaged: list[int] = []
        content = self.path.read_bytes() if self.path.exists() else b""
        self._end = content.rfind(b"\n") + 1
        for number, line in enumerate(content[: self._end].split(b"\n")[:-1], start=1):
            record = checked_record(line)
            if record is None:
                self.damaged.append(number)
            else:
                self.records.append(json.loads(record))

    def append(self, record: Any) -> None:
        """Add a record, which JSON can hold."""
        line = checked_line(json.dumps(record, ensure_ascii=False).encode())
        with open(self.path, "ab", buffering=0) as file:
            file.truncate(self._end)
            append_synced(file, line, self.path)
        self._end += len(line)


def checked_line(record: bytes) -> bytes:
    """A record without a line feed as a line that says its hash."""
    return hashlib.sha256(record).hexdigest().encode() + b"\t" + record + b"\n"


def checked_record(line: bytes) -> bytes | None:
    """The record of a line, whose line feed is taken off; None: it is damaged."""
    digest, _, record = line.partition(b"\t")
    return record if hashlib.sha256(record).hexdigest().encode() == digest else None


def append_synced(file: FileIO, data: bytes, path: Path) -> None:
    """Write at the end of an unbuffered file, and wait until the disk has it.

    Raises:
        OSError: names `path`; nothing of the data is in the file.
    """
    end = os.fstat(file.fileno()).st_size
    try:
        left = memoryview(data)
        while left:  # a write may be partial
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError as error:
        os.ftruncate(file.fileno(), end)  # a full disk leaves half a line
        raise OSError(error.errno, error.strerror, str(path)) from error
