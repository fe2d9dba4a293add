"""What a study of fusion shows, in words, and the means behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avs.metrics.significance import ROUNDING, largest_differences
from avs.pipeline.fuse.study import Comparison, FusionStudy

MEASURE = "xinfAP"
SIGNIFICANT = 0.05
HINDSIGHT = "The best single list is chosen in hindsight, on the topics shown: for new topics nobody knows which it is."
HELD_OUT = "Every value of a learned method, and of the best subset, is of a topic that it did not learn from."
NOISE = "Differences below about .005 are inside topic noise."


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One held-out topic."""

    topic: str
    fold: str
    learned: float
    average: float
    best_single: float

    @property
    def difference(self) -> float:
        return self.learned - self.average


def findings(study: FusionStudy) -> list[str]:
    """The sentences a reader needs, the most important first."""
    learned, learned_single, average_single, subset = study.comparisons
    several = len(study.subset.selection.path) > 1
    return [
        _learned_against_average(study, learned),
        _against_single(study, learned_single),
        *([_against_single(study, average_single)] if several else []),
        *([_subset(study, subset)] if several else []),
        *([_curve(study)] if np.ptp([point.mean for point in study.curve]) > ROUNDING else []),
    ]


def fold_means(study: FusionStudy) -> dict[str, np.ndarray]:
    """Fold -> (S,) mean of every system over its held-out topics; empty where every fold holds out one topic."""
    folds = [fold for fold in study.folds if fold.test]
    if all(len(fold.test) == 1 for fold in folds):
        return {}
    at = {topic: column for column, topic in enumerate(study.topics)}
    measured = np.stack([system.values for system in study.systems])
    return {fold.name: measured[:, [at[topic] for topic in fold.test]].mean(axis=1) for fold in folds}


def topic_rows(study: FusionStudy) -> list[TopicRow]:
    """All topics, the largest difference between the learned method and the average first, either way."""
    learned, average, best = (study.system(kind).values for kind in ("learned", "average", "list"))
    folds = {topic: fold.name for fold in study.folds for topic in fold.test}
    at = {topic: column for column, topic in enumerate(study.topics)}
    order = [(topic, at[topic]) for topic, _ in largest_differences(learned, average, study.topics)]
    return [TopicRow(t, folds[t], float(learned[i]), float(average[i]), float(best[i])) for t, i in order]


def p_text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def sizes_text(study: FusionStudy) -> str:
    """How many lists the folds selected: `3 to 10`."""
    sizes = sorted({len(selection.lists) for selection in study.subset.by_fold.values()})
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _learned_against_average(study: FusionStudy, test: Comparison) -> str:
    figures = _figures(study, test)
    if test.wins == test.losses == 0:
        return f"{study.method} gives what the average gives, on every topic: learning changed nothing."
    if test.p_value <= SIGNIFICANT:
        verdict = "beats the average" if test.difference > 0 else "is worse than the average: use the average"
        return f"{study.method} {verdict}. {figures}"
    if test.difference > 0:
        verdict = "does not beat the average beyond chance: these topics do not show that learning helps"
    else:
        verdict = "does not beat the average: use the average, which has nothing to fit"
    return f"{study.method} {verdict}. {figures} {NOISE}"


def _against_single(study: FusionStudy, test: Comparison) -> str:
    if test.p_value > SIGNIFICANT:
        verdict = "is not told apart from"
    else:
        verdict = "beats" if test.difference > 0 else "is worse than"
    first = study.method if test.first == study.method else f"The {test.first}"
    hindsight = f"the best single list, {test.second}, which is chosen in hindsight"
    return f"{first} {verdict} {hindsight}. {_figures(study, test)}"


def _subset(study: FusionStudy, test: Comparison) -> str:
    lists = len(study.subset.selection.path)
    if test.p_value > SIGNIFICANT:
        verdict = "is not told apart from that of all"
    else:
        verdict = "beats that of all" if test.difference > 0 else "is worse than that of all"
    chosen = f"The average of the best subset, {sizes_text(study)} of {lists} lists as each fold chose,"
    return f"{chosen} {verdict}. {_figures(study, test)}"


def _curve(study: FusionStudy) -> str:
    points = ", ".join(f"{point.mean:.4f} from {point.topics:g}" for point in study.curve)
    average = study.system("average").mean
    return f"{study.method} by the number of topics it learned from: {points}; the average has {average:.4f}."


def _figures(study: FusionStudy, test: Comparison) -> str:
    return (
        f"{test.means[0]:.4f} against {test.means[1]:.4f} ({test.difference:+.4f}, {p_text(test.p_value)}; "
        f"better on {test.wins}, worse on {test.losses} of {len(study.topics)} topics)."
    )
