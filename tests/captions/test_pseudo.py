"""Pseudo captions: which of a shot's captions are the same, and which are kept."""

from __future__ import annotations

import numpy as np

from avs.captions.pseudo import best_captions, distinct_captions, tidy_caption


def test_white_space_is_tidied_and_marks_alone_are_no_caption() -> None:
    assert tidy_caption("  a  dog\n runs ") == "a dog runs"
    assert tidy_caption(" . ! ") == tidy_caption("") == ""
    assert tidy_caption("犬") == "犬"


def test_of_captions_that_differ_in_case_the_first_stays() -> None:
    assert distinct_captions(["A dog", "", "a cat", "a Dog", "a cat", ""]) == ["A dog", "a cat"]


def test_the_captions_most_similar_to_the_mean_of_the_frames_are_kept_best_first() -> None:
    frames = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    texts = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    captions = ["neither", "one frame", "two frames", "one frame, later"]
    assert best_captions(captions, texts, frames, keep=3) == ["two frames", "one frame", "one frame, later"]
    assert best_captions(captions, texts, frames, keep=9) == [*captions[2:0:-1], captions[3], captions[0]]
