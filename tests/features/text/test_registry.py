"""A text feature that this file registers, as a new file in avs/features/text/ would: trained and searched by verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tiny_collection import tiny_collection

from avs.cli.main import main
from avs.core.columns import VectorColumn
from avs.features.text import TextFeatureOptions, parse_text_options, text_features


@dataclass(frozen=True)
class Letters:
    """How often each letter occurs in a text."""

    name: str = "toy"
    dim: int = 26
    options: ClassVar[type[TextFeatureOptions]] = TextFeatureOptions

    @classmethod
    def build(cls, options: TextFeatureOptions, texts: Sequence[str], **_: Any) -> Letters:
        return cls(options.name or "toy")

    @classmethod
    def from_json(cls, data: dict[str, Any], **_: Any) -> Letters:
        return cls(data["name"])

    def columns(self, texts: Sequence[str]) -> tuple[VectorColumn, None]:
        return VectorColumn(np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts])), None

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        return [[] for _ in texts]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "toy", "name": self.name}


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    text_features.register("toy")(Letters)
    yield
    del text_features._items["toy"]


def test_a_toy_text_feature_is_trained_and_searched_by_the_verbs(tmp_path: Path) -> None:
    tiny = tiny_collection(tmp_path / "tiny", shots=12)
    sizes = ["--heads", "2", "--head-dim", "8", "--epochs", "1", "--batch-size", "8"]
    words = ["train-laff", *tiny.options, "--text", "toy", *sizes, "--quiet", "-o", str(tmp_path / "model")]
    assert main(words) == 0
    checkpoint = json.loads((tmp_path / "model/best/checkpoint.json").read_text(encoding="utf-8"))
    assert checkpoint["text_features"] == [{"kind": "toy", "name": "toy"}]
    (tmp_path / "topics.txt").write_text("731 a dog on the beach\n", encoding="utf-8")
    search = ["search", "--topics", tmp_path / "topics.txt", "--checkpoint", tmp_path / "model/best", "--quiet"]
    search += [word for store in tiny.stores for word in ("--store", store)]
    assert main([*map(str, search), "-o", str(tmp_path / "toy.trec")]) == 0
    assert len((tmp_path / "toy.trec").read_text(encoding="utf-8").splitlines()) == 12


def test_two_features_of_an_added_kind_have_names_of_their_own() -> None:
    one, two = parse_text_options(["toy", {"kind": "toy", "name": "other"}])
    assert (one.kind, one.name, two.name) == ("toy", None, "other")
