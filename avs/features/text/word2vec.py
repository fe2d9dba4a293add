"""Word2vec: the mean of the vectors of a text's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.sparse import csr_array

from avs.core.errors import SpecMismatchError
from avs.features.text.bag_of_words import count_words, known_rows
from avs.features.text.registry import TextFeatureOptions, text_features
from avs.features.word_vectors import WordVectors, fingerprint_word_vectors, open_word_vectors
from avs.features.words import STOP_WORDS, Vocabulary, content_words, tokenise


@dataclass(frozen=True, slots=True, eq=False)
class WordMeanColumn:
    """The mean of the vectors of each text's words. Only the words' vectors are kept, whatever the number of texts.

    Attributes:
        weights: (N, W), the share of each word in a text.
        vectors: (W, D) float32.
    """

    weights: csr_array
    vectors: np.ndarray

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(B, D) float32, zeros for a text without a known word."""
        taken: np.ndarray = self.weights[rows] @ self.vectors
        return taken


class Word2VecOptions(TextFeatureOptions):
    """Options of the mean of word vectors.

    Attributes:
        path: the vectors, see `avs.features.word_vectors.open_word_vectors`.
        remove_stop_words: whether stop words are left out.
    """

    kind: Literal["word2vec"]
    path: Path
    remove_stop_words: bool = True

    def inputs(self) -> dict[str, str]:
        return {f"words of {self.name or self.kind}": fingerprint_word_vectors(self.path)}


@text_features.register("word2vec")
class Word2Vec:
    """Mean of pretrained word vectors.

    A word that occurs twice counts twice, and a text without a known word lacks the feature. RUC's code, as with
    `legacy`, counts each distinct word once (its reader makes a set of the words) and gives zeros for such a text.

    Attributes:
        name: of the feature.
        path: file or folder of the vectors, read when first needed; see `avs.features.word_vectors`.
        fingerprint: of its content.
        remove_stop_words: whether stop words are left out of the mean.
        stop_words: those words, if they are not avs's own; of a model of others, for example.
        legacy: as above.
    """

    options: ClassVar[type[TextFeatureOptions]] = Word2VecOptions

    def __init__(
        self,
        name: str,
        path: str | Path,
        *,
        remove_stop_words: bool = True,
        stop_words: Sequence[str] | None = None,
        legacy: bool = False,
    ) -> None:
        self.name = name
        self.path = Path(path)
        self.fingerprint = fingerprint_word_vectors(self.path)
        self.remove_stop_words = remove_stop_words
        self.stop_words = None if stop_words is None else frozenset(stop_words)
        self.legacy = legacy

    @classmethod
    def build(cls, options: Word2VecOptions, texts: Sequence[str], *, legacy: bool, **_: str) -> Word2Vec:
        name = options.name or "word2vec"
        return cls(name, options.path, remove_stop_words=options.remove_stop_words, legacy=legacy)

    @cached_property
    def vectors(self) -> WordVectors:
        """The file's vectors."""
        return open_word_vectors(self.path)

    @property
    def dim(self) -> int:
        """Length of a word's vector."""
        return self.vectors.dim

    def columns(self, texts: Sequence[str]) -> tuple[WordMeanColumn, np.ndarray | None]:
        """The (N, dim) means of N texts, and (N,) bool which of them have a known word; None when all do."""
        used = {word for text in texts for word in self._words(text)}
        known = Vocabulary(tuple(sorted(used & self.vectors.index.keys())))
        counts = count_words(known, texts)
        values = np.ones_like(counts.values) if self.legacy else counts.values
        shape = (len(texts), len(known))
        weights = csr_array((values, counts.indices, counts.offsets), shape=shape, dtype=np.float32)
        totals = np.asarray(weights.sum(axis=1), dtype=np.float32)
        weights.data /= np.repeat(totals, np.diff(counts.offsets))
        present = known_rows(np.diff(counts.offsets), legacy=self.legacy)
        return WordMeanColumn(weights, self.vectors.take(known.words)), present

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text, the words without a vector (stop words that are removed do not count)."""
        index = self.vectors.index
        return [[word for word in dict.fromkeys(self._words(text)) if word not in index] for text in texts]

    def _words(self, text: str) -> list[str]:
        if not self.remove_stop_words:
            return tokenise(text)
        return content_words(text, STOP_WORDS if self.stop_words is None else self.stop_words)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "word2vec",
            "name": self.name,
            "path": str(self.path.resolve()),
            "fingerprint": self.fingerprint,
            "remove_stop_words": self.remove_stop_words,
            **({} if self.stop_words is None else {"stop_words": sorted(self.stop_words)}),
            "legacy": self.legacy,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], *, path: str | Path | None = None, **_: str) -> Word2Vec:
        """The same feature again.

        Args:
            path: current location of the vectors; None: as recorded.

        Raises:
            AvsError: there is no such file.
            SpecMismatchError: the file has other vectors.
        """
        feature = cls(
            data["name"],
            path or data["path"],
            remove_stop_words=data["remove_stop_words"],
            stop_words=data.get("stop_words"),
            legacy=data["legacy"],
        )
        if feature.fingerprint != data["fingerprint"]:
            raise SpecMismatchError(
                f"the word vectors are not those of the feature {feature.name}",
                where=feature.path,
                got=feature.fingerprint,
                wanted=data["fingerprint"],
                next_step="give the file that the model was trained with",
            )
        return feature
