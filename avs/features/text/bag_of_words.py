"""Bag of words: how often each known word occurs in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from avs.core.columns import SparseColumn
from avs.features.text.registry import TextFeatureOptions, text_features
from avs.features.words import Vocabulary

Norm = Literal["none", "l2"]


class BagOfWordsOptions(TextFeatureOptions):
    """Options of bag of words.

    Attributes:
        threshold: a word is known when it occurs at least this often in the training captions.
        remove_stop_words: whether stop words are left out.
        norm: "none": counts; "l2": scaled to length 1.
    """

    kind: Literal["bow"]
    threshold: int = Field(default=5, ge=1)
    remove_stop_words: bool = True
    norm: Norm = "none"


@text_features.register("bow")
@dataclass(frozen=True, slots=True)
class BagOfWords:
    """Counts over the vocabulary of the training captions.

    Source: RUC's W2VV++ and LAFF ("bow_nsw"). In their code a text without a known word is a vector of zeros; here it
    lacks the feature, unless `legacy`.

    Attributes:
        name: of the feature.
        vocabulary: the known words.
        norm: "none": the counts; "l2": scaled to length 1.
        legacy: whether a text without a known word has a vector of zeros.
    """

    name: str
    vocabulary: Vocabulary
    norm: Norm = "none"
    legacy: bool = False
    options: ClassVar[type[TextFeatureOptions]] = BagOfWordsOptions

    @classmethod
    def build(cls, options: BagOfWordsOptions, texts: Sequence[str], *, legacy: bool, **_: str) -> BagOfWords:
        known = Vocabulary.build(texts, threshold=options.threshold, remove_stop_words=options.remove_stop_words)
        return cls(options.name or "bow", known, options.norm, legacy)

    @property
    def dim(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    def columns(self, texts: Sequence[str]) -> tuple[SparseColumn, np.ndarray | None]:
        """The (N, dim) vectors of N texts, and (N,) bool which of them have a known word; None when all do."""
        column = count_words(self.vocabulary, texts)
        lengths = np.diff(column.offsets)
        if self.norm == "l2":
            squares = np.zeros(len(texts))
            np.add.at(squares, np.repeat(np.arange(len(texts)), lengths), column.values.astype(np.float64) ** 2)
            scaled = (column.values / np.repeat(np.sqrt(squares), lengths)).astype(np.float32)
            column = SparseColumn(column.offsets, column.indices, scaled, column.dim)
        return column, known_rows(lengths, legacy=self.legacy)

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text, the words that are not in the vocabulary (stop words that are removed do not count)."""
        return [self.vocabulary.unknown(text) for text in texts]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "bow",
            "name": self.name,
            "norm": self.norm,
            "legacy": self.legacy,
            "vocabulary": self.vocabulary.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], **_: object) -> BagOfWords:
        return cls(data["name"], Vocabulary.from_json(data["vocabulary"]), data["norm"], data["legacy"])


def count_words(vocabulary: Vocabulary, texts: Sequence[str]) -> SparseColumn:
    """How often each word of the vocabulary occurs in each text."""
    offsets, numbers = vocabulary.numbers(texts)
    width = len(vocabulary)
    rows = np.repeat(np.arange(len(texts)), np.diff(offsets))
    places, counts = np.unique(rows * width + numbers, return_counts=True)
    starts = np.searchsorted(places, np.arange(len(texts) + 1) * width)
    return SparseColumn(starts.astype(np.int64), places % max(width, 1), counts.astype(np.float32), width)


def known_rows(lengths: np.ndarray, *, legacy: bool) -> np.ndarray | None:
    """(N,) bool, which of the texts have a known word; None when all do, or when those that do not are zeros."""
    known: np.ndarray = lengths > 0
    return None if legacy or known.all() else known
