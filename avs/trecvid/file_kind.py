"""What kind of TRECVID file a content is, so that swapped files are told in one line and not fault by fault."""

from __future__ import annotations

import re
from pathlib import Path

from avs.core.errors import FormatError
from avs.trecvid.secure_xml import looks_like_xml

RUN, QRELS, TOPICS = "a run", "a qrels file", "a topic file"
LINES = 10  # that are looked at
NUMBER = r"[+-]?[0-9][0-9.eE+-]*"
FORMS = {
    RUN: re.compile(rf"\S+\s+(Q0|[01])\s+\S+\s+[0-9]+\s+{NUMBER}\s+\S+"),
    QRELS: re.compile(r"\S+\s+0\s+\S+(\s+[0-9]{1,2})?\s+(-1|[0-3])"),
    TOPICS: re.compile(r"(?=\S*\d)\S+(\s+[^\W\d_][^\s\d_]*){2}.*"),
}


def other_kind(data: bytes, wanted: str) -> str | None:
    """What a content is if each of its first lines has the form of another kind than `wanted`.

    What is of no kind is for its reader to judge.
    """
    kind = file_kind(data)
    return f"this is {kind}, not {wanted}: were two files swapped?" if kind not in (None, wanted) else None


def refuse_other_kind(data: bytes, wanted: str, where: Path) -> None:
    """Check that a file is not of another kind.

    Raises:
        FormatError: what `other_kind` says.
    """
    if reason := other_kind(data, wanted):
        raise FormatError(reason, where=where)


def file_kind(data: bytes) -> str | None:
    """RUN, QRELS or TOPICS, if each of the first lines has that form."""
    head = data[:100_000].decode("utf-8-sig", errors="replace")
    if looks_like_xml(data):
        tag = re.search(r"<([A-Za-z]\w*)", head)
        name = tag[1].lower() if tag else ""
        return RUN if name.startswith("videoadhocsearchr") else TOPICS if "topic" in name else None
    lines = [line.strip() for line in head.split("\n") if line.strip()][:LINES]
    return next((kind for kind, form in FORMS.items() if lines and all(map(form.fullmatch, lines))), None)
