"""Turn the frames of every shot into vectors, resumably.

Frames are decoded once, however many models are given. A killed command, run again, goes on where it was.

A shot that cannot be decoded becomes a row of problems.tsv with its reason.
"""

from __future__ import annotations

import json as json_
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.core.shots import ShotTable
    from avs.core.store import FeatureStore
    from avs.features.recipe import Recipe

EXAMPLES = """
avs extract-features --videos videos/ --shots shots.tsv --model clip-vit-b32 -o features/
avs extract-features --videos videos/ --shots shots.tsv --model mini-clip --model mini-blip --level frame -o features/
avs extract-features --videos videos/ --shots shots.tsv --model clip --weights ./my-clip --device cuda -o features/
avs extract-features --videos videos/ --shots shots.tsv --config configs/features/mini.yaml -o features/
"""

INPUTS, MODEL, SAMPLING, OUTPUT = "Inputs", "Model", "Sampling", "Output"


def command(
    videos: Annotated[Path, typer.Option(help="Folder of video files named by video id.", rich_help_panel=INPUTS)],
    shots: Annotated[Path, typer.Option(help="Shot table, as `avs shots` writes it.", rich_help_panel=INPUTS)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the stores: OUTPUT/MODEL/LEVEL.", rich_help_panel=OUTPUT)
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Encoder of the catalog (docs/features.md); repeatable.", rich_help_panel=MODEL),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML instead of the options of Model and Sampling, --level and --store-dtype (configs/features/).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    video_ids: Annotated[
        str, typer.Option(help="stem: 00123.mp4 is video 00123; name: it is 00123-mp4.", rich_help_panel=INPUTS)
    ] = "stem",
    policy: Annotated[
        str | None,
        typer.Option(
            help="Frames of a shot: interval (default), uniform, head, tail or middle.", rich_help_panel=SAMPLING
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(help="Seconds between frames (interval, head, tail); default 0.5.", rich_help_panel=SAMPLING),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            help="Frames a shot (uniform, head, tail); for interval at most so many, default 120.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint folder, or org/name or org/name@revision of the Hub; MODEL=WEIGHTS for one of several.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    pooling: Annotated[
        list[str] | None,
        typer.Option(
            help="query-mean (default) or queries, of BLIP-2; MODEL=POOLING for one of several.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    compute_dtype: Annotated[
        str | None,
        typer.Option(help="float32 (default), bfloat16, or float16 (CUDA only).", rich_help_panel=MODEL),
    ] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="shot (default) or frame; repeatable.", rich_help_panel=OUTPUT)
    ] = None,
    store_dtype: Annotated[
        str | None, typer.Option(help="float16 (default) or float32.", rich_help_panel=OUTPUT)
    ] = None,
    max_failed: Annotated[
        float,
        typer.Option(help="Share of shots (0..1) that may fail; above it the exit code is 1.", rich_help_panel=OUTPUT),
    ] = 0.05,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)] = "cpu",
    batch_size: Annotated[
        int,
        typer.Option(
            help="Images encoded together, and shots redone after a kill; 256 suits a GPU.", rich_help_panel=RUNTIME
        ),
    ] = 32,
    workers: Annotated[
        int, typer.Option(help="Processes that decode; 0 decodes in the main one.", rich_help_panel=RUNTIME)
    ] = 2,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from dataclasses import asdict, replace
    from functools import partial

    from avs.core.artifacts import as_made_before, fingerprint_input, require_path
    from avs.core.progress import Reporter
    from avs.core.shots import read_shot_table
    from avs.features.extract import require_few_failures
    from avs.features.stores import Encoder, make_stores, plan_stores
    from avs.video.find import find_videos
    from avs.video.fingerprints import (
        VIDEOS_FILE,
        fingerprint_videos,
        listing_fingerprint,
        sizes_of_store,
        write_videos,
    )
    from avs.video.folder import VideoFolder
    from avs.video.sampling import Sampling

    reporter, start = Reporter(quiet=quiet), time.monotonic()
    _require([video_ids], ("stem", "name"), "form of video ids")
    recipe = _recipe(
        config,
        {"model": model, "weights": weights, "pooling": pooling, "level": level, "compute_dtype": compute_dtype,
         "store_dtype": store_dtype, "policy": policy, "interval": interval, "frames": frames},
    )  # fmt: skip
    sampling = Sampling(**recipe.sampling.model_dump())
    paths = find_videos(videos, ids=video_ids)  # type: ignore[arg-type]
    table = read_shot_table(require_path(shots, what="shot table"))
    _require_videos(table, paths, videos, reporter)
    used = {video: paths[video] for video in table.video_ids if video in paths}
    hashed = fingerprint_videos(used, videos, reporter)
    planned = plan_stores(
        output,
        [Encoder(**encoder.model_dump()) for encoder in recipe.encoders],
        levels=recipe.levels,
        sampling=asdict(sampling) | {"decoder": "PyAV"},
        inputs={"shots": fingerprint_input(shots), "videos": listing_fingerprint(hashed)},
        paths={"shots": shots, "videos": videos},
        compute_dtype=recipe.compute_dtype,
        store_dtype=recipe.store_dtype,
    )
    formerly = {"videos": sizes_of_store(used)}
    planned = [replace(one, manifest=as_made_before(one.folder, one.manifest, formerly)) for one in planned]
    source, runtime = VideoFolder(paths, sampling), {"batch_size": batch_size, "workers": workers}
    beside = {VIDEOS_FILE: partial(write_videos, hashed)}
    stores = make_stores(
        planned, table, source, force=force, device=device, reporter=reporter, beside=beside, **runtime
    )
    _report(stores, reporter, json=json, seconds=time.monotonic() - start)
    require_few_failures(stores, max_failed)


