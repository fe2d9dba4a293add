"""Scores as a table for people, as columns for scripts, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from avs.metrics.evaluation import Scores
from avs.metrics.measures import Measure


def score_rows(scores: Sequence[Scores], *, per_topic: bool, official_mean: bool) -> Iterator[list[str]]:
    """A header, then a row per run and topic, `all` last: run, topic, and the value of every measure."""
    yield ["run", "topic", *map(str, scores[0].measures)]
    for run in scores:
        if per_topic:
            for topic, row, answered in zip(run.topics, run.values, run.answered, strict=True):
                if answered or not official_mean:
                    yield [run.run, topic, *map(printed, run.measures, row)]
        yield [run.run, "all", *map(printed, run.measures, run.overall(official_mean=official_mean))]


def score_json(scores: Sequence[Scores], *, official_mean: bool) -> str:
    """All scores, unrounded."""
    import json

    runs = []
    for run in scores:
        names = [str(measure) for measure in run.measures]
        rows = zip(run.topics, run.values.tolist(), strict=True)
        runs.append(
            {
                "run": run.run,
                "all": dict(zip(names, run.overall(official_mean=official_mean).tolist(), strict=True)),
                "topics": {topic: dict(zip(names, row, strict=True)) for topic, row in rows},
                "missing": list(run.missing),
                "ignored": list(run.ignored),
            }
        )
    mean = "topics of the run" if official_mean else "topics of the qrels"
    return json.dumps({"mean_over": mean, "runs": runs}, indent=2) + "\n"


def aligned(rows: Sequence[Sequence[str]], *, text_columns: int = 2) -> str:
    """Rows as a table with a rule under the header; the first `text_columns` are aligned left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def tsv(rows: Sequence[Sequence[str]]) -> str:
    """Rows as tab-separated lines."""
    return "".join("\t".join(row) + "\n" for row in rows)


def warnings(scores: Sequence[Scores], *, official_mean: bool) -> Iterator[str]:
    """What a user must know about topics that only the qrels or only the run has."""
    effect = "left out of the mean, as sample_eval.pl does" if official_mean else "each counts as 0"
    for run in scores:
        if missing := run.missing:
            topics = f"{len(missing)} of {len(run.topics)} topics"
            yield f"{run.run}: no shots for {topics}, {effect}: {', '.join(missing)}"
        if run.ignored:
            yield f"{run.run}: {len(run.ignored)} topics are not in the qrels, ignored: {', '.join(run.ignored)}"


def printed(measure: Measure, value: float) -> str:
    """A value as `avs eval` prints it."""
    return f"{value:.0f}" if measure.name == "num_ret" else f"{value:.4f}"
