"""Weights as safetensors files that carry the hash of what they hold, and the mean of several."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from avs.core.artifacts import atomic_write
from avs.core.errors import AvsError, FormatError

HASH = "sha256"
AGAIN = "put the file back, or train the model again with --force"


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a state dict, atomically."""
    write_tensors(path, weights)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str] | None = None) -> None:
    """Write named tensors and texts, atomically, with the hash of all of them."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {**(texts or {}), HASH: _hash(whole, texts or {})}
    with atomic_write(path, "wb") as file:
        file.write(save(whole, metadata=metadata))


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
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
