"""Reading of run files in both formats, TREC columns and submission XML, recognised by content."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import FormatError
from avs.core.ranking import Run
from avs.trecvid.secure_xml import looks_like_xml
from avs.trecvid.trec import read_trec, read_trec_columns

Columns = dict[str, tuple[list[str], np.ndarray]]


def read_run_columns(path: Path) -> dict[str, Columns]:
    """Every run of a file as written: name -> topic id -> shots and (N,) scores, in the order of lines.

    A TREC file has one run, which gets the name of the file; an XML file may have several. The score of a shot in XML
    is 9999 - seqNum.

    Raises:
        FormatError: what `read_trec_columns` and `read_run_xml` refuse.
    """
    path = Path(path)
    if is_run_xml(path):
        from avs.trecvid.run_xml import read_run_xml

        return {run.name: run.columns for run in read_run_xml(path)}
    return {path.stem: read_trec_columns(path)}


def read_run(path: Path, *, topics: Iterable[str] | None = None) -> Run:
    """The one run of a file, read strictly.

    Args:
        topics: known topic ids; with them, the "1" that a TREC file may have before its ids is removed (`read_trec`).

    Raises:
        FormatError: what `read_trec` and `read_run_xml` refuse; several runs in the file.
        DataError: a shot twice in a topic of an XML run.
    """
    path = Path(path)
    if not is_run_xml(path):
        return read_trec(path, topics=topics)
    from avs.trecvid.run_xml import read_run_xml

    runs = read_run_xml(path)
    if len(runs) > 1:
        raise FormatError("the file has several runs", where=path, got=len(runs), wanted="one")
    return runs[0].run


def is_run_xml(path: Path) -> bool:
    """Whether a run file is XML, by its content.

    Raises:
        AvsError: there is no such file.
    """
    with open(require_path(path, what="run file"), "rb") as file:
        return looks_like_xml(file.read(256))
