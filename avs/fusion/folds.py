"""Which topics to learn from and which to hold out.

Topics that are the same in different years (the progress sets, and sentences that return) always stand in one fold:
what was learned from one would be tested on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fold:
    """Topics to learn from, and topics held out."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def leave_one_out(groups: Mapping[str, str], *, same: Mapping[str, str] | None = None) -> list[Fold]:
    """A fold for every group: its topics are held out, all others learned from.

    Args:
        groups: topic -> group, such as its edition; for leave-one-topic-out the topic itself.
        same: topic -> what it shares with topics of other groups, such as its sentence: those are left out of the
            topics to learn from when it is held out.

    Raises:
        ConfigError: there is only one group.
    """
    names = list(dict.fromkeys(groups.values()))
    if len(names) < 2:
        raise ConfigError("leaving one out needs two groups of topics", got=", ".join(names) or "no topic")
    return [_without_same(_fold(name, groups, {name}), same or {}) for name in names]


def topic_folds(topics: Sequence[str], count: int, *, seed: int, same: Mapping[str, str] | None = None) -> list[Fold]:
    """`count` folds of nearly equal size, at random.

    Args:
        same: topic -> what it shares with topics that must stand in its fold, such as its sentence.

    Raises:
        ConfigError: fewer than 2 folds, or more than there are different topics.
    """
    groups = {topic: (same or {}).get(topic, topic) for topic in topics}
    names = sorted(set(groups.values()))
    if not 2 <= count <= len(names):
        raise ConfigError("the number of folds", got=count, wanted=f"2..{len(names)}, as many as different topics")
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    return [_fold(f"fold {i + 1}", groups, set(shuffled[i::count])) for i in range(count)]


def _without_same(fold: Fold, same: Mapping[str, str]) -> Fold:
    held_out = {same[topic] for topic in fold.test if topic in same}
    return Fold(fold.name, tuple(topic for topic in fold.train if same.get(topic) not in held_out), fold.test)


def _fold(name: str, groups: Mapping[str, str], held_out: set[str]) -> Fold:
    train = tuple(topic for topic, group in groups.items() if group not in held_out)
    return Fold(name, train, tuple(topic for topic, group in groups.items() if group in held_out))
