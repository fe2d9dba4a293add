from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.features.words import STOP_WORDS, Vocabulary, content_words, tokenise

CAPTIONS = ["A dog runs, a dog jumps!", "the dog runs", "two men's red-hot dogs"]


def test_a_text_is_parted_at_what_is_neither_letter_nor_digit() -> None:
    assert tokenise("  A man's T-shirt, no_42 (red)\t") == ["a", "man", "s", "t", "shirt", "no", "42", "red"]
    assert tokenise("... ,") == []


def test_letters_with_accents_are_letters_however_they_are_written() -> None:
    assert tokenise("Café") == tokenise("Cafe\u0301") == ["café"]


def test_stop_words_are_words_of_grammar_and_nothing_that_can_be_seen() -> None:
    assert {"a", "the", "is", "of", "s", "t"} <= STOP_WORDS
    assert not STOP_WORDS & {"two", "not", "no", "fire", "front", "under", "man", "she wolf"}
    assert all(tokenise(word) == [word] for word in STOP_WORDS)
    assert content_words("The two men are in front of a fire") == ["two", "men", "front", "fire"]


def test_a_word_is_known_when_it_occurs_threshold_times() -> None:
    assert Vocabulary.build(CAPTIONS, threshold=2).words == ("dog", "a", "runs")  # 3, 2, 2
    assert Vocabulary.build(CAPTIONS, threshold=3).words == ("dog",)
    assert Vocabulary.build(CAPTIONS, threshold=2, remove_stop_words=True).words == ("dog", "runs")


def test_marks_stand_before_the_words() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, threshold=2, start_end=True)
    assert vocabulary.words == ("<start>", "<end>", "<unk>", "dog", "a", "runs")
    offsets, numbers = vocabulary.numbers(["a cat runs", ""])
    assert numbers.tolist() == [0, 4, 2, 5, 1, 0, 1] and offsets.tolist() == [0, 5, 7]


def test_without_marks_unknown_words_leave_nothing() -> None:
    offsets, numbers = Vocabulary(("dog", "runs")).numbers(["dog cat dog", "cat", "runs"])
    assert numbers.tolist() == [0, 0, 1] and offsets.tolist() == [0, 2, 2, 3]
    assert offsets.dtype == numbers.dtype == np.int64


def test_unknown_words_come_once_in_their_order_and_without_removed_stop_words() -> None:
    text = "The palomino and the dog, a palomino and a Zebra"
    assert Vocabulary(("dog",), remove_stop_words=True).unknown(text) == ["palomino", "zebra"]
    assert Vocabulary(("dog",)).unknown("the dog the cat") == ["the", "cat"]


def test_a_vocabulary_survives_json() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, threshold=2, remove_stop_words=True, start_end=True)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary and again.index == vocabulary.index


def test_no_frequent_word_is_an_error() -> None:
    with pytest.raises(DataError) as raised:
        Vocabulary.build(CAPTIONS, threshold=4)
    assert str(raised.value) == (
        "no word of the captions is frequent enough for a vocabulary\n"
        "  got:    11 distinct words, the most frequent 3 times\n"
        "  wanted: words that occur 4 times\n"
        "  next:   lower the feature's `threshold`"
    )


def test_the_words_of_flickr8k_are_counted_as_a_plain_loop_counts_them(shared: Callable[[str], Path]) -> None:
    lines = shared("flickr8k_clip/Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[1] for line in lines]
    counts = Counter("".join(c if c.isalnum() else " " for c in "\n".join(texts).lower()).split())
    wanted = {word for word, count in counts.items() if count >= 5}
    vocabulary = Vocabulary.build(texts)
    assert set(vocabulary.words) == wanted and len(vocabulary) > 2_000
    assert vocabulary.words[0] == "a"
