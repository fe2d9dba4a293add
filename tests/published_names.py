"""Names and shapes of published state dicts, as `tests/features/published/*.txt` list them: `name 64x3x7x7`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "features/published"
WHOLE_NUMBERS = (".num_batches_tracked", ".relative_position_index")


def published(name: str) -> dict[str, Tensor]:
    """The tensors of a published state dict on the meta device. The first line of the file is its source."""
    source, *lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert source.startswith("# ") and lines
    found = {}
    for line in lines:
        key, shape = line.split(" ")
        kind = torch.int64 if key.endswith(WHOLE_NUMBERS) else torch.float32
        sizes = [] if shape == "scalar" else [int(size) for size in shape.split("x")]
        found[key] = torch.empty(sizes, dtype=kind, device="meta")
    assert len(found) == len(lines)
    return found
