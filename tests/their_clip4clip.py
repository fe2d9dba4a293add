"""State dicts of random numbers in the layout of the authors' CLIP4Clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WORDS, POSITIONS, DIM = 1221, 40, 128  # the text tower has the width of the common space, as in OpenAI's ViT-B/32
VISION, PATCH, SIZE, BLOCKS = 64, 16, 32, 2
HEADS = ("meanP", "seqLSTM", "seqTransf", "tightTransf")


def blocks(state: dict[str, Tensor], prefix: str, width: int, count: int) -> None:
    for block in range(count):
        place = f"{prefix}resblocks.{block}."
        for name, shape in {
            "attn.in_proj_": (3 * width, width),
            "attn.out_proj.": (width, width),
            "mlp.c_fc.": (4 * width, width),
            "mlp.c_proj.": (width, 4 * width),
        }.items():
            state[f"{place}{name}weight"] = torch.randn(shape) * 0.1
            state[f"{place}{name}bias"] = torch.randn(shape[0]) * 0.1
        norm(state, f"{place}ln_1", width), norm(state, f"{place}ln_2", width)


def norm(state: dict[str, Tensor], name: str, width: int) -> None:
    state |= {f"{name}.weight": 1 + torch.randn(width) * 0.1, f"{name}.bias": torch.randn(width) * 0.1}


def theirs(head: str = "meanP", patches: str = "2d", *, words: int = WORDS, layers: int = 3) -> dict[str, Tensor]:
    """A state dict of random numbers as their trainer writes it."""
    torch.manual_seed(0)
    state = {
        "clip.logit_scale": torch.tensor(1.5),
        "clip.positional_embedding": torch.randn(POSITIONS, DIM) * 0.1,
        "clip.text_projection": torch.randn(DIM, DIM) * 0.3,
        "clip.token_embedding.weight": torch.randn(words, DIM),
        "clip.visual.class_embedding": torch.randn(VISION),
        "clip.visual.positional_embedding": torch.randn((SIZE // PATCH) ** 2 + 1, VISION),
        "clip.visual.proj": torch.randn(VISION, DIM),
        "clip.visual.conv1.weight": torch.randn(VISION, 3, PATCH, PATCH) * 0.05,
    }
    if patches == "3d":
        state["clip.visual.conv2.weight"] = torch.randn(VISION, 3, 3, PATCH, PATCH) * 0.05
    for name, width in (("clip.visual.ln_pre", VISION), ("clip.visual.ln_post", VISION), ("clip.ln_final", DIM)):
        norm(state, name, width)
    blocks(state, "clip.visual.transformer.", VISION, BLOCKS)
    blocks(state, "clip.transformer.", DIM, BLOCKS + 1)
    if head in ("seqLSTM", "seqTransf"):
        state["frame_position_embeddings.weight"] = torch.randn(POSITIONS, DIM)
    if head == "seqLSTM":
        state |= {f"lstm_visual.{name}": value.data for name, value in nn.LSTM(DIM, DIM).named_parameters()}
    if head == "seqTransf":
        blocks(state, "transformerClip.", DIM, layers)
    if head == "tightTransf":
        state["cross.embeddings.position_embeddings.weight"] = torch.randn(POSITIONS, DIM)
        blocks(state, "cross.transformer.", DIM, layers)
        norm(state, "cross.pooler.ln_pool", DIM)
        for name, size in (("cross.pooler.dense", DIM), ("similarity_dense", 1)):
            state |= {f"{name}.weight": torch.randn(size, DIM) * 0.1, f"{name}.bias": torch.randn(size)}
    return state
