"""What a ranked list in a file says of how it was made: its class, as that of a run.

A run file has the class as an attribute. A TREC file has no place for it but the tag of its lines, which begins with
the class as NIST's run ids do: "R_served". Lists of `avs search`, `avs fuse` and `avs rerank` have manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from avs.core.artifacts import is_content, manifest_path, read_manifest
from avs.core.errors import AvsError, FormatError
from avs.core.ranking import Run
from avs.trecvid.run_file import is_run_xml, read_run

CLASSES = ("F", "M", "R")  # the more a user has done, the later
UNKNOWN = "unknown"  # in a manifest: of lists that say no class
TAG = re.compile(r"([FMR])_.+")


def tag_with_class(name: str, used: str) -> str:
    """The tag of a TREC file that says its class.

    >>> tag_with_class("served", "R")
    'R_served'
    """
    return f"{used}_{name}"


def class_of_list(file: Path, run: Run) -> str | None:
    """F, M or R, the one that claims least of what the file and its manifest say; None: nothing says it.

    Args:
        run: the list that was read from the file.
    """
    said = [one for one in (_class_of_run(run), _class_in_manifest(file)) if one is not None]
    return max(said, key=CLASSES.index, default=None)


def class_of_sources(files: Iterable[Path]) -> dict[str, str]:
    """What the config of a list says of its class, by the lists that it is made of; nothing where all are F.

    Files that cannot be read are left to their readers.
    """
    said: list[str | None] = []
    for file in files:
        with suppress(AvsError):
            said.append(class_of_list(file, _head_of(file)))
    helped = max((one for one in said if one is not None), key=CLASSES.index, default=CLASSES[0])
    if helped != CLASSES[0]:
        return {"class": helped}
    return {"class": UNKNOWN} if None in said else {}


def _head_of(file: Path) -> Run:
    """A run with what its file says of all of it. Of a TREC file that is in every line: one is read."""
    if is_run_xml(file):
        return read_run(file)
    with open(file, "rb") as lines:
        words = lines.readline().split()
    return Run({}, words[-1].decode(errors="replace") if words else "")


def _class_of_run(run: Run) -> str | None:
    attribute = run.provenance.get("class")
    if attribute is not None:
        return _known(attribute)
    tag = TAG.fullmatch(run.tag)
    return tag[1] if tag else None


def _class_in_manifest(file: Path) -> str | None:
    """Lists of avs are of class F, unless their manifest says another; None: there is no manifest of this file."""
    if not manifest_path(file).is_file():
        return None
    try:
        manifest = read_manifest(file)
    except FormatError:
        return None
    if manifest["type"] != "ranked-lists" or not is_content(file, manifest.get("output") or ""):
        return None
    used = (manifest.get("config") or {}).get("class", "F")
    return None if used == UNKNOWN else _known(used)


def _known(used: object) -> str:
    """A class that avs does not know claims nothing: it counts as the last."""
    return used if isinstance(used, str) and used in CLASSES else CLASSES[-1]
