"""Scores as text for people, columns for scripts, and plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from avs.metrics.evaluation import Scores
from avs.metrics.measures import Measure


def score_rows(scores: Sequence[Scores], *, per_topic: bool, official_mean: bool) -> Iterator[list[str]]:
    """A header and then one row a run and topic, `all` last: run, topic, a value a measure."""
    yield ["run", "topic", *map(str, scores[0].measures)]
    for run in scores:
        if per_topic:
            for topic, row, answered in zip(run.topics, run.values, run.answered, strict=True):
                if answered or not official_mean:
                    yield [run.run, topic, *map(_number, run.measures, row)]
        yield [run.run, "all", *map(_number, run.measures, run.overall(official_mean=official_mean))]


def score_data(scores: Scores, *, official_mean: bool) -> dict[str, Any]:
    """One run's scores as JSON takes them, unrounded."""
    names = [str(measure) for measure in scores.measures]
    return {
        "run": scores.run,
        "all": dict(zip(names, scores.overall(official_mean=official_mean).tolist(), strict=True)),
        "topics": {
            topic: dict(zip(names, row, strict=True))
            for topic, row in zip(scores.topics, scores.values.tolist(), strict=True)
        },
        "missing": list(scores.missing),
        "ignored": list(scores.ignored),
    }


def aligned(rows: Sequence[Sequence[str]], *, text_columns: int = 2) -> str:
    """Rows as a table: the first `text_columns` aligned left, numbers right; a rule under the header."""
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


def missing_topics_line(scores: Scores, *, official_mean: bool) -> str:
    """What a user must know about topics of the qrels that the run does not answer."""
    how = "left out of the mean, as sample_eval.pl does" if official_mean else "each counts as 0"
    missing = scores.missing
    return f"{scores.run}: no shots for {len(missing)} of {len(scores.topics)} topics, {how}: {', '.join(missing)}"


def ignored_topics_line(scores: Scores) -> str:
    """What a user must know about topics of the run that the qrels do not have."""
    ignored = scores.ignored
    return f"{scores.run}: {len(ignored)} topics are not in the qrels, ignored: {', '.join(ignored)}"


def _number(measure: Measure, value: float) -> str:
    return f"{value:.0f}" if measure.name == "num_ret" else f"{value:.4f}"
