"""WSL (Mahajan et al., ECCV 2018): ResNeXt-101 trained on 940 million images by their hashtags, then on ImageNet.

Four widths were published. RUC's feature `wsl` is the largest, 32x48d.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.features.family import Converted, Facts, Family, Published, families
from avs.features.preprocess import TEN, Geometry, Preprocessing
from avs.features.weights import read_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BLOCKS = (3, 4, 23, 3)  # of a network with 101 layers
PREPROCESSING = Preprocessing(Geometry(224, 256, "bilinear"), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSIFIER = ("fc.weight", "fc.bias")
COUNTER = "num_batches_tracked"  # of batch normalisation; a training alone reads it


def _published(group_width: int, file: str) -> Published:
    config = {"blocks": list(BLOCKS), "groups": 32, "group_width": group_width, "image_size": 224}
    return Published(config, PREPROCESSING, f"https://download.pytorch.org/models/{file}")


@families.register("wsl")
class Wsl(Family):
    """The channels of the last stage, averaged over the image."""

    model_type = "wsl"
    poolings = ("mean",)
    layer = "avgpool"
    crops = (TEN,)
    shortest_edge = True
    published = {
        "32x48d": _published(48, "ig_resnext101_32x48-3e41cc8a.pth"),
        "32x32d": _published(32, "ig_resnext101_32x32-e4b90b00.pth"),
        "32x16d": _published(16, "ig_resnext101_32x16-c6f796b0.pth"),
        "32x8d": _published(8, "ig_resnext101_32x8-c38310e5.pth"),
    }

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from avs.features.networks.weights import load_network

        self.module = load_network(self.network(read_json(folder / "config.json")), folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        from avs.features.networks.resnext import output_dim

        config = read_json(folder / "config.json")
        return Facts(dim=output_dim(config["blocks"]), image_size=config["image_size"], activation="relu")

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        import torch

        from avs.features.networks.resnext import ResNeXt

        with torch.device("meta"):
            return ResNeXt(blocks=config["blocks"], groups=config["groups"], group_width=config["group_width"])

    @staticmethod
    def convert(theirs: Mapping[str, Tensor]) -> Converted:
        left_out = [name for name in theirs if name in CLASSIFIER or name.endswith(COUNTER)]
        return Converted({name: theirs[name] for name in theirs if name not in left_out}, left_out)

    def images(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.module(pixels)
        return vectors
