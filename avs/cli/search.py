"""Rank the shots of a collection for every topic, and keep the best 1,000 per topic.

Each trained model (--checkpoint) gives a list; it finds its features among the stores. Without a model each store
gives a list, zero-shot: the encoder that made the store encodes the topics, and the score is the cosine. All lists are
made in one pass over the stores. Run the same command again to resume a search that was interrupted.
"""

from __future__ import annotations

import json as json_
import shlex
from typing import Annotated

import typer

from avs.cli.options import (
    MODEL,
    OUTPUT,
    RUNTIME,
    Actors,
    Checkpoints,
    Cluster,
    Debug,
    Device,
    Edition,
    EditionFile,
    Force,
    Json,
    K,
    Narratives,
    QueryMode,
    Quiet,
    Stores,
    Topics,
    Weights,
    Word2Vec,
    ZeroShot,
)

EXAMPLES = """
avs search --topics topics.txt --store features/mini-clip/shot -o lists/mini-clip.trec
avs search --topics tv23.xml --store features/clip-vit-b32/shot --store features/blip2-itm-vit-g/frame -o lists/
avs search --topics tv23.xml --store features/clip/shot --store features/blip/shot --checkpoint models/laff -o lists/
avs search --topics tv23.xml --store features/clip/shot --checkpoint models/laff --cluster ray -o lists/
avs search --topics tv22.txt --topics tv23.txt --narratives n.txt --query-mode both --store features/clip/shot -o lists/
"""

Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="The list, X.trec, if there is only one; or a folder (lists/), where lists are named after their systems.",
        rich_help_panel=OUTPUT,
    ),
]
FrameScore = Annotated[
    str | None,
    typer.Option(
        "--frame-score",
        help="Score of a shot in a frame-level store: max (default) or mean over its frames.",
        rich_help_panel=MODEL,
    ),
]
ScoreDtype = Annotated[
    str, typer.Option("--score-dtype", help="float32, or the coarser bfloat16.", rich_help_panel=RUNTIME)
]


def command(
    topics: Topics,
    store: Stores,
    output: Output,
    checkpoint: Checkpoints = None,
    zero_shot: ZeroShot = False,
    narratives: Narratives = None,
    query_mode: QueryMode = "query",
    edition: Edition = None,
    edition_file: EditionFile = None,
    weights: Weights = None,
    word2vec: Word2Vec = None,
    frame_score: FrameScore = None,
    k: K = 1000,
    device: Device = "cpu",
    score_dtype: ScoreDtype = "float32",
    cluster: Cluster = None,
    actors: Actors = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.pipeline.placement import place_on_cluster
    from avs.pipeline.search.lists import SearchInputs, SearchSettings, search_into_lists
    from avs.trecvid.editions import get_edition

    reporter = Reporter(quiet=quiet)
    year = get_edition(edition, edition_file) if edition is not None else None
    summaries = search_into_lists(
        SearchInputs(topics, store, checkpoint or (), zero_shot, narratives, year),
        output,
        SearchSettings(k, query_mode, score_dtype, frame_score, device),
        weights=weights or (),
        word2vec=word2vec,
        cluster=place_on_cluster(cluster, actors, device),
        force=force,
        reporter=reporter,
    )
    new = [str(summary["path"]) for summary in summaries if "up_to_date" not in summary]
    if new:
        files = shlex.join(word for file in topics for word in ("--topics", str(file)))
        reporter.suggest(
            f"avs eval {typed(new[0])} --qrels QRELS, or avs make-run {typed(new[0])} {files} "
            f"--edition {edition or 'EDITION'} --shots TABLE --pid TEAM --priority 1 --class F --task M --novelty C "
            f'--trtype D --desc "..."'
        )
    if json:
        print(json_.dumps(summaries if len(summaries) > 1 else summaries[0], indent=2))
