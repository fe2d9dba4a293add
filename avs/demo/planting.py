"""The scene of each test shot: one that a topic asks for, one that misses a topic by one detail, or a random one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from avs.core.errors import DataError
from avs.demo.patterns import Pattern, ThingPattern
from avs.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    MAX_COUNT,
    MOTIONS,
    RELATIONS,
    SIZES,
    Scene,
    sample_scene,
    sample_thing,
)

BLOCK = 60  # every topic is planted once in this many shots
NEAR_MISSES = 18  # shots of a block that miss a topic by one detail
_TRIES = 2000
_VALUES: dict[str, tuple[object, ...]] = {
    "kind": KINDS, "colour": COLOURS, "size": SIZES, "count": tuple(range(1, MAX_COUNT + 1)), "motion": MOTIONS,
}  # fmt: skip


def scene_for(pattern: Pattern, rng: np.random.Generator) -> Scene:
    """A random scene that shows `pattern`.

    Raises:
        DataError: no such scene was found; the pattern asks for something that no scene can show.
    """
    for _ in range(_TRIES):
        scene = _scene_around(pattern, rng)
        if pattern.matches(scene):
            return scene
    raise DataError("no scene shows this pattern", got=pattern)


def near_miss(pattern: Pattern, rng: np.random.Generator) -> Scene:
    """A random scene that shows `pattern` except for one detail.

    Raises:
        DataError: no such scene was found; every scene shows the pattern.
    """
    for _ in range(_TRIES):
        scene = _scene_around(_altered(pattern, rng), rng)
        if not pattern.matches(scene):
            return scene
    raise DataError("every scene shows this pattern", got=pattern)


def plan_block(topics: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """The roles of the next BLOCK shots in random order: ("topic" | "near miss" | "any", index of the topic)."""
    roles = [("topic", i) for i in range(topics)]
    roles += [("near miss", int(i)) for i in rng.choice(topics, NEAR_MISSES, replace=False)]
    roles += [("any", -1)] * (BLOCK - len(roles))
    return [roles[int(i)] for i in rng.permutation(BLOCK)]


def _scene_around(pattern: Pattern, rng: np.random.Generator) -> Scene:
    things = [sample_thing(rng, **thing.named) for thing in pattern.things]
    wanted = (0, pattern.relation, 1) if pattern.relation else None
    return sample_scene(rng, things=things, background=pattern.background, wanted=wanted)


def _altered(pattern: Pattern, rng: np.random.Generator) -> Pattern:
    """`pattern` with one of its details changed."""
    details: list[tuple[int, str]] = [(i, name) for i, thing in enumerate(pattern.things) for name in thing.named]
    details += [(-1, name) for name in ("background", "relation", "without") if getattr(pattern, name) is not None]
    index, name = details[int(rng.integers(len(details)))]
    if name == "without":  # show what must be absent
        return replace(pattern, without=None, things=(*pattern.things, pattern.without or ThingPattern()))
    values = {**_VALUES, "background": BACKGROUNDS, "relation": RELATIONS}[name]
    altered = pattern if index < 0 else pattern.things[index]
    others = [value for value in values if value != getattr(altered, name)]
    change: dict[str, Any] = {name: others[int(rng.integers(len(others)))]}
    if index < 0:
        return replace(pattern, **change)
    things = list(pattern.things)
    things[index] = replace(things[index], **change)
    return replace(pattern, things=tuple(things))
