"""State dicts of random numbers in the layout of the authors' CLIP2Video."""

from __future__ import annotations

import torch
from their_clip4clip import PATCH, POSITIONS, SIZE, VISION, WORDS, blocks, norm
from torch import Tensor

DIM = 128  # 512 in their code, which says so in several places
TEMPORAL = ("sigmoid_selfA", "sigmoid_mlp", "none")


def theirs(
    temporal: str = "sigmoid_selfA", *, aligned: bool = True, dim: int = DIM, words: int = WORDS, centres: int = 5
) -> dict[str, Tensor]:
    """A state dict of random numbers with their names. Whether the alignment reads differences does not show."""
    torch.manual_seed(0)
    state = {
        "clip.logit_scale": torch.tensor(1.5),
        "clip.positional_embedding": torch.randn(POSITIONS, dim) * 0.1,
        "clip.text_projection": torch.randn(dim, dim) * 0.5 / dim**0.5,
        "clip.token_embedding.weight": torch.randn(words, dim),
        "clip.visual.class_embedding": torch.randn(VISION),
        "clip.visual.positional_embedding": torch.randn((SIZE // PATCH) ** 2 + 1, VISION),
        "clip.visual.proj": torch.randn(VISION, dim) * 1.5 / dim**0.5,
        "clip.visual.conv1.weight": torch.randn(VISION, 3, PATCH, PATCH) * 0.05,
        "frame_position_embeddings.weight": torch.randn(POSITIONS, dim),
    }
    for name, width in (("clip.visual.ln_pre", VISION), ("clip.visual.ln_post", VISION), ("clip.ln_final", dim)):
        norm(state, name, width)
    norm(state, "trans_layernorm", dim)
    blocks(state, "clip.visual.transformer.", VISION, 2)
    blocks(state, "clip.transformer.", dim, 2)
    blocks(state, "transformerClip.", dim, 4)
    if temporal != "none":
        state["type_position_embeddings.weight"] = torch.randn(2, dim)
    if temporal == "sigmoid_selfA":
        blocks(state, "frame2t_attention.", dim, 1)
    if temporal == "sigmoid_mlp":
        state["frame2t_projection"] = torch.randn(dim, dim) * 0.1
    if aligned:
        state |= {name: torch.randn(centres, dim) * 0.125 for name in ("weight_center", "emb_center")}
        blocks(state, "actionClip.", dim, 1)
    return state
