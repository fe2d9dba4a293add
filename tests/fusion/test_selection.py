"""The one-standard-error rule."""

from __future__ import annotations

import numpy as np

from avs.fusion.selection import first_within_one_error


def test_a_clear_gain_is_taken() -> None:
    values = np.array([[0.1, 0.3], [0.2, 0.39], [0.3, 0.52]])
    assert first_within_one_error(values) == 1


def test_a_gain_that_one_topic_makes_is_not() -> None:
    values = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.6]])  # mean 0.1, standard error 0.1
    assert first_within_one_error(values) == 0


def test_the_simplest_near_the_best_is_taken() -> None:
    gains = np.array([[0.0, 0.10, 0.11], [0.0, 0.10, 0.09], [0.0, 0.12, 0.13]])
    assert first_within_one_error(gains) == 1


def test_equal_settings_and_a_single_topic() -> None:
    assert first_within_one_error(np.full((4, 3), 0.5)) == 0
    assert first_within_one_error(np.array([[0.1, 0.3, 0.2]])) == 1  # no error can be estimated: the best
