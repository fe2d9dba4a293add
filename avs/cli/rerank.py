"""Rerank the best shots of a list by what they look like; the order of all other shots does not change.

Each command uses one method. To use several, rerank the result again. --qrels fits alpha (the weight of the list) on
judged topics, and other parameters that can be fitted, unless they are given.
"""

from __future__ import annotations

import inspect
import json as json_
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from avs.cli.options import (
    INPUTS,
    LEARN,
    MODEL,
    OUTPUT,
    Debug,
    Device,
    FitOn,
    Force,
    Json,
    K,
    Narratives,
    OptionalShots,
    OptionalStores,
    OptionalTopics,
    OptionalVideos,
    PastEditionFiles,
    Quiet,
    Study,
    Weights,
    Word2Vec,
    output_file,
)
from avs.reranking.methods.reranker import all_parameters, depths_help, needing, rerankers_help

EXAMPLES = """
avs rerank lists/fused.trec --topics tv23.xml --method clip --store features/clip/frame -o lists/reranked.trec
avs rerank lists/a.trec --topics tv23.xml --method dual-softmax --other-topics tv22.txt --store features/clip/shot -o b.trec
avs rerank lists/a.trec --method k-reciprocal --store features/clip/shot --alpha 0.7 -o b.trec
avs rerank lists/a.trec --method near-duplicates --policy demote --store features/clip/shot -o b.trec
avs rerank lists/a.trec --topics tv23.xml --method judge --vlm ORG/MODEL --videos videos --shots shots.tsv --cache judged.tsv -o b.trec
avs rerank lists/a.trec --topics tv23.xml --method model --checkpoint models/tight --store clip/frame --alpha 0 -o b.trec
avs rerank lists/tv21.trec --topics tv21.txt --method clip --store features/clip/frame --qrels qrels.tv21 --reranker reranker
avs rerank lists/tv23.trec --topics tv23.txt --store features/clip/frame --reranker reranker -o lists/reranked.trec
"""  # noqa: E501  # a command to copy is one line

HOW, JUDGE = "Method", "Judge"

Ranked = Annotated[Path, typer.Argument(metavar="LIST", help="Ranked list to rerank.")]
MethodName = Annotated[str | None, typer.Option("--method", help=rerankers_help(), rich_help_panel=HOW)]
OtherTopics = Annotated[
    list[Path] | None,
    typer.Option(
        "--other-topics",
        help=f"{', '.join(needing('other topics'))}: topic file of other years; repeatable.",
        rich_help_panel=INPUTS,
    ),
]
QueryMode = Annotated[
    str | None,
    typer.Option(
        "--query-mode", help="What of a topic is used: query (default), narrative or both.", rich_help_panel=INPUTS
    ),
]
Model = Annotated[Path | None, typer.Option("--checkpoint", help="model: the trained model.", rich_help_panel=MODEL)]
Depth = Annotated[
    int | None,
    typer.Option("--depth", help=f"Number of top shots to rerank; default {depths_help()}.", rich_help_panel=HOW),
]
Alpha = Annotated[
    float | None,
    typer.Option("--alpha", help="Weight of the list, 0 to 1; with 1 the list does not change.", rich_help_panel=HOW),
]
Vlm = Annotated[
    str | None,
    typer.Option("--vlm", help="Vision-language model: a name on the Hub, or a folder.", rich_help_panel=JUDGE),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Revision on the Hub; default main.", rich_help_panel=JUDGE)
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="judge: file that keeps its answers.", rich_help_panel=OUTPUT)
]
Frames = Annotated[
    int | None, typer.Option("--frames", help="Number of frames per shot; default 4.", rich_help_panel=JUDGE)
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", help="Number of questions per batch; default 8.", rich_help_panel=JUDGE),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", help="The question, in which {topic} is replaced by the topic.", rich_help_panel=JUDGE),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help="float32 (default), bfloat16 or float16.", rich_help_panel=JUDGE),
]
Judgments = Annotated[
    list[Path] | None,
    typer.Option("--qrels", help="Judgments to fit the reranker on; repeatable.", rich_help_panel=LEARN),
]
Output = Annotated[str | None, typer.Option("-o", "--output", help="Reranked list to write.", rich_help_panel=OUTPUT)]
RerankerFolder = Annotated[
    Path | None,
    typer.Option(
        "--reranker", help="Folder of the reranker; written with --qrels, otherwise read.", rich_help_panel=OUTPUT
    ),
]


def command(
    ranked: Ranked,
    topics: OptionalTopics = None,
    store: OptionalStores = None,
    method: MethodName = None,
    other_topics: OtherTopics = None,
    narratives: Narratives = None,
    query_mode: QueryMode = None,
    checkpoint: Model = None,
    weights: Weights = None,
    word2vec: Word2Vec = None,
    depth: Depth = None,
    alpha: Alpha = None,
    vlm: Vlm = None,
    revision: Revision = None,
    videos: OptionalVideos = None,
    shots: OptionalShots = None,
    cache: Cache = None,
    frames: Frames = None,
    batch_size: BatchSize = None,
    prompt: Prompt = None,
    dtype: Dtype = None,
    qrels: Judgments = None,
    fit_on: FitOn = None,
    edition_file: PastEditionFiles = None,
    study: Study = False,
    output: Output = None,
    reranker: RerankerFolder = None,
    k: K = 1000,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
    **parameters: Any,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.rerank.options import RerankOptions
    from avs.pipeline.rerank.run import run_reranking
    from avs.trecvid.past_topics import edition_names

    fixed = _not_none(alpha=alpha, **parameters)
    judge = _not_none(
        vlm=vlm, videos=videos, shots=shots, cache=cache, revision=revision, frames=frames, batch_size=batch_size,
        prompt=prompt, dtype=dtype,
    )  # fmt: skip
    options = RerankOptions(
        ranked, method or "", fixed, depth=depth, topics=topics or (), stores=store or (),
        other_topics=other_topics or (), narratives=narratives, query_mode=query_mode, weights=weights or (),
        checkpoint=checkpoint, word2vec=word2vec, device=device, k=k, judge=judge,
        output=output_file(output, "reranked.trec") if output else None, reranker=reranker, qrels=qrels or (),
        fit_on=edition_names(fit_on), edition_files=edition_file or (), study=study, force=force,
    )  # fmt: skip
    summary = run_reranking(options, reporter=Reporter(quiet=quiet))
    if json:
        print(json_.dumps(summary, indent=2))


def _not_none(**values: Any) -> dict[str, Any]:
    """Option -> value, of the options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _with_parameters(command: Callable[..., None]) -> None:
    """Give the command an option for every parameter of every reranker."""
    signature = inspect.signature(command, eval_str=True)
    fixed = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    more = []
    for name, parameter in all_parameters().items():
        option = typer.Option(f"--{name.replace('_', '-')}", help=f"{parameter.help}.", rich_help_panel=HOW)
        annotation = Annotated[type(parameter.default) | None, option]  # type: ignore[valid-type]
        more.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    command.__signature__ = signature.replace(parameters=[*fixed, *more])  # type: ignore[attr-defined]


_with_parameters(command)
