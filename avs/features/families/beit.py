"""BEiT (Bao et al., ICLR 2022): the pooled patches of transformers' BeitModel. It has no text tower."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avs.core.errors import ConfigError
from avs.features.family import Facts, Family, families, load_module, read_config

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@families.register("beit")
class Beit(Family):
    """Any fine-tuned checkpoint of class BeitModel: layer normalisation of the mean of its patches."""

    model_type = "beit"
    poolings = ("mean",)
    layer = "pooler"

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import BeitModel

        self.module = load_module(BeitModel, folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_config(folder)
        if not config.use_mean_pooling:
            raise ConfigError(
                "the checkpoint was not fine-tuned: its pooler takes the first token, which nothing has trained",
                where=folder / "config.json",
                got="use_mean_pooling: false",
                wanted="use_mean_pooling: true",
                next_step="take a fine-tuned checkpoint, such as microsoft/beit-large-patch16-224-pt22k-ft22k",
            )
        return Facts(dim=config.hidden_size, image_size=config.image_size, activation=config.hidden_act)

    def images(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.module(pixel_values=pixels).pooler_output
        return vectors
