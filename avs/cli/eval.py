"""Score runs against judgments: xinfAP and its companions exactly as NIST's sample_eval.pl; also AP, P, R and nDCG.

A topic that a run lacks counts as 0 and is named on stderr; --official-mean leaves it out, as sample_eval.pl does.
AP, P@k, R@k and nDCG need full judgments. They are refused if some pooled shots are not judged.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import OUTPUT, Debug, Json, Qrels, Quiet, Runs

if TYPE_CHECKING:
    from avs.metrics.evaluation import Scores
    from avs.metrics.measures import Measure

EXAMPLES = """
avs eval runs/F_M_C_D_TEAM.21_1.xml --qrels avs.qrels.main.tv21 --per-topic
avs eval lists/*.trec --qrels avs.qrels.main.tv21 --measures infAP,iP@10
avs eval x.trec --qrels avs.qrels.main.tv21 --format sample_eval --per-topic --official-mean
"""


class Format(StrEnum):
    table = "table"
    tsv = "tsv"
    json = "json"
    sample_eval = "sample_eval"


Measures = Annotated[
    str | None,
    typer.Option(
        "--measures",
        help="Comma-separated: infAP (or xinfAP), infNDCG, iP@k, inum_rel_ret, inum_rel, num_ret; for full judgments "
        "also AP, AP@k, P@k, R@k, nDCG, nDCG@k. Default: all that sample_eval.pl prints.",
        rich_help_panel=OUTPUT,
    ),
]
Cutoffs = Annotated[
    str | None,
    typer.Option("--cutoffs", help="Ranks k of iP@k, comma-separated; default: 10,100,1000.", rich_help_panel=OUTPUT),
]
PerTopic = Annotated[
    bool, typer.Option("--per-topic", help="Print a row per topic before `all`.", rich_help_panel=OUTPUT)
]
OfficialMean = Annotated[
    bool,
    typer.Option(
        "--official-mean", help="Average over the topics that a run answers, as sample_eval.pl.", rich_help_panel=OUTPUT
    ),
]
Layout = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: table on a terminal, tsv in a pipe.", rich_help_panel=OUTPUT, show_default=False
    ),
]


def command(
    runs: Runs,
    qrels: Qrels,
    measures: Measures = None,
    cutoffs: Cutoffs = None,
    per_topic: PerTopic = False,
    official_mean: OfficialMean = False,
    format: Layout = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.metrics.report import warnings
    from avs.pipeline.evaluation import evaluate_runs, read_runs
    from avs.trecvid.qrels import read_qrels, topic_prefix

    layout = Format.json if json else format or (Format.table if sys.stdout.isatty() else Format.tsv)
    chosen = _measures(measures, cutoffs, layout)
    judgments = read_qrels(qrels)
    scores = evaluate_runs(read_runs(runs, judgments), judgments, chosen)

    reporter = Reporter(quiet=quiet)
    for warning in warnings(scores, official_mean=official_mean):
        reporter.say(f"warning: {warning}")
    prefix = topic_prefix(qrels, judgments) if layout is Format.sample_eval else ""
    sys.stdout.write(_render(scores, layout, per_topic=per_topic, official_mean=official_mean, topic_prefix=prefix))


def _measures(words: str | None, cutoffs: str | None, layout: Format) -> Sequence[Measure]:
    from avs.core.errors import ConfigError
    from avs.metrics.evaluation import DEFAULT_CUTOFFS
    from avs.metrics.measures import parse_cutoffs, parse_measures, sample_eval_measures
    from avs.metrics.sample_eval_format import SAMPLE_EVAL_CUTOFFS

    if words is not None and (cutoffs is not None or layout is Format.sample_eval):
        raise ConfigError(
            "--measures goes with neither --cutoffs nor --format sample_eval",
            next_step="name cut-offs as iP@10; sample_eval always prints the same measures, at the ranks of --cutoffs",
        )
    if words is not None:
        return parse_measures(words.replace(",", " ").split())
    if cutoffs is not None:
        return sample_eval_measures(parse_cutoffs(cutoffs))
    return sample_eval_measures(SAMPLE_EVAL_CUTOFFS if layout is Format.sample_eval else DEFAULT_CUTOFFS)


def _render(
    scores: Sequence[Scores], layout: Format, *, per_topic: bool, official_mean: bool, topic_prefix: str
) -> str:
    from avs.metrics.report import aligned, score_json, score_rows, tsv
    from avs.metrics.sample_eval_format import sample_eval_lines

    if layout is Format.json:
        return score_json(scores, official_mean=official_mean)
    if layout is Format.sample_eval:
        options = {"per_topic": per_topic, "official_mean": official_mean}
        return "".join(line for run in scores for line in sample_eval_lines(run, topic_prefix=topic_prefix, **options))
    rows = list(score_rows(scores, per_topic=per_topic, official_mean=official_mean))
    return aligned(rows) if layout is Format.table else tsv(rows)
