"""Words as numbers, in their order: what a GRU or biGRU that is trained with the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from avs.core.columns import SequenceColumn
from avs.core.errors import ConfigError
from avs.features.text.registry import TextFeatureOptions, text_features
from avs.features.word_vectors import WordVectors, fingerprint_word_vectors
from avs.features.words import MARKS, Vocabulary


class RecurrentOptions(TextFeatureOptions):
    """Options of a GRU or biGRU over words, which is trained with the model.

    Attributes:
        threshold: a word is known when it occurs at least this often in the training captions.
        embedding: dimension of a word.
        hidden: dimension of the GRU's state, in each direction.
        words: word vectors that the embeddings start from; None: random ones.
    """

    kind: Literal["gru", "bigru"]
    threshold: int = Field(default=5, ge=1)
    embedding: int = Field(default=500, ge=1)
    hidden: int = Field(default=1024, ge=1)
    words: Path | None = None

    def inputs(self) -> dict[str, str]:
        return {f"words of {self.name or self.kind}": fingerprint_word_vectors(self.words)} if self.words else {}


@text_features.register("gru")
@text_features.register("bigru")
@dataclass(frozen=True, slots=True)
class WordIds:
    """The words of a text between <start> and <end>, stop words kept, unknown ones as <unk>.

    Source: RUC's LAFF and Dual Encoding. Theirs has a <pad> word too; ours needs none, since sentences are packed.

    Attributes:
        name: of the feature.
        vocabulary: the three marks, then the known words.
        embedding: dimension of a word, of the model's encoder.
        hidden: dimension of its GRU's state, in each direction.
        bidirectional: biGRU.
    """

    name: str
    vocabulary: Vocabulary
    embedding: int = 500
    hidden: int = 1024
    bidirectional: bool = False
    options: ClassVar[type[TextFeatureOptions]] = RecurrentOptions

    @classmethod
    def build(cls, options: RecurrentOptions, texts: Sequence[str], **_: object) -> WordIds:
        known = Vocabulary.build(texts, threshold=options.threshold, start_end=True)
        name = options.name or options.kind
        return cls(name, known, options.embedding, options.hidden, options.kind == "bigru")

    @property
    def dim(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    def columns(self, texts: Sequence[str]) -> tuple[SequenceColumn, None]:
        """The words of N texts as int64 numbers; every text has some."""
        offsets, numbers = self.vocabulary.numbers(texts)
        return SequenceColumn(numbers, offsets), None

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text, the words that are read as <unk>."""
        return [self.vocabulary.unknown(text) for text in texts]

    def initial_embeddings(self, words: WordVectors) -> tuple[np.ndarray, np.ndarray]:
        """What the encoder's word embeddings start from, for the words that `words` has.

        Returns:
            (R,) int64 numbers of such words, and their (R, embedding) float32 vectors; the others start at random.

        Raises:
            ConfigError: the vectors have another dimension than `embedding`.
        """
        if words.dim != self.embedding:
            raise ConfigError(
                f"the word vectors do not fit the embedding of {self.name}",
                where=words.path,
                got=f"{words.dim} dimensions",
                wanted=f"{self.embedding} dimensions",
                next_step=f"set `embedding: {words.dim}`",
            )
        known = [word for word in self.vocabulary.words[len(MARKS) :] if word in words.index]
        rows = np.fromiter((self.vocabulary.index[word] for word in known), np.int64, len(known))
        return rows, words.take(known)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "bigru" if self.bidirectional else "gru",
            "name": self.name,
            "embedding": self.embedding,
            "hidden": self.hidden,
            "vocabulary": self.vocabulary.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], **_: object) -> WordIds:
        return cls(
            data["name"],
            Vocabulary.from_json(data["vocabulary"]),
            data["embedding"],
            data["hidden"],
            data["kind"] == "bigru",
        )
