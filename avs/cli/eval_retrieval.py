"""Score text-to-video retrieval on captioned videos: R@k, MdR, MnR, StdR, MRR, mAP and SumR, both directions.

Every caption searches the videos that the captions describe, and every video the captions. With --checkpoint by a
trained model, which finds its features among the stores. Without, zero-shot: captions are encoded by the model that
made each store, and frames are aggregated as CLIP-straight does.
"""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    import numpy as np

    from avs.core.artifacts import Manifest
    from avs.core.captions import CaptionSet
    from avs.metrics.text_to_video import CaptionProtocol as Protocol
    from avs.metrics.text_to_video import Ranking, RetrievalScores
    from avs.pipeline.search.zero_shot import RetrievalSystem, ZeroShot
    from avs.train.checkpoint import Checkpoint

    Way = tuple[Protocol | None, str]  # None: text to video; and how ties are counted

EXAMPLES = """
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/shot
avs eval-retrieval --captions msvd.caption.txt --store features/clip-vit-b32/frame --aggregate kmeans_maxsim --k 5
avs eval-retrieval --captions msvd.caption.txt --store features/clip/shot --store features/blip/shot --checkpoint m/laff
avs eval-retrieval --captions MSRVTT_data.json --split test --store features/clip-vit-b32/frame --ties both --json
"""

INPUTS, MODEL, MEASURES, OUTPUT = "Inputs", "Model", "Measures", "Output"


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


