"""Checkpoints of the real classes, laid out as on the Hub, with random weights of a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SIZE, DIM, QUERIES, MAX_TOKENS = 32, 16, 4, 24
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
WORDS = "a an the man woman dog cat runs sits on in with red blue house car tree and two three".split()
TEXTS = ["a man runs with a dog", "the red house", "two cat and three dog in the blue car"]
TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}


def frames(count: int = 3) -> np.ndarray:
    """(count, 40, 50, 3) uint8 noise."""
    return np.random.default_rng(1).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)


def write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def write_clip_tokenizer(folder: Path) -> int:
    """CLIP's own byte tokenizer without merges; returns the size of its vocabulary."""
    letters = [chr(i) for i in range(33, 127)]
    entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {entry: i for i, entry in enumerate(entries)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    specials = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": MAX_TOKENS, **specials},
    )
    return len(entries)


def write_bert_tokenizer(folder: Path) -> int:
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", "!"]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    return len(entries)


def write_processor(folder: Path, **changes: Any) -> None:
    data = {"do_normalize": True, "do_resize": True, "image_mean": MEAN, "image_std": STD, "resample": 3}
    write_json(folder / "preprocessor_config.json", data | changes)


def make_clip(folder: Path, *, seed: int = 0, size: int = SIZE, dim: int = DIM) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True)
    vocabulary = write_clip_tokenizer(folder)
    write_processor(folder, size=size, do_center_crop=True, crop_size=size)
    torch.manual_seed(seed)
    text = {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS, "hidden_act": "quick_gelu", **TOWER}
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    vision = {"image_size": size, "patch_size": 8, "hidden_act": "quick_gelu", **TOWER}
    CLIPModel(CLIPConfig(text_config=text | ends, vision_config=vision, projection_dim=dim)).save_pretrained(folder)
    return folder


def make_blip(folder: Path, *, seed: int = 0) -> Path:
    import torch
    from transformers import BlipConfig, BlipForImageTextRetrieval

    folder.mkdir(parents=True)
    vocabulary = write_bert_tokenizer(folder)
    write_processor(folder, size={"height": SIZE, "width": SIZE})
    torch.manual_seed(seed)
    text = {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS, "encoder_hidden_size": 32, **TOWER}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3}
    vision = {"image_size": SIZE, "patch_size": 8, "initializer_range": 0.2, **TOWER}  # 1e-10 unless said
    config = BlipConfig(text_config=text | ends, vision_config=vision, image_text_hidden_size=DIM, projection_dim=DIM)
    BlipForImageTextRetrieval(config).save_pretrained(folder)
    return folder


def make_blip2(folder: Path, *, seed: int = 0) -> Path:
    import torch
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    folder.mkdir(parents=True)
    vocabulary = write_bert_tokenizer(folder)
    write_processor(folder, size={"height": SIZE, "width": SIZE})
    torch.manual_seed(seed)
    qformer = {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS, "encoder_hidden_size": 32, **TOWER}
    config = Blip2Config(
        vision_config={"image_size": SIZE, "patch_size": 8, "initializer_range": 0.2, **TOWER},
        qformer_config=qformer | {"use_qformer_text_input": True, "cross_attention_frequency": 1},
        text_config={"model_type": "opt", "vocab_size": 32, "num_hidden_layers": 1, "hidden_size": 32},
        num_query_tokens=QUERIES,
        image_text_hidden_size=DIM,
    )
    model = Blip2ForImageTextRetrieval(config)
    torch.nn.init.normal_(model.query_tokens)  # zero in a fresh model, which would make all queries the same
    model.save_pretrained(folder)
    return folder


def make_beit(folder: Path, *, seed: int = 0, size: int = SIZE) -> Path:
    import torch
    from transformers import BeitConfig, BeitModel

    folder.mkdir(parents=True)
    half = [0.5, 0.5, 0.5]
    write_processor(
        folder, size=size, do_center_crop=False, crop_size=size, resample=2, image_mean=half, image_std=half
    )
    torch.manual_seed(seed)
    biases = {"use_relative_position_bias": True, "use_mean_pooling": True, "initializer_range": 0.3}
    config = BeitConfig(image_size=size, patch_size=8, layer_scale_init_value=0.5, **TOWER, **biases)
    BeitModel(config).save_pretrained(folder)
    return folder


def write_fast_tokenizer(folder: Path, *, end: str = "<eos>") -> int:
    """Words in lower case, and an end token after each text; it pads on the left, as Gemma's does."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    entries = ["<pad>", end, "<bos>", "<unk>", *WORDS]
    tokenizer = Tokenizer(WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    specials = {"pad_token": "<pad>", "eos_token": end, "bos_token": "<bos>", "unk_token": "<unk>"}
    described = {"tokenizer_class": "GemmaTokenizer", "padding_side": "left", "model_input_names": ["input_ids"]}
    write_json(folder / "tokenizer_config.json", {**described, **specials, "model_max_length": MAX_TOKENS})
    return len(entries)


def make_siglip(folder: Path, *, seed: int = 0, size: int = SIZE) -> Path:
    import torch
    from transformers import SiglipConfig, SiglipModel

    folder.mkdir(parents=True)
    vocabulary = write_fast_tokenizer(folder)
    half = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    write_processor(folder, size={"height": size, "width": size}, do_convert_rgb=None, **half)
    torch.manual_seed(seed)
    ends = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    text = {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS, "projection_size": 32, **TOWER, **ends}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={"image_size": size, "patch_size": 8, **TOWER}))
    for parameter in model.text_model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # texts of a fresh model are all alike
    model.save_pretrained(folder)
    return folder


def make_chinese_clip(folder: Path, *, seed: int = 0) -> Path:
    import torch
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    folder.mkdir(parents=True)
    vocabulary = write_bert_tokenizer(folder)
    write_processor(folder, size={"height": SIZE, "width": SIZE}, do_center_crop=False)
    torch.manual_seed(seed)
    text = {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS, "pad_token_id": 0, **TOWER}
    vision = {"image_size": SIZE, "patch_size": 8, **TOWER}
    config = ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM)
    ChineseCLIPModel(config).save_pretrained(folder)
    return folder
