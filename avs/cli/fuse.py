"""Fuse ranked lists into one: by classic combinations, by weights learned on past topics, or by learning to rank.

Without judgments (--qrels), it fuses by a method that learns nothing, or by the fuser in the folder --fuser. With
judgments, it learns from the judged topics of past editions, writes the fuser to --fuser, and fuses the topics that it
did not learn from. --study is for judged topics: each topic is fused by a fuser that was fitted without it, and
--report shows how much better that is than the average.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import (
    INPUTS,
    LEARN,
    OUTPUT,
    RUNTIME,
    Checkpoints,
    Debug,
    Device,
    FitOn,
    Force,
    Json,
    K,
    Lists,
    Narratives,
    OptionalStores,
    PastEditionFiles,
    PastQrels,
    Quiet,
    Seed,
    Study,
    output_file,
)
from avs.fusion.methods import methods_help

EXAMPLES = """
avs fuse lists/*.trec -o lists/average.trec
avs fuse lists/v3c2/*.trec --past lists/v3c1 --ltr --qrels qrels.tv19 --qrels qrels.tv20 --fit-on tv19,tv20 --fuser fuser/ -o lists/fused.trec
avs fuse lists/tv23/*.trec --fuser fuser/ -o lists/tv23-fused.trec
avs fuse lists/*.trec --method ltr --family 'laffs=laff*' --step1 average --qrels avs.qrels.main.tv21 --study --report fusion.html
avs fuse lists/*.trec --method weighted --weight clip=0.3 --weight laff=0.7 -o lists/weighted.trec
"""  # noqa: E501  # a command to copy is one line

HOW = "Combination"

MethodName = Annotated[str | None, typer.Option("--method", help=methods_help(), rich_help_panel=HOW)]
Ltr = Annotated[bool, typer.Option("--ltr", help="Short for --method ltr.", rich_help_panel=HOW)]
Normalize = Annotated[
    str | None,
    typer.Option(
        "--normalize",
        help="Common scale of the scores: minmax (default), zscore, rank or reciprocal-rank.",
        rich_help_panel=HOW,
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing",
        help="Score of a shot that a list does not contain: minimum (just below the list's lowest; default), absent "
        "(no score), or recomputed (its true score; needs --topics with --store or --checkpoint).",
        rich_help_panel=HOW,
    ),
]
RrfK = Annotated[
    float | None,
    typer.Option(
        "--rrf-k", min=0, help="k of rrf and of reciprocal-rank, 1 / (k + rank); default 60.", rich_help_panel=HOW
    ),
]
Weight = Annotated[
    list[str] | None,
    typer.Option("--weight", help="LIST=W, the weight of a list; repeatable.", rich_help_panel=HOW),
]
Family = Annotated[
    list[str] | None,
    typer.Option(
        "--family",
        help="NAME=PATTERN, a family of lists that are fused first; repeatable, for one name too.",
        rich_help_panel=HOW,
    ),
]
Step1 = Annotated[
    str | None,
    typer.Option(
        "--step1", help="Method within families, average by default; --method is used across them.", rich_help_panel=HOW
    ),
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", min=1, help="Number of top shots used of each list; default 2000.", rich_help_panel=HOW),
]
Past = Annotated[
    list[Path] | None,
    typer.Option(
        "--past", help="Folder with lists of the same names over past topics; repeatable.", rich_help_panel=LEARN
    ),
]
PastTopics = Annotated[
    list[Path] | None,
    typer.Option(
        "--past-topics",
        help="Topic file of the past topics; repeated sentences are kept in the same fold. Repeatable.",
        rich_help_panel=LEARN,
    ),
]
Folds = Annotated[
    int,
    typer.Option("--folds", min=2, help="Number of folds, if all topics are of one edition.", rich_help_panel=LEARN),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads for learning.", rich_help_panel=RUNTIME)]
TopicsToFuse = Annotated[
    list[Path] | None,
    typer.Option(
        "--topics", help="Topic file of the topics to fuse; default: all topics not learned from.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip
Partial = Annotated[
    bool,
    typer.Option(
        "--partial", help="Accept lists that lack topics; they do not count for these topics.", rich_help_panel=INPUTS
    ),
]
Output = Annotated[str | None, typer.Option("-o", "--output", help="Fused list to write.", rich_help_panel=OUTPUT)]
FuserFolder = Annotated[
    Path | None,
    typer.Option("--fuser", help="Folder of the fuser; written with --qrels, otherwise read.", rich_help_panel=OUTPUT),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="HTML page on how much learning helps, with JSON beside it; needs --qrels.",
        rich_help_panel=OUTPUT,
    ),
]


def command(
    lists: Lists,
    method: MethodName = None,
    ltr: Ltr = False,
    normalize: Normalize = None,
    missing: Missing = None,
    rrf_k: RrfK = None,
    weight: Weight = None,
    family: Family = None,
    step1: Step1 = None,
    depth: Depth = None,
    qrels: PastQrels = None,
    fit_on: FitOn = None,
    edition_file: PastEditionFiles = None,
    past: Past = None,
    past_topics: PastTopics = None,
    study: Study = False,
    folds: Folds = 5,
    seed: Seed = 0,
    topics: TopicsToFuse = None,
    store: OptionalStores = None,
    checkpoint: Checkpoints = None,
    narratives: Narratives = None,
    partial: Partial = False,
    output: Output = None,
    fuser: FuserFolder = None,
    report: Report = None,
    k: K = 1000,
    threads: Threads = 1,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.fuse.options import FusionOptions
    from avs.pipeline.fuse.run import run_fusion
    from avs.trecvid.past_topics import edition_names

    options = FusionOptions(
        lists, output_file(output, "fused.trec") if output else None, past=past or (), method=_method(ltr, method),
        normalization=normalize, missing=missing, rrf_k=rrf_k, weights=weight or (),
        families=family or (), step_1=step1,
        depth=depth, partial=partial, topics=topics or (), past_topics=past_topics or (), stores=store or (),
        checkpoints=checkpoint or (), narratives=narratives, fuser=fuser, report=report, k=k, device=device,
        force=force, qrels=qrels or (), fit_on=edition_names(fit_on),
        edition_files=edition_file or (), study=study, folds=folds, seed=seed,
        threads=threads,
    )  # fmt: skip
    summary = run_fusion(options, reporter=Reporter(quiet=quiet))
    if json:
        print(json_.dumps(summary, indent=2))


def _method(ltr: bool, method: str | None) -> str | None:
    from avs.core.errors import ConfigError

    if ltr and method not in (None, "ltr"):
        raise ConfigError("--ltr is short for --method ltr", got=f"--ltr --method {method}", next_step="leave one out")
    return "ltr" if ltr else method
