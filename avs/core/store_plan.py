"""What all processes that fill one store must agree on, and the refusal of one that does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest
from avs.core.errors import ChangedInputsError

FORMAT = 2  # 1 was the .npz files of an avs that let one process write
PACKAGES = ("avs", "numpy", "torch", "transformers", "av")  # whose versions may change bits
PLAN = "manifest.json"


@dataclass(frozen=True, slots=True, eq=False)
class WorkPlan:
    """How the work on a store is cut.

    Attributes:
        table: fingerprint of the ids of the shots, in order.
        batch_size: which decides the bits of vectors.
        first: (J + 1,) row of the first shot of each job, and the number of shots.
    """

    table: str
    batch_size: int
    first: np.ndarray

    @property
    def jobs(self) -> int:
        """Number of jobs."""
        return len(self.first) - 1

    def to_json(self) -> dict[str, Any]:
        """The plan in few words; the jobs as a hash."""
        cut = hashlib.sha256(np.ascontiguousarray(self.first, dtype=np.int64).data).hexdigest()
        shots = int(self.first[-1])
        table = {"table": self.table, "shots": shots}
        return {"format": FORMAT, **table, "batch_size": self.batch_size, "jobs": self.jobs, "cut": cut}


def plan_record(manifest: Manifest, plan: WorkPlan) -> dict[str, Any]:
    """What is recorded beside the parts: the manifest of the store, its fingerprint, and the plan."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(manifest), default=str))
    return made | {"fingerprint": manifest.fingerprint, "plan": plan.to_json()}


def require_same_plan(parts: Path, wanted: Mapping[str, Any]) -> None:
    """Check that the parts of a folder are of the same inputs, settings, versions and plan.

    Args:
        wanted: the plan_record of this process.

    Raises:
        ChangedInputsError: they are not; with what this process has and what the parts have.
    """
    recorded = _recorded(parts)
    here, there = _deciding(wanted), _deciding(recorded)
    differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if differing:
        raise _refusal(parts, differing, here, there)


def require_same_way(parts: Path, batch_size: int, versions: Mapping[str, str]) -> None:
    """Check the batch size and the versions alone, before the inputs are read; parts that are not there pass.

    Raises:
        ChangedInputsError: as require_same_plan.
    """
    if not (parts / PLAN).is_file():
        return
    there = _deciding(_recorded(parts))
    here = {"batch size": batch_size, **{name: versions[name] for name in PACKAGES if name in versions}}
    differing = [name for name in ("batch size", *PACKAGES) if there.get(name) != here.get(name)]
    if differing:
        raise _refusal(parts, differing, here, there)


def _recorded(parts: Path) -> dict[str, Any]:
    """What is recorded beside the parts.

    Raises:
        ChangedInputsError: nothing that this avs understands.
    """
    try:
        recorded = json.loads((parts / PLAN).read_text(encoding="utf-8"))
        number = recorded["plan"]["format"] if "plan" in recorded else 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        recorded, number = {}, f"{type(error).__name__}: {error}"
    if number != FORMAT:
        raise ChangedInputsError(
            "parts of a store that another avs began are in the way",
            where=parts,
            got=f"parts of format {number}",
            wanted=f"format {FORMAT}",
            next_step="finish the store with the avs that began it, choose another -o, or start over with --force",
        )
    return dict(recorded)


def _deciding(record: Mapping[str, Any]) -> dict[str, object]:
    """Name -> value of all that processes must agree on."""
    found: dict[str, object] = {"type": record["type"]}
    for kind in ("config", "inputs", "spec"):
        found |= {f"{kind}.{name}": value for name, value in (record.get(kind) or {}).items()}
    found.pop("spec.weights", None)  # where they lie; spec.revision is their hash
    plan, versions = record["plan"], record.get("versions") or {}
    found |= {"shots of the table": f"{plan['shots']} ({plan['table'][:12]})", "batch size": plan["batch_size"]}
    found |= {name: versions[name] for name in PACKAGES if name in versions}
    return found | {"cut": plan["cut"][:12]}


def _refusal(
    parts: Path, differing: Sequence[str], here: Mapping[str, object], there: Mapping[str, object]
) -> ChangedInputsError:
    """The error that says what differs, and what to do."""
    names = [name for name in differing if name != "cut"] or list(differing)  # the cut follows from the others
    if set(names) <= set(PACKAGES):
        what = "processes of different versions cannot fill one store"
        next_step = f"install {' '.join(f'{name}=={there.get(name)}' for name in names)} here, choose another -o"
    elif names == ["batch size"]:
        what = "the parts of this store were made with another batch size"
        next_step = f"use --batch-size {there['batch size']}, choose another -o"
    else:
        what, next_step = "parts of a store with other inputs or settings are in the way", "choose another -o"
    return ChangedInputsError(
        what,
        where=parts,
        got=", ".join(f"{name} {here.get(name)}" for name in names),
        wanted=", ".join(f"{name} {there.get(name)}" for name in names),
        next_step=f"{next_step}, or start over with --force",
    )