def command(
    captions: Annotated[
        Path, typer.Option("--captions", help="Captions of the videos to search.", rich_help_panel=INPUTS)
    ],
    store: Annotated[
        list[Path],
        typer.Option("--store", help="Feature store of the videos; repeatable.", rich_help_panel=INPUTS),
    ],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="Trained model; repeatable, scored each.", rich_help_panel=MODEL),
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="The stores' own encoders beside the models.", rich_help_panel=MODEL)
    ] = False,
    captions_format: Annotated[
        str | None, typer.Option(help="Of the captions file, where its content does not say.", rich_help_panel=INPUTS)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The part of a collection to take, such as test.", rich_help_panel=INPUTS)
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the store's encoder lies now, when it has moved: folder or Hub name, one for each --store.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    word2vec: Annotated[
        Path | None,
        typer.Option(help="Where the word vectors of the models lie now, when moved.", rich_help_panel=MODEL),
    ] = None,
    aggregate: Annotated[
        Aggregate | None,
        typer.Option(help="A video's vector in a frame-level store; default mean.", rich_help_panel=MODEL),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Centroids a video, with k-means.", rich_help_panel=MODEL)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of k-means.", rich_help_panel=MODEL)] = 0,
    directions: Annotated[
        Directions, typer.Option(help="Text to video, video to text.", rich_help_panel=MEASURES)
    ] = Directions.both,
    protocol: Annotated[
        Protocols,
        typer.Option(
            help="Video to text: rank all captions, or those of a video as one group.", rich_help_panel=MEASURES
        ),
    ] = Protocols.both,
    ties: Annotated[
        Ties, typer.Option(help="Whether the answer comes before or behind its equals.", rich_help_panel=MEASURES)
    ] = Ties.optimistic,
    per_query: Annotated[
        Path | None, typer.Option(help="Write every query's rank to this tsv file.", rich_help_panel=OUTPUT)
    ] = None,
    device: Annotated[str, typer.Option(help="Of the encoder: cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)] = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.captions.read import read_captions
    from avs.core.artifacts import is_up_to_date, write_artefact
    from avs.core.errors import ConfigError
    from avs.core.features import open_stores
    from avs.core.progress import Reporter
    from avs.metrics.text_to_video import RetrievalScores
    from avs.pipeline.search.trained import Moved, model_name
    from avs.pipeline.search.trained_systems import selected_on_captions, trained_systems
    from avs.pipeline.search.zero_shot import require_videos, zero_shot_systems
    from avs.train.checkpoint import read_checkpoint

    reporter = Reporter(quiet=quiet)
    models = [read_checkpoint(folder) for folder in checkpoint or []]
    plans = _plan(store, weights, aggregate, k, seed) if zero_shot or not models else []
    chosen = read_captions(captions, format=captions_format, split=split)
    require_videos(chosen, [plan.store for plan in plans])
    for warning in selected_on_captions(models, chosen):
        reporter.say(warning)
    _require_different_names([*(model_name(model.folder) for model in models), *(plan.name for plan in plans)])
    ways = _ways(directions, protocol, ties)
    manifest = _manifest(chosen, plans, models, ways)
    write = per_query is not None and not is_up_to_date(per_query, manifest, force=force)
    reporter.say(f"{chosen.name}: {len(chosen)} captions of {len(chosen.videos)} videos")
    opened = open_stores(store) if models else {}
    if weights and len(weights) != len(store):
        raise ConfigError("--weights does not fit the stores", got=len(weights), wanted=f"{len(store)}, or none")
    encoders = dict(zip([one.spec.name for one in opened.values()], weights, strict=True)) if weights and opened else {}
    moved = Moved(encoders, word2vec)
    systems = chain(
        trained_systems(models, opened, chosen, moved=moved, device=device, reporter=reporter),
        zero_shot_systems(plans, chosen, device=device, reporter=reporter),
    )
    found = {system.name: _rank(system, chosen, ways) for system in systems}
    scores = {name: [RetrievalScores.of(ranking) for ranking in rankings] for name, rankings in found.items()}
    sys.stdout.write(_render(scores, chosen, json=json))
    if per_query is not None:
        if write:
            write_artefact(per_query, manifest, lambda path: _write_per_query(found, chosen, path))
        reporter.say(f"{'wrote' if write else 'up to date:'} {per_query}")


def _plan(
    folders: Sequence[Path], weights: Sequence[str] | None, aggregate: Aggregate | None, k: int | None, seed: int
) -> list[ZeroShot]:
    """The stores to search, opened, with options that fit them."""
    from avs.core.artifacts import require_path
    from avs.core.errors import ConfigError
    from avs.core.store import FeatureStore
    from avs.pipeline.search.zero_shot import ZeroShot

    if weights and len(weights) != len(folders):
        raise ConfigError("--weights does not fit the stores", got=len(weights), wanted=f"{len(folders)}, or none")
    how = aggregate or Aggregate.mean
    if how.startswith("kmeans") != (k is not None):
        raise ConfigError("--k is the number of centroids of k-means", got=f"--aggregate {how}, --k {k}")
    plans = []
    for number, folder in enumerate(folders):
        store = FeatureStore(require_path(folder, what="feature store"))
        if aggregate and store.level == "shot":
            raise ConfigError("--aggregate is for frame-level stores", where=folder, got="a shot-level store")
        if store.spec.pooling == "queries":
            raise ConfigError("CLIP-straight aggregates one vector a frame", where=folder, got='pooling "queries"')
        plans.append(ZeroShot(store, weights[number] if weights else None, how.value, k or 1, seed))
    return plans


def _require_different_names(names: Sequence[str]) -> None:
    from avs.core.errors import ConfigError

    if len(set(names)) < len(names):
        raise ConfigError("two rows of the table would have the same name", got=max(names, key=names.count))


def _ways(directions: Directions, protocol: Protocols, ties: Ties) -> list[Way]:
    """The rankings to make of a matrix, in the order of the table."""
    from avs.metrics.text_to_video import PROTOCOLS, TIES

    forth = [None] if directions != Directions.v2t else []
    back = [p for p in PROTOCOLS if protocol in (p, Protocols.both)] if directions != Directions.t2v else []
    return [(p, t) for p in (*forth, *back) for t in TIES if ties in (t, Ties.both)]


def _rank(system: RetrievalSystem, captions: CaptionSet, ways: Sequence[Way]) -> list[Ranking]:
    """The rankings of a system, one a way."""
    from avs.metrics.text_to_video import best_of, rank_captions, rank_videos

    def ranking(scores: np.ndarray, protocol: Protocol | None, ties: str) -> Ranking:
        if protocol is None:
            return rank_videos(scores, captions.video_of, ties=ties)
        return rank_captions(scores, captions.video_of, protocol=protocol, ties=ties)

    by_matrix = [[ranking(scores, *way) for way in ways] for scores in system.matrices]
    return [best_of(rankings) for rankings in zip(*by_matrix, strict=True)]


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


def _manifest(
    captions: CaptionSet, plans: Sequence[ZeroShot], models: Sequence[Checkpoint], ways: Sequence[Way]
) -> Manifest:
    """What decides the ranks of every query."""
    from avs.core.artifacts import Manifest

    systems = {plan.name: {"seed": plan.seed, "model": plan.store.spec.revision} for plan in plans}
    stores = {plan.name: plan.store.manifest["fingerprint"] for plan in plans}
    stores |= {str(model.folder): model.fingerprint for model in models}
    return Manifest("query-ranks", {"systems": systems, "ways": ways}, {"captions": captions.fingerprint, **stores})


def _write_per_query(found: Mapping[str, Sequence[Ranking]], captions: CaptionSet, path: Path) -> None:
    """A line for every system, ranking and query: the id of the caption or of the video, its rank and AP."""
    from avs.core.artifacts import atomic_write

    with atomic_write(path) as file:
        file.write("system\tdirection\tprotocol\tties\tquery\trank\taverage_precision\n")
        for system, rankings in found.items():
            for ranking in rankings:
                ids = captions.ids if ranking.direction == "t2v" else captions.videos
                said = f"{system}\t{ranking.direction}\t{ranking.protocol or '-'}\t{ranking.ties}"
                rows = zip(ranking.queries.tolist(), ranking.ranks.tolist(), ranking.average_precision, strict=True)
                file.writelines(f"{said}\t{ids[query]}\t{rank}\t{ap:.6f}\n" for query, rank, ap in rows)
