"""The levels of feature stores: which rows a shot has."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError
from avs.core.store import Level

LEVELS = r"shot|frame|keep:[1-9][0-9]{0,3}"


@dataclass(frozen=True, slots=True)
class StoreLevel:
    """What a store has of every shot.

    Attributes:
        kind: "shot": one row; "frame": several, with their times.
        keep: number of rows at most, at frame level; 0: a row for every frame or clip.
    """

    kind: Level
    keep: int = 0

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"keep-{self.keep}" if self.keep else self.kind


def parse_level(text: str) -> StoreLevel:
    """The level that `shot`, `frame` or `keep:K` means.

    Raises:
        ConfigError: it means none.

    >>> parse_level("keep:4")
    StoreLevel(kind='frame', keep=4)
    """
    if not re.fullmatch(LEVELS, text):
        raise ConfigError(
            f'unknown level "{text}"', wanted="shot, frame, or keep:K with K from 1 to 9999, such as keep:4"
        )
    if text.startswith("keep:"):
        return StoreLevel("frame", int(text.removeprefix("keep:")))
    return StoreLevel("shot" if text == "shot" else "frame")


def farthest_apart(vectors: np.ndarray, count: int) -> np.ndarray:
    """Ascending positions of up to `count` of a shot's vectors that differ most.

    The first is the one nearest the mean. Then comes, again and again, the one that is least similar to its nearest
    among those taken (farthest-first traversal, Gonzalez 1985, by cosine similarity). Of equal ones the earliest is
    taken, and what equals a taken one is taken last.

    Args:
        vectors: (F, D), of any length but zero.

    >>> farthest_apart(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 2)
    array([1, 2])
    """
    if len(vectors) <= count:
        return np.arange(len(vectors))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    taken = [int(np.argmax(unit @ unit.mean(axis=0)))]
    nearest = np.where(np.arange(len(unit)) == taken[0], np.inf, unit @ unit[taken[0]])
    while len(taken) < count:
        place = int(np.argmin(nearest))
        taken.append(place)
        nearest = np.maximum(nearest, unit @ unit[place])
        nearest[place] = np.inf
    return np.sort(taken)
