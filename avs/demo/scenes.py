"""Scenes: what a shot of the mini collection shows, and where each thing is at any moment.

Lengths are in frame heights: x runs from 0 to 4/3, y from 0 (top) to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

KINDS = (
    "car", "house", "tree", "boat", "ball", "star", "fish",
    "bird", "cat", "person", "flower", "cup", "plane", "umbrella",
)  # fmt: skip
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SIZES = ("small", "large")
MOTIONS = ("still", "right", "left", "up", "down", "bounce", "spin", "grow", "shrink")
BACKGROUNDS = ("beach", "forest", "night", "snow", "street", "room", "desert", "sea")
RELATIONS = ("left of", "right of", "above", "below")
MAX_COUNT = 4

ASPECT = 4 / 3
SIDE = {"small": 0.20, "large": 0.38}  # side of the square that an object fills
GROWTH = 2.2  # largest side of a growing object, divided by its smallest
BOUNCES_PER_S = 0.65
TURNS_PER_S = 0.22

_COUNT_ODDS = (0.62, 0.16, 0.11, 0.11)
_THINGS_ODDS = (0.34, 0.50, 0.16)
_STILL_ODDS = 0.5


@dataclass(frozen=True, slots=True)
class Thing:
    """One object, or a group of `count` equal objects that move together.

    Attributes:
        x, y: centre of the group in the middle of the shot.
        travel: distance from start to end of the motions right, left, up and down; height of a bounce.
        phase: share (0 to 1) of a turn or bounce at which the motion starts.
        flipped: the object is drawn facing the other way; this does not depend on the motion.
    """

    kind: str
    colour: str
    size: str
    count: int
    motion: str
    x: float
    y: float
    travel: float
    phase: float
    flipped: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """What one shot shows.

    Attributes:
        look: seed of what no topic asks for: texture, brightness, noise, camera shake.
    """

    background: str
    things: tuple[Thing, ...]
    duration_s: float
    look: int


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a thing at one moment: its centre, the side of one object, the rotation in degrees."""

    x: float
    y: float
    side: float
    angle: float


def place(thing: Thing, time_s: float, duration_s: float) -> Placement:
    """The place of `thing` at `time_s` seconds of a shot of `duration_s` seconds.

    Every motion is symmetric about the middle of the shot, so a single frame does not show its direction.
    """
    way = time_s / duration_s - 0.5
    x, y, side, angle = thing.x, thing.y, SIDE[thing.size], 0.0
    if thing.motion in ("right", "left"):
        x += way * thing.travel * (1 if thing.motion == "right" else -1)
    elif thing.motion in ("up", "down"):
        y += way * thing.travel * (1 if thing.motion == "down" else -1)
    elif thing.motion == "bounce":
        y += thing.travel * (0.5 - abs(math.sin(math.pi * (BOUNCES_PER_S * time_s + thing.phase))))
    elif thing.motion == "spin":
        angle = 360 * (TURNS_PER_S * time_s + thing.phase)
    elif thing.motion in ("grow", "shrink"):
        side *= GROWTH ** (way if thing.motion == "grow" else -way)
    return Placement(x, y, side, angle)


def zone(placement: Placement) -> tuple[str, str]:
    """("left" | "middle" | "right", "top" | "middle" | "bottom") of a placement."""
    across, down = placement.x / ASPECT, placement.y
    horizontal = "left" if across < 0.38 else "right" if across > 0.62 else "middle"
    return horizontal, "top" if down < 0.36 else "bottom" if down > 0.64 else "middle"


def related(a: Placement, b: Placement) -> str | None:
    """Where `a` is relative to `b`, one of RELATIONS; None where neither axis clearly decides."""
    dx, dy = b.x - a.x, b.y - a.y
    if max(abs(dx), abs(dy)) < 0.25 or abs(abs(dx) - abs(dy)) < 0.05:
        return None
    if abs(dx) > abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


def relation(scene: Scene, a: int, b: int) -> str | None:
    """Where thing `a` is relative to thing `b` during the whole shot, one of RELATIONS; None where it changes."""
    relations = {
        related(*(place(scene.things[i], part * scene.duration_s, scene.duration_s) for i in (a, b)))
        for part in (0.0, 0.25, 0.5, 0.75, 1.0)
    }
    return relations.pop() if len(relations) == 1 else None


