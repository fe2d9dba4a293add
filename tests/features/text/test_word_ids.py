from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.features.text.word_ids import WordIds
from avs.features.word_vectors import WordVectors
from avs.features.words import Vocabulary

WORDS = Vocabulary(("<start>", "<end>", "<unk>", "a", "dog", "runs"), start_end=True)
VECTORS = WordVectors(Path("vec.bin"), {"runs": 0, "dog": 2, "cat": 1}, np.arange(6, dtype=np.float32).reshape(3, 2))


def test_words_are_numbered_between_the_marks_and_stop_words_stay() -> None:
    column, present = WordIds("gru", WORDS).columns(["A dog runs", "zebra", ""])
    values, lengths = column.take(np.arange(3))
    assert values.tolist() == [[0, 3, 4, 5, 1], [0, 2, 1, 0, 0], [0, 1, 0, 0, 0]]
    assert lengths.tolist() == [5, 3, 2] and values.dtype == np.int64
    assert present is None


def test_embeddings_start_from_word_vectors_where_there_are_any() -> None:
    rows, vectors = WordIds("gru", WORDS, embedding=2).initial_embeddings(VECTORS)
    assert rows.tolist() == [4, 5] and rows.dtype == np.int64
    assert vectors.tolist() == [[4, 5], [0, 1]]


def test_word_vectors_of_another_dimension_do_not_fit() -> None:
    with pytest.raises(ConfigError) as raised:
        WordIds("gru", WORDS, embedding=500).initial_embeddings(VECTORS)
    assert str(raised.value) == (
        "the word vectors do not fit the embedding of gru\n"
        "  where:  vec.bin\n  got:    2 dimensions\n  wanted: 500 dimensions\n  next:   set `embedding: 2`"
    )


@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_survives_json(bidirectional: bool) -> None:
    feature = WordIds("words", WORDS, 300, 512, bidirectional)
    assert WordIds.from_json(json.loads(json.dumps(feature.to_json()))) == feature
    assert feature.dim == 6