def _recipe(config: Path | None, options: Mapping[str, Any]) -> Recipe:
    """What to extract: from the YAML file, or from the options that were given; never from both."""
    from avs.core.config import load_config
    from avs.core.errors import ConfigError
    from avs.features.recipe import Recipe

    given = {name: value for name, value in options.items() if value is not None}
    if config is not None:
        if given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ConfigError("--config stands instead of these options", got=names, next_step="put them into the file")
        return load_config(config, Recipe)
    models = given.get("model")
    if not models:
        raise ConfigError("no encoder was asked for", next_step="give --model NAME, or --config FILE")
    _require(given.get("level", ()), ("shot", "frame"), "level")
    _require([given.get("store_dtype", "float16")], ("float16", "float32"), "store dtype")
    _require([given.get("compute_dtype", "float32")], ("float32", "bfloat16", "float16"), "compute dtype")
    checkpoints = _per_model(models, options["weights"], "--weights")
    poolings = _per_model(models, options["pooling"], "--pooling")
    encoders = [{"model": m, "weights": checkpoints.get(m), "pooling": poolings.get(m)} for m in models]
    sampling = {"policy": "policy", "interval": "interval_s", "frames": "frames"}
    settings = {"levels": given.get("level"), **{k: given.get(k) for k in ("compute_dtype", "store_dtype")}}
    return Recipe(
        encoders=encoders,
        sampling={key: given[name] for name, key in sampling.items() if name in given},
        **{key: value for key, value in settings.items() if value is not None},
    )


def _report(stores: Sequence[FeatureStore], reporter: Reporter, *, json: bool, seconds: float) -> None:
    for store in stores:
        counts = ", ".join(f"{count} {status}" for status, count in store.manifest["counts"].items())
        shape = " x ".join(str(length) for length in store.vectors.shape)
        megabytes = store.vectors.nbytes / 1e6
        reporter.say(f"{store.folder}: {counts} shots; {shape} {store.vectors.dtype}, {megabytes:.1f} MB")
    reporter.say(f"{seconds:.1f} s")
    reporter.say(f"next: avs search --topics TOPICS --store {stores[0].folder} -o lists/{stores[0].spec.name}.trec")
    if json:
        facts = [
            {
                "path": str(store.folder),
                "model": store.spec.name,
                "level": store.level,
                "counts": store.manifest["counts"],
                "rows": len(store.vectors),
                "dim": store.spec.dim,
            }
            for store in stores
        ]
        print(json_.dumps({"stores": facts, "seconds": round(seconds, 3)}))


def _per_model(models: Sequence[str], values: Sequence[str] | None, option: str) -> dict[str, str]:
    """The values of a `MODEL=VALUE` option by model; a bare value is for the only model there is."""
    from avs.core.errors import ConfigError

    found: dict[str, str] = {}
    for value in values or ():
        name, _, rest = value.partition("=")
        if name not in models and len(models) == 1:
            name, rest = models[0], value
        if name not in models or name in found:
            raise ConfigError(
                f"{option} does not fit the models",
                got=value,
                wanted="one value for one --model, or MODEL=VALUE once for any of several",
            )
        found[name] = rest
    return found


def _require(values: Sequence[str], known: Sequence[str], kind: str) -> None:
    from avs.core.errors import ConfigError, did_you_mean

    for value in values:
        if value not in known:
            raise ConfigError(f'unknown {kind} "{value}"{did_you_mean(value, known)}', wanted=", ".join(known))


def _require_videos(table: ShotTable, paths: Mapping[str, Path], folder: Path, reporter: Reporter) -> None:
    """Refuse a folder that holds none of the table's videos; say how many are missing."""
    from avs.core.errors import UnknownIdError

    missing = [video for video in table.video_ids if video not in paths]
    if len(missing) == len(table.video_ids):
        raise UnknownIdError(
            "no video of the shot table is in the folder",
            where=folder,
            got=", ".join(list(paths)[:3]),
            wanted=", ".join(missing[:3]),
            next_step="check that table and folder are of one collection, or try --video-ids name",
        )
    if missing:
        share = f"{len(missing)} of {len(table.video_ids)}"
        reporter.say(f"{share} videos have no file, so their shots fail: {', '.join(missing[:5])}")
