"""Feature stores of a collection: from a recipe or options, a folder of videos and a shot table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from avs.cluster.extraction import make_stores_on_cluster
from avs.cluster.placement import ClusterRequest
from avs.cluster.ray_session import require_room
from avs.core.artifacts import (
    as_made_before,
    fingerprint_input,
    installed_versions,
    require_path,
    require_writable,
)
from avs.core.config import load_config
from avs.core.device import available_cores
from avs.core.errors import ConfigError, UnknownIdError, did_you_mean, typed
from avs.core.frames import ViewSource
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, read_shot_table
from avs.core.store import FeatureStore, Status
from avs.core.store_parts import PARTS, UnfinishedStore, require_no_writers
from avs.core.store_plan import require_same_way
from avs.features.claims import Shard
from avs.features.decoders import timeout_of
from avs.features.device_processes import make_stores_on_devices
from avs.features.device_queue import not_compiled
from avs.features.embedder import BACKENDS, family_of, has_text_side, require_encoder
from avs.features.extract import require_runtime
from avs.features.lavis.encoder import LAVIS, require_float32
from avs.features.levels import parse_level
from avs.features.recipe import ExtractionRecipe
from avs.features.stores import CatalogEncoder, StoreEncoder, StorePlan, make_stores, plan_stores, store_folders
from avs.pipeline.chosen_frames import chosen_view
from avs.pipeline.encoders import open_encoding_model
from avs.pipeline.model_stores import GRID, names_model, store_encoders
from avs.train.frame_choice import FrameChoice
from avs.video.clips import CLIPS, CLIPS_OF_SHOTS, PADDED_CLIPS, clip_sampling
from avs.video.find import VideoIds, find_videos
from avs.video.fingerprints import (
    VIDEOS_FILE,
    fingerprint_videos,
    listing_fingerprint,
    sizes_of_store,
    write_videos,
)
from avs.video.preview import WITHOUT_KEY_FRAME, WITHOUT_KEY_TIMES
from avs.video.sampling import Sampling
from avs.video.similar import SAMPLED, SIMILAR, LeaveOutSimilar
from avs.video.views import VideoViews, View

SETTING_OF = {"interval": "interval_s", "skip-similar": "skip_similar"}  # of a recipe's sampling, by the option
CHOICES = {
    "store dtype": ("float16", "float32"),
    "compute dtype": ("float32", "bfloat16", "float16"),
    "backend": BACKENDS,
}


def extract_features(
    recipe: ExtractionRecipe,
    videos: Path,
    shots: Path,
    output: Path,
    *,
    video_ids: VideoIds = "stem",
    device: str = "cpu",
    devices: Sequence[str] = (),
    cluster: ClusterRequest | None = None,
    compiled: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    video_timeout_s: float | None = None,
    shard: Shard | None = None,
    force: bool = False,
    reporter: Reporter,
) -> list[FeatureStore | UnfinishedStore]:
    """The stores `output/NAME/LEVEL` of a recipe, by encoder and then level; those that are complete are kept.

    NAME is that of the encoder in the catalog, or of the folder of a trained model. Any number of processes may run
    this with the same arguments. Each does jobs that are free; a store that waits for others is an UnfinishedStore.

    Args:
        videos: folder of video files.
        shots: shot table.
        video_ids: how ids are made of file names.
        device, devices: where this process encodes; or a process for each of several; or, of a `cluster`, actors.
        compiled: compile the towers of the encoders, which changes vectors by rounding.
        batch_size: number of images encoded together; all processes need the same.
        workers: processes that decode; 0: this one; None: one per core. They do not change what comes out.
        video_timeout_s: as for avs.features.extract.extract.
        shard: do this share of the jobs; None: those that are free, by leases in the folder of the store.

    Raises:
        ChangedInputsError: a folder has a store or parts of other inputs, settings or versions, and `force` is off.
        StoreError: another process is writing one of the stores, and `force` is on.
        UnknownIdError: the folder has none of the videos of the shot table.
        AvsError: settings, weights or files that cannot be used.
    """
    encoders = require_usable(recipe, compiled=compiled)
    _require_free(store_folders(output, recipe, encoders), batch_size, force=force)
    paths = find_videos(videos, ids=video_ids)
    table = read_shot_table(require_path(shots, what="shot table"))
    _require_videos(table, paths, videos, reporter)
    used = {video: paths[video] for video in table.video_ids if video in paths}
    workers = available_cores() if workers is None else workers
    make = _making(devices or [device], recipe, batch_size, workers, cluster, used)
    timeout_of(video_timeout_s, workers)  # before videos are hashed
    inputs = {"shots": fingerprint_input(shots)}
    plans = plan_stores(output, recipe, inputs=inputs, paths={"shots": shots, "videos": videos}, encoders=encoders)
    hashes = fingerprint_videos(used, videos, reporter)
    inputs["videos"] = listing_fingerprint(hashes)
    return make(
        [_with_inputs(plan, inputs, {"videos": sizes_of_store(used)}) for plan in plans],
        table,
        partial(view_source, paths),
        force=force, batch_size=batch_size, workers=workers, video_timeout_s=video_timeout_s, shard=shard,
        compiled=compiled, reporter=reporter, extra_files={VIDEOS_FILE: partial(write_videos, hashes)},
    )  # fmt: skip


def _making(
    devices: Sequence[str],
    recipe: ExtractionRecipe,
    batch_size: int,
    workers: int,
    cluster: ClusterRequest | None,
    videos: Mapping[str, Path],
) -> Callable[..., list[FeatureStore | UnfinishedStore]]:
    """What makes the stores on these devices, or on a cluster; checks that this can be done."""
    if cluster is not None:
        dtype = recipe.compute_dtype if cluster.device == "cpu" else "float32"  # the GPUs are elsewhere
        require_runtime("cpu", dtype, batch_size=batch_size, workers=workers)
        require_room(cluster)
        files = {path: path.stat().st_size for path in videos.values()}
        return partial(_make_on_cluster, request=cluster, files=files)
    for device in devices:
        require_runtime(device, recipe.compute_dtype, batch_size=batch_size, workers=workers)
    if len(devices) > 1:
        return partial(make_stores_on_devices, devices=devices)
    return partial(make_stores, device=devices[0])


def _make_on_cluster(*what: Any, workers: int, **how: Any) -> list[FeatureStore | UnfinishedStore]:
    """What make_stores_on_cluster gives, whose actors have workers of their own."""
    return make_stores_on_cluster(*what, **how)


def _with_inputs(plan: StorePlan, inputs: Mapping[str, str], older_inputs: Mapping[str, str]) -> StorePlan:
    """A plan whose manifest knows the inputs, or what an older avs recorded of the same ones."""
    manifest = replace(plan.manifest, inputs={**plan.manifest.inputs, **inputs})
    return replace(plan, manifest=as_made_before(plan.folder, manifest, older_inputs))


def suggested_command(recipe: ExtractionRecipe, stores: Sequence[FeatureStore]) -> str:
    """What to do with the stores of a recipe's first encoder: search the shots, if they have vectors with a text side.

    The frames of a trained model are for this model, which searches with them, or reranks if it reads text and frames
    together.
    """
    name = stores[0].folder.parent.name
    store = next((one for one in stores if one.folder.parent.name == name and one.level == "shot"), stores[0])
    folder, target = typed(store.folder), typed(Path("lists", f"{name}.trec"))
    model = recipe.encoders[0].model
    if names_model(model) and store.level == "frame":
        system = f"--checkpoint {typed(model)} --store {folder} -o {target}"
        if open_encoding_model(Path(model)).config.pairwise:
            return f"avs rerank LIST --topics TOPICS --method model {system}"
        return f"avs search --topics TOPICS {system}"
    if has_text_side(store.spec):
        return f"avs search --topics TOPICS --store {folder} -o {target}"
    return f"avs train-laff --captions CAPTIONS --store {folder} -o models/laff"


def view_source(paths: Mapping[str, Path], samplings: Sequence[Mapping[str, Any]]) -> ViewSource:
    """The frames that the samplings of stores' manifests take of videos.

    Args:
        paths: video id -> file.
    """
    return VideoViews(paths, [view_of(sampling) for sampling in samplings])


def view_of(sampling: Mapping[str, Any]) -> View:
    """The view of shots that a sampling of a manifest or a recipe describes.

    Raises:
        ConfigError: it makes no sense.
    """
    if sampling["policy"] == CLIPS:
        return View(clip_sampling(sampling))
    if sampling.get("clips_per_shot") is not None:
        raise ConfigError("clips_per_shot is for the policy clips", got=f"policy {sampling['policy']}")
    grid = Sampling(**{name: sampling[name] for name in GRID})
    if "choice" in sampling:
        return chosen_view(grid, FrameChoice(**sampling["choice"]))
    return View(grid, LeaveOutSimilar(sampling["skip_similar"]) if "skip_similar" in sampling else None)


def remarks(counts: Mapping[str, int]) -> list[str]:
    """What is to be said of a store beside the status of its shots, as its counts tell.

    Args:
        counts: of its manifest.
    """
    said, shots = [], f"of {sum(counts[status] for status in get_args(Status))} shots"
    for name, why in (
        (WITHOUT_KEY_FRAME, "have no key frame"),
        (WITHOUT_KEY_TIMES, "are in files that do not tell when key frames are on screen"),
    ):
        if counts.get(name):
            said.append(f"{counts[name]} {shots} {why}: the frame at their middle was decoded")
    if counts.get(PADDED_CLIPS):
        share = f"{counts[PADDED_CLIPS]} of {counts[CLIPS_OF_SHOTS]}"
        said.append(f"{share} clips are padded: their shots are shorter than a clip, or frames were lost")
    if SIMILAR in counts:
        said.append(f"{counts[SIMILAR]} of {counts[SAMPLED]} frames are similar to the one before and were not encoded")
    return said


def require_usable(recipe: ExtractionRecipe, *, compiled: bool = False) -> list[StoreEncoder]:
    """The encoders of a recipe, after what can be checked before videos and weights are read.

    Raises:
        ConfigError: an unknown encoder, one without weights, one that cannot be `compiled`, a sampling that makes no
            sense, or options that do not fit a trained model.
    """
    view_of(recipe.sampling.model_dump())
    encoders = store_encoders(recipe)
    for encoder in encoders:
        if isinstance(encoder, CatalogEncoder):
            own = encoder.recipe
            require_encoder(own.model, own.weights, own.pooling, own.crops, own.backend)
            if own.backend == LAVIS:
                require_float32(recipe.compute_dtype)
            _require_fitting(encoder, encoder.sampling(recipe))
    kept = [one.name for one in encoders if not isinstance(one, CatalogEncoder) or one.recipe.backend == LAVIS]
    if compiled and kept:
        raise not_compiled(", ".join(kept))
    return encoders


def _require_fitting(encoder: CatalogEncoder, sampling: Mapping[str, Any]) -> None:
    """Refuse clips for an encoder of images, clips of another length, and clips of which frames are left out."""
    clip_frames = family_of(encoder.name).clip_frames
    view_of(sampling)
    if sampling["policy"] == CLIPS and sampling["frames"] != clip_frames:
        takes = f"clips of {clip_frames} frames" if clip_frames else "single images"
        raise ConfigError(
            f"the sampling does not fit {encoder.name}, which encodes {takes}",
            got=f"policy clips of {sampling['frames']} frames",
            wanted=f"frames: {clip_frames}" if clip_frames else "another policy, such as interval",
        )
    if "skip_similar" in sampling and clip_frames:
        raise ConfigError(
            "similar frames cannot be left out of clips, whose encoder reads a number of frames at equal distances",
            got=f"skip_similar {sampling['skip_similar']:g} for {encoder.name}",
            next_step="leave --skip-similar out, or give that encoder a sampling of its own in a recipe",
        )


def extraction_recipe(
    config: Path | None,
    *,
    models: Sequence[str] | None = None,
    weights: Sequence[str] | None = None,
    pooling: Sequence[str] | None = None,
    crops: Sequence[str] | None = None,
    backend: Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
    sampling: Mapping[str, Any] | None = None,
    compute_dtype: str | None = None,
    store_dtype: str | None = None,
    raw_length: bool = False,
) -> ExtractionRecipe:
    """The recipe of a YAML file, or of options; None is an option that was not given.

    Args:
        weights, pooling, crops, backend: a value for the only model, or MODEL=VALUE for one of several.
        sampling: options of avs.video.sampling.Sampling by the names of the options.
        raw_length: of the vectors of all models.

    Raises:
        ConfigError: a file and options at once, neither, or values that are not known.
    """
    settings = {"levels": levels, "compute_dtype": compute_dtype, "store_dtype": store_dtype}
    settings = {key: value for key, value in settings.items() if value}
    sampling = {key: value for key, value in (sampling or {}).items() if value is not None}
    if config is not None:
        options: dict[str, object] = {"model": models, "weights": weights, "pooling": pooling, "crops": crops}
        options |= {"backend": backend, "level": levels, "compute-dtype": compute_dtype, "store-dtype": store_dtype}
        options |= {"raw-length": raw_length or None, **sampling}
        names = ", ".join(f"--{name}" for name, value in options.items() if value is not None)
        if names:
            raise ConfigError("--config replaces these options", got=names, next_step="put them into the file")
        return load_config(config, ExtractionRecipe)
    if not models:
        raise ConfigError("no encoder is named", next_step="give --model NAME, or --config FILE")
    for level in levels or ():
        parse_level(level)
    _require_choices("store dtype", [store_dtype] if store_dtype else ())
    _require_choices("compute dtype", [compute_dtype] if compute_dtype else ())
    given = {"weights": weights, "pooling": pooling, "crops": crops, "backend": backend}
    value_of = {name: _per_model(models, values, f"--{name}") for name, values in given.items()}
    _require_choices("backend", list(value_of["backend"].values()))
    return ExtractionRecipe.model_validate(
        {
            "encoders": [
                {"model": model, "raw_length": raw_length, **{name: of.get(model) for name, of in value_of.items()}}
                for model in models
            ],
            "sampling": {SETTING_OF.get(key, key): value for key, value in sampling.items()},
            **settings,
        }
    )


def _per_model(models: Sequence[str], values: Sequence[str] | None, option: str) -> dict[str, str]:
    """The values of a `MODEL=VALUE` option by model; a bare value is for the only model there is."""
    value_of: dict[str, str] = {}
    for value in values or ():
        name, named, rest = value.partition("=")
        if len(models) == 1 and not (named and name in models):  # a folder may be called as the model is
            name, rest = models[0], value
        if name not in models or name in value_of or not rest:
            raise ConfigError(
                f"{option} does not fit the models",
                got=value,
                wanted="one value for one --model, or MODEL=VALUE once for any of several",
            )
        value_of[name] = rest
    return value_of


def _require_choices(kind: str, values: Sequence[str]) -> None:
    known = CHOICES[kind]
    for value in values:
        if value not in known:
            raise ConfigError(f'unknown {kind} "{value}"{did_you_mean(value, known)}', wanted=", ".join(known))


def _require_free(folders: Sequence[Path], batch_size: int, *, force: bool) -> None:
    """Check that the stores that are not complete can be written by this process, before videos are hashed."""
    for folder in folders:
        if force or not (folder / "manifest.json").is_file():
            require_writable(folder)
        if force:
            require_no_writers(folder)
        elif not (folder / "manifest.json").is_file():
            require_same_way(folder / PARTS, batch_size, installed_versions())


def _require_videos(table: ShotTable, paths: Mapping[str, Path], folder: Path, reporter: Reporter) -> None:
    """Refuse a folder that has none of the table's videos; say how many are missing."""
    missing = [video for video in table.video_ids if video not in paths]
    if len(missing) == len(table.video_ids):
        raise UnknownIdError(
            "no video of the shot table is in the folder",
            where=folder,
            got=some(paths, shown=3),
            wanted=some(missing, shown=3),
            next_step="check that the table and the folder are of one collection, or try --video-ids name",
        )
    if missing:
        share = f"{len(missing)} of {len(table.video_ids)}"
        reporter.say(f"{share} videos have no file, so their shots fail: {some(missing)}")
