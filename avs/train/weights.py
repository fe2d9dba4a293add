"""Weights as safetensors files that carry the hash of what they hold, the mean of several, and the files of others."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from avs.core.artifacts import atomic_write, require_path
from avs.core.errors import AvsError, FormatError, Problems
from avs.core.ids import some

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip  # names that the format gives them
HASH = "sha256"
AGAIN = "put the file back, or train the model again with --force"
STATE_KEYS = ("model", "state_dict", "model_state_dict")


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a state dict, atomically."""
    write_tensors(path, weights)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str] | None = None) -> None:
    """Write named tensors and texts, atomically, with the hash of all of them.

    The tensors go to the disk one after another: the state of a large training is gigabytes, and safetensors' own
    writer makes all bytes of a file in memory first.
    """
    metadata = {**(texts or {}), HASH: _hash(tensors, texts or {})}
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # so that all are aligned
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": TYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 8)
    with atomic_write(path, "wb") as file:
        file.write(len(described).to_bytes(8, "little") + described)
        for name in order:
            file.write(_bytes(tensors[name]))


def _bytes(tensor: Tensor) -> memoryview:
    """The values of a tensor, without a copy where it is contiguous and on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file.

    Raises:
        AvsError: there is no such file.
        FormatError: as read_tensors.
    """
    if not path.is_file():
        raise AvsError("no such file of weights", where=path, next_step=AGAIN)
    return read_tensors(path)[0]


def read_tensors(path: Path, *, next_step: str = AGAIN) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the texts in a file.

    Raises:
        FormatError: it is not a safetensors file, cut short, or its content has not the hash that it carries. A file of
            an older avs carries none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            texts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        recorded = texts.pop(HASH, None)
        if recorded not in (None, _hash(tensors, texts)):
            raise ValueError("its content has not the hash that it was written with")
    except (SafetensorError, ValueError) as error:
        raise FormatError(
            "not a safetensors file, or damaged",
            where=path,
            got=f"{path.stat().st_size} bytes: {error}",
            wanted="weights as avs writes them; pickled ones (.pt, .pth) are never loaded",
            next_step=next_step,
        ) from error
    return tensors, texts


def _hash(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """sha256 of texts and tensors: names, types, shapes and values."""
    digest = hashlib.sha256(repr(sorted(texts.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, where: Path, next_step: str | None = None) -> None:
    """Give a model its weights.

    Args:
        where: file of the weights, for the message.

    Raises:
        FormatError: a tensor is missing, has no place in the model, has another shape, holds integers or complex
            numbers in place of real ones, or is not finite; all at once.
    """
    problems, wanted = Problems(f"the weights {where}"), model.state_dict()
    for name in sorted({*weights, *wanted}):
        if name not in weights:
            problems.add(name, "is missing")
        elif name not in wanted:
            problems.add(name, "is not a tensor of the model")
        elif weights[name].shape != wanted[name].shape:
            problems.add(name, f"has shape {list(weights[name].shape)}, wanted {list(wanted[name].shape)}")
        elif weights[name].is_floating_point() != wanted[name].is_floating_point():
            problems.add(name, f"holds {_kind(weights[name])}, wanted {_kind(wanted[name])}")
        elif not weights[name].isfinite().all():
            problems.add(name, "has values that are not finite")
    problems.raise_if_any(FormatError, next_step=next_step)
    model.load_state_dict(dict(weights))


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


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
        return read_tensors(path, next_step="get the file again where it was published")[0]
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
