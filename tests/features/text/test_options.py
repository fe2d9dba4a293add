from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from avs.core.config import load_config
from avs.core.errors import ConfigError
from avs.features.text import TextOptions, parse_text_options, text_feature_name


class Config(BaseModel):
    text: list[TextOptions]


def test_names_stand_for_defaults() -> None:
    bow, gru, bigru, clip = parse_text_options(["bow", "gru", {"kind": "bigru", "hidden": 512}, "clip-vit-b32"])
    assert (bow.threshold, bow.remove_stop_words, bow.norm) == (5, True, "none")
    assert (gru.kind, gru.threshold, gru.embedding, gru.hidden, gru.words) == ("gru", 5, 500, 1024, None)
    assert (bigru.kind, bigru.hidden) == ("bigru", 512)
    assert (clip.kind, clip.model, clip.weights, clip.pooling) == ("encoder", "clip-vit-b32", None, None)
    assert [text_feature_name(o) for o in (bow, gru, bigru, clip)] == ["bow", "gru", "bigru", "clip-vit-b32"]


def test_all_problems_are_said_at_once() -> None:
    entries = ["bov", "word2vec", {"kind": "bow", "treshold": 3}, "clip-vit-b23", 3, "bow", "bow", {"kind": "gruu"}]
    with pytest.raises(ConfigError) as raised:
        parse_text_options(entries)
    assert str(raised.value) == (
        "text features: 7 problems\n"
        '  text, entry 1: model: no text feature "bov"; did you mean "bow"?\n'
        "  text, entry 2: path: Field required\n"
        "  text, entry 3: treshold: Extra inputs are not permitted\n"
        '  text, entry 4: model: no text feature "clip-vit-b23"; did you mean "clip-vit-b32"?\n'
        "  text, entry 5: a text feature is a name, or a mapping with its `kind`\n"
        '  text, entry 8: no text feature "gruu"; did you mean "gru"?\n'
        '  text: 2 features are called "bow"; tell them apart with `name:`'
    )


def test_two_features_of_a_kind_have_names() -> None:
    entries = ["bow", {"kind": "bow", "name": "bow-l2", "norm": "l2"}]
    assert [text_feature_name(options) for options in parse_text_options(entries)] == ["bow", "bow-l2"]


def test_entries_of_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("text:\n  - bow\n  - {kind: word2vec, path: vec.bin}\n  - mini-clip\n", encoding="utf-8")
    assert [text_feature_name(options) for options in load_config(path, Config).text] == [
        "bow",
        "word2vec",
        "mini-clip",
    ]
    path.write_text("text:\n  - bow\n  - kind: gru\n    hiden: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path, Config)
    assert f"{path}:4: text.1.hiden: unknown key" in str(raised.value)
