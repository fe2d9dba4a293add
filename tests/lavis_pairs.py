"""The same random weights twice: a checkpoint of transformers, and a folder of weights by LAVIS's names."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from tiny_checkpoints import TOWER, write_bert_tokenizer, write_json, write_processor
from torch import Tensor, nn

SIZE, POSITIONS, DIM = 32, 24, 256
VIT_OF_BLIP = (
    (r"vision_model\.embeddings\.class_embedding", "visual_encoder.cls_token"),
    (r"vision_model\.embeddings\.position_embedding", "visual_encoder.pos_embed"),
    (r"vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"vision_model\.encoder\.layers\.(\d+)\.layer_norm", r"visual_encoder.blocks.\1.norm"),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection\.", r"visual_encoder.blocks.\1.attn.proj."),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.", r"visual_encoder.blocks.\1.attn."),
    (r"vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"visual_encoder.blocks.\1.mlp."),
)
BLIP = (*VIT_OF_BLIP, (r"vision_model\.post_layernorm\.", "visual_encoder.norm."))
BLIP2 = (
    *VIT_OF_BLIP,
    (r"vision_model\.post_layernorm\.", "ln_vision."),
    (r"vision_projection\.", "vision_proj."),
    (r"text_projection\.", "text_proj."),
    (r"embeddings\.", "Qformer.bert.embeddings."),
    (r"qformer\.layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (r"qformer\.(.*)attention\.attention\.", r"Qformer.bert.\1attention.self."),
    (r"qformer\.", "Qformer.bert."),
)
CLIP = (
    (r"vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
    (r"vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
    (r"vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"text_model\.final_layer_norm\.", "ln_final."),
    (r"text_model\.encoder\.layers\.", "transformer.resblocks."),
)
OF_A_BLOCK = (
    (r"\.layer_norm", ".ln_"),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
)


def renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for theirs, ours in names:
        if match := re.match(theirs, name):
            return match.expand(ours) + name[match.end() :]
    return name


def _scatter(model: nn.Module) -> None:
    """Give a model weights with which different images, and different texts, have different vectors."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or parameter.ndim < 2:
                parameter.normal_(mean=float("norm" in name.lower() and name.endswith("weight")), std=0.1)
            else:
                parameter.normal_(std=1.5 / parameter[0].numel() ** 0.5)


def _write_lavis(
    folder: Path, weights: Mapping[str, Tensor], bert: Mapping[str, object] | None, **settings: object
) -> None:
    folder.mkdir(parents=True)
    torch.save({"model": dict(weights)}, folder / "model.pth")
    if bert is not None:
        (folder / "bert-base-uncased").mkdir()
        write_bert_tokenizer(folder / "bert-base-uncased")
        write_json(folder / "bert-base-uncased/config.json", {"model_type": "bert", **bert})
    said = {"weights": "model.pth", "image_size": SIZE, **settings}
    (folder / "lavis.yaml").write_text(json.dumps(said), encoding="utf-8")


