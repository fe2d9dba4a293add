"""Concept labels of videos, mined from their captions: what the hybrid space of Dual Encoding (TPAMI 2021) learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from avs.core.columns import SparseColumn
from avs.features.text.bag_of_words import count_words
from avs.features.text.registry import TextFeatureOptions, text_features
from avs.features.words import Vocabulary


class ConceptOptions(TextFeatureOptions):
    """Options of concept labels, for the hybrid space of Dual Encoding; name the feature in the model's `concepts`.

    Attributes:
        size: number of concepts: the most frequent content words.
    """

    kind: Literal["concepts"]
    size: int = Field(default=512, ge=1)


@text_features.register("concepts")
@dataclass(frozen=True, slots=True)
class Concepts:
    """The most frequent content words of the training captions; a video has those that any of its captions names.

    Only training reads them: a text alone, such as a topic, has none. The authors also lemmatise the words and weight
    each one by how many captions name it; here a video has a concept or not.

    Attributes:
        name: of the feature.
        vocabulary: the concepts.
    """

    name: str
    vocabulary: Vocabulary
    options: ClassVar[type[TextFeatureOptions]] = ConceptOptions

    @classmethod
    def build(cls, options: ConceptOptions, texts: Sequence[str], **_: object) -> Concepts:
        return cls.mine(options.name or "concepts", texts, size=options.size)

    @classmethod
    def mine(cls, name: str, texts: Sequence[str], *, size: int) -> Concepts:
        """The `size` most frequent content words of the captions, or all there are."""
        words = Vocabulary.build(texts, threshold=1, remove_stop_words=True).words[:size]
        return cls(name, Vocabulary(words, remove_stop_words=True))

    @property
    def dim(self) -> int:
        """Number of concepts."""
        return len(self.vocabulary)

    def labels(self, texts: Sequence[str], video_of: np.ndarray) -> SparseColumn:
        """The (N, dim) 0/1 labels of the videos that N captions describe.

        Args:
            texts: the captions.
            video_of: (N,) int64, equal for captions of one video.
        """
        named = count_words(self.vocabulary, texts)
        videos, of = np.unique(video_of, return_inverse=True)
        pairs = np.unique(np.repeat(of, np.diff(named.offsets)) * self.dim + named.indices)  # video, concept
        starts = np.searchsorted(pairs, np.arange(len(videos) + 1) * self.dim)
        lengths = np.diff(starts)[of]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        indices = (pairs % self.dim)[np.repeat(starts[:-1][of], lengths) + within]
        return SparseColumn(offsets, indices, np.ones(len(indices), dtype=np.float32), self.dim)

    def columns(self, texts: Sequence[str]) -> tuple[SparseColumn, np.ndarray]:
        """No concepts for any text, since texts alone have none."""
        none = np.zeros(len(texts) + 1, dtype=np.int64)
        empty = SparseColumn(none, none[:0], np.zeros(0, dtype=np.float32), self.dim)
        return empty, np.zeros(len(texts), dtype=bool)

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """No words, since no text is encoded by concepts."""
        return [[] for _ in texts]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "concepts", "name": self.name, "vocabulary": self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any], **_: object) -> Concepts:
        return cls(data["name"], Vocabulary.from_json(data["vocabulary"]))
