from __future__ import annotations

import json

import numpy as np
import pytest

from avs.features.text.bag_of_words import BagOfWords
from avs.features.words import Vocabulary, tokenise

WORDS = Vocabulary(("dog", "red", "runs"), remove_stop_words=True)
TEXTS = ["a red dog, a RED dog and a red car", "zebra", "runs"]
COUNTS = [[2, 3, 0], [0, 0, 0], [0, 0, 1]]


def test_words_are_counted() -> None:
    column, present = BagOfWords("bow", WORDS).columns(TEXTS)
    assert column.take(np.arange(3)).tolist() == COUNTS
    assert present is not None and present.tolist() == [True, False, True]
    assert column.dim == 3 and len(column) == 3


def test_rows_come_as_they_are_asked_for() -> None:
    column, _ = BagOfWords("bow", WORDS).columns(TEXTS)
    assert column.take(np.array([2, 0, 2])).tolist() == [COUNTS[2], COUNTS[0], COUNTS[2]]


def test_the_authors_have_zeros_where_no_word_is_known() -> None:
    column, present = BagOfWords("bow", WORDS, legacy=True).columns(TEXTS)
    assert present is None and column.take(np.array([1])).tolist() == [[0, 0, 0]]


def test_nobody_is_missing_when_every_text_has_a_known_word() -> None:
    assert BagOfWords("bow", WORDS).columns(["dog", "runs"])[1] is None


def test_vectors_of_length_one() -> None:
    column, _ = BagOfWords("bow", WORDS, norm="l2").columns(TEXTS)
    assert column.take(np.arange(3)) == pytest.approx(
        np.array([[2 / 13**0.5, 3 / 13**0.5, 0], [0, 0, 0], [0, 0, 1]]), abs=1e-6
    )


def test_many_texts_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnop"))
    texts = [" ".join(rng.choice(letters, size=rng.integers(0, 12))) for _ in range(300)]
    vocabulary = Vocabulary.build(texts, threshold=110)
    assert 1 < len(vocabulary) < 16
    plain = np.array([[tokenise(text).count(word) for word in vocabulary.words] for text in texts])
    column, present = BagOfWords("bow", vocabulary).columns(texts)
    assert (column.take(np.arange(300)) == plain).all()
    assert present is not None and (present == plain.any(axis=1)).all()


def test_no_text_at_all() -> None:
    column, present = BagOfWords("bow", WORDS).columns([])
    assert len(column) == 0 and present is None


def test_it_survives_json() -> None:
    feature = BagOfWords("words", WORDS, norm="l2", legacy=True)
    assert BagOfWords.from_json(json.loads(json.dumps(feature.to_json()))) == feature
