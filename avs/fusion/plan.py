"""The plan of a fusion: its method, its steps, and the scale of the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from avs.core.errors import ConfigError, did_you_mean
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.methods import METHODS, Learning, Method, learner, unlearned
from avs.fusion.methods.method import scale_to_json
from avs.fusion.normalize import RECIPROCAL_RANK, Scale
from avs.fusion.two_step import TwoStep, check_families, learn_two_steps, lists_alone


@dataclass(frozen=True, slots=True)
class FusionPlan:
    """A method, or two: one within families of lists, and one across them.

    Attributes:
        method: the method of the only step, or of step 2.
        scale: scale of the scores, before they are combined.
        families: name -> patterns of list names, for a first step; empty: there is one step.
        step_1: method of the first step.
        weights: list -> weight, for a method that takes weights by hand.

    Raises:
        ConfigError: a method is unknown, or weights and methods do not fit together.
    """

    method: str
    scale: Scale
    families: Mapping[str, Sequence[str]]
    step_1: str
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        method, step_1 = METHODS.get(self.method), METHODS.get(self.step_1)
        if step_1.takes_weights:
            raise ConfigError("weights by hand are for one step", got=f"--step1 {self.step_1}")
        if method.takes_weights != bool(self.weights):
            takers = ", ".join(name for name in METHODS if METHODS.get(name).takes_weights)
            raise ConfigError(f"--weight and --method {takers} need each other", got=f"--method {self.method}")
        if method.takes_weights and self.families:
            raise ConfigError("weights by hand are for one step", next_step="leave --family out")

    @property
    def _steps(self) -> tuple[Method, ...]:
        return tuple(METHODS.get(name) for name in ((self.method, self.step_1) if self.families else (self.method,)))

    @property
    def name(self) -> str:
        """The name of the plan in a report."""
        return f"{self.step_1}, then {self.method}" if self.families else self.method

    @property
    def scaled(self) -> bool:
        """Whether any step combines scores on the common scale."""
        return any(step.uses_scale for step in self._steps)

    @property
    def takes_k(self) -> bool:
        """Whether any step reads k of reciprocal ranks."""
        reciprocal = self.scale.normalization == RECIPROCAL_RANK
        return any(step.takes_k or (step.uses_scale and reciprocal) for step in self._steps)

    @property
    def learned(self) -> bool:
        """Whether any step learns from judged topics."""
        return any(step.fit for step in self._steps)

    @property
    def stacked(self) -> bool:
        """Whether a first step learns, so that step 2 must learn from its out-of-fold scores."""
        return bool(self.families and METHODS.get(self.step_1).fit)

    @property
    def config(self) -> dict[str, object]:
        """The settings that decide the content, for a manifest."""
        config: dict[str, object] = {"method": self.method, **scale_to_json(self.scale)}
        if self.weights:
            config["weights"] = dict(self.weights)
        if self.families:
            families = {name: list(patterns) for name, patterns in self.families.items()}
            config |= {"families": families, "step_1": self.step_1}
        return config

    def fuser(self, lists: Sequence[str]) -> Fuser:
        """The fuser of a plan that learns nothing.

        Raises:
            ConfigError: the plan learns, or weights or families do not fit the lists.
        """
        if self.weights:
            self._require_weights(lists)
        second = unlearned(self.method, self.scale, self.weights)
        if not self.families:
            return second
        members = self._members(lists)
        first = {family: unlearned(self.step_1, self.scale) for family in members}
        return TwoStep(members, lists_alone(members, lists), first, second)

    def learner(self, lists: Sequence[str], learning: Learning) -> Learner:
        """The function that fits the plan's fuser.

        Raises:
            ConfigError: families do not fit the lists.
        """
        second = learner(self.method, self.scale, learning)
        if not self.families:
            return second
        members = self._members(lists)
        first = learner(self.step_1, self.scale, learning)

        def fit(pools: Pools) -> Fuser:
            folds = learning.folds(tuple(pools)) if self.stacked else ()
            return learn_two_steps(pools, members, first=first, second=second, folds=folds)

        return fit

    def _members(self, lists: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return check_families(families_of(self.families, lists), lists)

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


def families_of(patterns: Mapping[str, Sequence[str]], lists: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Family -> the lists whose names its patterns match.

    Raises:
        ConfigError: a pattern matches no list.
    """
    families = {}
    for family, of_family in patterns.items():
        for pattern in of_family:
            if not any(fnmatchcase(name, pattern) for name in lists):
                raise ConfigError(
                    f'the family {family} has a pattern that matches no list: "{pattern}"', wanted=", ".join(lists)
                )
        families[family] = tuple(name for name in lists if any(fnmatchcase(name, pattern) for pattern in of_family))
    return families
