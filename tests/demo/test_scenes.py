"""Where things are, and that one frame does not tell a motion's direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avs.demo.render import FPS, HEIGHT, WIDTH, ShotRenderer, frame_count, frames_of
from avs.demo.scenes import (
    ASPECT,
    BACKGROUNDS,
    COLOURS,
    KINDS,
    MOTIONS,
    Placement,
    place,
    related,
    sample_scene,
    sample_thing,
    zone,
)


def moving(motion: str, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    return sample_scene(rng, things=[sample_thing(rng, motion=motion, size="small", count=1)])


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("right", "x", 1), ("left", "x", -1), ("down", "y", 1), ("up", "y", -1)]
)
def test_travel(motion: str, axis: str, sign: int) -> None:
    scene = moving(motion)
    thing = scene.things[0]
    ends = [place(thing, t, scene.duration_s) for t in (0.0, scene.duration_s)]
    assert getattr(ends[1], axis) - getattr(ends[0], axis) == pytest.approx(sign * thing.travel)


@pytest.mark.parametrize(("motion", "opposite"), [("right", "left"), ("up", "down"), ("grow", "shrink")])
def test_a_motion_is_its_opposite_backwards(motion: str, opposite: str) -> None:
    """So the frames of both are the same set of pictures in another order."""
    scene = moving(motion)
    thing = scene.things[0]
    for time_s in np.linspace(0, scene.duration_s, 7):
        forth = place(thing, time_s, scene.duration_s)
        back = place(replace(thing, motion=opposite), scene.duration_s - time_s, scene.duration_s)
        assert (forth.x, forth.y, forth.side) == pytest.approx((back.x, back.y, back.side))


def test_things_stay_in_the_frame() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        scene = sample_scene(rng)
        for thing in scene.things:
            for time_s in (0.0, scene.duration_s / 2, scene.duration_s):
                at = place(thing, time_s, scene.duration_s)
                assert 0 < at.x < ASPECT and 0 < at.y < 1


@pytest.mark.parametrize(
    ("dx", "dy", "expected"),
    [
        (0.5, 0.0, "left of"),
        (-0.5, 0.1, "right of"),
        (0.1, 0.5, "above"),
        (0.0, -0.5, "below"),
        (0.1, 0.1, None),
        (0.4, 0.4, None),
    ],
)
def test_related(dx: float, dy: float, expected: str | None) -> None:
    assert related(Placement(0.6, 0.5, 0, 0), Placement(0.6 + dx, 0.5 + dy, 0, 0)) == expected


def test_zone() -> None:
    assert zone(Placement(0.1, 0.5, 0, 0)) == ("left", "middle")
    assert zone(Placement(ASPECT / 2, 0.9, 0, 0)) == ("middle", "bottom")


def test_frames() -> None:
    scene = moving("right", seed=4)
    frames = list(frames_of(scene))
    assert len(frames) == frame_count(scene) == int(scene.duration_s * FPS)
    assert frames[0].shape == (HEIGHT, WIDTH, 3) and frames[0].dtype == np.uint8
    assert np.array_equal(frames[3], ShotRenderer(scene).frame(3 / float(FPS)))


def test_every_kind_colour_and_place_can_be_told_apart() -> None:
    """Large still objects in mid-frame: every pair of kinds, colours and backgrounds differs in many pixels."""
    rng = np.random.default_rng(5)
    base = sample_scene(rng, things=[sample_thing(rng, kind="car", size="large", count=1, motion="still")])
    thing = replace(base.things[0], x=ASPECT / 2, y=0.5, colour="red", flipped=False)

    def drawn(**change: str) -> np.ndarray:
        background = change.pop("background", "sea")
        return ShotRenderer(replace(base, background=background, things=(replace(thing, **change),))).frame(0.0)

    for name, values in (("kind", KINDS), ("colour", COLOURS), ("background", BACKGROUNDS)):
        pictures = [drawn(**{name: value}).astype(int) for value in values]
        for i, one in enumerate(pictures):
            for other in pictures[:i]:
                assert (np.abs(one - other).max(-1) > 40).mean() > 0.004


def test_all_motions_are_sampled() -> None:
    rng = np.random.default_rng(6)
    assert {sample_thing(rng).motion for _ in range(300)} == set(MOTIONS)
