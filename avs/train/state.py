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
from avs.train.distributed import Workers
from avs.train.moving_average import MovingAverage
from avs.train.schedules import Schedule
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


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """All that the steps of a training change.

    Attributes:
        model, optimiser, scaler: as TrainingLoop has them.
        average: moving average of the weights; None if there is none.
        device: of the model.
        workers: processes that train together.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: Any
    average: MovingAverage | None
    device: str
    workers: Workers

    def save(self, path: Path, fingerprint: str, progress: Progress) -> None:
        """Have the first worker write all that a training needs to resume. All workers must call this at once.

        Args:
            fingerprint: of what decides the result.
        """
        random = self._random_states()
        if not self.workers.first:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()} | random
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.values.items()}
        numbers: dict[str, dict[str, Any]] = {}
        for parameter, entries in self.optimiser.state_dict()["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{parameter}.{key}"] = value
                else:
                    numbers.setdefault(str(parameter), {})[key] = value
        header = {
            "fingerprint": fingerprint,
            "progress": asdict(progress),
            "optimiser": numbers,
            "scaler": self.scaler.state_dict(),
        }
        write_tensors(path, tensors, {"state": json.dumps(header)})

    def load(self, path: Path, fingerprint: str, schedule: Schedule) -> Progress | None:
        """Restore a saved training; None if none was saved.

        Args:
            schedule: of the learning rate, at its start.

        Raises:
            ChangedInputsError: the state belongs to a training with other inputs or settings.
            FormatError: the file is damaged.
        """
        if not path.is_file():
            return None
        tensors, texts = read_tensors(path, next_step=AGAIN)
        try:
            header = json.loads(texts["state"])
            if header["fingerprint"] != fingerprint:
                raise ChangedInputsError(
                    "an unfinished training with other inputs or settings is here",
                    where=path,
                    next_step=f"choose another -o, or {AGAIN}",
                )
            self._restore(header, tensors)
            saved = header["progress"]
            return Progress(**{**saved, "schedule": type(schedule)(**saved["schedule"])})
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise FormatError(
                "not the state of this training", where=path, got=f"{type(error).__name__}: {error}", next_step=AGAIN
            ) from error

    def _restore(self, header: Any, tensors: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(_named(tensors, "model."))
        if self.average is not None:
            for name, values in _named(tensors, "average.").items():
                self.average.values[name].copy_(values)
        entries: dict[int, dict[str, Any]] = {int(p): dict(values) for p, values in header["optimiser"].items()}
        for name, tensor in _named(tensors, "optimiser.").items():
            parameter, key = name.split(".", 1)
            entries.setdefault(int(parameter), {})[key] = tensor
        self.optimiser.load_state_dict({"state": entries, "param_groups": self.optimiser.state_dict()["param_groups"]})
        self.scaler.load_state_dict(header["scaler"])
        rank = self.workers.rank
        if len(tensors["random"]) == self.workers.count:  # otherwise another number of workers goes on
            torch.set_rng_state(tensors["random"][rank].clone())  # torch reads a view from its storage's start
            if "random.cuda" in tensors and self.device.startswith("cuda"):
                torch.cuda.set_rng_state(tensors["random.cuda"][rank].clone(), self.device)

    def _random_states(self) -> dict[str, Tensor]:
        """The random states of all workers, a row each."""
        states = {"random": torch.get_rng_state()}
        if self.device.startswith("cuda"):
            states["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return {name: self.workers.gather(state[None].to(self.device)).cpu() for name, state in states.items()}


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start so, without that start."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
