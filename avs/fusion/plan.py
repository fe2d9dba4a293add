"""How lists are to be fused: the method, its steps, its scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from avs.core.errors import ConfigError, did_you_mean
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.linear import Linear
from avs.fusion.methods import LEARNED, RANK_BASED, WEIGHTED, Learning, learner, require_method, unlearned
from avs.fusion.normalize import Scale
from avs.fusion.two_step import TwoStep, check_families, learn_two_steps, lists_alone


@dataclass(frozen=True, slots=True)
class FusionPlan:
    """How to fuse.

    Attributes:
        method: of the only step, or of step 2.
        scale: of scores, before they are combined.
        families: name -> patterns of list names, for a first step; empty: one step.
        step_1: its method.
        weights: list -> weight, for the method "weighted".
    """

    method: str
    scale: Scale
    families: Mapping[str, Sequence[str]]
    step_1: str
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        require_method(self.method)
        require_method(self.step_1)
        if self.step_1 == WEIGHTED:
            raise ConfigError("weights by hand are for one step", got=f"--step1 {self.step_1}")
        if (self.method == WEIGHTED) != bool(self.weights):
            raise ConfigError("--weights go with --method weighted, and it needs them", got=f"--method {self.method}")
        if self.method == WEIGHTED and self.families:
            raise ConfigError("weights by hand are for one step", next_step="leave --family out")

    @property
    def name(self) -> str:
        """As it is called in a report."""
        return f"{self.step_1}, then {self.method}" if self.families else self.method

    @property
    def scaled(self) -> bool:
        """Whether any step looks at scores on the common scale."""
        steps = (self.method, self.step_1) if self.families else (self.method,)
        return any(step not in (*RANK_BASED, "ltr") for step in steps)

    @property
    def learned(self) -> bool:
        """Whether it learns from judged topics."""
        return self.method in LEARNED or (bool(self.families) and self.step_1 in LEARNED)

    @property
    def config(self) -> dict[str, object]:
        """What decides the content, for a manifest."""
        one_step: dict[str, object] = {"method": self.method}
        one_step |= {"normalization": self.scale.normalization, "missing": self.scale.missing}
        if self.weights:
            one_step["weights"] = dict(self.weights)
        if self.families:
            one_step |= {"families": {name: list(some) for name, some in self.families.items()}, "step_1": self.step_1}
        return one_step

    def fuser(self, lists: Sequence[str]) -> Fuser:
        """The fuser of a plan that learns nothing."""
        if self.method == WEIGHTED:
            self._require_weights(lists)
            return Linear(dict(self.weights), self.scale)
        second = unlearned(self.method, self.scale)
        if not self.families:
            return second
        members = check_families(families_of(self.families, lists), lists)
        first = {family: unlearned(self.step_1, self.scale) for family in members}
        return TwoStep(members, lists_alone(members, lists), first, second)

    def _require_weights(self, lists: Sequence[str]) -> None:
        unknown = [name for name in self.weights if name not in lists]
        if unknown:
            raise ConfigError(
                f'no list is called "{unknown[0]}"{did_you_mean(unknown[0], lists)}', wanted=", ".join(lists)
            )
        without = [name for name in lists if name not in self.weights]
        if without:
            raise ConfigError(
                f"lists without a weight: {', '.join(without)}", next_step="give each one its weight, or leave it out"
            )

    def learner(self, lists: Sequence[str], learning: Learning) -> Learner:
        """What fits the plan's fuser."""
        second = learner(self.method, self.scale, learning)
        if not self.families:
            return second
        members = check_families(families_of(self.families, lists), lists)
        first = learner(self.step_1, self.scale, learning)
        stacked = self.step_1 in LEARNED

        def both(pools: Pools) -> Fuser:
            folds = learning.folds(tuple(pools)) if stacked else ()
            return learn_two_steps(pools, members, first=first, second=second, folds=folds)

        return both


def families_of(patterns: Mapping[str, Sequence[str]], lists: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Family -> the lists whose names its patterns match.

    Raises:
        ConfigError: a pattern that matches none.
    """
    found = {}
    for family, some in patterns.items():
        for pattern in some:
            if not any(fnmatchcase(name, pattern) for name in lists):
                raise ConfigError(
                    f'the family {family} has a pattern that matches no list: "{pattern}"', wanted=", ".join(lists)
                )
        found[family] = tuple(name for name in lists if any(fnmatchcase(name, pattern) for pattern in some))
    return found
