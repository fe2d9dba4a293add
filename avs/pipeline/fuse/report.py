"""The report of a study of fusion: its findings in words, its data for JSON, and its lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avs.fusion.learned import LearnedTable, learned_tables
from avs.metrics.report import aligned
from avs.metrics.significance import ROUNDING, largest_differences
from avs.pipeline.fuse.study import Comparison, FusionStudy, MeasuredSystem

MEASURE = "xinfAP"
SIGNIFICANT = 0.05
HINDSIGHT = "The best single list is chosen in hindsight, on these topics; for new topics nobody knows which it is."
HELD_OUT = "A learned method and the best subset are only measured on topics that they did not learn from."
NOISE = "Differences below about .005 are within topic noise."
FOLD_COLUMNS = 8  # on a terminal; the page shows all
FEW = 10  # single lists, topics and learned numbers on a terminal


@dataclass(frozen=True, slots=True)
class TopicRow:
    """The measure of one held-out topic."""

    topic: str
    fold: str
    learned: float
    average: float
    best_single: float

    @property
    def difference(self) -> float:
        """Learned minus average."""
        return self.learned - self.average


def findings(study: FusionStudy) -> list[str]:
    """The sentences that a reader needs, the most important first."""
    learned, learned_single, average_single, subset, unlearned = study.comparisons
    several = len(study.subset.selection.path) > 1
    return [
        _learned_against_average(study, learned),
        *([_unlearned_is_higher(study, unlearned)] if unlearned.difference < 0 else []),
        _against_single(study, learned_single),
        *([_against_single(study, average_single)] if several else []),
        *([_subset(study, subset)] if several else []),
        *curve_lines(study),
    ]


def fold_means(study: FusionStudy) -> dict[str, np.ndarray]:
    """Fold -> (S,) mean of every system over its held-out topics; empty where every fold holds out one topic."""
    folds = [fold for fold in study.folds if fold.test]
    if all(len(fold.test) == 1 for fold in folds):
        return {}
    column = {topic: i for i, topic in enumerate(study.topics)}
    measured = np.stack([system.values for system in study.systems])
    return {fold.name: measured[:, [column[topic] for topic in fold.test]].mean(axis=1) for fold in folds}


def topic_rows(study: FusionStudy) -> list[TopicRow]:
    """All topics, by the absolute difference between the learned method and the average, the largest first."""
    learned, average, best = (study.system(kind).values for kind in ("learned", "average", "list"))
    folds = {topic: fold.name for fold in study.folds for topic in fold.test}
    column = {topic: i for i, topic in enumerate(study.topics)}
    order = [(topic, column[topic]) for topic, _ in largest_differences(learned, average, study.topics)]
    return [TopicRow(t, folds[t], float(learned[i]), float(average[i]), float(best[i])) for t, i in order]


def p_text(p_value: float) -> str:
    """A p-value as text, such as "p = .310"."""
    return "p < .001" if p_value < 0.001 else f"p = {p_value:.3f}".replace(" 0.", " .")


def sizes_text(study: FusionStudy) -> str:
    """The numbers of lists that the folds selected, such as "3 to 10"."""
    sizes = sorted({len(selection.lists) for selection in study.subset.by_fold.values()})
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def report_data(study: FusionStudy) -> dict[str, Any]:
    """All numbers of the study, unrounded, as JSON data."""
    folds = fold_means(study)
    return {
        "method": study.method,
        "measure": MEASURE,
        "normalize": study.scale.normalization,
        "missing": study.scale.missing,
        "seed": study.seed,
        "findings": findings(study),
        "folds": [{"name": fold.name, "train": list(fold.train), "test": list(fold.test)} for fold in study.folds],
        "systems": [
            {
                "name": system.name,
                "kind": system.kind,
                "mean": system.mean,
                "folds": {name: float(means[row]) for name, means in folds.items()},
                "topics": dict(zip(study.topics, system.values.tolist(), strict=True)),
            }
            for row, system in enumerate(study.systems)
        ],
        "tests": [
            {
                "first": test.first,
                "second": test.second,
                "means": list(test.means),
                "difference": test.difference,
                "p_value": test.p_value,
                "wins": test.wins,
                "losses": test.losses,
                "swaps": test.swaps,
                "exact": test.exact,
            }
            for test in study.comparisons
        ],
        "differences": {row.topic: row.difference for row in topic_rows(study)},
        "learned": [_learned_data(table) for table in learned_tables(study.fusers, study.final)],
        "best_subset": {
            "lists": list(study.subset.selection.lists),
            "path": list(study.subset.selection.path),
            "in_sample": list(study.subset.selection.means),
            "out_of_fold": study.subset.means.tolist(),
            "folds": {fold: list(selection.lists) for fold, selection in study.subset.by_fold.items()},
        },
        "learning_curve": [
            {"topics": point.topics, "mean": point.mean, "draws": point.means.tolist()} for point in study.curve
        ],
    }


def report_lines(study: FusionStudy) -> list[str]:
    """The report on a terminal: the systems, the largest differences, what was learned, and last the findings.

    The sentence on the learning curve, the last finding, is left out: the curve is drawn after these lines are said.
    """
    tables = [_system_rows(study), _topic_table(study), *_learned_tables(study)]
    lines = []
    for table in tables:
        lines += [*aligned(table, text_columns=1).splitlines(), ""]
    if sum(system.kind == "list" for system in study.systems) > FEW:
        lines += [
            f"Only the first {FEW} lists, topics and weights are shown; the page and the JSON have all.",
            "",
        ]
    return [*lines, *findings(replace(study, curve=study.curve[-1:])), HELD_OUT, HINDSIGHT]


def curve_lines(study: FusionStudy) -> list[str]:
    """The sentence on the learning curve, unless it is flat."""
    return [_curve(study)] if np.ptp([point.mean for point in study.curve]) > ROUNDING else []


def _system_rows(study: FusionStudy) -> list[list[str]]:
    """The fusions and the best single lists, the best first; by fold where there are few folds."""
    folds = fold_means(study)
    shown = folds if len(folds) <= FOLD_COLUMNS else {}
    ranked = sorted(enumerate(study.systems), key=lambda entry: -entry[1].mean)
    lists = [entry for entry in ranked if entry[1].kind == "list"][:FEW]
    kept = [entry for entry in ranked if entry[1].kind != "list" or entry in lists]
    header = [f"{MEASURE}, {len(study.topics)} topics", "mean", *shown]
    return [
        header,
        *(
            [_name(system), f"{system.mean:.4f}", *(f"{means[row]:.4f}" for means in shown.values())]
            for row, system in kept
        ),
    ]


def _name(system: MeasuredSystem) -> str:
    return f"{system.name} (list)" if system.kind == "list" else system.name


def _topic_table(study: FusionStudy) -> list[list[str]]:
    header = [f"topic ({FEW} largest differences)", "fold", study.method, "average", "difference"]
    return [
        header,
        *(
            [row.topic, row.fold, f"{row.learned:.4f}", f"{row.average:.4f}", f"{row.difference:+.4f}"]
            for row in topic_rows(study)[:FEW]
        ),
    ]


def _learned_tables(study: FusionStudy) -> Iterator[list[list[str]]]:
    for table in learned_tables(study.fusers, study.final):
        header = [table.title, "mean", "least", "most", *(["all topics"] if table.final else [])]
        rows = []
        for row in table.rows()[:FEW]:
            last = [table.number(table.final.get(row.name, 0.0))] if table.final else []
            rows.append([row.name, *(table.number(value) for value in (row.mean, row.least, row.most)), *last])
        yield [header, *rows]


def _learned_data(table: LearnedTable) -> dict[str, Any]:
    return {
        "step": table.step,
        "what": table.like.what,
        "folds": {fold: dict(values) for fold, values in table.by_fold.items()},
        "all_topics": dict(table.final) if table.final else None,
    }


def _learned_against_average(study: FusionStudy, test: Comparison) -> str:
    name, p = study.method, p_text(test.p_value)
    if test.wins == test.losses == 0:
        return f"{name} scores the same as the average on every topic: learning changed nothing."
    if test.p_value <= SIGNIFICANT:
        verdict = "beats the average" if test.difference > 0 else "is worse than the average, so use the average"
        return f"{name} {verdict} ({p}). {_figures(study, test)}"
    verdict = f"The difference between {name} and the average is not significant ({p})"
    if test.difference > 0:
        advice = "these topics do not show that learning helps"
    else:
        advice = "use the average, which needs no learning"
    return f"{verdict}: {advice}. {_figures(study, test)} {NOISE}"


def _unlearned_is_higher(study: FusionStudy, test: Comparison) -> str:
    verdict = f"{test.second}, which learns nothing, is above {study.method} ({p_text(test.p_value)})."
    return f"{verdict} {_figures(study, test)}"


def _against_single(study: FusionStudy, test: Comparison) -> str:
    first = study.method if test.first == study.method else f"the {test.first}"
    return f"{_verdict(test, first, f'the best single list, {test.second},')} {_figures(study, test)}"


def _subset(study: FusionStudy, test: Comparison) -> str:
    lists = len(study.subset.selection.path)
    verdict = _verdict(test, "the average of the best subset", "the average of all lists")
    return f"{verdict} Each fold chose {sizes_text(study)} of {lists} lists. {_figures(study, test)}"


def _verdict(test: Comparison, first: str, second: str) -> str:
    """A sentence on who is better, or that nobody is."""
    p = p_text(test.p_value)
    if test.p_value > SIGNIFICANT:
        return f"The difference between {first} and {second} is not significant ({p})."
    verb = "beats" if test.difference > 0 else "is worse than"
    return f"{first[0].upper()}{first[1:]} {verb} {second.rstrip(',')} ({p})."


def _curve(study: FusionStudy) -> str:
    points = ", ".join(f"{point.mean:.4f} from {point.topics:g}" for point in study.curve)
    average = study.system("average").mean
    what = f"Mean {MEASURE} of {study.method} by the number of topics it learned from"
    return f"{what}: {points}; the average has {average:.4f}."


def _figures(study: FusionStudy, test: Comparison) -> str:
    return (
        f"Mean {MEASURE}: {test.means[0]:.4f} against {test.means[1]:.4f} ({test.difference:+.4f}); "
        f"better on {test.wins} and worse on {test.losses} of {len(study.topics)} topics."
    )
