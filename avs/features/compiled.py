"""Towers that torch.compile makes faster, for batches of one size.

A shorter batch, such as the last one, is padded to this size, since another shape would be compiled anew. The padding
repeats its last row, and what becomes of it is cut off. So a short batch takes as long as a full one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avs.core.errors import ConfigError

BACKEND = "inductor"
MOST_SHOWN = 200


class CompiledTower:
    """A tower for batches of `rows` rows, compiled when it is first called.

    Args:
        tower: gives the (B, ...) vectors of (B, ...) arrays; a row must not depend on the others.
        rows: number of rows that it is compiled for.
    """

    def __init__(self, tower: Callable[..., Tensor], rows: int) -> None:
        self.rows = rows
        self._compiled = torch.compile(tower, dynamic=False, backend=BACKEND)

    def __call__(self, *arrays: Tensor) -> Tensor:
        """The (B, ...) vectors of arrays of B <= `rows` rows."""
        count = len(arrays[0])
        vectors: Tensor = self._compiled(*(_padded(array, self.rows - count) for array in arrays))
        return vectors[:count]


def _padded(array: Tensor, more: int) -> Tensor:
    if more < 0:
        raise ValueError(f"a batch has {-more} rows more than its tower is compiled for")
    return torch.cat([array, array[-1:].expand(more, *array.shape[1:])]) if more else array


def compile_now(encode: Callable[[], object], *, name: str) -> None:
    """Compile a tower by encoding a first batch with it, before anybody waits for one.

    Args:
        encode: makes a CompiledTower and encodes.
        name: of the encoder.

    Raises:
        ConfigError: it cannot be compiled here; says why.
    """
    try:
        encode()
    except Exception as error:  # torch has no class for what may fail: its own code, a compiler, Triton, memory
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            "the tower of an encoder cannot be compiled here",
            where=name,
            got=reason if len(reason) <= MOST_SHOWN else reason[:MOST_SHOWN] + "...",
            wanted="on a CPU a C++ compiler, such as g++; on a GPU Triton and room for a whole batch",
            next_step="leave --compile out, which changes vectors by rounding alone; or install what is lacking",
        ) from error
