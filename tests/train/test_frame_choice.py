"""Which frames of a grid are chosen: the published rules, exactly; and that a key alone decides what is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.train.frame_choice import FRAME_POLICIES, FrameChoice

KEY = (7, 2, 31)


def places(count: int, frames: int, policy: str = "linspace", order: str = "normal", key: object = KEY) -> list[int]:
    return FrameChoice(frames, policy, order).places(count, key).tolist()  # type: ignore[arg-type]


def test_linspace_is_the_uniform_of_clip4clip() -> None:
    assert places(30, 12) == [0, 2, 5, 7, 10, 13, 15, 18, 21, 23, 26, 29]
    assert places(13, 12) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert places(9, 1) == [0]


def test_head_and_tail_take_the_first_and_the_last() -> None:
    assert places(10, 3, "head") == [0, 1, 2]
    assert places(10, 3, "tail") == [7, 8, 9]


@pytest.mark.parametrize("policy", list(FRAME_POLICIES))
def test_a_short_grid_gives_each_frame_once(policy: str) -> None:
    for count in range(5):
        assert places(count, 4, policy) == list(range(count))
        assert places(count, 4, policy, "reversed") == list(range(count))[::-1]
        assert sorted(places(count, 4, policy, "shuffled")) == list(range(count))


@pytest.mark.parametrize("policy", list(FRAME_POLICIES))
def test_places_ascend_within_the_grid_and_none_is_twice(policy: str) -> None:
    for count in range(2, 120):
        for frames in range(1, min(count, 14)):
            chosen = np.array(places(count, frames, policy, key=(0, frames, count)))
            assert len(chosen) == frames and (np.diff(chosen) > 0).all(), (count, frames)
            assert chosen[0] >= 0 and chosen[-1] < count


def test_orders() -> None:
    assert places(10, 4, order="reversed") == [9, 6, 3, 0]
    shuffled = [places(10, 4, order="shuffled", key=(0, 0, caption)) for caption in range(400)]
    assert {tuple(sorted(each)) for each in shuffled} == {(0, 3, 6, 9)}
    assert len(set(map(tuple, shuffled))) == 24


@pytest.mark.parametrize(("policy", "order"), [("random", "normal"), ("jittered", "normal"), ("linspace", "shuffled")])
def test_seed_epoch_and_caption_decide_and_nothing_else(policy: str, order: str) -> None:
    first = places(90, 8, policy, order)
    np.random.default_rng(0).random(100)
    np.random.seed(3)  # a worker's state
    assert places(90, 8, policy, order) == first
    for other in ((8, 2, 31), (7, 3, 31), (7, 2, 32)):
        assert places(90, 8, policy, order, other) != first


def test_random_draws_every_set_as_often() -> None:
    drawn = Counter(tuple(places(6, 3, "random", key=(1, 0, caption))) for caption in range(4000))
    assert set(drawn) == set(combinations(range(6), 3))
    assert max(abs(n - 200) for n in drawn.values()) < 5 * 200**0.5


def test_jitter_stays_below_half_a_distance_and_spares_both_ends() -> None:
    still = np.array(places(100, 10))  # every 11 frames, so step is 5
    moved = np.array([places(100, 10, "jittered", key=(1, 0, caption)) for caption in range(2000)]) - still
    assert not moved[:, [0, -1]].any()
    assert set(moved[:, 1:-1].ravel().tolist()) == set(range(-5, 5))
    counts = np.bincount(moved[:, 1:-1].ravel() + 5)
    assert abs(counts - 1600).max() < 5 * 1600**0.5


def test_jitter_leaves_close_frames_in_place() -> None:
    assert places(46, 10, "jittered") == places(46, 10)  # a distance of 5, a step of 2
    assert places(55, 10, "jittered") != places(55, 10)  # a distance of 6, a step of 3
    assert places(50, 1, "jittered") == [0]
    assert places(50, 2, "jittered") == [0, 49]


def test_a_test_takes_linspace_where_a_training_draws() -> None:
    assert FrameChoice(8, "random", "reversed").in_test == FrameChoice(8, "linspace", "reversed")
    assert FrameChoice(8, "jittered").in_test == FrameChoice(8)
    assert FrameChoice(8, "head").in_test == FrameChoice(8, "head")


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        FrameChoice(0, "linspce", "backwards")
    for word in ("frames: ", "got 0", 'did you mean "linspace"?', "normal, reversed, shuffled", "3 problems"):
        assert word in str(caught.value)
    with pytest.raises(ConfigError, match="whole number"):
        FrameChoice(True)
