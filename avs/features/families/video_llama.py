"""Video-LLaMA (Zhang et al., EMNLP 2023 demos): the mean of the 32 video queries of 8 frames; no language model.

Its authors publish what they trained, which is the video branch (finetune-vicuna7b-v2.pth), and build on the files of
BLIP-2: the ViT (eva_vit_g.pth) and the Q-Former that was trained beside FLAN-T5 XXL (blip2_pretrained_flant5xxl.pth).
`avs import-weights` takes the three together. Instead of the latter two it takes the shard of transformers'
Salesforce/blip2-flan-t5-xxl that holds both. Q-Formers of other BLIP-2 models have the same sizes, and are refused by
what else is in their files.

8 frames are the middles of equal parts of a shot; the authors take the first frame of each part. A shot that has fewer
is seen as it is, with fewer places, as the authors do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.errors import FormatError
from avs.features.family import Converted, Facts, Family, Published, families
from avs.features.preprocess import Geometry, Preprocessing
from avs.features.weights import read_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FRAMES = 8
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SOURCE = (
    "finetune-vicuna7b-v2.pth of https://huggingface.co/DAMO-NLP-SG/Video-LLaMA-Series, with eva_vit_g.pth and "
    "blip2_pretrained_flant5xxl.pth of https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/"
)
BERT = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "use_qformer_text_input": False,
}
CONFIG = {
    "vision": {
        "hidden_size": 1408,
        "intermediate_size": 6144,
        "num_hidden_layers": 39,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    },
    "qformer": {**BERT, "num_hidden_layers": 12, "cross_attention_frequency": 2, "encoder_hidden_size": 1408},
    "video_qformer": {**BERT, "num_hidden_layers": 2, "cross_attention_frequency": 1, "encoder_hidden_size": 768},
    "queries": 32,
    "video_queries": 32,
    "max_frames": 32,
}
NAMES = (  # of the published tensors, and of those of `avs.features.networks.video_llama`; the first that fits
    (r"(?:visual_encoder\.)?cls_token", "vision_model.embeddings.class_embedding"),
    (r"(?:visual_encoder\.)?pos_embed", "vision_model.embeddings.position_embedding"),
    (r"(?:visual_encoder\.)?patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"(?:visual_encoder\.)?blocks\.(\d+)\.norm([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"(?:visual_encoder\.)?blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.projection."),
    (r"(?:visual_encoder\.)?blocks\.(\d+)\.attn\.", r"vision_model.encoder.layers.\1.self_attn."),
    (r"(?:visual_encoder\.)?blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
    (r"ln_vision\.", "vision_model.post_layernorm."),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.", "qformer.layernorm."),
    (r"Qformer\.bert\.(.*ttention)\.self\.", r"qformer.\1.attention."),
    (r"Qformer\.bert\.", "qformer."),
    (r"video_Qformer\.bert\.embeddings\.LayerNorm\.", "video_qformer.layernorm."),
    (r"video_Qformer\.bert\.(.*ttention)\.self\.", r"video_qformer.\1.attention."),
    (r"video_Qformer\.bert\.", "video_qformer."),
)
LEFT_OUT = re.compile(
    r"(?:visual_encoder\.)?(?:blocks\.39|norm|fc_norm|head)\..*"  # the ViT after the block that BLIP-2 reads
    r"|(?:video_)?Qformer\.bert\.embeddings\.position_ids"  # counts from 0
    r"|(?:llama_proj|llama_model|t5_proj|t5_model|language_projection)\..*"  # language models, and the way to them
    r"|language_model\.(?:shared|encoder|decoder|lm_head)\..*"  # FLAN-T5 of transformers
    r"|audio_.*"  # the branch that hears
)
TO_T5, T5_XXL = ("t5_proj.weight", "language_projection.weight"), 4096


@families.register("video-llama")
class VideoLlamaClips(Family):
    """The mean of the video queries of a clip."""

    model_type = "video-llama"
    poolings = ("query-mean",)
    layer = "video-qformer"
    clip_frames = FRAMES
    sampling = {"policy": "uniform", "frames": FRAMES}
    published = {
        "finetune-vicuna7b-v2": Published(
            CONFIG, Preprocessing(Geometry(224, None, "bicubic"), CLIP_MEAN, CLIP_STD), SOURCE
        )
    }

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        import torch

        from avs.features.networks.weights import load_network

        self.module = load_network(self.network(read_json(folder / "config.json")), folder, torch.float32)
        self.module.vision_model.to(dtype)  # the Q-Formers stay in float32, as those of BLIP-2 do in transformers

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_json(folder / "config.json")
        vision, bert = config["vision"], config["video_qformer"]
        return Facts(dim=bert["hidden_size"], image_size=vision["image_size"], activation=vision["hidden_act"])

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        import torch

        from avs.features.networks.video_llama import VideoLlama

        with torch.device("meta"):
            return VideoLlama(**{name: config[name] for name in CONFIG})

    @staticmethod
    def convert(theirs: Mapping[str, Tensor]) -> Converted:
        import torch

        _require_t5_xxl(theirs)
        left_out = [name for name in theirs if LEFT_OUT.fullmatch(name)]
        weights = {_ours(name): theirs[name] for name in theirs if name not in set(left_out)}
        for name in [name for name in weights if name.endswith(".self_attn.q_bias")]:
            layer = name.removesuffix("q_bias")
            if f"{layer}v_bias" in weights:  # the ViT has no bias of keys; transformers writes it as zeros
                queries, values = weights.pop(name), weights.pop(f"{layer}v_bias")
                weights[f"{layer}qkv.bias"] = torch.cat([queries, torch.zeros_like(values), values])
        return Converted(weights, left_out)

    def clips(self, pixels: Tensor, mask: Tensor) -> Tensor:
        vectors: Tensor = self.module(pixels, mask)
        return vectors


def _ours(name: str) -> str:
    for theirs, ours in NAMES:
        if match := re.match(theirs, name):
            return match.expand(ours) + name[match.end() :]
    return name


def _require_t5_xxl(theirs: Mapping[str, Tensor]) -> None:
    """Check that the Q-Former is that of Video-LLaMA, by the width of the language model that it was trained beside."""
    for name in TO_T5:
        if name in theirs and len(theirs[name]) != T5_XXL:
            raise FormatError(
                "the Q-Former is that of another BLIP-2, which Video-LLaMA was not trained with",
                where=name,
                got=f"{len(theirs[name])} numbers for the language model",
                wanted=f"{T5_XXL}, of FLAN-T5 XXL",
                next_step=f"take {SOURCE}",
            )
