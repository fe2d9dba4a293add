"""Rerank the best of a list by what its shots look like; what lies below stays below.

clip: the best frame of a shot against the query. dual-softmax: what fits the topics of other years as well is worth
less. k-reciprocal: what resembles the other candidates is worth more. near-duplicates: repeats are brought together, or
moved back. judge: a vision-language model is asked whether the shot shows the topic. One method a call; rerank the
result again to chain them. --qrels fits alpha on judged topics, and the temperature of dual-softmax unless it is given.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

EXAMPLES = """
avs rerank lists/fused.trec --topics tv23.xml --method clip --store features/clip/frame -o lists/reranked.trec
avs rerank lists/a.trec --topics tv23.xml --method dual-softmax --other-topics tv22.txt --store features/clip/shot -o b.trec
avs rerank lists/a.trec --topics tv23.xml --method k-reciprocal --store features/clip/shot --alpha 0.7 -o b.trec
avs rerank lists/a.trec --topics tv23.xml --method near-duplicates --policy demote --store features/clip/shot -o b.trec
avs rerank lists/a.trec --topics tv23.xml --method judge --vlm ORG/MODEL --videos videos --shots shots.tsv --cache judged.tsv -o b.trec
avs rerank lists/tv21.trec --topics tv21.txt --method clip --store features/clip/frame --qrels qrels.tv21 --model reranker
avs rerank lists/tv23.trec --topics tv23.txt --store features/clip/frame --model reranker -o lists/reranked.trec
"""  # noqa: E501  # a command to copy stands on one line

T = TypeVar("T")
INPUTS, HOW, JUDGE, LEARN, OUTPUT = "Inputs", "Method", "Judge", "Learning", "Output"


def command(
    ranked: Annotated[Path, typer.Argument(metavar="LIST", help="Ranked list, X.trec.")],
    topics: Annotated[
        list[Path], typer.Option("--topics", help="Topics of the list; repeatable.", rich_help_panel=INPUTS)
    ],
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Feature store (or BigFile); none for judge.", rich_help_panel=INPUTS),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="clip, dual-softmax, k-reciprocal, near-duplicates, judge.", rich_help_panel=HOW),
    ] = None,
    other_topics: Annotated[
        list[Path] | None,
        typer.Option("--other-topics", help="dual-softmax: of other years; repeatable.", rich_help_panel=INPUTS),
    ] = None,
    narratives: Annotated[
        Path | None, typer.Option("--narratives", help="A narrative for every topic.", rich_help_panel=INPUTS)
    ] = None,
    query_mode: Annotated[
        str | None, typer.Option("--query-mode", help="query (default), narrative or both.", rich_help_panel=INPUTS)
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Where the store's encoder lies now.", rich_help_panel=INPUTS)
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", help="Candidates reranked; default 1000, of judge 100.", rich_help_panel=HOW),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Weight of the list: 1 leaves it as it is.", rich_help_panel=HOW),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="dual-softmax: of both softmaxes.", rich_help_panel=HOW)
    ] = None,
    k1: Annotated[int | None, typer.Option("--k1", help="k-reciprocal: neighbours.", rich_help_panel=HOW)] = None,
    k2: Annotated[
        int | None, typer.Option("--k2", help="k-reciprocal: neighbours averaged over.", rich_help_panel=HOW)
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="near-duplicates: group or demote.", rich_help_panel=HOW)
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="near-duplicates: least cosine.", rich_help_panel=HOW)
    ] = None,
    vlm: Annotated[
        str | None,
        typer.Option("--vlm", help="Vision-language model: a name on the Hub, or a folder.", rich_help_panel=JUDGE),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Of the Hub repository; default main.", rich_help_panel=JUDGE)
    ] = None,
    videos: Annotated[Path | None, typer.Option("--videos", help="Folder of videos.", rich_help_panel=JUDGE)] = None,
    shots: Annotated[Path | None, typer.Option("--shots", help="Shot table.", rich_help_panel=JUDGE)] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="judge: file that keeps its answers.", rich_help_panel=OUTPUT)
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", help="Frames of a shot; default 4.", rich_help_panel=JUDGE)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Questions at once; default 8.", rich_help_panel=JUDGE)
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Question; {topic} is the topic.", rich_help_panel=JUDGE)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32 (default), bfloat16, float16.", rich_help_panel=JUDGE)
    ] = None,
    qrels: Annotated[
        list[Path] | None,
        typer.Option("--qrels", help="Judgments to fit alpha on; repeatable.", rich_help_panel=LEARN),
    ] = None,
    fit_on: Annotated[
        str | None, typer.Option("--fit-on", help="Editions to learn from: tv19,tv20.", rich_help_panel=LEARN)
    ] = None,
    study: Annotated[
        bool,
        typer.Option(
            "--study", help="The topics are judged: -o holds what was found out of fold.", rich_help_panel=LEARN
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The reranked list, X.trec.", rich_help_panel=OUTPUT)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="Folder of the reranker: written with --qrels, else read.", rich_help_panel=OUTPUT
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Shots a topic; NIST takes 1000.", rich_help_panel=OUTPUT)
    ] = 1000,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)] = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter
    from avs.pipeline.rerank.apply import DEPTH, JUDGED, RerankOptions, rerank_list
    from avs.pipeline.rerank.judge import judging_for
    from avs.pipeline.rerank.learn import fit_reranker, fitted_for, with_fitted

    if output and output.resolve() == ranked.resolve():
        raise ConfigError("the list would be replaced by its own reranking", got=f"-o {output}")
    said = {"alpha": alpha, "temperature": temperature, "k1": k1, "k2": k2, "policy": policy, "threshold": threshold}
    given = {name: value for name, value in said.items() if value is not None}
    if model and not qrels:
        method, given, depth = with_fitted(model, method, given, depth, topics=topics)
    method = _required(method, "--method", "clip, dual-softmax, k-reciprocal, near-duplicates or judge")
    by_judge = {"vlm": vlm, "revision": revision, "videos": videos, "shots": shots, "cache": cache, "frames": frames}
    by_judge |= {"batch-size": batch_size, "prompt": prompt, "dtype": dtype}
    looked = {name: value for name, value in by_judge.items() if value is not None}
    options = RerankOptions(
        ranked,
        topics,
        store,
        method,
        given,
        depth if depth is not None else JUDGED if method == "judge" else DEPTH,
        other_topics or (),
        narratives,
        query_mode,
        weights,
        device,
        k,
        judging_for(method, looked, store=store, device=device),
    ).checked()
    if model and not qrels:
        options = fitted_for(model, options)
    reporter = Reporter(quiet=quiet)
    if qrels:
        editions = fit_on.replace(",", " ").split() if fit_on is not None else None
        made = fit_reranker(
            options,
            qrels,
            fixed=given,
            fit_on=editions,
            model=model,
            output=output,
            study=study,
            force=force,
            reporter=reporter,
        )
    else:
        useless = [option for option, value in (("--fit-on", fit_on), ("--study", study)) if value]
        if useless:
            raise ConfigError(f"{', '.join(useless)}: for learning", next_step="give judgments to learn from: --qrels")
        written = _required(output, "-o", "lists/reranked.trec")
        more = {"model": model} if model else {}
        made = rerank_list(options, written, force=force, reporter=reporter, **more)
    if json:
        print(json_.dumps(made, indent=2))


def _required(value: T | None, option: str, wanted: str) -> T:
    from avs.core.errors import ConfigError

    if value is None:
        raise ConfigError(f"{option} is missing", wanted=wanted)
    return value
