"""What the fusers of all folds have learned, side by side: weights of lists, importances of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avs.fusion.fuser import Fuser
from avs.fusion.methods.method import Learned, method_of
from avs.fusion.two_step import TwoStep


@dataclass(frozen=True, slots=True)
class LearnedRow:
    """A list or a feature, and its value in every fold that has one; no values when only the final fuser has any."""

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
class LearnedTable:
    """One kind of numbers, of one step of the fusers.

    Attributes:
        step: "" for fusers of one step; "step 1, LAFFs" or "step 2".
        like: one of the tables that are put together; it has the title, the axis and the note.
        by_fold: fold -> name -> value, for the folds whose fuser has such numbers.
        final: name -> value for the fuser fitted on all topics, if there is one.
    """

    step: str
    like: Learned
    by_fold: Mapping[str, Mapping[str, float]]
    final: Mapping[str, float] | None

    @property
    def title(self) -> str:
        return f"{self.step}: {self.like.what}" if self.step else self.like.what

    def rows(self) -> list[LearnedRow]:
        """The rows, the largest mean over the folds first."""
        folds = list(self.by_fold.values())
        names = dict.fromkeys(name for values in (*folds, self.final or {}) for name in values)
        rows = [LearnedRow(name, tuple(values.get(name, 0.0) for values in folds)) for name in names]
        return sorted(rows, key=lambda row: -row.mean)

    def number(self, value: float) -> str:
        """A value as text: shares have three digits, counts have none."""
        return f"{value:.3f}" if self.like.axis else f"{value:g}"


def learned_tables(fusers: Mapping[str, Fuser], final: Fuser | None) -> list[LearnedTable]:
    """All that the fusers have learned; empty for fusers that learn nothing.

    Args:
        fusers: fold -> the fuser fitted without its topics.
        final: the fuser fitted on all topics, if there is one.
    """
    by_fold = {fold: _by_step(fuser) for fold, fuser in fusers.items()}
    of_final = _by_step(final) if final is not None else {}
    titles: dict[tuple[str, str], Learned] = {}
    for of_fuser in (*by_fold.values(), of_final):
        titles |= {key: learned for key, learned in of_fuser.items() if key not in titles}
    return [
        LearnedTable(
            key[0],
            like,
            {fold: of_fuser[key].values for fold, of_fuser in by_fold.items() if key in of_fuser},
            of_final[key].values if key in of_final else None,
        )
        for key, like in titles.items()
    ]


def _by_step(fuser: Fuser, step: str = "") -> dict[tuple[str, str], Learned]:
    """(step, title) -> what was learned."""
    if isinstance(fuser, TwoStep):
        tables: dict[tuple[str, str], Learned] = {}
        for family, first in fuser.first.items():
            tables |= _by_step(first, f"step 1, {family}")
        return tables | _by_step(fuser.second, "step 2")
    return {(step, learned.what): learned for learned in method_of(fuser).learned(fuser)}
