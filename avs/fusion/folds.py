"""Folds of topics: the topics to learn from, and the topics to hold out.

Topics that are the same in different years (the progress sets, and repeated sentences) are kept in the same fold.
Otherwise a method would be tested on what it has learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fold:
    """Ids of the topics to learn from, and of the held-out topics."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def leave_one_out(groups: Mapping[str, str], *, same: Mapping[str, str] | None = None) -> list[Fold]:
    """One fold per group: its topics are held out, and all others are learned from.

    Args:
        groups: topic -> its group, such as its edition; for leave-one-topic-out the topic itself.
        same: topic -> a key, such as its sentence; topics with the key of a held-out topic are not learned from.

    Raises:
        ConfigError: there is only one group.
    """
    names = list(dict.fromkeys(groups.values()))
    if len(names) < 2:
        raise ConfigError("leave-one-out needs two groups of topics", got=", ".join(names) or "no topic")
    return [_without_same(_fold(name, groups, {name}), same or {}) for name in names]


def topic_folds(topics: Sequence[str], count: int, *, seed: int, same: Mapping[str, str] | None = None) -> list[Fold]:
    """`count` random folds of nearly equal size.

    Args:
        topics: topic ids.
        count: number of folds.
        seed: random seed.
        same: topic -> a key, such as its sentence; topics of the same key are kept in the same fold.

    Raises:
        ConfigError: there are fewer than 2 folds, or more than different topics.
    """
    groups = {topic: (same or {}).get(topic, topic) for topic in topics}
    names = sorted(set(groups.values()))
    if not 2 <= count <= len(names):
        raise ConfigError("wrong number of folds", got=count, wanted=f"2..{len(names)}, the number of different topics")
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    return [_fold(f"fold {i + 1}", groups, set(shuffled[i::count])) for i in range(count)]


def _without_same(fold: Fold, same: Mapping[str, str]) -> Fold:
    held_out = {same[topic] for topic in fold.test if topic in same}
    return Fold(fold.name, tuple(topic for topic in fold.train if same.get(topic) not in held_out), fold.test)


def _fold(name: str, groups: Mapping[str, str], held_out: set[str]) -> Fold:
    train = tuple(topic for topic, group in groups.items() if group not in held_out)
    return Fold(name, train, tuple(topic for topic, group in groups.items() if group in held_out))
