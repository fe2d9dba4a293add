"""The content of a folder that avs wrote: the manifest has the hash of every file, and opening the folder checks them.

A file is hashed again only if its size or its time differs from what `.seen.json` recorded when it was hashed last.
So opening costs a look at each file, whatever its size, and one reading after the folder was copied. The same holds for
large files without a manifest of their own, such as those of a BigFile.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from avs.core.errors import AvsError, FormatError

SEEN = ".seen.json"
READ_BYTES = 1 << 24
"""At once. A thread that hashes beside Python code waits for the interpreter's lock after every read."""


def hash_file(path: Path) -> str:
    """`sha256:...` of all bytes of a file, however large."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(READ_BYTES, max(1, path.stat().st_size))))
    with open(path, "rb", buffering=0) as file:
        while read := file.readinto(buffer):
            digest.update(buffer[:read])
    return f"sha256:{digest.hexdigest()}"


def hash_once(path: Path) -> str:
    """`sha256:...` of all bytes of a file, read again only if its size or its time has changed."""
    seen = _seen(path.parent).get(path.name)
    if isinstance(seen, list) and len(seen) == 3 and seen == _look(path, str(seen[2])):
        return str(seen[2])
    content = hash_file(path)
    _remember(path.parent, {path.name: content})
    return content


def hash_files(
    folder: Path,
    hashes: Mapping[str, str] | None = None,
    *,
    folders: Sequence[str] = (),
    unhashed: Collection[str] = (),
) -> dict[str, str]:
    """Name -> hash of every file in a folder but its manifest and hidden ones.

    Args:
        hashes: of files that were hashed while they were written.
        folders: names of folders in it whose files are hashed too.
        unhashed: names of files that are left out, since they decide nothing.
    """
    left_out = {"manifest.json", *unhashed}
    known = hashes or {}
    places = [folder, *(folder / name for name in folders)]
    files = [p for place in places for p in place.iterdir() if p.is_file() and not p.name.startswith(".")]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    hashed = {name: known.get(name) or hash_file(folder / name) for name in names if name not in left_out}
    _remember(folder, hashed)
    return hashed


def content_fingerprint(manifest: Mapping[str, Any]) -> str:
    """What depends on a folder records this: it covers what made the folder, and the hashes of its files.

    An older avs recorded no hashes. Of its folders it is the manifest's fingerprint, as it was then.
    """
    made: str = manifest["fingerprint"]
    if not manifest.get("files"):
        return made
    return hashlib.sha256(json.dumps([made, manifest["files"]], sort_keys=True).encode()).hexdigest()


def changed_files(folder: Path, manifest: Mapping[str, Any], *, hash_all: bool = False) -> dict[str, str]:
    """Name of a file that is not as it was written -> what is wrong with it.

    Args:
        hash_all: hash the files whose size and time are as they were, too.
    """
    recorded: Mapping[str, str] = manifest.get("files") or {}
    seen, changed = _seen(folder), {}
    for name, content in recorded.items():
        path = folder / name
        if not path.is_file():
            changed[name] = "is gone"
        elif hash_all or seen.get(name) != _look(path, content):
            if hash_file(path) != content:
                changed[name] = "was changed after it was written"
    if not changed and any(seen.get(name) != _look(folder / name, content) for name, content in recorded.items()):
        _remember(folder, recorded)
    return changed


def require_unchanged(
    folder: Path, manifest: Mapping[str, Any], *, next_step: str, cls: type[AvsError] = FormatError
) -> None:
    """Check that the files of a folder are as they were written.

    Raises:
        cls: some are not; names them all.
    """
    changed = changed_files(folder, manifest)
    if changed:
        raise cls(
            "files are not as avs wrote them",
            where=folder,
            got="; ".join(f"{name} {what}" for name, what in changed.items()),
            wanted="the files that the hashes in manifest.json belong to",
            next_step=f"put the files back, or {next_step}",
        )


def _look(path: Path, content: str) -> list[object]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, content]


def _seen(folder: Path) -> dict[str, list[object]]:
    """Name of a file -> size, time and hash when it was hashed last."""
    try:
        seen = json.loads((folder / SEEN).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return seen if isinstance(seen, dict) else {}


def _remember(folder: Path, files: Mapping[str, str]) -> None:
    """Record the size and time of files whose hash was just found; a record cut short counts as none."""
    others = {name: look for name, look in _seen(folder).items() if (folder / name).is_file()}
    seen = json.dumps(others | {name: _look(folder / name, content) for name, content in files.items()})
    with suppress(OSError):  # a folder that cannot be written is hashed each time
        (folder / SEEN).write_text(seen, encoding="utf-8")