def make_blip_pair(root: Path) -> tuple[Path, Path]:
    """BLIP with a ViT-B for images of 32 pixels, since LAVIS has no smaller one, and a small BERT."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    theirs, ours = root / "transformers", root / "lavis"
    theirs.mkdir(parents=True)
    vocabulary = write_bert_tokenizer(theirs) + 2  # LAVIS adds [DEC] and [ENC]
    write_processor(theirs, size={"height": SIZE, "width": SIZE})
    bert = {"vocab_size": vocabulary, "max_position_embeddings": POSITIONS, "hidden_act": "gelu", **TOWER}
    vision = {"image_size": SIZE, "patch_size": 16, "layer_norm_eps": 1e-6}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3, "encoder_hidden_size": 768}
    config = BlipConfig(text_config=bert | ends, vision_config=vision, image_text_hidden_size=DIM)
    model = BlipForImageTextRetrieval(config).eval()
    _scatter(model)
    model.save_pretrained(theirs)
    weights = {renamed(name, BLIP): tensor for name, tensor in model.state_dict().items()}
    med = {"encoder_width": 768, "add_cross_attention": True, "add_type_embeddings": False, "layer_norm_eps": 1e-12}
    _write_lavis(ours, weights, bert, dim=DIM, changes={"med_config_path": "med.json"})
    write_json(ours / "med.json", {**bert, **med})
    return theirs, ours


def make_blip2_pair(root: Path) -> tuple[Path, Path]:
    """BLIP-2 with two layers everywhere. The ViT of LAVIS has no bias of keys; that of transformers is zero."""
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    theirs, ours = root / "transformers", root / "lavis"
    theirs.mkdir(parents=True)
    vocabulary = write_bert_tokenizer(theirs) + 1  # LAVIS adds [DEC]
    write_processor(theirs, size={"height": SIZE, "width": SIZE})
    bert = {"vocab_size": vocabulary, "max_position_embeddings": POSITIONS, "hidden_act": "gelu", **TOWER}
    vision = {"image_size": SIZE, "patch_size": 8, "layer_norm_eps": 1e-6, **TOWER}
    qformer = {"encoder_hidden_size": 32, "cross_attention_frequency": 2, "use_qformer_text_input": True, **bert}
    model = Blip2ForImageTextRetrieval(
        Blip2Config(
            vision_config=vision | {"intermediate_size": 64, "hidden_act": "gelu"},
            qformer_config=qformer,
            text_config={"model_type": "opt", "vocab_size": 32, "num_hidden_layers": 1, "hidden_size": 32},
            num_query_tokens=4,
            image_text_hidden_size=DIM,
        )
    ).eval()
    _scatter(model)
    with torch.no_grad():
        for layer in model.vision_model.encoder.layers:
            layer.self_attn.qkv.bias[32:64] = 0
    model.save_pretrained(theirs)
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        name = renamed(name, BLIP2)
        if name.endswith("attn.qkv.bias"):
            weights[name.replace("qkv.bias", "q_bias")] = tensor[:32]
            weights[name.replace("qkv.bias", "v_bias")] = tensor[64:]
        else:
            weights[name] = tensor
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8}
    _write_lavis(ours, weights, bert, dim=DIM, vit=sizes, changes={"num_query_token": 4})
    return theirs, ours


def make_clip_pair(root: Path, vocabulary: Path) -> tuple[Path, Path]:
    """CLIP of width 64, of numbers that float16 has, since LAVIS rounds them to it; `vocabulary` is that of LAVIS."""
    from transformers import CLIPConfig, CLIPModel

    theirs, ours = root / "transformers", root / "lavis"
    theirs.mkdir(parents=True)
    count = _write_clip_vocabulary(theirs, vocabulary)
    write_processor(theirs, size=SIZE, do_center_crop=True, crop_size=SIZE)
    tower = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    text = {"vocab_size": count, "max_position_embeddings": POSITIONS, "hidden_act": "quick_gelu", **tower}
    ends = {"bos_token_id": count - 2, "eos_token_id": count - 1, "pad_token_id": count - 1}
    vision = {"image_size": SIZE, "patch_size": 8, "hidden_act": "quick_gelu", **tower}
    model = CLIPModel(CLIPConfig(text_config=text | ends, vision_config=vision, projection_dim=48)).eval()
    _scatter(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    model.save_pretrained(theirs)
    weights: dict[str, Tensor] = {}
    state = model.state_dict()
    for name, tensor in state.items():
        if name == "text_projection.weight":
            weights["text_projection"] = tensor.T.contiguous()
        elif name == "visual_projection.weight":
            weights["visual.proj"] = tensor.T.contiguous()
        elif ".self_attn.q_proj." in name:
            of_all = [state[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            part = "weight" if name.endswith("weight") else "bias"
            weights[_of_clip(name).replace(f"q_proj.{part}", f"in_proj_{part}")] = torch.cat(of_all)
        elif ".self_attn.k_proj." not in name and ".self_attn.v_proj." not in name:
            weights[_of_clip(name)] = tensor
    _write_lavis(ours, weights, None, dim=48)
    return theirs, ours


def _of_clip(name: str) -> str:
    name = renamed(name, CLIP)
    for theirs, ours in (*OF_A_BLOCK, (r"\.self_attn\.", ".attn.")):
        name = re.sub(theirs, ours, name)
    return name


def _write_clip_vocabulary(folder: Path, vocabulary: Path) -> int:
    """The tokenizer that transformers makes of OpenAI's list of merges; the number of its tokens."""
    lines = gzip.open(vocabulary).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    signs = [chr(letter) for letter in letters] + [chr(256 + n) for n in range(256 - len(letters))]
    words = [*signs, *(sign + "</w>" for sign in signs), *("".join(line.split()) for line in lines)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {word: number for number, word in enumerate(words)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    specials = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    described = {"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": POSITIONS}
    write_json(folder / "tokenizer_config.json", {**described, **specials})
    return len(words)
