"""The environment of LAVIS: where its interpreter is, and whether its packages are those that avs was tested with.

Its pins (transformers before 4.27, numpy before 2) cannot live beside the transformers of avs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from avs.core.errors import AvsError, MissingDependencyError, typed
from avs.features.lavis.worker import PROTOCOL

VARIABLE = "AVS_LAVIS_VENV"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
WORKER = Path(__file__).with_name("worker.py")
DECISIVE = ("salesforce-lavis", "timm", "transformers")  # of whose code the vectors come; torch differs by rounding
NEEDED = (*DECISIVE, "torch", "torchvision", "numpy")
PIN = re.compile(r"(?m)^([\w.-]+)([=<]+)([\w.]+)$")


def environment_folder() -> Path:
    """The folder of the environment: that of AVS_LAVIS_VENV, or avs/lavis in the user's cache."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "avs" / "lavis"


def interpreter_of(folder: Path) -> Path:
    """The Python of a virtual environment, whether it is there or not."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def setup_command(folder: Path) -> str:
    """What to type to build an environment in a folder."""
    return f"avs lavis setup --venv {typed(folder)}"


def worker_command(folder: Path) -> list[str]:
    """The command of a worker of the environment in a folder.

    Raises:
        MissingDependencyError: there is no environment.
    """
    python = interpreter_of(folder)
    if not python.exists():
        raise MissingDependencyError(
            "there is no LAVIS environment",
            where=folder,
            next_step=f"{setup_command(folder)}; for one that is elsewhere, set {VARIABLE} to its folder",
        )
    return [str(python), "-I", "-W", "ignore::FutureWarning", str(WORKER)]  # of torch, at fairscale: they say nothing


def pins() -> dict[str, tuple[str, str]]:
    """Package -> "==" or "<", and a version, of constraints.txt."""
    return {name: (how, version) for name, how, version in PIN.findall(CONSTRAINTS.read_text(encoding="utf-8"))}


def require_known_worker(greeting: Mapping[str, object], folder: Path) -> dict[str, str]:
    """The versions of a worker's packages, after checks.

    Args:
        greeting: the header of its first message.
        folder: of its environment, for messages.

    Raises:
        AvsError: it speaks another protocol.
        MissingDependencyError: packages are missing, or those that decide the vectors have other versions.
    """
    if greeting.get("type") != "hello" or greeting.get("protocol") != PROTOCOL:
        raise AvsError(
            "the LAVIS worker speaks another protocol",
            where=folder,
            got=f"{greeting.get('type')} {greeting.get('protocol')}",
            wanted=f"hello {PROTOCOL}",
            next_step=f"build the environment again, in another folder if need be: {setup_command(folder)}",
        )
    versions, pinned = greeting.get("versions"), pins()
    found = {name: versions.get(name) for name in NEEDED} if isinstance(versions, dict) else dict.fromkeys(NEEDED)
    wrong = [name for name in NEEDED if found[name] is None or (name in DECISIVE and found[name] != pinned[name][1])]
    if wrong:
        raise MissingDependencyError(
            "the LAVIS environment is not one that avs knows",
            where=folder,
            got=", ".join(f"{name} {found[name]}" if found[name] else f"no {name}" for name in wrong),
            wanted=", ".join(name + "".join(pinned[name]) for name in wrong),
            next_step=f"mend it: {setup_command(folder)}; or set {VARIABLE} to another environment",
        )
    return {name: str(version) for name, version in found.items()}


def spec_versions(versions: Mapping[str, str]) -> str:
    """What a spec says of the versions: those that decide the vectors."""
    return ", ".join(f"{name} {versions[name]}" for name in DECISIVE)