def member_offsets(count: int) -> tuple[tuple[float, float], ...]:
    """The centre of each object of a group, relative to the centre of the group; the unit is the side of one object."""
    return (
        ((0.0, 0.0),),
        ((-0.6, 0.0), (0.6, 0.0)),
        ((-0.62, 0.5), (0.62, 0.5), (0.0, -0.55)),
        ((-0.6, -0.58), (0.6, -0.58), (-0.6, 0.58), (0.6, 0.58)),
    )[count - 1]


def sample_thing(rng: np.random.Generator, **fixed: object) -> Thing:
    """A random thing without a place; the attributes in `fixed` are not random."""
    kind = str(fixed.get("kind") or rng.choice(KINDS))
    colour = str(fixed.get("colour") or rng.choice(COLOURS))
    size = str(fixed.get("size") or rng.choice(SIZES))
    count = int(str(fixed.get("count") or 1 + rng.choice(MAX_COUNT, p=_COUNT_ODDS)))
    if count > 2 and size == "large":  # three large objects do not fit
        size, count = ("small", count) if fixed.get("count") else ("large", 2)
    still = rng.random() < _STILL_ODDS
    motion = str(fixed.get("motion") or ("still" if still else rng.choice(MOTIONS[1:])))
    travel = rng.uniform(0.45, 0.75) if motion in ("right", "left") else rng.uniform(0.32, 0.5)
    return Thing(kind, colour, size, count, motion, 0.0, 0.0, travel, rng.random(), bool(rng.random() < 0.5))


def arrange(things: Sequence[Thing], rng: np.random.Generator, *, wanted: tuple[int, str, int] | None) -> list[Thing]:
    """`things` with random places inside the frame: the attempt of up to 12 that keeps them farthest apart.

    Args:
        wanted: (a, relation, b), with indices of the things; attempts in which it holds are preferred.
    """
    best: list[Thing] = []
    best_gap = -math.inf
    for _ in range(12):
        attempt = [_anywhere(thing, rng) for thing in things]
        gap = min(
            (
                math.hypot(a.x - b.x, a.y - b.y) - _radius(a) - _radius(b)
                for i, a in enumerate(attempt)
                for b in attempt[:i]
            ),
            default=0.0,
        )
        if wanted and not _holds(wanted, attempt):
            gap -= 10
        if gap > best_gap:
            best, best_gap = attempt, gap
        if gap >= 0:
            break
    return best


def _holds(wanted: tuple[int, str, int], things: Sequence[Thing]) -> bool:
    first, relation, second = wanted
    a, b = (Placement(things[i].x, things[i].y, 0, 0) for i in (first, second))
    return related(a, b) == relation


def _radius(thing: Thing) -> float:
    return SIDE[thing.size] * (0.5 if thing.count == 1 else 0.9)


def _anywhere(thing: Thing, rng: np.random.Generator) -> Thing:
    """`thing` at a random place from which its motion stays inside the frame."""
    offsets = member_offsets(thing.count)
    side = SIDE[thing.size] * (GROWTH**0.5 if thing.motion in ("grow", "shrink") else 1)
    reach_x = side * (0.45 + max(x for x, _ in offsets)) + (
        thing.travel / 2 if thing.motion in ("right", "left") else 0
    )
    moves_y = thing.motion in ("up", "down", "bounce")
    reach_y = side * (0.45 + max(abs(y) for _, y in offsets)) + (thing.travel / 2 if moves_y else 0)
    margin_x, margin_y = min(0.1 + reach_x, ASPECT / 2), min(0.02 + reach_y, 0.5)
    return replace(thing, x=rng.uniform(margin_x, ASPECT - margin_x), y=rng.uniform(margin_y, 1 - margin_y))


def sample_scene(
    rng: np.random.Generator,
    *,
    things: Sequence[Thing] = (),
    background: str | None = None,
    wanted: tuple[int, str, int] | None = None,
) -> Scene:
    """A random scene that begins with `things`; their number, 1 to 3, is random, and so are the others.

    Args:
        background: default: a random one.
        wanted: a relation between two of the things, as in `arrange`.
    """
    number = max(1 + int(rng.choice(3, p=_THINGS_ODDS)), len(things))
    every = [*things, *(sample_thing(rng) for _ in range(number - len(things)))]
    return Scene(
        background=background or str(rng.choice(BACKGROUNDS)),
        things=tuple(arrange(every, rng, wanted=wanted)),
        duration_s=round(rng.uniform(2.0, 5.0), 2),
        look=int(rng.integers(2**31)),
    )
