"""BLIP (Li et al., ICML 2022): the contrastive (ITC) towers of transformers' BlipForImageTextRetrieval.

The class is not BlipModel, since no BLIP checkpoint has its projections. The matching head (ITM), which reads an image
and a text together, gives no vectors and is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avs.features.family import Facts, Family, families, load_module, read_config

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# BLIP's caption preprocessing turned these to spaces in training.
_DROPPED = str.maketrans({mark: " " for mark in '.!"()*#:;~'})


def clean_caption(text: str) -> str:
    """`text` as the captions BLIP and BLIP-2 were trained on: lower case, without `. ! " ( ) * # : ; ~`, single spaces.

    Differs from LAVIS's BlipCaptionProcessor: there is no limit of 50 words, which would cut a text silently.
    """
    return " ".join(text.lower().translate(_DROPPED).split())


@families.register("blip")
class Blip(Family):
    """Any checkpoint of class BlipForImageTextRetrieval: the projected first token of either tower."""

    model_type = "blip"
    text_tower = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import BlipForImageTextRetrieval

        self.module = load_module(BlipForImageTextRetrieval, folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_config(folder)
        vision, text = config.vision_config, config.text_config
        return Facts(config.image_text_hidden_size, vision.image_size, vision.hidden_act, text.max_position_embeddings)

    clean = staticmethod(clean_caption)

    def images(self, pixels: Tensor) -> Tensor:
        tokens = self.module.vision_model(pixel_values=pixels).last_hidden_state  # (B, 1 + patches, H)
        projected: Tensor = self.module.vision_proj(tokens[:, 0])
        return projected

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.module.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (T, L, H)
        projected: Tensor = self.module.text_proj(tokens[:, 0])
        return projected
