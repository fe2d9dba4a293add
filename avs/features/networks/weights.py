"""Weights of the networks in this folder: whether they fit, and reading them from a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from avs.core.errors import FormatError
from avs.features.weights import weight_files

NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a block, in a name such as layer3.22.conv1.weight


def require_fit(weights: Mapping[str, Tensor], network: nn.Module, *, where: object, next_step: str) -> None:
    """Check that tensors are those of a network, by names, shapes, kinds of numbers, and that they are finite.

    Args:
        network: may be on the meta device.
        where: the file or folder of the weights, for the message.

    Raises:
        FormatError: they are not. Names every tensor that is missing, has no place, or differs.
    """
    wrong: list[tuple[str, str]] = []
    wanted = network.state_dict()
    for name in [*wanted, *(name for name in weights if name not in wanted)]:
        if name not in weights:
            wrong.append((name, "is missing"))
        elif name not in wanted:
            wrong.append((name, "has no place in the network"))
        elif weights[name].shape != wanted[name].shape:
            wrong.append((name, f"has shape {list(weights[name].shape)}, wanted {list(wanted[name].shape)}"))
        elif weights[name].is_floating_point() != wanted[name].is_floating_point():
            wrong.append((name, f"holds {weights[name].dtype}, wanted {wanted[name].dtype}"))
        elif not weights[name].isfinite().all():
            wrong.append((name, "has values that are not finite"))
    if wrong:
        raise FormatError(
            f"the weights are not those of the network: {len(wrong)} of its {len(wanted)} tensors or of the file's "
            f"{len(weights)} do not match\n" + "\n".join(f"  {line}" for line in _by_block(wrong)),
            where=where,
            next_step=next_step,
        )


def _by_block(wrong: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each name and what is wrong with it; the same of several blocks is one line, which has all numbers."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    for name, what in wrong:
        numbers = list(NUMBER.finditer(name))
        start, end = numbers[-1].span() if numbers else (len(name), len(name))
        found = lines.setdefault((name[:start], name[end:], what), [])
        found += [int(name[start:end])] if numbers else []
    for (before, after, what), found in lines.items():
        yield f"{before}{_ranges(found)}{after}: {what}"


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers as {0-3,5}; one alone as it is, none as nothing."""
    ordered = sorted(numbers)
    if len(ordered) < 2:
        return "".join(map(str, ordered))
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return "{" + ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) + "}"


def load_network(network: nn.Module, folder: Path, dtype: torch.dtype) -> nn.Module:
    """Give a network of the meta device the weights of a checkpoint. Returns it in evaluation mode.

    Raises:
        FormatError: a file is damaged, or its tensors are not those of the network.
    """
    again = "make the checkpoint again: avs import-weights, see docs/features.md"
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            weights |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise FormatError(
                "not a safetensors file, or damaged", where=path, got=str(error), next_step=again
            ) from error
    require_fit(weights, network, where=folder, next_step=again)
    typed = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    network.load_state_dict(typed, assign=True)
    return network.requires_grad_(False).eval()
