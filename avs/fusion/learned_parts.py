"""What fusers have learned, side by side: the weights of lists, or what the trees look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avs.fusion.fuser import Fuser
from avs.fusion.linear import Linear
from avs.fusion.ltr import Ltr
from avs.fusion.ltr_features import BY_LIST
from avs.fusion.two_step import TwoStep

WEIGHT, BY_LISTS, BY_FEATURES, TREES = "weight", "importance of lists", "importance of features", "trees kept"
ACROSS_LISTS = "(across lists)"


@dataclass(frozen=True, slots=True)
class PartRow:
    """A list or a feature, and its value in every fold that has one; none when only the final fuser has any."""

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / max(len(self.values), 1)

    @property
    def least(self) -> float:
        return min(self.values, default=0.0)

    @property
    def most(self) -> float:
        return max(self.values, default=0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One table: a step of the fusers, and one kind of numbers in it.

    Attributes:
        step: empty for fusers of one step; "step 1, LAFFs", "step 2".
        what: weights are shares that sum to 1; importances shares of the gain of all trees kept.
        by_fold: fold -> name -> value; a fold whose fuser keeps no tree has no importances.
        final: of the fuser fitted on all topics.
    """

    step: str
    what: str
    by_fold: Mapping[str, Mapping[str, float]]
    final: Mapping[str, float] | None

    @property
    def title(self) -> str:
        return f"{self.step}: {self.what}" if self.step else self.what

    def rows(self) -> list[PartRow]:
        """The largest mean over the folds first."""
        folds = list(self.by_fold.values())
        names = dict.fromkeys(name for one in (*folds, self.final or {}) for name in one)
        rows = [PartRow(name, tuple(one.get(name, 0.0) for one in folds)) for name in names]
        return sorted(rows, key=lambda row: -row.mean)

    def number(self, value: float) -> str:
        """A value as the part is read: trees are counted, the rest are shares."""
        return f"{value:g}" if self.what == TREES else f"{value:.3f}"


def learned_parts(fusers: Mapping[str, Fuser], final: Fuser | None) -> list[Part]:
    """What there is to see; nothing in fusers that learn nothing.

    Args:
        fusers: fold -> its fuser.
    """
    by_fold = {fold: _flat(fuser) for fold, fuser in fusers.items()}
    last = _flat(final) if final is not None else {}
    keys = dict.fromkeys(key for flat in (*by_fold.values(), last) for key in flat)
    return [
        Part(step, what, {fold: flat[step, what] for fold, flat in by_fold.items() if (step, what) in flat},
             last.get((step, what)))
        for step, what in keys
    ]  # fmt: skip


def _flat(fuser: Fuser, step: str = "") -> dict[tuple[str, str], Mapping[str, float]]:
    """(step, what) -> name -> value."""
    if isinstance(fuser, Linear):
        total = sum(fuser.weights.values())
        return {(step, WEIGHT): {name: weight / total for name, weight in fuser.weights.items()}}
    if isinstance(fuser, Ltr):
        trees: dict[tuple[str, str], Mapping[str, float]] = {(step, TREES): {TREES: float(fuser.trees)}}
        return trees | _importances(fuser, step) if fuser.trees else trees
    if isinstance(fuser, TwoStep):
        flat: dict[tuple[str, str], Mapping[str, float]] = {}
        for family, first in fuser.first.items():
            flat |= _flat(first, f"step 1, {family}")
        return flat | _flat(fuser.second, "step 2")
    return {}


def _importances(fuser: Ltr, step: str) -> dict[tuple[str, str], Mapping[str, float]]:
    """By list, and by kind of feature; `laff zscore` is one of list laff and of kind zscore."""
    lists = dict.fromkeys((*fuser.lists, ACROSS_LISTS), 0.0)
    kinds: dict[str, float] = {}
    for name, share in fuser.importances().items():
        source, _, kind = name.rpartition(" ")
        if not source or kind not in BY_LIST:
            source, kind = ACROSS_LISTS, f"{name} {ACROSS_LISTS}"
        lists[source] += share
        kinds[kind] = kinds.get(kind, 0.0) + share
    return {(step, BY_LISTS): lists, (step, BY_FEATURES): kinds}
