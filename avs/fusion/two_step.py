"""Fusion in two steps, as on RUCMM's slides of TRECVID 2023: within families of lists, and then across them.

The slides name the steps, but do not describe them. Here step 1 makes one list of each family (such as the LAFFs), and
step 2 fuses these with the lists that are in no family (such as a TeachCLIP student). Each step can be any method.

When step 1 is learned, step 2 must not learn from its scores for topics that step 1 has seen, which are too good. It
learns from scores of a step 1 that was fitted without these topics (stacking). It is applied to scores of a step 1 that
was fitted on all topics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError
from avs.fusion.folds import Fold
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.pool import CandidatePool, ranks_of


@dataclass(frozen=True, slots=True)
class TwoStep:
    """A fuser for each family, and one for their fused lists. A Fuser.

    Attributes:
        families: name -> its lists.
        alone: lists that are in no family.
        first: family -> its fuser.
        second: fuser of the families' fused lists and the lists in `alone`.
    """

    families: Mapping[str, tuple[str, ...]]
    alone: tuple[str, ...]
    first: Mapping[str, Fuser]
    second: Fuser

    @property
    def lists(self) -> tuple[str, ...]:
        return (*(name for lists in self.families.values() for name in lists), *self.alone)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        return self.second.fuse(step_1(pool, self.families, self.alone, self.first))


def step_1(
    pool: CandidatePool, families: Mapping[str, Sequence[str]], alone: Sequence[str], first: Mapping[str, Fuser]
) -> CandidatePool:
    """The candidates with a column for each family and each other list; a family contains all shots of its lists."""
    parts = [_family(pool.columns(lists), first[name]) for name, lists in families.items()]
    rest = pool.columns(alone)
    return CandidatePool(
        pool.topic,
        (*families, *alone),
        pool.shots,
        np.column_stack([*(scores for scores, _, _ in parts), rest.scores]),
        np.column_stack([*(ranks for _, ranks, _ in parts), rest.ranks]),
        np.column_stack([*(held for _, _, held in parts), rest.held]),
    )


def learn_two_steps(
    pools: Pools, families: Mapping[str, Sequence[str]], *, first: Learner, second: Learner, folds: Sequence[Fold]
) -> TwoStep:
    """Fit both steps.

    Args:
        pools: candidates of the judged topics, all over the same lists.
        families: name -> its lists.
        first, second: learners of the steps.
        folds: folds of the topics, which give step 2 out-of-fold scores of step 1; empty, if step 1 learns nothing.

    Raises:
        ConfigError: a list is in two families, or a family has the name of a list outside it.
        AvsError: see the learners.
    """
    lists = next(iter(pools.values())).lists
    named = check_families(families, lists)
    alone = lists_alone(named, lists)

    def fit(topics: Sequence[str]) -> dict[str, Fuser]:
        return {
            family: first({name: pools[name].columns(members) for name in topics}) for family, members in named.items()
        }

    fitted = fit(tuple(pools))
    without: dict[str, Mapping[str, Fuser]] = {}
    for fold in folds:
        without |= dict.fromkeys(fold.test, fit(fold.train))
    answers = {name: step_1(pool, named, alone, without.get(name, fitted)) for name, pool in pools.items()}
    return TwoStep(named, alone, fitted, second(answers))


def lists_alone(families: Mapping[str, Sequence[str]], lists: Sequence[str]) -> tuple[str, ...]:
    """The lists that are in no family."""
    return tuple(name for name in lists if not any(name in members for members in families.values()))


def check_families(families: Mapping[str, Sequence[str]], lists: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The families over known lists.

    Raises:
        ConfigError: see learn_two_steps; or a family names an unknown list.
    """
    members = [name for names in families.values() for name in names]
    unknown = [name for name in members if name not in lists]
    if unknown:
        raise ConfigError(f"a family names unknown lists: {', '.join(unknown)}", got=", ".join(lists))
    twice = {name for name in members if members.count(name) > 1}
    if twice:
        raise ConfigError("a list is in two families", got=", ".join(sorted(twice)))
    clash = [family for family in families if family in lists and family not in families[family]]
    if clash:
        raise ConfigError("a family has the name of a list outside it", got=", ".join(clash))
    return {family: tuple(names) for family, names in families.items()}


def _family(pool: CandidatePool, fuser: Fuser) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(C,) scores, ranks and membership of a family's fused list."""
    held: np.ndarray = np.asarray(pool.held.any(axis=1))
    known = np.isfinite(pool.scores).any(axis=1)
    scores, ranks = np.full(len(pool), np.nan), np.zeros(len(pool), dtype=np.int64)
    if known.any():
        scores[known] = fuser.fuse(pool.rows(known))
        ranks[known] = ranks_of(scores[known][:, None])[:, 0]
    return scores, ranks, held
