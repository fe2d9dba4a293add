"""ir-CSN (Tran et al., ICCV 2019): ir-CSN-152 trained on 65 million videos by their hashtags; clips of 32 frames.

`avs.features.networks.ir_csn` is the network, and docs/features.md tells what is known about VMZ's port to PyTorch.

A clip is 32 frames, 1/15 s apart, which is every second frame of 30 per second, as VMZ trains and tests. It tests with
10 clips of a Kinetics video of 10 s. A shot of V3C1 has 3.3 s on average, and gives 3 clips, which is the same density.

A shot that is too short for 32 frames is seen again from its start until the clip is full. VMZ leaves such videos out;
MMAction2 reads them in this way with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.features.family import Converted, Facts, Family, Published, families
from avs.features.preprocess import Geometry, Preprocessing
from avs.features.weights import read_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BLOCKS = (3, 8, 36, 3)  # of a network with 152 layers
FRAMES = 32
APART_S = 0.0667  # 1/15 s, in digits that a recipe can repeat
CLIPS_PER_SHOT = 3
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of Kinetics
CLASSIFIER = ("fc.weight", "fc.bias")  # of the labels that it was trained with
COUNTER = "num_batches_tracked"  # of batch normalisation; a training alone reads it
RELEASE = "https://github.com/bjuncek/VMZ/releases/download/test_models/irCSN_152_ig65m_from_scratch_f125286141.pth"


def _published(crop: int, edge: int) -> Published:
    config = {"blocks": list(BLOCKS), "width": 64, "image_size": crop}
    return Published(config, Preprocessing(Geometry(crop, edge, "bilinear"), MEAN, STD), RELEASE)


@families.register("ircsn")
class IrCsnClips(Family):
    """The channels of the last stage, averaged over the frames and pixels of a clip."""

    model_type = "ircsn"
    poolings = ("mean",)
    layer = "avgpool"
    clip_frames = FRAMES
    sampling = {"policy": "clips", "frames": FRAMES, "interval_s": APART_S, "clips_per_shot": CLIPS_PER_SHOT}
    published = {"crop-224": _published(224, 256), "crop-112": _published(112, 128)}

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from avs.features.networks.weights import load_network

        self.module = load_network(self.network(read_json(folder / "config.json")), folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        from avs.features.networks.ir_csn import output_dim

        config = read_json(folder / "config.json")
        dim = output_dim(config["blocks"], config["width"])
        return Facts(dim=dim, image_size=config["image_size"], activation="relu")

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        import torch

        from avs.features.networks.ir_csn import IrCsn

        with torch.device("meta"):
            return IrCsn(blocks=config["blocks"], width=config["width"])

    @staticmethod
    def convert(theirs: Mapping[str, Tensor]) -> Converted:
        left_out = [name for name in theirs if name in CLASSIFIER or name.endswith(COUNTER)]
        return Converted({name: theirs[name] for name in theirs if name not in left_out}, left_out)

    def clips(self, pixels: Tensor, mask: Tensor) -> Tensor:
        vectors: Tensor = self.module(looped(pixels, mask).transpose(1, 2))
        return vectors


def looped(pixels: Tensor, mask: Tensor) -> Tensor:
    """(B, F, ...) pixels whose padding, which comes last, is the frames of its clip again, from the first on."""
    import torch

    if mask.all():
        return pixels
    frames = torch.arange(mask.shape[1], device=mask.device) % mask.sum(dim=1, keepdim=True)  # (B, F)
    return pixels[torch.arange(len(mask), device=mask.device)[:, None], frames]
