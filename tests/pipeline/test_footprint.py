from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import make_clip as make_clip_folder
from tiny_clips import SIZE, WORDS, config_of, make_clip
from tiny_models import make_trained

from avs.core.artifacts import Manifest, write_manifest
from avs.core.errors import AvsError, ConfigError, FormatError
from avs.models.architectures import Tokens, architectures, make_config, make_model
from avs.pipeline import scoring_rate
from avs.pipeline.footprint import (
    V3C2_SHOTS,
    FootprintReport,
    checkpoint_footprint,
    footprint_lines,
    footprint_to_json,
    model_footprint,
    multiply_adds,
    sample_query,
    sample_videos,
)
from avs.pipeline.scoring_rate import Rate

ON_CLIP = {"backbone": config_of(make_clip()).backbone, "text": {"clip-tokens": WORDS}, "max_frames": 5, "max_words": 7}
FEATURES = {"video": {"a": 10, "b": 7}, "text": {"bow": 12}, "heads": 3, "head_dim": 8}
WITH_FRAMES = {"video": {"a": 10}, "video_frames": {"f": 6}, "text": {}, "text_tokens": {"gru": Tokens(20, 5, 6)}}
DUAL = {"video_frames": {"f": 8}, "text": {"bow": 9}, "hidden": 4, "filters": 3, "space": 6, "max_frames": 4}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("clip4clip", ON_CLIP),
    ("clip4clip", {**ON_CLIP, "patches": "3d"}),
    ("clip4clip", {**ON_CLIP, "head": "tightTransf"}),
    ("clip2video", {**ON_CLIP, "video_frames": {"clip/frame": 16}}),
    ("xclip", ON_CLIP),
    ("teachclip", ON_CLIP),
    ("laff", FEATURES),
    ("laff", {**WITH_FRAMES, "heads": 2, "head_dim": 4}),
    ("dual-encoding", DUAL),
    ("dual-encoding", {**DUAL, "text": {"bow": 9, "labels": 11}, "concepts": "labels", "fusion": "concatenated"}),
]


def report_of(name: str, options: dict[str, Any]) -> FootprintReport:
    config = make_config(name, options)
    return model_footprint("m", name, config, make_model(name, config).eval(), seconds=0)


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scoring_rate, "MOST_SHOTS", 40)
    yield


@pytest.mark.parametrize(("name", "options"), CASES)
def test_embeddings_have_the_stated_sizes(name: str, options: dict[str, Any]) -> None:
    made, config = architectures.get(name), make_config(name, options)
    model, report = make_model(name, config).eval(), report_of(name, options)
    videos = model.embed_videos(sample_videos(made, config, shots=2, frames=report.frames))
    assert videos.shape == (2, report.footprint.shot_numbers)
    assert model.embed_texts(sample_query(made, config)).shape == (1, report.footprint.query_numbers)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_parts_add_up(name: str, options: dict[str, Any]) -> None:
    config = make_config(name, options)
    model, report = make_model(name, config).eval(), report_of(name, options)
    work = report.work
    assert work.video_parameters + work.other_parameters == sum(p.numel() for p in model.parameters())
    assert min(work.video_parameters, work.other_parameters, work.query) > 0
    assert (work.frame is None) == (name in ("laff", "dual-encoding"))
    assert {queries: rate.count for queries, rate in report.pairs.items()} == {1: 40, 30: 1200}
    assert all(rate.per_s > 0 and rate.rounds == 1 for rate in report.pairs.values())
    one_vector = name in ("clip4clip", "clip2video", "teachclip") and options.get("head") != "tightTransf"
    assert (report.shots is None, report.store.embedded) == (one_vector, one_vector)


