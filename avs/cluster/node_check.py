"""What every node must have: the versions of the command, and the files that it sees, at the same paths."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from avs.core.artifacts import installed_versions
from avs.core.errors import ConfigError, Problems
from avs.core.store_plan import PACKAGES


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What the command has, for a process on a node to compare with what it has itself.

    Attributes:
        folder: the current one, from which relative paths begin.
        versions: of the packages that decide bits.
        sizes: file -> bytes.
    """

    folder: Path
    versions: Mapping[str, str]
    sizes: Mapping[Path, int]

    def require(self) -> None:
        """Go to the folder of the command, and check that this process has what that one has.

        Raises:
            ConfigError: other versions, or files that are not there or of another size; all of them.
        """
        host = socket.gethostname()
        self._require_versions(host)
        if self.folder.is_dir():
            os.chdir(self.folder)
        problems = Problems(f"the machine {host} does not see what the command sees")
        for path, size in self.sizes.items():
            found = _size(path)
            if found != size:
                problems.add(self.folder / path, "no such file" if found is None else f"{found} bytes, not {size}")
        problems.raise_if_any(
            ConfigError, next_step="put what is read and written on a folder that all nodes have at the same path"
        )

    def _require_versions(self, host: str) -> None:
        here = installed_versions()
        differing = [name for name in PACKAGES if here.get(name) != self.versions.get(name)]
        if differing:
            raise ConfigError(
                "processes of different versions cannot share the work",
                where=f"machine {host}",
                got=", ".join(f"{name} {here.get(name)}" for name in differing),
                wanted=", ".join(f"{name} {self.versions.get(name)}" for name in differing),
                next_step="install the same versions on all nodes, and start Ray there again",
            )


def _size(path: Path) -> int | None:
    """Bytes of a file; None: this process does not see it."""
    try:
        return path.stat().st_size
    except OSError:
        return None


@contextmanager
def node_check(files: Mapping[Path, int], written: Path | None = None) -> Iterator[NodeCheck]:
    """What nodes must have in common with this process.

    Args:
        files: file -> bytes, of all that they read.
        written: a folder that all of them write. While this lasts there is a file in it, which they must see.
    """
    sizes, probe = dict(files), None
    if written is not None:
        written.mkdir(parents=True, exist_ok=True)
        probe = written / f".cluster-{token_hex(8)}"
        sizes[probe] = probe.write_bytes(b"seen?")
    try:
        yield NodeCheck(Path.cwd(), installed_versions(), sizes)
    finally:
        if probe is not None:
            probe.unlink(missing_ok=True)
