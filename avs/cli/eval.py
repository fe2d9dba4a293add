"""Score runs against judgments: xinfAP and its companions exactly as NIST's sample_eval.pl; AP, P, R, nDCG on request.

Topics missing from a run count as 0 and are named on stderr; --official-mean leaves them out as sample_eval.pl does.
AP, P@k, R@k and nDCG are for full judgments and refused where pooled shots are not judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.qrels import Qrels
    from avs.metrics.evaluation import Columns, Scores
    from avs.metrics.measures import Measure

EXAMPLES = """
avs eval runs/F_M_C_D_TEAM.21_1.xml --qrels avs.qrels.main.tv21 --per-topic
avs eval lists/*.trec --qrels avs.qrels.main.tv21 --measures infAP,iP@10
avs eval x.trec --qrels avs.qrels.main.tv21 --format sample_eval --per-topic --official-mean
"""

INPUTS, OUTPUT = "Inputs", "Output"


class Format(StrEnum):
    table = "table"
    tsv = "tsv"
    json = "json"
    sample_eval = "sample_eval"


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run files: TREC's six columns, or NIST's XML.")],
    qrels: Annotated[
        Path, typer.Option("--qrels", help="Judgments: topic 0 shot stratum judgment.", rich_help_panel=INPUTS)
    ],
    measures: Annotated[
        str | None,
        typer.Option(
            "--measures",
            help="Comma-separated: infAP infNDCG iP@k inum_rel_ret inum_rel num_ret; AP[@k] P@k R@k nDCG[@k]; "
            "default: all inferred ones.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    cutoffs: Annotated[
        str | None,
        typer.Option("--cutoffs", help="Ranks of iP, comma-separated; default 10,100,1000.", rich_help_panel=OUTPUT),
    ] = None,
    per_topic: Annotated[
        bool, typer.Option("--per-topic", help="A row for every topic before `all`.", rich_help_panel=OUTPUT)
    ] = False,
    official_mean: Annotated[
        bool,
        typer.Option(
            "--official-mean", help="Average over the topics a run answers, as sample_eval.pl.", rich_help_panel=OUTPUT
        ),
    ] = False,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Default: table on a terminal, tsv when piped.", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.metrics.evaluation import Evaluator
    from avs.metrics.report import ignored_topics_line, missing_topics_line
    from avs.trecvid.qrels import read_qrels

    layout = Format.json if json else format or (Format.table if sys.stdout.isatty() else Format.tsv)
    chosen = _measures(measures, cutoffs, layout)
    judgments = read_qrels(qrels)
    evaluator = Evaluator(judgments, chosen)
    scores = [evaluator.evaluate(columns, name) for name, columns in read_runs(runs, judgments)]

    reporter = Reporter(quiet=quiet)
    for run in scores:
        if run.missing:
            reporter.say(f"warning: {missing_topics_line(run, official_mean=official_mean)}")
        if run.ignored:
            reporter.say(f"warning: {ignored_topics_line(run)}")
    prefix = _topic_prefix(qrels, judgments) if layout is Format.sample_eval else ""
    text = _render(scores, layout, per_topic=per_topic, official_mean=official_mean, topic_prefix=prefix)
    sys.stdout.write(text)


def read_runs(paths: Sequence[Path], qrels: Qrels) -> Iterator[tuple[str, Columns]]:
    """Name and columns of every run in the files, with the topic ids of the qrels; a name met before gets its path."""
    from avs.trecvid.run_file import read_run_columns
    from avs.trecvid.trec import match_topic_ids

    names: set[str] = set()
    for path in paths:
        for name, columns in read_run_columns(path).items():
            plain = match_topic_ids(columns, qrels.ids)
            unique = name if name not in names else f"{path.parent}/{name}"
            names.add(name)
            yield unique, {plain[topic]: column for topic, column in columns.items()}


def _measures(words: str | None, cutoffs: str | None, layout: Format) -> Sequence[Measure]:
    from avs.core.errors import ConfigError
    from avs.metrics.evaluation import DEFAULT_CUTOFFS
    from avs.metrics.measures import parse_measures, sample_eval_measures
    from avs.metrics.sample_eval_format import SAMPLE_EVAL_CUTOFFS

    if words is not None and (cutoffs is not None or layout is Format.sample_eval):
        raise ConfigError(
            "--measures goes with neither --cutoffs nor --format sample_eval",
            next_step="name cut-offs as iP@10; sample_eval always prints the same measures, at the ranks of --cutoffs",
        )
    if words is not None:
        return parse_measures(words.replace(",", " ").split())
    if cutoffs is None:
        return sample_eval_measures(SAMPLE_EVAL_CUTOFFS if layout is Format.sample_eval else DEFAULT_CUTOFFS)
    ranks = cutoffs.replace(",", " ").split()
    if not all(rank.isascii() and rank.isdigit() and int(rank) for rank in ranks):
        raise ConfigError("--cutoffs are whole numbers from 1", got=cutoffs, wanted="such as 5,10,100")
    return sample_eval_measures(map(int, ranks))


def _topic_prefix(path: Path, qrels: Qrels) -> str:
    """What the qrels file has before the topic ids: "1", or nothing."""
    with open(path, encoding="utf-8-sig") as file:
        first = next(words[0] for line in file if (words := line.split()))
    return "" if first in qrels.topics else "1"


def _render(
    scores: Sequence[Scores], layout: Format, *, per_topic: bool, official_mean: bool, topic_prefix: str
) -> str:
    from avs.metrics.report import aligned, score_data, score_rows, tsv

    if layout is Format.json:
        import json

        mean = "topics of the run" if official_mean else "topics of the qrels"
        data = {"mean_over": mean, "runs": [score_data(run, official_mean=official_mean) for run in scores]}
        return json.dumps(data, indent=2) + "\n"
    if layout is Format.sample_eval:
        from avs.metrics.sample_eval_format import sample_eval_lines

        options = {"per_topic": per_topic, "official_mean": official_mean}
        return "".join(line for run in scores for line in sample_eval_lines(run, topic_prefix=topic_prefix, **options))
    rows = list(score_rows(scores, per_topic=per_topic, official_mean=official_mean))
    return aligned(rows) if layout is Format.table else tsv(rows)