def test_stores_hold_what_the_model_reads() -> None:
    def numbers(name: str, options: dict[str, Any]) -> int:
        return report_of(name, options).store.numbers

    assert numbers("teachclip", ON_CLIP) == 16
    assert numbers("xclip", ON_CLIP) == 5 * 16  # no pads, no mask, no video: these are made again
    assert numbers("laff", FEATURES) == 17
    assert numbers("laff", {**WITH_FRAMES, "heads": 2, "head_dim": 4}) == 10 + 12 * 6
    assert numbers("laff", {**WITH_FRAMES, "heads": 2, "head_dim": 4, "max_frames": 50}) == 10 + 12 * 6
    assert numbers("dual-encoding", DUAL) == 4 * 8


def test_the_tower_is_counted_for_one_frame() -> None:
    vision = ON_CLIP["backbone"]["vision_config"]  # type: ignore[index]
    width, hidden, layers = vision["hidden_size"], vision["intermediate_size"], vision["num_hidden_layers"]
    patches = (SIZE // 4) ** 2
    tokens = patches + 1
    block = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    tower = patches * 3 * 4 * 4 * width + layers * block + width * 16
    assert report_of("teachclip", ON_CLIP).work.frame == tower
    assert report_of("teachclip", {**ON_CLIP, "video_frames": {"clip/frame": 16}}).work.frame == tower
    assert report_of("clip4clip", ON_CLIP).work.shot == 0  # meanP has no products


def test_products_that_are_fused_without_gradients_are_counted() -> None:
    with torch.inference_mode(False):
        work = report_of("laff", FEATURES).work
    transforms, attention = (10 + 7) * 24, 2 * 24 * 3
    assert work.shot == transforms + attention
    assert multiply_adds(lambda: torch.ones(2, 3) @ torch.ones(3, 5)) == 30


def test_what_follows_for_a_collection() -> None:
    report = report_of("xclip", ON_CLIP)
    report = replace(report, pairs={1: Rate(V3C2_SHOTS / 4, 1.0, 10, 3)}, shots=Rate(V3C2_SHOTS / 8, 1.0, 10, 3))
    facts = json.loads(json.dumps(footprint_to_json(report)))
    numbers = 16 * 6 + 5
    assert facts["shot"] == {"numbers": numbers, "bytes": {"float16": 2 * numbers, "float32": 4 * numbers}}
    assert facts["V3C2"]["shot_gib"]["float16"] == pytest.approx(2 * numbers * V3C2_SHOTS / 2**30)
    assert (facts["V3C2"]["s_per_query"], facts["V3C2"]["s_to_embed"]) == ({"1": 4.0}, 8.0)
    text = "\n".join(footprint_lines(report))
    assert "V3C2: 4 s a query" in text and "V3C2: 8 s a pass" in text
    assert f"{numbers:,}" in text and "frame-level store, 5 frames without pads" in text
    assert "(best of 3 x 10 pairs; 1 a CPU second)" in text and "thread" in text


def test_a_checkpoint_of_a_training(tmp_path: Path) -> None:
    clip = make_clip_folder(tmp_path / "clip")
    make_trained(tmp_path / "m" / "best", clip)
    for folder in (tmp_path / "m", tmp_path / "m" / "best"):
        report = checkpoint_footprint(folder, seconds=0)
        assert (report.name, report.architecture, report.footprint.shot_numbers) == ("m", "clip4clip", 16)


def test_what_is_no_trained_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "store").mkdir()
    write_manifest(tmp_path / "store", Manifest("feature-store"))
    for name, got in (("file", "a file without"), ("store", "feature-store"), (".", "a folder without")):
        with pytest.raises(FormatError, match=f"only a trained model has a footprint(.|\n)*{got}"):
            checkpoint_footprint(tmp_path / name)
    with pytest.raises(AvsError, match="no such trained model"):
        checkpoint_footprint(tmp_path / "none")


def test_an_architecture_that_does_not_state_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = replace(architectures.get("laff"), footprint=None)
    monkeypatch.setattr(architectures, "get", lambda name: silent)
    with pytest.raises(ConfigError, match="does not state its footprint"):
        report_of("laff", FEATURES)
