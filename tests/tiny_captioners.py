"""Captioners of the real classes, laid out as on the Hub, with random weights of a few kilobytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_checkpoints import QUERIES, SIZE, TOWER, write_bert_tokenizer, write_processor
from tiny_vlm import make_single_picture_vlm

ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
VISION = {"image_size": SIZE, "patch_size": 8, "initializer_range": 0.2, **TOWER}  # BLIP's is 1e-10 unless said
WIDE = {"initializer_range": 0.5}  # so that captions differ


def make_blip_captioner(folder: Path, *, seed: int = 0) -> Path:
    from transformers import BlipConfig, BlipForConditionalGeneration

    folder.mkdir(parents=True)
    words = {"vocab_size": write_bert_tokenizer(folder), "max_position_embeddings": 64, "encoder_hidden_size": 32}
    write_processor(folder, size={"height": SIZE, "width": SIZE})
    config = BlipConfig(text_config={**words, **ENDS, "sep_token_id": 3, **WIDE, **TOWER}, vision_config=VISION)
    return _save(BlipForConditionalGeneration, config, folder, seed)


def make_git_captioner(folder: Path, *, seed: int = 0) -> Path:
    from transformers import GitConfig, GitForCausalLM

    folder.mkdir(parents=True)
    words = {"vocab_size": write_bert_tokenizer(folder), "max_position_embeddings": 64}
    write_processor(folder, size={"shortest_edge": SIZE}, do_center_crop=True, crop_size=SIZE)
    return _save(GitForCausalLM, GitConfig(vision_config=VISION, **words, **ENDS, **WIDE, **TOWER), folder, seed)


def make_blip2_captioner(folder: Path) -> Path:
    assert QUERIES == 4  # of that model too
    return make_single_picture_vlm(folder)


def _save(cls: Any, config: Any, folder: Path, seed: int) -> Path:
    import torch

    torch.manual_seed(seed)
    cls(config).save_pretrained(folder)
    return folder
