"""Score text-to-video retrieval on captioned videos: R@k, MdR, MnR, StdR, MRR, mAP and SumR, both directions.

Every caption ranks the videos that the captions describe, and every video ranks the captions. A trained model
(--checkpoint) finds its features among the stores. Without a model the search is zero-shot: the encoder that made each
store encodes the captions, and frames are aggregated as CLIP-straight does.
"""

from __future__ import annotations

import json as json_
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import (
    INPUTS,
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
    from avs.pipeline.search.caption_retrieval import RetrievalReport

EXAMPLES = """
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/shot
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/frame --aggregate kmeans_maxsim --k 5
avs eval-retrieval --captions msvd.caption.txt --store features/clip/shot --store features/blip/shot --checkpoint m/laff
avs eval-retrieval --captions MSRVTT_data.json --split test --store features/clip-vit-b32/frame --ties both --json
avs eval-retrieval --captions mini.caption.txt --captions-per-video first --store features/clip/frame --aggregate all
avs eval-retrieval --captions val_1.json --captions-per-video paragraph --recall-at 50 --store features/clip/frame
avs eval-retrieval --captions msvd.caption.txt --store features/clip/shot --shots shots.tsv --plot ranks.png
"""

MEASURES = "Measures"


class Aggregate(StrEnum):
    single = "single"
    mean = "mean"
    kmeans_minrank = "kmeans_minrank"
    kmeans_maxsim = "kmeans_maxsim"
    all = "all"


class PerVideo(StrEnum):
    all = "all"
    first = "first"
    paragraph = "paragraph"


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
        "--aggregate",
        help="How frames become a video in a frame-level store; default mean; all: a table of every one.",
        rich_help_panel=MODEL,
    ),
]
Centroids = Annotated[
    int | None, typer.Option("--k", min=1, help="Number of centroids per video, for k-means.", rich_help_panel=MODEL)
]
CaptionsPerVideo = Annotated[
    PerVideo,
    typer.Option(
        "--captions-per-video",
        help="All captions of a video, the first, or all as one paragraph.",
        rich_help_panel=INPUTS,
    ),
]
Proposals = Annotated[
    bool,
    typer.Option("--proposals", help="DiDeMo: search only the moments that are described.", rich_help_panel=INPUTS),
]
Shots = Annotated[
    Path | None,
    typer.Option("--shots", help="Shot table with the lengths of the videos, for --plot.", rich_help_panel=INPUTS),
]
RecallAt = Annotated[
    list[int] | None,
    typer.Option("--recall-at", min=1, help="One more rank to give the recall at; repeat.", rich_help_panel=MEASURES),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="PNG of the ranks over the lengths of the videos.", rich_help_panel=OUTPUT),
]
MostPairs = Annotated[
    int | None,
    typer.Option(
        "--most-pairs",
        min=1,
        help="Most pairs of caption and video that a model scores which reads both together (tightTransf, X-CLIP); "
        "default 2,000,000.",
        rich_help_panel=MODEL,
    ),
]
DirectionsOption = Annotated[
    Directions | None,
    typer.Option(
        "--directions",
        help="Text to video, video to text, or both; default both, with --aggregate all t2v.",
        rich_help_panel=MEASURES,
    ),
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
    captions_per_video: CaptionsPerVideo = PerVideo.all,
    proposals: Proposals = False,
    shots: Shots = None,
    weights: Weights = None,
    word2vec: Word2Vec = None,
    most_pairs: MostPairs = None,
    aggregate: AggregateOption = None,
    k: Centroids = None,
    seed: Seed = 0,
    directions: DirectionsOption = None,
    protocol: ProtocolOption = Protocols.both,
    ties: TiesOption = Ties.optimistic,
    recall_at: RecallAt = None,
    per_query: PerQuery = None,
    plot: Plot = None,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.search.caption_retrieval import MOST_PAIRS, RetrievalInputs, evaluate_captions, ranking_kinds

    study = aggregate == Aggregate.all
    directions = directions or (Directions.t2v if study else Directions.both)
    models = checkpoint or ()
    report = evaluate_captions(
        RetrievalInputs(
            captions, captions_format, split, store, models, zero_shot, weights or (), word2vec,
            captions_per_video=captions_per_video.value, proposals=proposals, shots=shots,
        ),
        method=aggregate.value if aggregate else None,
        k=k,
        seed=seed,
        kinds=ranking_kinds(directions.value, protocol.value, ties.value),
        per_query=per_query,
        device=device,
        force=force,
        reporter=Reporter(quiet=quiet),
        recall_at=recall_at or (),
        plot=plot,
        most_pairs=most_pairs or MOST_PAIRS,
    )  # fmt: skip
    sys.stdout.write(_as_json(report, study=study) if json else _as_table(report, study=study))


def _as_table(report: RetrievalReport, *, study: bool) -> str:
    from avs.metrics.report import aligned, tsv
    from avs.metrics.text_to_video import aggregation_rows, retrieval_rows

    rows = list(aggregation_rows(report.scores, report.aggregations) if study else retrieval_rows(report.scores))
    return aligned(rows, text_columns=5 if study else 4) if sys.stdout.isatty() else tsv(rows)


def _as_json(report: RetrievalReport, *, study: bool) -> str:
    from avs.metrics.text_to_video import both_directions

    systems = [
        {
            "system": name,
            **({"aggregation": report.aggregations.get(name)} if study else {}),
            "rankings": [row.to_json() for row in found],
            "both_directions": [{"protocol": p, "ties": t, "SumR": total} for p, t, total in both_directions(found)],
        }
        for name, found in report.scores.items()
    ]
    captions = report.captions
    counts = {"captions": len(captions), "videos": len(captions.videos)}
    return json_.dumps({"collection": captions.name, **counts, "systems": systems}, indent=2) + "\n"
