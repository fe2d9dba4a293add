"""A small ResNeXt in the layout of WSL's published files, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avs.core.progress import Reporter
from avs.features.families.wsl import Wsl
from avs.features.family import Published
from avs.features.preprocess import Geometry
from avs.pipeline.import_weights import import_weights

BLOCKS, GROUPS, GROUP_WIDTH, SIZE = (1, 2), 4, 2, 32
_LARGE = Wsl.published["32x48d"]
TINY = Published(
    {"blocks": list(BLOCKS), "groups": GROUPS, "group_width": GROUP_WIDTH, "image_size": SIZE},
    replace(_LARGE.preprocessing, geometry=Geometry(SIZE, SIZE + 8, "bilinear")),
    "tiny.pth",
)


def theirs() -> dict[str, Tensor]:
    """Random numbers in the names of torchvision's ResNet, with a classifier and counters."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in Wsl.network(TINY.config).state_dict().items():
        values = torch.randn(tensor.shape, generator=draw)
        if name.endswith("running_var"):
            state[name] = values.abs() + 0.5
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(9)
        elif tensor.ndim == 4:
            state[name] = values / tensor[0].numel() ** 0.5
        else:
            state[name] = 1 + 0.3 * values if name.endswith(".weight") else 0.3 * values
    return state | {"fc.weight": torch.randn(5, 512, generator=draw), "fc.bias": torch.zeros(5)}


def make_wsl(folder: Path, state: Mapping[str, Tensor]) -> Path:
    """The checkpoint that `avs import-weights` makes of a state dict of this size."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".pth")
    torch.save(dict(state), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wsl, "published", {"tiny": TINY})
        import_weights("wsl", [file], folder, reporter=Reporter(quiet=True))
    return folder
