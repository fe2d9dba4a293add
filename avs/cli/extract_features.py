"""Turn the frames of every shot into vectors.

Frames are decoded once, however many models are given. Run the same command again to resume after a kill.

Any number of processes and machines that share the output folder may run the same command at once: each takes jobs that
are free, and the one that ends last puts the stores together.

A shot that cannot be decoded becomes a row of problems.tsv with its reason.
"""

from __future__ import annotations

import json as json_
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from avs.cli.options import (
    MODEL,
    OUTPUT,
    RUNTIME,
    SAMPLING,
    Actors,
    Cluster,
    Debug,
    Force,
    Frames,
    Json,
    MaxFailed,
    Quiet,
    Shots,
    VideoIds,
    Videos,
    Workers,
)
from avs.core.device import let_threads_sleep

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.core.store import FeatureStore
    from avs.core.store_parts import UnfinishedStore
    from avs.features.recipe import ExtractionRecipe

EXAMPLES = """
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-b32 -o features/
avs extract-features --videos videos/ --shots shots.tsv --model mini-clip --model mini-blip --level frame -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip --weights ./my-clip --device cuda -o features/
avs extract-features --videos videos/ --shots shots.tsv --model models/clip4clip -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-b32 --level frame --raw-length -o raw/
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-b32 --policy keyframes -o preview/
avs extract-features --videos videos/ --shots shots.tsv --model blip-base-capfilt --backend lavis --weights blip/ -o f/
avs extract-features --videos videos/ --shots shots.tsv --config configs/features/mini.yaml -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-b32 --shard 0/8 -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-l14 --devices cuda:0,cuda:1 -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-l14 --cluster ray --device cuda -o features/
"""

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the stores: OUTPUT/MODEL/LEVEL.", rich_help_panel=OUTPUT)
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Encoder of the catalog (docs/features.md), or folder of a trained model; repeatable.",
        rich_help_panel=MODEL,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML that replaces the options of Model and Sampling, --level and --store-dtype.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Frames of a shot: interval (default), uniform, head, tail, middle, or keyframes, a fast preview; clip "
        "encoders and trained models have their own.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval", help="Seconds between frames (interval, head, tail; the least for keyframes); default 0.5.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
