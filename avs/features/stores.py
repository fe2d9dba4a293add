"""The stores of a collection, one per model and level: which are complete already, and making those that are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avs.core.artifacts import Manifest, is_up_to_date
from avs.core.errors import ConfigError
from avs.core.frames import FrameSource
from avs.core.lock import sole_writer
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore
from avs.core.store_writer import FeatureWriter
from avs.features.embedder import family_of, load_embedder, read_spec
from avs.features.extract import Target, extract, store_manifest
from avs.features.recipe import EncoderRecipe, ExtractionRecipe

SourceOf = Callable[[Mapping[str, Any]], FrameSource]


@dataclass(frozen=True, slots=True)
class StorePlan:
    """A store that belongs in `folder`, made already or not."""

    folder: Path
    encoder: EncoderRecipe
    manifest: Manifest

    @property
    def frames(self) -> str:
        """What it reads of the videos; stores that read the same are filled in one pass."""
        config = self.manifest.config
        return json.dumps([config["sampling"], config.get("clip_frames", 0)], sort_keys=True)


def store_folders(folder: Path, recipe: ExtractionRecipe) -> list[Path]:
    """The folders `folder/MODEL/LEVEL` of a recipe's stores, by encoder and then level."""
    levels = list(dict.fromkeys(recipe.levels))
    return [Path(folder) / encoder.model / level for encoder in recipe.encoders for level in levels]


def plan_stores(
    folder: Path,
    recipe: ExtractionRecipe,
    *,
    inputs: Mapping[str, str],
    paths: Mapping[str, Path] | None = None,
    decoder: str = "PyAV",
) -> list[StorePlan]:
    """The stores `folder/MODEL/LEVEL`, by encoder and then level; the weights are read for their fingerprint only.

    Args:
        inputs, paths: fingerprints of what the stores are made from, and where it is.
        decoder: what decodes the frames, for the manifest.

    Raises:
        ConfigError: a model is named twice, or what load_embedder and store_manifest refuse.
    """
    models = [encoder.model for encoder in recipe.encoders]
    if len(set(models)) < len(models):
        raise ConfigError("a model is named twice", got=" ".join(models))
    plans, folders = [], iter(store_folders(folder, recipe))
    for encoder in recipe.encoders:
        spec = read_spec(encoder.model, weights=encoder.weights, pooling=encoder.pooling)
        family = family_of(encoder.model)
        for level in dict.fromkeys(recipe.levels):
            manifest = store_manifest(
                spec,
                level,
                sampling={**recipe.sampling.model_dump(), **family.sampling, "decoder": decoder},
                inputs=inputs,
                compute_dtype=recipe.compute_dtype,
                store_dtype=recipe.store_dtype,
                clip_frames=family.clip_frames,
            )
            manifest = replace(manifest, paths=dict(paths or {}))
            plans.append(StorePlan(next(folders), encoder, manifest))
    return plans


def make_stores(
    plans: Sequence[StorePlan],
    shots: ShotTable,
    source_of: SourceOf,
    *,
    force: bool = False,
    device: str = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    reporter: Reporter | None = None,
    extra_files: Mapping[str, Callable[[Path], None]] | None = None,
) -> list[FeatureStore]:
    """The stores of all `plans`, in order; those that are not complete are extracted now.

    Stores that read the same frames are filled in one pass over the videos.

    Args:
        plans: the result of plan_stores.
        source_of: gives the frames for the sampling settings of a manifest.
        shots, batch_size, workers: as for extract.
        force: make all stores anew, whatever is in their folders.
        device: "cpu", "cuda" or "cuda:N".
        reporter: of progress.
        extra_files: name -> writer of a file that every store gets, such as the table of its videos.

    Raises:
        ChangedInputsError: a folder has a store of other inputs or settings, and `force` is off.
        StoreError: another process is writing one of the stores.
        AvsError: what load_embedder and extract raise.
    """
    reporter = reporter or Reporter()
    missing = [plan for plan in plans if not is_up_to_date(plan.folder, plan.manifest, force=force, reporter=reporter)]
    with ExitStack() as held:
        for plan in missing:
            held.enter_context(sole_writer(plan.folder))
        for plan in missing:
            if force:
                _discard(plan.folder)
            for name, write in (extra_files or {}).items():
                write(plan.folder / name)
        pin = device.startswith("cuda")
        for frames in dict.fromkeys(plan.frames for plan in missing):
            one_pass = [plan for plan in missing if plan.frames == frames]
            source = source_of(one_pass[0].manifest.config["sampling"])
            targets = [
                _target([plan for plan in one_pass if plan.encoder == encoder], device)
                for encoder in dict.fromkeys(plan.encoder for plan in one_pass)
            ]
            extract(shots, source, targets, batch_size=batch_size, workers=workers, pin_memory=pin, reporter=reporter)
    return [FeatureStore(plan.folder) for plan in plans]


def _target(plans: Sequence[StorePlan], device: str) -> Target:
    encoder, config = plans[0].encoder, plans[0].manifest.config
    embedder = load_embedder(
        encoder.model,
        weights=encoder.weights,
        pooling=encoder.pooling,
        device=device,
        dtype=config["compute_dtype"],
    )
    writers = [FeatureWriter(plan.folder, plan.manifest, dtype=config["store_dtype"]) for plan in plans]
    return Target(embedder, writers)


def _discard(folder: Path) -> None:
    """Make a store incomplete and forget its parts; its other files are replaced when the new one is committed."""
    (folder / "manifest.json").unlink(missing_ok=True)
    if (folder / "parts").is_dir():
        shutil.rmtree(folder / "parts")
