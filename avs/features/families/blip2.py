"""BLIP-2 (Li et al., ICML 2023): the contrastive (ITC) towers of transformers' Blip2ForImageTextRetrieval.

The Q-Former gives an image Q query vectors; the model's own score is the best of them against the text. Poolings:

    query-mean  the mean of the unit-length queries: one vector per image, which can be stored and averaged
    queries     all Q vectors: frame-level stores have Q rows per frame, and the best row is the model's own score
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avs.features.families.blip import clean_caption
from avs.features.family import Facts, Family, families, load_module, read_config

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@families.register("blip2")
class Blip2(Family):
    """Any checkpoint of class Blip2ForImageTextRetrieval."""

    model_type = "blip-2"
    poolings = ("query-mean", "queries")
    text_tower = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import Blip2ForImageTextRetrieval

        self.module = load_module(Blip2ForImageTextRetrieval, folder, dtype)
        self.pooling = pooling

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_config(folder)
        vision, text = config.vision_config, config.qformer_config
        return Facts(config.image_text_hidden_size, vision.image_size, vision.hidden_act, text.max_position_embeddings)

    clean = staticmethod(clean_caption)

    def images(self, pixels: Tensor) -> Tensor:
        from torch.nn.functional import normalize

        model = self.module
        tokens = model.vision_model(pixel_values=pixels).last_hidden_state  # (B, 1 + patches, V)
        queries = model.query_tokens.expand(len(tokens), -1, -1)  # (B, Q, H)
        seen = tokens.new_ones(tokens.shape[:-1]).long()
        output = model.qformer(query_embeds=queries, encoder_hidden_states=tokens, encoder_attention_mask=seen)
        projection = model.vision_projection  # the Q-Former may stay in float32 next to float16 towers
        vectors = normalize(projection(output.last_hidden_state.to(projection.weight.dtype)).float(), dim=-1)
        return vectors if self.pooling == "queries" else vectors.mean(dim=1)  # (B, Q, D) or (B, D)

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        model = self.module
        output = model.qformer(query_embeds=model.embeddings(input_ids=ids), query_length=0, attention_mask=mask)
        projected: Tensor = model.text_projection(output.last_hidden_state[:, 0].to(model.text_projection.weight.dtype))
        return projected
