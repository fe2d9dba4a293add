"""Weights as safetensors files, the mean of several, and weights in the files of others."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from avs.core.artifacts import atomic_write, require_path
from avs.core.errors import FormatError
from avs.core.ids import some

STATE_KEYS = ("model", "state_dict", "model_state_dict")


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a state dict, atomically."""
    with atomic_write(path, "wb") as file:
        file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file.

    Raises:
        AvsError: there is no such file.
        FormatError: it is not a safetensors file, or cut short.
    """
    try:
        weights: dict[str, Tensor] = load_file(require_path(path, what="file of weights"))
    except (SafetensorError, ValueError) as error:
        raise FormatError(
            "not a safetensors file, or damaged",
            where=path,
            got=f"{path.stat().st_size} bytes: {error}",
            wanted="weights as avs writes them; pickled ones (.pt, .pth) are never loaded",
            next_step="put the file back, or train the model again with --force",
        ) from error
    return weights


def read_foreign_weights(path: Path, *, to_tensors: str) -> dict[str, Tensor]:
    """The state dict that others wrote: safetensors, or a torch file that holds tensors and plain values alone.

    If the dict has an entry "model", "state_dict" or "model_state_dict", that entry is the state dict.

    Args:
        to_tensors: Python that keeps the tensors of their checkpoint alone, for the message.

    Raises:
        AvsError: there is no such file.
        FormatError: it is neither; it holds other objects, whose unpickling would run code; it has no tensors.
    """
    path = require_path(path, what="file of weights")
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FormatError(
            "the file holds more than tensors, and unpickling it would run code",
            where=path,
            got=_unpickled(error),
            wanted="a state dict alone, as torch.save or safetensors write it",
            next_step="run this where you trust the file, beside its authors' code, and import what it writes:\n\n"
            + to_tensors,
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        raise FormatError("not a torch file, or damaged", where=path, got=f"{type(error).__name__}: {error}") from error
    inner = next((found[key] for key in STATE_KEYS if isinstance(found, dict) and key in found), found)
    if not isinstance(inner, dict) or not inner or not all(isinstance(value, Tensor) for value in inner.values()):
        keys = some([str(key) for key in found]) if isinstance(found, dict) else type(found).__name__
        raise FormatError("no state dict in the file", where=path, got=keys, wanted="names with their tensors")
    return {str(name): tensor for name, tensor in inner.items()}


def _unpickled(error: pickle.UnpicklingError) -> str:
    """What torch would not unpickle, without its advice to trust the file."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found[1] if found else str(error).splitlines()[0]


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the state dicts in several files. Whole numbers, such as counts of batches, are the last file's.

    The authors' average keeps references to live weights, so it equals the weights of the last epoch.
    """
    total = {name: tensor.double() for name, tensor in read_weights(paths[0]).items()}
    for path in paths[1:]:
        for name, tensor in read_weights(path).items():
            total[name] += tensor
    last = read_weights(paths[-1])
    return {
        name: (total[name] / len(paths)).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in last.items()
    }
