"""A journal: records of finished work, one a line, which outlive a kill at any moment.

Each line is the SHA-256 of the record and the record in JSON, separated by a tab. A record is on disk when `append`
returns. A line that a killed process has left incomplete is cut off before the next one is written; a line whose hash
does not fit is not read, so that its work can be done again.
"""

from __future__ import annotations

import hashlib
import json
import os
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
            digest, _, record = line.partition(b"\t")
            if hashlib.sha256(record).hexdigest().encode() == digest:
                self.records.append(json.loads(record))
            else:
                self.damaged.append(number)

    def append(self, record: Any) -> None:
        """Add a record, which JSON can hold."""
        written = json.dumps(record, ensure_ascii=False).encode()
        left = memoryview(hashlib.sha256(written).hexdigest().encode() + b"\t" + written + b"\n")
        end = self._end + len(left)
        with open(self.path, "ab", buffering=0) as file:
            file.truncate(self._end)
            while left:  # a write may be partial
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        self._end = end