SkipSimilar = Annotated[
    float | None,
    typer.Option(
        "--skip-similar",
        help="Do not encode a frame that differs less than this from the last one encoded of its shot: mean difference "
        "of thumbnails, of 255, such as 4.",
        rich_help_panel=SAMPLING,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights", help="Checkpoint folder, or org/name or org/name@revision of the Hub; MODEL=WEIGHTS if several.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
Pooling = Annotated[
    list[str] | None,
    typer.Option(
        "--pooling", help="For BLIP-2: query-mean (default) or queries; MODEL=POOLING if several.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
Crops = Annotated[
    list[str] | None,
    typer.Option(
        "--crops", help="For wsl: center (default), or ten, the mean of ten crops; MODEL=CROPS if several.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
Backend = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        help="Whose code computes: transformers (default), or lavis, the package salesforce-lavis (docs/lavis.md); "
        "MODEL=BACKEND if several.",
        rich_help_panel=MODEL,
    ),
]
ComputeDtype = Annotated[
    str | None,
    typer.Option("--compute-dtype", help="float32 (default), bfloat16, or float16 (CUDA only).", rich_help_panel=MODEL),
]
Levels = Annotated[
    list[str] | None,
    typer.Option(
        "--level",
        metavar="shot|frame|keep:K",
        help="shot (default), frame, or keep:K, the K frames of a shot that are farthest apart; a trained model makes "
        "the first two by default; repeatable.",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
RawLength = Annotated[
    bool,
    typer.Option(
        "--raw-length",
        help="Keep the lengths that the tower gives to vectors of frames; otherwise they are scaled to 1.",
        rich_help_panel=OUTPUT,
    ),
]
StoreDtype = Annotated[
    str | None, typer.Option("--store-dtype", help="float16 (default) or float32.", rich_help_panel=OUTPUT)
]
Device = Annotated[str | None, typer.Option("--device", help="cpu (default), cuda or cuda:N.", rich_help_panel=RUNTIME)]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        help="Start a process for each of these, such as cuda:0,cuda:1; they share the jobs and --workers.",
        rich_help_panel=RUNTIME,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the encoders with torch.compile, which takes a minute or more; vectors change by rounding.",
        rich_help_panel=RUNTIME,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size", help="Number of images encoded together; the same for all processes; 256 suits a GPU.",
        rich_help_panel=RUNTIME,
    ),
]  # fmt: skip
ShardOfJobs = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do this share of the jobs alone, I from 0 to N - 1; otherwise those that no other process has.",
        rich_help_panel=RUNTIME,
    ),
]
VideoTimeout = Annotated[
    float | None,
    typer.Option(
        "--video-timeout",
        min=0,
        metavar="SECONDS",
        help="End a decoder that gives nothing for so long, and fail the shots of its video; default 600; 0: never. "
        "It needs --workers 1 or more.",
        rich_help_panel=RUNTIME,
    ),
]  # fmt: skip


def command(
    videos: Videos,
    shots: Shots,
    output: Output,
    model: Models = None,
    config: Config = None,
    video_ids: VideoIds = "stem",
    policy: Policy = None,
    interval: Interval = None,
    frames: Frames = None,
    skip_similar: SkipSimilar = None,
    weights: Weights = None,
    pooling: Pooling = None,
    crops: Crops = None,
    backend: Backend = None,
    compute_dtype: ComputeDtype = None,
    level: Levels = None,
    store_dtype: StoreDtype = None,
    raw_length: RawLength = False,
    max_failed: MaxFailed = 0.05,
    device: Device = None,
    devices: Devices = None,
    cluster: Cluster = None,
    actors: Actors = None,
    compile: Compile = False,
    batch_size: BatchSize = 32,
    workers: Workers = None,
    video_timeout: VideoTimeout = None,
    shard: ShardOfJobs = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    let_threads_sleep()
    from avs.core.progress import Reporter
    from avs.features.claims import parse_shard
    from avs.features.extract import require_few_failures
    from avs.pipeline.extract import extract_features, extraction_recipe
    from avs.pipeline.placement import place

    start = time.monotonic()
    where = place(device, devices, workers=workers, force=force, cluster=cluster, actors=actors)
    reporter = Reporter(quiet=quiet or not where.speaks)
    recipe = extraction_recipe(
        config,
        models=model,
        levels=level,
        sampling={"policy": policy, "interval": interval, "frames": frames, "skip-similar": skip_similar},
        compute_dtype=compute_dtype,
        store_dtype=store_dtype,
        raw_length=raw_length,
        **{"weights": weights, "pooling": pooling, "crops": crops, "backend": backend},
    )
    runtime: dict[str, Any] = {"device": where.device, "devices": where.devices, "workers": where.workers}
    runtime |= {"cluster": where.cluster, "shard": None if shard is None else parse_shard(shard)}
    runtime |= {"compiled": compile, "batch_size": batch_size, "force": force, "video_timeout_s": video_timeout}
    stores = extract_features(recipe, videos, shots, output, video_ids=video_ids, reporter=reporter, **runtime)
    _report(recipe, stores, reporter, json=json and where.speaks, seconds=time.monotonic() - start)
    require_few_failures(stores, max_failed)


def _report(
    recipe: ExtractionRecipe,
    stores: Sequence[FeatureStore | UnfinishedStore],
    reporter: Reporter,
    *,
    json: bool,
    seconds: float,
) -> None:
    from avs.core.store import FeatureStore
    from avs.features.account import account_lines, read_account
    from avs.pipeline.extract import remarks, suggested_command

    finished = [store for store in stores if isinstance(store, FeatureStore)]
    for store in stores:
        reporter.say(_line(store) if isinstance(store, FeatureStore) else str(store))
        for remark in remarks(store.manifest["counts"]) if isinstance(store, FeatureStore) else ():
            reporter.say(f"{store.folder}: {remark}")
    for line in account_lines({store.folder: read_account(store.folder) for store in finished}):
        reporter.say(line)
    reporter.say(f"{seconds:.1f} s")
    if len(finished) == len(stores):
        reporter.suggest(suggested_command(recipe, finished))
    if json:
        print(json_.dumps({"stores": [_summary(store) for store in stores], "seconds": round(seconds, 3)}))


def _line(store: FeatureStore) -> str:
    from avs.core.store import Status

    counts = ", ".join(f"{store.manifest['counts'][status]} {status}" for status in get_args(Status))
    shape = " x ".join(str(length) for length in store.vectors.shape)
    size = store.vectors.nbytes
    shown = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    return f"{store.folder}: {counts} shots; {shape} {store.vectors.dtype}, {shown}"


def _summary(store: FeatureStore | UnfinishedStore) -> dict[str, Any]:
    from avs.core.store import FeatureStore
    from avs.features.account import account_so_far, read_account

    if isinstance(store, FeatureStore):
        held: dict[str, Any] = {
            "counts": store.manifest["counts"],
            "rows": len(store.vectors),
            "dim": store.spec.dim,
            "extraction": read_account(store.folder),
        }
    else:
        held = {"jobs": store.jobs, "jobs_done": store.done, "jobs_with": dict(store.holders)}
        held["extraction"] = account_so_far(store.folder, jobs=store.jobs)
    finished = {"finished": isinstance(store, FeatureStore)}
    return {"path": str(store.folder), "model": store.spec.name, "level": store.level, **finished, **held}
