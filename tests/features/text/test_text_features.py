from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import TEXTS, make_clip
from word_vector_files import write_bigfile

from avs.core.errors import FormatError, SpecMismatchError
from avs.features.embedder import load_embedder
from avs.features.text import (
    TextFeature,
    build_text_feature,
    parse_text_options,
    report_unknown,
    text_feature_from_json,
)
from avs.features.text.encoder import EncoderText

CAPTIONS = ["a red dog runs", "the red dog", "a palomino horse"] * 5 + ["once a unicorn"]
NEW = ["two red dogs", "A dog runs with a RED horse", "zebra"]


def build(entry: Any, **options: Any) -> TextFeature:
    return build_text_feature(parse_text_options([entry])[0], CAPTIONS, **options)


def taken(feature: TextFeature, texts: list[str]) -> list[np.ndarray]:
    column, present = feature.columns(texts)
    values = column.take(np.arange(len(texts)))
    return [*(values if isinstance(values, tuple) else [values]), np.array(present)]


def test_every_kind_comes_back_from_json_the_same(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    entries = [
        {"kind": "bow", "threshold": 3, "norm": "l2"},
        {"kind": "word2vec", "path": str(write_bigfile(tmp_path / "w"))},
        "gru",
        {"kind": "bigru", "embedding": 8, "hidden": 4, "name": "words"},
        {"kind": "encoder", "model": "clip", "weights": str(checkpoints["clip"])},
    ]
    for entry in entries:
        feature = build(entry)
        again = text_feature_from_json(json.loads(json.dumps(feature.to_json())))
        assert (again.name, again.dim, type(again)) == (feature.name, feature.dim, type(feature))
        for one, other in zip(taken(feature, NEW), taken(again, NEW), strict=True):
            assert (one == other).all()


def test_vocabularies_are_those_of_the_training_captions() -> None:
    assert build("bow").to_json()["vocabulary"]["words"] == ["dog", "red", "horse", "palomino", "runs"]
    assert build("gru").dim == 3 + 7  # the stop words "a" and "the" too
    assert build({"kind": "bow", "threshold": 1}).dim == 7  # "once" and "unicorn"


def test_legacy_reaches_the_features_it_concerns(tmp_path: Path) -> None:
    for entry in ("bow", {"kind": "word2vec", "path": str(write_bigfile(tmp_path / "w"))}):
        assert build(entry).columns(["zebra", "dog"])[1].tolist() == [False, True]
        assert build(entry, legacy=True).columns(["zebra", "dog"])[1] is None


def test_unknown_words_are_reported_by_topic(checkpoints: dict[str, Path]) -> None:
    clip = build({"kind": "encoder", "model": "clip", "weights": str(checkpoints["clip"])})
    features = [build("bow"), build("gru"), clip]
    texts = ["the unicorn and a dog", "a red dog", "with a zebra"]
    assert report_unknown(features, texts, ["731", "732", "733"]) == [
        'topic 731: "unicorn" is not in the vocabulary of bow, gru',
        'topic 731: "and" is not in the vocabulary of gru',
        'topic 733: "zebra" is not in the vocabulary of bow, gru',
        'topic 733: "with" is not in the vocabulary of gru',
    ]
    assert report_unknown([clip], texts, ["731", "732", "733"]) == []


def test_an_extractor_gives_what_it_gives_queries(checkpoints: dict[str, Path]) -> None:
    feature = build({"kind": "encoder", "model": "clip", "weights": str(checkpoints["clip"])})
    column, present = feature.columns([*TEXTS, TEXTS[0]])
    wanted = load_embedder("clip", weights=checkpoints["clip"]).encode_texts(TEXTS)
    assert column.take(np.arange(4)) == pytest.approx(wanted[[0, 1, 2, 0]], abs=1e-6)
    assert present is None and feature.dim == wanted.shape[1]
    assert len(feature.columns([])[0]) == 0


def test_an_extractor_may_move_but_not_change(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    feature = build({"kind": "encoder", "model": "clip", "weights": str(checkpoints["clip"])})
    data = feature.to_json() | {"spec": feature.to_json()["spec"] | {"weights": "/nowhere"}}
    moved = text_feature_from_json(data, path=checkpoints["clip"])
    assert isinstance(moved, EncoderText)
    assert (taken(moved, NEW)[0] == taken(feature, NEW)[0]).all()
    other = text_feature_from_json(data, path=make_clip(tmp_path / "other", seed=1))
    with pytest.raises(SpecMismatchError, match="revision"):
        other.columns(NEW)


def test_a_kind_of_a_later_version() -> None:
    with pytest.raises(FormatError, match="a text feature of an unknown kind"):
        text_feature_from_json({"kind": "bert", "name": "bert"})
