"""Text features: what a model reads of a sentence. Made from training captions, and brought back from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from avs.core.columns import Column
from avs.core.errors import FormatError
from avs.features.bag_of_words import BagOfWords
from avs.features.concepts import Concepts
from avs.features.encoder_text import EncoderText
from avs.features.word2vec import Word2Vec, WordMeanColumn
from avs.features.word_ids import WordIds
from avs.features.words import Vocabulary

if TYPE_CHECKING:
    from avs.features.text_options import (
        BagOfWordsOptions,
        ConceptOptions,
        EncoderOptions,
        RecurrentOptions,
        Word2VecOptions,
    )


class TextFeature(Protocol):
    """One feature of sentences.

    Attributes:
        name: such as "bow", "gru", or the catalog name of an extractor.
        dim: length of its vector; of words as numbers (gru, bigru) the size of the vocabulary.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def columns(self, texts: Sequence[str]) -> tuple[Column | WordMeanColumn, np.ndarray | None]:
        """The feature of N texts, and (N,) bool which of them have it; None when all do."""
        ...

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """Of each text, the distinct words that the feature cannot use."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that `text_feature_from_json` needs, vocabularies included."""
        ...


def build_text_feature(
    options: BagOfWordsOptions | Word2VecOptions | RecurrentOptions | ConceptOptions | EncoderOptions,
    texts: Sequence[str],
    *,
    device: str = "cpu",
    dtype: str = "float32",
    legacy: bool = False,
) -> TextFeature:
    """The text feature of some options (see `avs.features.text_options`).

    Args:
        texts: the training captions, of which vocabularies are made.
        device, dtype: an extractor computes on and in.
        legacy: do as the authors' code: a text of unknown words has a vector of zeros rather than no vector, and
            word2vec counts each distinct word once.

    Raises:
        DataError: no word of the captions is frequent enough.
        AvsError: word vectors or weights that are not there.
    """
    if options.kind == "word2vec":
        name = options.name or "word2vec"
        return Word2Vec(name, options.path, remove_stop_words=options.remove_stop_words, legacy=legacy)
    if options.kind == "encoder":
        from avs.features.embedder import read_spec

        spec = read_spec(options.model, weights=options.weights, pooling=options.pooling)
        return EncoderText(spec, weights=options.weights, device=device, dtype=dtype)
    if options.kind == "concepts":
        return Concepts.mine(options.name or "concepts", texts, size=options.size)
    if options.kind == "bow":
        known = Vocabulary.build(texts, threshold=options.threshold, remove_stop_words=options.remove_stop_words)
        return BagOfWords(options.name or "bow", known, norm=options.norm, legacy=legacy)
    known = Vocabulary.build(texts, threshold=options.threshold, start_end=True)
    return WordIds(
        options.name or options.kind, known, options.embedding, options.hidden, bidirectional=options.kind == "bigru"
    )


def text_feature_from_json(
    data: Mapping[str, Any], *, path: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
) -> TextFeature:
    """The text feature that `to_json` described.

    Args:
        path: where the word vectors of word2vec, or the weights of an extractor, lie now; None: where they lay.
        device, dtype: an extractor computes on and in.

    Raises:
        FormatError: of a kind this avs does not know.
        SpecMismatchError: other word vectors lie there (other weights are found when the first text is encoded).
        AvsError: no word vectors there.
    """
    data = dict(data)
    match data.get("kind"):
        case "bow":
            return BagOfWords.from_json(data)
        case "concepts":
            return Concepts.from_json(data)
        case "gru" | "bigru":
            return WordIds.from_json(data)
        case "word2vec":
            return Word2Vec.from_json(data, path=path)
        case "encoder":
            return EncoderText.from_json(data, weights=path, device=device, dtype=dtype)
        case kind:
            raise FormatError(
                "a text feature of an unknown kind", got=kind, wanted="bow, word2vec, gru, bigru, concepts, encoder"
            )


def report_unknown(
    features: Sequence[TextFeature], texts: Sequence[str], ids: Sequence[str], *, noun: str = "topic"
) -> list[str]:
    """A line for each word of each text that some features cannot use, in order; none when they know all.

    >>> report_unknown([], ["a dog"], ["731"])
    []
    """
    unknown = {feature.name: feature.unknown_words(texts) for feature in features}
    lines = []
    for row, id in enumerate(ids):
        features_of: dict[str, list[str]] = {}
        for name, words in unknown.items():
            for word in words[row]:
                features_of.setdefault(word, []).append(name)
        for word, names in features_of.items():
            lines.append(f'{noun} {id}: "{word}" is not in the vocabulary of {", ".join(names)}')
    return lines
