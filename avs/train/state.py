"""The saved state of a training. A killed training resumes from it with the same losses.

The file is whole or absent, and carries the hash of its content. Nothing is pickled: tensors are safetensors, the rest
is JSON in the file's header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avs.core.errors import ChangedInputsError, FormatError
from avs.train.optimiser import Schedule
from avs.train.weights import read_tensors, write_tensors

AGAIN = "start the training over with --force"


@dataclass(slots=True)
class Progress:
    """Where a training is.

    Attributes:
        schedule: schedule of the learning rate.
        epoch: current epoch, from 0.
        step: number of its batches that are done.
        losses: losses of those batches, in order.
        seconds: seconds of training so far.
        waited_s: seconds of those spent waiting for data.
        best: validation measures of the best epoch; `best_epoch` is its number from 0 (-1: none).
        since_best: number of epochs since then.
    """

    schedule: Schedule
    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    waited_s: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_epoch: int = -1
    since_best: int = 0


def save_state(
    path: Path, fingerprint: str, progress: Progress, model: nn.Module, optimiser: torch.optim.Optimizer, scaler: Any
) -> None:
    """Write everything a training needs to resume."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    state = optimiser.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{parameter}.{key}"] = value
            else:
                numbers.setdefault(str(parameter), {})[key] = value
    header = {
        "fingerprint": fingerprint,
        "progress": asdict(progress),
        "optimiser": numbers,
        "scaler": scaler.state_dict(),
    }
    write_tensors(path, tensors, {"state": json.dumps(header)})


def load_state(
    path: Path, fingerprint: str, model: nn.Module, optimiser: torch.optim.Optimizer, scaler: Any
) -> Progress | None:
    """Restore a saved training; None if none was saved.

    Raises:
        ChangedInputsError: the state belongs to a training with other inputs or settings.
        FormatError: the file is damaged.
    """
    if not path.is_file():
        return None
    tensors, texts = read_tensors(path, next_step=AGAIN)
    try:
        return _restored(path, fingerprint, json.loads(texts["state"]), tensors, model, optimiser, scaler)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise FormatError(
            "not the state of this training", where=path, got=f"{type(error).__name__}: {error}", next_step=AGAIN
        ) from error


def _restored(
    path: Path,
    fingerprint: str,
    header: Any,
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: Any,
) -> Progress:
    """Put what was saved into model, optimiser and scaler."""
    if header["fingerprint"] != fingerprint:
        raise ChangedInputsError(
            "an unfinished training with other inputs or settings is here",
            where=path,
            next_step=f"choose another -o, or {AGAIN}",
        )
    prefix = "model."
    model.load_state_dict({name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)})
    entries: dict[int, dict[str, Any]] = {int(p): dict(values) for p, values in header["optimiser"].items()}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, parameter, key = name.split(".", 2)
            entries.setdefault(int(parameter), {})[key] = tensor
    optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
    scaler.load_state_dict(header["scaler"])
    torch.set_rng_state(tensors["random"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    progress = header["progress"]
    return Progress(**{**progress, "schedule": Schedule(**progress["schedule"])})
