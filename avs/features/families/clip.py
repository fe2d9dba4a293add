"""CLIP (Radford et al., ICML 2021): the projected towers of transformers' CLIPModel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.features.family import Facts, Family, families, load_module, read_config

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@families.register("clip")
class Clip(Family):
    """Any checkpoint of class CLIPModel.

    Its tokenizer lower-cases and sets an end token. The text vector is taken at the first end token, so padding does
    not change it. The activation ("quick_gelu" for OpenAI's weights) comes with the checkpoint's config.
    """

    model_type = "clip"
    text_tower = True
    shortest_edge = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import CLIPModel

        self.module = load_module(CLIPModel, folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_config(folder)
        vision, text = config.vision_config, config.text_config
        return Facts(config.projection_dim, vision.image_size, vision.hidden_act, text.max_position_embeddings)

    def images(self, pixels: Tensor) -> Tensor:
        return projected(self.module.get_image_features(pixel_values=pixels))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return projected(self.module.get_text_features(input_ids=ids, attention_mask=mask))


def projected(output: Any) -> Tensor:
    """The projected vectors: transformers 4 returns them, transformers 5 returns an object with them."""
    vectors: Tensor = getattr(output, "pooler_output", output)
    return vectors
