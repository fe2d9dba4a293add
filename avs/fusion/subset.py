"""The best subset of lists to average: greedy forward selection on the measure itself.

It starts with no list, and adds the list that makes the average of the chosen lists best, until all are chosen. The
selection is the best subset on this path; of equal ones the smallest. On the topics it was selected on, it is never
worse than the average of all lists, which is the end of the path. Only other topics tell how good it is
(`prefix_values`).

This is ensemble selection (Caruana et al.: Ensemble Selection from Libraries of Models, ICML 2004) without repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError
from avs.core.objective import Objective
from avs.fusion.fuser import Pools
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.fusion.weighed_topic import WeighedTopic


@dataclass(frozen=True, slots=True)
class Selection:
    """All lists in the order in which they were added.

    Attributes:
        path: names of the lists.
        means: means of the measure over the topics selected on, for the average of the first 1, 2, ... lists.
        scale: scale of the scores that are averaged.
    """

    path: tuple[str, ...]
    means: tuple[float, ...]
    scale: Scale

    @property
    def lists(self) -> tuple[str, ...]:
        """The best subset, in the order of the path."""
        return self.path[: int(np.argmax(self.means)) + 1]

    @property
    def fuser(self) -> Linear:
        """The average of the best subset."""
        return Linear(dict.fromkeys(self.lists, 1 / len(self.lists)), self.scale)


def forward_selection(pools: Pools, objective: Objective, *, scale: Scale | None = None) -> Selection:
    """The path through all lists, chosen by the mean of the measure over these topics.

    Args:
        pools: candidates of judged topics, all over the same lists.
        objective: the measure.
        scale: scale of the scores that are averaged.

    Raises:
        ConfigError: there is no topic.
    """
    if not pools:
        raise ConfigError("nothing to select lists by", got="no topic")
    scale = scale or Scale()
    lists = next(iter(pools.values())).lists
    topics = [WeighedTopic.of(pool, lists, scale=scale, objective=objective) for pool in pools.values()]
    sums = [np.zeros(topic.values.shape[1]) for topic in topics]
    left, path, means = list(range(len(lists))), [], []
    while left:
        tried = [topic.score(s + topic.values[left]) for s, topic in zip(sums, topics, strict=True)]
        mean = np.mean(tried, axis=0)
        best = int(mean.argmax())
        added = left.pop(best)
        sums = [s + topic.values[added] for s, topic in zip(sums, topics, strict=True)]
        path.append(lists[added])
        means.append(float(mean[best]))
    return Selection(tuple(path), tuple(means), scale)


def prefix_values(selection: Selection, pools: Pools, objective: Objective) -> np.ndarray:
    """(T, M) measure of each topic, for the average of the first 1, 2, ... M lists of the path."""
    rows = [np.empty((0, len(selection.path)))]
    for pool in pools.values():
        topic = WeighedTopic.of(pool, selection.path, scale=selection.scale, objective=objective)
        rows.append(topic.score(np.cumsum(topic.values, axis=0))[None])
    return np.concatenate(rows)
