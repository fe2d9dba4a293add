"""A small Video-LLaMA in the layout of the three files that its video branch is published in, with random weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
from published_names import published
from torch import Tensor

from avs.core.progress import Reporter
from avs.features.families.video_llama import VideoLlamaClips
from avs.features.family import Published
from avs.features.preprocess import Geometry, Preprocessing
from avs.pipeline.import_weights import import_weights

VISION, MLP, DIM, BERT_MLP, HEADS, SIZE, PATCH = 32, 80, 24, 40, 4, 28, 7
VIT_BLOCKS, LAYERS, VIDEO_LAYERS, QUERIES, VIDEO_QUERIES, MAX_FRAMES = 3, 4, 2, 3, 5, 9
FILES = ("video_llama", "eva_vit_g", "blip2_pretrained_flant5xxl")
_BERT = {
    "hidden_size": DIM,
    "num_attention_heads": HEADS,
    "intermediate_size": BERT_MLP,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "use_qformer_text_input": False,
}
CONFIG = {
    "vision": {
        "hidden_size": VISION,
        "intermediate_size": MLP,
        "num_hidden_layers": VIT_BLOCKS,
        "num_attention_heads": HEADS,
        "image_size": SIZE,
        "patch_size": PATCH,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    },
    "qformer": {**_BERT, "num_hidden_layers": LAYERS, "cross_attention_frequency": 2, "encoder_hidden_size": VISION},
    "video_qformer": {
        **_BERT,
        "num_hidden_layers": VIDEO_LAYERS,
        "cross_attention_frequency": 1,
        "encoder_hidden_size": DIM,
    },
    "queries": QUERIES,
    "video_queries": VIDEO_QUERIES,
    "max_frames": MAX_FRAMES,
}
_PREPROCESSING = VideoLlamaClips.published["finetune-vicuna7b-v2"].preprocessing
TINY = Published(
    CONFIG,
    Preprocessing(Geometry(SIZE, None, "bicubic"), _PREPROCESSING.mean, _PREPROCESSING.std),
    "finetune-vicuna7b-v2.pth with eva_vit_g.pth and blip2_pretrained_flant5xxl.pth",
)
SMALLER = {
    1408: VISION,
    4224: 3 * VISION,
    6144: MLP,
    768: DIM,
    3072: BERT_MLP,
    257: (SIZE // PATCH) ** 2 + 1,
    14: PATCH,
}
COUNTS = {
    "query_tokens": QUERIES,
    "video_query_tokens": VIDEO_QUERIES,
    "video_frame_position_embedding.weight": MAX_FRAMES,
}


def theirs() -> dict[str, dict[str, Tensor]]:
    """Random numbers in the names of each published file; the ViT has its last block too, which nobody reads."""
    draw = torch.Generator().manual_seed(0)
    return {file: {name: _drawn(name, tensor, draw) for name, tensor in _kept(file)} for file in FILES}


def _kept(file: str) -> Iterable[tuple[str, Tensor]]:
    for name, tensor in published(file).items():
        number = re.search(r"(blocks|encoder\.layer)\.(\d+)\.", name)
        if number is None or int(number[2]) < (VIT_BLOCKS if number[1] == "blocks" else LAYERS) or number[2] == "39":
            yield name, tensor


def _drawn(name: str, large: Tensor, draw: torch.Generator) -> Tensor:
    if name.endswith("position_ids"):
        return torch.arange(512)[None]
    shape = [COUNTS.get(name, size) if size == 32 else SMALLER.get(size, size) for size in large.shape]
    values = torch.randn(shape, generator=draw)
    return 1 + 0.2 * values if re.search(r"norm\d?\.weight$", name, re.IGNORECASE) else 0.3 * values


def merged(files: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor for state in files.values() for name, tensor in state.items()}


def make_video_llama(folder: Path, files: Mapping[str, Mapping[str, Tensor]]) -> Path:
    """The checkpoint that `avs import-weights` makes of the files."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    paths = [folder.parent / f"{name}.pth" for name in files]
    for path, state in zip(paths, files.values(), strict=True):
        torch.save({"model": dict(state), "epoch": 3}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoLlamaClips, "published", {"tiny": TINY})
        import_weights("video-llama", paths, folder, reporter=Reporter(quiet=True))
    return folder
