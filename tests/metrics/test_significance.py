from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from avs.metrics.significance import largest_differences, randomization_test, wins


def test_few_topics_are_enumerated_exactly() -> None:
    values = np.random.default_rng(0).random((2, 7))
    difference = values[0] - values[1]
    swapped = [abs(float(np.dot(signs, difference))) for signs in product((-1, 1), repeat=7)]
    wanted = sum(s >= abs(difference.sum()) - 1e-12 for s in swapped) / 2**7
    test = randomization_test(values)
    assert test.exact and test.swaps == 128 and test.p_values[0, 1] == test.p_values[1, 0] == wanted


def test_random_swaps_come_near_the_exact_p_and_repeat_with_the_seed() -> None:
    values = np.random.default_rng(1).random((3, 12))
    exact = randomization_test(values, iterations=4096)
    drawn = randomization_test(values, iterations=4000, seed=3)
    assert exact.exact and not drawn.exact
    assert drawn.p_values == pytest.approx(exact.p_values, abs=0.04)
    assert (drawn.p_values == randomization_test(values, iterations=4000, seed=3).p_values).all()


def test_the_smallest_p_is_that_of_the_observed_swap() -> None:
    test = randomization_test(np.stack([np.ones(40), np.zeros(40)]), iterations=99)
    assert test.p_values[0, 1] == 1 / 100 and test.differences[0, 1] == 1


def test_wins_count_topics() -> None:
    assert wins(np.array([[0.1, 0.5, 0.3], [0.2, 0.4, 0.3]])).tolist() == [[0, 1], [1, 0]]


def test_equal_differences_stay_in_the_order_of_the_topics() -> None:
    topics = [str(n) for n in range(40)]
    first = np.array([0.1 * (n % 3) * (-1) ** n for n in range(40)])
    order = [topic for topic, _ in largest_differences(first, np.zeros(40), topics)]
    assert order == [*topics[2::3], *topics[1::3], *topics[0::3]]
