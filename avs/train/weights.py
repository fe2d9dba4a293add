"""Weights as safetensors files, and the mean of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from avs.core.artifacts import atomic_write, require_path
from avs.core.errors import FormatError


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
