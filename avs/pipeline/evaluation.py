"""Evaluation of runs, in files or in memory, against judgments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.metrics.evaluation import DEFAULT_MEASURES, Columns, Evaluator, Scores
from avs.metrics.measures import Measure, parse_measures
from avs.trecvid.run_file import read_run_columns
from avs.trecvid.trec import match_topic_ids

NamedColumns = tuple[str, Columns]
"""The name of a run, and topic id -> shots and scores as in its file."""


def read_runs(files: Sequence[Path], qrels: Qrels) -> Iterator[NamedColumns]:
    """The name and the columns of every run in the files.

    A "1" before the topic ids of a file is removed if the qrels have the ids without it. If two runs have the same
    name, the later one is named by its folder and its name.

    Raises:
        FormatError: a file is not a run; topic ids with and without the "1" are mixed.
    """
    names: set[str] = set()
    for file in files:
        for name, columns in read_run_columns(file).items():
            plain_ids = match_topic_ids(columns, qrels.ids)
            unique = name if name not in names else f"{file.parent}/{name}"
            names.add(name)
            yield unique, {plain_ids[topic]: column for topic, column in columns.items()}


def evaluate(run: Run, qrels: Qrels, measures: Sequence[str] | None = None) -> Scores:
    """The scores of one run.

    Args:
        measures: names such as "xinfAP", "iP@10", "AP", "P@10"; by default all that sample_eval.pl prints.

    Raises:
        ConfigError: an unknown measure.
        DataError: no shot is judged; a measure needs full judgments and some pooled shots are not judged.
        FormatError: the run and the qrels have no topic in common.
    """
    return evaluate_runs([run], qrels, DEFAULT_MEASURES if measures is None else parse_measures(measures))[0]


def evaluate_runs(runs: Iterable[Run | NamedColumns], qrels: Qrels, measures: Sequence[Measure]) -> list[Scores]:
    """The scores of every run. If `runs` is an iterator, only one run is in memory at a time.

    Raises:
        DataError, FormatError: as `evaluate`.
    """
    evaluator = Evaluator(qrels, measures)
    named = (_named_columns(run) if isinstance(run, Run) else run for run in runs)
    return [evaluator.evaluate(columns, name) for name, columns in named]


def _named_columns(run: Run) -> NamedColumns:
    return run.tag, {topic: (ranked.shots, ranked.scores) for topic, ranked in run.lists.items()}
