"""Bag of words: how often each known word stands in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from avs.core.columns import SparseColumn
from avs.features.words import Vocabulary

Norm = Literal["none", "l2"]


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """Counts over the vocabulary of the training captions.

    Source: RUC's W2VV++ and LAFF ("bow_nsw"). There a text without a known word is a vector of zeros; here it lacks the
    feature, unless `legacy`.

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
        """Of each text, the words that are not in the vocabulary (stop words that are removed do not count)."""
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
    def from_json(cls, data: dict[str, Any]) -> BagOfWords:
        return cls(data["name"], Vocabulary.from_json(data["vocabulary"]), data["norm"], data["legacy"])


def count_words(vocabulary: Vocabulary, texts: Sequence[str]) -> SparseColumn:
    """How often each word of the vocabulary stands in each text."""
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
