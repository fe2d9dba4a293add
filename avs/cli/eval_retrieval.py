"""Score text-to-video retrieval on captioned videos: R@k, MdR, MnR, StdR, MRR, mAP and SumR, both directions.

Every caption ranks the videos that the captions describe, and every video ranks the captions. A trained model
(--checkpoint) finds its features among the stores. Without a model the search is zero-shot: the encoder that made each
store encodes the captions, and frames are aggregated as CLIP-straight does.
"""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import (
    MODEL,
    OUTPUT,
    Captions,
    CaptionsFormat,
    Checkpoints,
    Debug,
    Device,
    Force,
    Json,
    Quiet,
    Seed,
    Split,
    Stores,
    Weights,
    Word2Vec,
    ZeroShot,
)

if TYPE_CHECKING:
    from avs.core.captions import CaptionSet
    from avs.metrics.text_to_video import RetrievalScores

EXAMPLES = """
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/shot
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/frame --aggregate kmeans_maxsim --k 5
avs eval-retrieval --captions msvd.caption.txt --store features/clip/shot --store features/blip/shot --checkpoint m/laff
avs eval-retrieval --captions MSRVTT_data.json --split test --store features/clip-vit-b32/frame --ties both --json
"""

MEASURES = "Measures"


class Aggregate(StrEnum):
    single = "single"
    mean = "mean"
    kmeans_minrank = "kmeans_minrank"
    kmeans_maxsim = "kmeans_maxsim"


class Directions(StrEnum):
    t2v = "t2v"
    v2t = "v2t"
    both = "both"


class Protocols(StrEnum):
    caption = "caption"
    group = "group"
    both = "both"


class Ties(StrEnum):
    optimistic = "optimistic"
    pessimistic = "pessimistic"
    both = "both"


AggregateOption = Annotated[
    Aggregate | None,
    typer.Option(
        "--aggregate", help="How frames become a video in a frame-level store; default mean.", rich_help_panel=MODEL
    ),
]
Centroids = Annotated[
    int | None, typer.Option("--k", min=1, help="Number of centroids per video, for k-means.", rich_help_panel=MODEL)
]
DirectionsOption = Annotated[
    Directions, typer.Option("--directions", help="Text to video, video to text, or both.", rich_help_panel=MEASURES)
]
ProtocolOption = Annotated[
    Protocols,
    typer.Option(
        "--protocol",
        help="Video to text: rank every caption, or the captions of a video as one group.",
        rich_help_panel=MEASURES,
    ),
]
TiesOption = Annotated[
    Ties,
    typer.Option("--ties", help="Does the answer come before or after its equals?", rich_help_panel=MEASURES),
]
PerQuery = Annotated[
    Path | None,
    typer.Option("--per-query", help="TSV file to write the rank of every query to.", rich_help_panel=OUTPUT),
]


def command(
    captions: Captions,
    store: Stores,
    checkpoint: Checkpoints = None,
    zero_shot: ZeroShot = False,
    captions_format: CaptionsFormat = None,
    split: Split = None,
    weights: Weights = None,
    word2vec: Word2Vec = None,
    aggregate: AggregateOption = None,
    k: Centroids = None,
    seed: Seed = 0,
    directions: DirectionsOption = Directions.both,
    protocol: ProtocolOption = Protocols.both,
    ties: TiesOption = Ties.optimistic,
    per_query: PerQuery = None,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.search.caption_retrieval import RetrievalInputs, evaluate_captions, ranking_kinds

    scores, chosen = evaluate_captions(
        RetrievalInputs(captions, captions_format, split, store, checkpoint or (), zero_shot, weights or (), word2vec),
        method=aggregate.value if aggregate else None,
        k=k,
        seed=seed,
        kinds=ranking_kinds(directions.value, protocol.value, ties.value),
        per_query=per_query,
        device=device,
        force=force,
        reporter=Reporter(quiet=quiet),
    )
    sys.stdout.write(_render(scores, chosen, json=json))


def _render(scores: Mapping[str, Sequence[RetrievalScores]], captions: CaptionSet, *, json: bool) -> str:
    from avs.metrics.report import aligned, tsv
    from avs.metrics.text_to_video import both_directions, retrieval_rows

    if not json:
        rows = list(retrieval_rows(scores))
        return aligned(rows, text_columns=4) if sys.stdout.isatty() else tsv(rows)
    systems = [
        {
            "system": name,
            "rankings": [row.to_json() for row in found],
            "both_directions": [{"protocol": p, "ties": t, "SumR": total} for p, t, total in both_directions(found)],
        }
        for name, found in scores.items()
    ]
    counts = {"captions": len(captions), "videos": len(captions.videos)}
    return json_.dumps({"collection": captions.name, **counts, "systems": systems}, indent=2) + "\n"
