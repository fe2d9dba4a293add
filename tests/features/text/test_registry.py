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
from avs.core.artifacts import fingerprint_file
from avs.core.columns import VectorColumn
from avs.features.text import (
    TextFeatureOptions,
    build_text_feature,
    parse_text_options,
    text_feature_from_json,
    text_features,
)


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


class FileOptions(TextFeatureOptions):
    """Options of a feature that reads a file."""

    path: Path = Path("letters.txt")

    def inputs(self) -> dict[str, str]:
        return {"letters": fingerprint_file(self.path)}


def test_a_file_that_a_feature_reads_decides_what_is_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Letters, "options", FileOptions)
    monkeypatch.chdir(tmp_path)
    tiny = tiny_collection(tmp_path / "tiny", shots=12)
    Path("letters.txt").write_text("abc")
    sizes = ["--heads", "2", "--head-dim", "8", "--epochs", "1", "--batch-size", "8"]
    words = ["train-laff", *tiny.options, "--text", "toy", *sizes, "-o", "model"]
    assert main(words) == 0 and main(words) == 0
    assert "up to date: model" in capsys.readouterr().err
    Path("letters.txt").write_text("abd")
    assert main(words) == 2
    assert "got:    changed: inputs.letters" in capsys.readouterr().err


def test_two_features_of_an_added_kind_have_names_of_their_own() -> None:
    one, two = parse_text_options(["toy", {"kind": "toy", "name": "other"}])
    assert (one.kind, one.name, two.name) == ("toy", None, "other")


def test_the_text_feature_that_the_docs_add_works() -> None:
    page = (Path(__file__).parents[3] / "docs/text_features.md").read_text(encoding="utf-8")
    code = next(block for block in page.split("```python\n") if block.startswith("@text_features")).split("```")[0]
    names = {"text_features": text_features, "dataclass": dataclass, "TextFeatureOptions": TextFeatureOptions}
    try:
        exec(code, {**names, "ClassVar": ClassVar, "VectorColumn": VectorColumn, "np": np})
        (options,) = parse_text_options(["letters"])
        letters = build_text_feature(options, [])
        again = text_feature_from_json(letters.to_json())
    finally:
        text_features._items.pop("letters", None)
    assert again == letters and letters.name == "letters"
    column, present = again.columns(["a banana"])
    assert column.take(np.arange(1))[0, :2].tolist() == [4, 1] and present is None
