"""The report of a study of fusion: plain data for JSON, lines for a terminal, and one HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write
from avs.fusion.learned import LearnedTable, learned_tables
from avs.metrics.report import aligned
from avs.pipeline.fuse.findings import HELD_OUT, HINDSIGHT, MEASURE, findings, fold_means, topic_rows
from avs.pipeline.fuse.page import page
from avs.pipeline.fuse.study import FusionStudy, System

FOLD_COLUMNS = 8  # on a terminal; more stand in the page
FEW = 10  # single lists, topics, names with a weight on a terminal


def report_data(study: FusionStudy) -> dict[str, Any]:
    """Everything, as JSON takes it, unrounded."""
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
    """What a terminal shows: the systems, the largest differences, what was learned, and the findings last."""
    tables = [_system_rows(study), _topic_table(study), *_learned_tables(study)]
    lines = []
    for table in tables:
        lines += [*aligned(table, text_columns=1).splitlines(), ""]
    if sum(system.kind == "list" for system in study.systems) > FEW:
        lines += [f"Of lists, topics and weights the first {FEW} are shown; all are in the JSON and in the page.", ""]
    return [*lines, *findings(study), HELD_OUT, HINDSIGHT]


def write_report(study: FusionStudy, path: Path) -> None:
    """Write the HTML page: one file that needs nothing else."""
    text = page(study)
    with atomic_write(path) as file:
        file.write(text)


def _system_rows(study: FusionStudy) -> list[list[str]]:
    """Fusions and the best single lists, the best first, by fold where there are few."""
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


def _name(system: System) -> str:
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
