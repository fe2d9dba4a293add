"""The footprint that an architecture states is what its model computes, by torch's flop counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_clips import WORDS, config_of, make_clip
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from avs.models.architectures import Tokens, architectures, make_config, make_model
from avs.models.architectures.footprint import Footprint

CLIP = make_clip()
ON_CLIP = {"backbone": config_of(CLIP).backbone, "text": {"clip-tokens": WORDS}, "max_frames": 5, "max_words": 7}
DUAL: dict[str, Any] = {"hidden": 4, "filters": 3, "text_filters": 3, "space": 6, "video_frames": {"f": 8}}
HYBRID = {"text": {"bow": 9, "labels": 11}, "concepts": "labels", "fusion": "concatenated"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("clip4clip", {**ON_CLIP, "head": "meanP"}),
    ("clip4clip", {**ON_CLIP, "head": "seqLSTM"}),
    ("clip4clip", {**ON_CLIP, "head": "seqTransf", "layers": 2}),
    ("clip4clip", {**ON_CLIP, "head": "tightTransf", "layers": 3}),
    ("clip4clip", {**ON_CLIP, "head": "tightTransf", "tight": "paper"}),
    ("clip2video", ON_CLIP),
    ("clip2video", {**ON_CLIP, "alignment": "none"}),
    ("xclip", ON_CLIP),
    ("xclip", {**ON_CLIP, "max_frames": 3, "max_words": 9, "head": "meanP"}),
    ("teachclip", ON_CLIP),
    ("laff", {"video": {"a": 10, "b": 7}, "text": {"bow": 12}, "heads": 3, "head_dim": 8}),
    ("laff", {"video": {}, "video_frames": {"f": 9}, "text": {}, "text_tokens": {"gru": Tokens(20, 5, 6)}, "heads": 2}),
    ("laff", {"video": {"a": 10, "b": 7}, "text": {"bow": 12}, "heads": 1, "fusion": "concatenation"}),
    ("dual-encoding", {**DUAL, "text": {"bow": 9}}),
    ("dual-encoding", {**DUAL, "text": {"bow": 9}, "levels": ("mean",)}),
    ("dual-encoding", {**DUAL, **HYBRID}),
]


def footprint_of(name: str, config: Any) -> Footprint:
    stated = architectures.get(name).footprint
    assert stated is not None
    return stated(config)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_it_is_what_the_score_computes(name: str, options: dict[str, Any]) -> None:
    config = make_config(name, options)
    model, own = make_model(name, config).eval(), footprint_of(name, config)

    def counted(queries: int, shots: int) -> int:
        # positive numbers, so that masks say of all words and frames that they are real: X-CLIP leaves pads out
        texts, videos = torch.rand(queries, own.query_numbers) + 1, torch.rand(shots, own.shot_numbers) + 1
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            assert model.score(texts, videos).shape == (queries, shots)
        return counter.get_total_flops() // 2

    concepts = len(options.get("text", {})) > 1 and options["text"]["labels"]  # compared by differences, not products
    pair, once = own.pair_multiply_adds - concepts, own.query_multiply_adds
    for queries, shots in ((1, 1), (2, 3), (3, 5)):
        assert counted(queries, shots) == queries * shots * pair + queries * once


def test_every_architecture_states_one() -> None:
    own = {name for name in architectures if architectures.get(name).config.__module__.startswith("avs.")}
    assert {name for name, _ in CASES} == own
    assert [name for name in sorted(own) if architectures.get(name).footprint is None] == []


def at_real_size(name: str) -> Footprint:
    """With the sizes of ViT-B/32 and the authors' 12 frames and 32 words."""
    sizes = CLIP.config.to_dict() | {"projection_dim": 512}
    text = {**sizes["text_config"], "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
    backbone = sizes | {"text_config": text | {"max_position_embeddings": 77}}
    return footprint_of(name, make_config(name, {**ON_CLIP, "backbone": backbone, "max_frames": 12, "max_words": 32}))


def test_a_student_keeps_a_thirteenth_of_its_teacher() -> None:
    teacher, student = at_real_size("xclip"), at_real_size("teachclip")
    assert student.shot_numbers == 512
    assert teacher.shot_numbers == 512 * (1 + 12) + 12  # video, frames, and the mask
    assert 13 <= teacher.shot_numbers / student.shot_numbers < 13.03
    assert teacher.query_numbers == 512 * (1 + 32) + 32
    assert teacher.pair_multiply_adds == 219_648 + 19_232  # similarities, and the matrices of the attention
    assert (student.pair_multiply_adds, student.query_multiply_adds) == (512, 0)
    assert at_real_size("clip2video").shot_numbers == 1024
