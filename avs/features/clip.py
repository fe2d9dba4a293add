"""CLIP (Radford et al., ICML 2021): the projected towers of transformers' CLIPModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from avs.features.towers import TowerFacts, families, load_module


@families.register("clip")
class Clip:
    """Any checkpoint of class CLIPModel.

    Its tokenizer lower-cases and sets an end token; the text vector is taken there, at the first one, so padding
    does not touch it. The activation ("quick_gelu" for OpenAI's weights) comes with the checkpoint's config.
    """

    model_type: ClassVar[str] = "clip"
    poolings: ClassVar[tuple[str, ...]] = ("projection",)
    shortest_edge: ClassVar[bool] = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import CLIPModel

        self.module = load_module(CLIPModel, folder, dtype)

    @staticmethod
    def facts(config: Any) -> TowerFacts:
        vision, text = config.vision_config, config.text_config
        return TowerFacts(config.projection_dim, vision.image_size, vision.hidden_act, text.max_position_embeddings)

    @staticmethod
    def clean(text: str) -> str:
        return text

    def images(self, pixels: Tensor) -> Tensor:
        return projected(self.module.get_image_features(pixel_values=pixels))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return projected(self.module.get_text_features(input_ids=ids, attention_mask=mask))


def projected(output: Any) -> Tensor:
    """The projected vectors: transformers 4 returns them, 5 returns an object that holds them."""
    found: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return found
