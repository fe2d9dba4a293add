"""A small ir-CSN in the layout of VMZ's published files, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avs.core.progress import Reporter
from avs.features.families.ircsn import IrCsnClips
from avs.features.family import Published
from avs.features.preprocess import Geometry
from avs.pipeline.import_weights import import_weights

BLOCKS, WIDTH, SIZE, EDGE, DIM = (2, 2), 4, 24, 28, 32
_LARGE = IrCsnClips.published["crop-224"]
TINY = Published(
    {"blocks": list(BLOCKS), "width": WIDTH, "image_size": SIZE},
    replace(_LARGE.preprocessing, geometry=Geometry(SIZE, EDGE, "bilinear")),
    "tiny.pth",
)


def theirs() -> dict[str, Tensor]:
    """Random numbers in the names of torchvision's VideoResNet, with a classifier and counters."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in IrCsnClips.network(TINY.config).state_dict().items():
        values = torch.randn(tensor.shape, generator=draw)
        if name.endswith("running_var"):
            state[name] = values.abs() * 0.1 + 0.01  # so small that what is added to it matters
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(9)
        elif tensor.ndim == 5:
            state[name] = values / tensor[0].numel() ** 0.5
        else:
            state[name] = 0.5 + 0.1 * values if name.endswith(".weight") else 0.1 * values
    return state | {"fc.weight": torch.randn(5, DIM, generator=draw), "fc.bias": torch.zeros(5)}


def make_ircsn(folder: Path, state: Mapping[str, Tensor], published: Published = TINY) -> Path:
    """The checkpoint that `avs import-weights` makes of a state dict of this size."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".pth")
    torch.save(dict(state), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IrCsnClips, "published", {"tiny": published})
        import_weights("ircsn", [file], folder, reporter=Reporter(quiet=True))
    return folder
