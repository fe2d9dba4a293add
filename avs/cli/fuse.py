"""Fuse ranked lists into one: by classic combinations, by weights learned on past topics, or by learning to rank.

Without judgments (--qrels) it applies: a combination, or the fuser that lies in --model. With them it learns from the
judged topics of past editions, keeps the fuser in --model, and fuses the topics it did not learn from. --study is for
topics that are judged: every topic is fused by a fuser that was fitted without it, and --report says what that is worth
beside the average.
"""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

EXAMPLES = """
avs fuse lists/*.trec -o lists/average.trec
avs fuse lists/v3c2/*.trec --past lists/v3c1 --ltr --qrels qrels.tv19 --qrels qrels.tv20 --fit-on tv19,tv20 --model fuser/ -o lists/fused.trec
avs fuse lists/tv23/*.trec --ltr --model fuser/ -o lists/tv23-fused.trec
avs fuse lists/*.trec --method ltr --family 'laffs=laff*' --step1 average --qrels avs.qrels.main.tv21 --study --report fusion.html
avs fuse lists/*.trec --method weighted --weights clip=0.3 --weights laff=0.7 -o lists/weighted.trec
"""  # noqa: E501  # a command to copy stands on one line

INPUTS, HOW, LEARN, OUTPUT = "Inputs", "Combination", "Learning", "Output"


def command(
    lists: Annotated[list[Path], typer.Argument(help="Ranked lists, X.trec being called X.")],
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="average (default), combsum, combmnz, combmax, weighted, rrf, borda; learned: coordinate-ascent, ltr.",
            rich_help_panel=HOW,
        ),
    ] = None,
    ltr: Annotated[bool, typer.Option("--ltr", help="Short for --method ltr.", rich_help_panel=HOW)] = False,
    normalize: Annotated[
        str | None,
        typer.Option(
            "--normalize", help="Of scores: minmax (default), zscore, rank, reciprocal-rank.", rich_help_panel=HOW
        ),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            "--missing",
            help="What a list says of a shot it does not hold: minimum (its least score; default), absent (nothing), "
            "or recomputed (the true score, by --topics with --store or --checkpoint).",
            rich_help_panel=HOW,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="LIST=WEIGHT; repeatable.", rich_help_panel=HOW)
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family", help="NAME=PATTERN of lists to fuse first; repeatable, also for one name.", rich_help_panel=HOW
        ),
    ] = None,
    step1: Annotated[
        str | None,
        typer.Option(
            "--step1", help="Method within families, average by default; --method is step 2.", rich_help_panel=HOW
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", min=1, help="Best shots taken from each list; default 2000.", rich_help_panel=HOW),
    ] = None,
    qrels: Annotated[
        list[Path] | None,
        typer.Option("--qrels", help="Judgments of past topics to learn from; repeatable.", rich_help_panel=LEARN),
    ] = None,
    fit_on: Annotated[
        str | None,
        typer.Option(
            "--fit-on", help="Editions to learn from, such as tv19,tv20; default: all judged.", rich_help_panel=LEARN
        ),
    ] = None,
    past: Annotated[
        list[Path] | None,
        typer.Option(
            "--past", help="Folder with lists of the same names over past topics; repeatable.", rich_help_panel=LEARN
        ),
    ] = None,
    past_topics: Annotated[
        list[Path] | None,
        typer.Option(
            "--past-topics", help="Their sentences; those that return stay in one fold.", rich_help_panel=LEARN
        ),
    ] = None,
    study: Annotated[
        bool,
        typer.Option(
            "--study",
            help="The topics are judged: lists come from fusers that did not see them.",
            rich_help_panel=LEARN,
        ),
    ] = False,
    folds: Annotated[
        int,
        typer.Option("--folds", min=2, help="Of topics, where there is only one edition.", rich_help_panel=LEARN),
    ] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of folds, starts, LightGBM.", rich_help_panel=LEARN)] = 0,
    topics: Annotated[
        list[Path] | None,
        typer.Option("--topics", help="Topics to fuse; default: all not learned from.", rich_help_panel=INPUTS),
    ] = None,
    store: Annotated[
        list[Path] | None,
        typer.Option("--store", help="Of the lists, for --missing recomputed; repeatable.", rich_help_panel=INPUTS),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="As --store, for trained models.", rich_help_panel=INPUTS),
    ] = None,
    narratives: Annotated[
        Path | None, typer.Option("--narratives", help="As in the search of the lists.", rich_help_panel=INPUTS)
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="A list may lack a topic, and says nothing there.", rich_help_panel=INPUTS)
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The fused list, X.trec.", rich_help_panel=OUTPUT)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder of the fuser: written with --qrels, else read.", rich_help_panel=OUTPUT),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="HTML page on what learning is worth, JSON beside it; needs --qrels.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Shots a topic; NIST takes 1000.", rich_help_panel=OUTPUT)
    ] = 1000,
    threads: Annotated[int, typer.Option("--threads", min=1, help="For learning.", rich_help_panel=RUNTIME)] = 1,
    device: Annotated[
        str, typer.Option("--device", help="For --missing recomputed: cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)
    ] = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.fuse.apply import apply_fusion
    from avs.pipeline.fuse.options import FusionOptions

    _require_one_method(ltr, method)
    options = FusionOptions(
        lists,
        output,
        past=past or (),
        method="ltr" if ltr else method,
        normalization=normalize,
        missing=missing,
        weights=_pairs(weights, "--weights", "LIST=WEIGHT"),
        families=_pairs(family, "--family", "NAME=PATTERN"),
        step_1=step1,
        depth=depth,
        partial=partial,
        topics=topics or (),
        past_topics=past_topics or (),
        stores=store or (),
        checkpoints=checkpoint or (),
        narratives=narratives,
        model=model,
        report=report,
        k=k,
        device=device,
        force=force,
    )
    reporter = Reporter(quiet=quiet)
    if qrels:
        from avs.pipeline.fuse.learn import LearningOptions, learn_fusion

        editions = fit_on.replace(",", " ").split() if fit_on is not None else None
        made = learn_fusion(options, LearningOptions(qrels, editions, study, folds, seed, threads), reporter=reporter)
    else:
        _require_nothing_learned(fit_on, past, report, study)
        made = apply_fusion(options, reporter=reporter)
    if json:
        print(json_.dumps(made, indent=2))


def _pairs(words: Sequence[str] | None, option: str, form: str) -> list[tuple[str, str]]:
    """NAME=VALUE words as pairs; the value may hold "=" too."""
    from avs.core.errors import ConfigError

    pairs = [(name, value) for name, _, value in (word.partition("=") for word in words or ())]
    if not all(name and value for name, value in pairs):
        raise ConfigError(f"{option} is written {form}", got=", ".join(words or ()))
    return pairs


def _require_one_method(ltr: bool, method: str | None) -> None:
    from avs.core.errors import ConfigError

    if ltr and method not in (None, "ltr"):
        raise ConfigError("--ltr is short for --method ltr", got=f"--ltr --method {method}", next_step="leave one out")


def _require_nothing_learned(fit_on: str | None, past: Sequence[Path] | None, report: Path | None, study: bool) -> None:
    """Without judgments nothing is learned."""
    from avs.core.errors import ConfigError

    given = {"--fit-on": fit_on, "--past": past, "--report": report, "--study": study}
    useless = [option for option, value in given.items() if value]
    if useless:
        raise ConfigError(f"{', '.join(useless)}: for learning", next_step="give judgments to learn from: --qrels")
