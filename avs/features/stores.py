"""The stores of a collection, one per model and level: which are complete already, and making those that are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from avs.core.artifacts import Manifest, is_up_to_date
from avs.core.errors import ConfigError
from avs.core.frames import FrameSource
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore, Level
from avs.core.store_parts import SharedWriter, UnfinishedStore, discard_parts, require_no_writers
from avs.features.claims import Shard
from avs.features.embedder import family_of, load_embedder, read_spec
from avs.features.extract import Target, extract, store_manifest
from avs.features.recipe import EncoderRecipe, ExtractionRecipe

SourceOf = Callable[[Mapping[str, Any]], FrameSource]


class StoreEncoder(Protocol):
    """An encoder that is to fill stores, before its weights are loaded. Equal ones share a pass."""

    @property
    def name(self) -> str:
        """The folder of its stores."""
        ...

    def levels(self, wanted: Sequence[Level] | None) -> list[Level]:
        """The levels of its stores; None: those that it makes when nobody says.

        Raises:
            ConfigError: it cannot make a store of a wanted level.
        """
        ...

    def manifest(self, level: Level, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str) -> Manifest:
        """The manifest of its store before that is made."""
        ...

    def target(self, writers: Sequence[SharedWriter], *, device: str, dtype: str) -> Target:
        """The encoder with its weights, to fill stores that may be some of those planned."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogEncoder:
    """An encoder of the catalog. A StoreEncoder."""

    recipe: EncoderRecipe

    @property
    def name(self) -> str:
        return self.recipe.model

    def levels(self, wanted: Sequence[Level] | None) -> list[Level]:
        return list(dict.fromkeys(wanted or ["shot"]))

    def manifest(self, level: Level, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str) -> Manifest:
        own, family = self.recipe, family_of(self.recipe.model)
        return store_manifest(
            read_spec(own.model, weights=own.weights, pooling=own.pooling, unit_length=not own.raw_length),
            level,
            sampling={**recipe.sampling.model_dump(), **family.sampling, "decoder": decoder},
            inputs=inputs,
            compute_dtype=recipe.compute_dtype,
            store_dtype=recipe.store_dtype,
            clip_frames=family.clip_frames,
        )

    def target(self, writers: Sequence[SharedWriter], *, device: str, dtype: str) -> Target:
        own = self.recipe
        embedder = load_embedder(
            own.model,
            weights=own.weights,
            pooling=own.pooling,
            device=device,
            dtype=dtype,
            unit_length=not own.raw_length,
        )
        return Target(embedder, writers)


@dataclass(frozen=True, slots=True)
class StorePlan:
    """A store that belongs in `folder`, made already or not."""

    folder: Path
    encoder: StoreEncoder
    manifest: Manifest

    @property
    def clip_frames(self) -> int:
        """Number of frames in the clips that it is made of; 0: it is made of images."""
        return int(self.manifest.config.get("clip_frames", 0))

    @property
    def is_made(self) -> bool:
        """Whether a complete store is there, by whatever process."""
        return (self.folder / "manifest.json").is_file()


def store_folders(folder: Path, recipe: ExtractionRecipe, encoders: Sequence[StoreEncoder]) -> list[Path]:
    """The folders `folder/NAME/LEVEL` of a recipe's stores, by encoder and then level.

    Raises:
        ConfigError: two encoders have one name; a level that an encoder cannot make.
    """
    names = [encoder.name for encoder in encoders]
    if len(set(names)) < len(names):
        raise ConfigError(
            "a model is named twice",
            got=" ".join(names),
            next_step="name each once; the folder of a trained model is its name, so rename one of two that are equal",
        )
    return [Path(folder) / encoder.name / level for encoder in encoders for level in encoder.levels(recipe.levels)]


def plan_stores(
    folder: Path,
    recipe: ExtractionRecipe,
    *,
    inputs: Mapping[str, str],
    paths: Mapping[str, Path] | None = None,
    decoder: str = "PyAV",
    encoders: Sequence[StoreEncoder] | None = None,
) -> list[StorePlan]:
    """The stores `folder/NAME/LEVEL`, by encoder and then level; the weights are read for their fingerprint only.

    Args:
        inputs, paths: fingerprints of what the stores are made from, and where it is.
        decoder: what decodes the frames, for the manifest.
        encoders: of the recipe, in its order; None: all are of the catalog.

    Raises:
        ConfigError: what store_folders, load_embedder and store_manifest refuse.
    """
    if encoders is None:
        encoders = [CatalogEncoder(one) for one in recipe.encoders]
    plans, folders = [], iter(store_folders(folder, recipe, encoders))
    for encoder in encoders:
        for level in encoder.levels(recipe.levels):
            manifest = encoder.manifest(level, recipe, inputs=inputs, decoder=decoder)
            manifest = replace(manifest, paths={**(paths or {}), **manifest.paths})
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
    shard: Shard | None = None,
    compiled: bool = False,
    reporter: Reporter | None = None,
    extra_files: Mapping[str, Callable[[Path], None]] | None = None,
) -> list[FeatureStore | UnfinishedStore]:
    """The stores of all `plans`, in order; those that are not complete are extracted now.

    Stores that read the same frames are filled in one pass over the videos. Other processes may fill them at the same
    time; what they have still to do makes an UnfinishedStore.

    Args:
        plans: the result of plan_stores.
        source_of: gives the frames for the sampling settings of a manifest; under "choice" it may say which of them
            a clip takes.
        shots, batch_size, workers, shard, compiled: as for extract.
        force: make all stores anew, whatever is in their folders.
        device: "cpu", "cuda" or "cuda:N".
        reporter: of progress.
        extra_files: name -> writer of a file that every store gets, such as the table of its videos.

    Raises:
        ChangedInputsError: a folder has a store of other inputs or settings, and `force` is off.
        StoreError: `force` is on, and another process is writing one of the stores.
        AvsError: what load_embedder and extract raise.
    """
    reporter = reporter or Reporter()
    missing = stores_to_make(plans, force=force, reporter=reporter)
    made: dict[Path, FeatureStore | UnfinishedStore] = {}
    for one_pass in _passes(missing):
        source = source_of(_widest(one_pass).manifest.config["sampling"])
        targets = [
            _target([plan for plan in one_pass if plan.encoder == encoder], device, extra_files or {})
            for encoder in dict.fromkeys(plan.encoder for plan in one_pass)
        ]
        stores = extract(
            shots, source, targets,
            batch_size=batch_size, workers=workers, shard=shard, pin_memory=device.startswith("cuda"),
            compiled=compiled, reporter=reporter,
        )  # fmt: skip
        folders = [writer.folder for target in targets for writer in target.writers]
        made |= dict(zip(folders, stores, strict=True))
    return [made[plan.folder] if plan.folder in made else FeatureStore(plan.folder) for plan in plans]


def stores_to_make(plans: Sequence[StorePlan], *, force: bool, reporter: Reporter) -> list[StorePlan]:
    """The plans of stores that are not complete; with `force` all of them, and what is in their folders is discarded.

    Args, Raises: as for make_stores.
    """
    missing = [plan for plan in plans if not is_up_to_date(plan.folder, plan.manifest, force=force, reporter=reporter)]
    if force:
        for plan in missing:
            require_no_writers(plan.folder)
        for plan in missing:
            _discard(plan.folder)
    return missing


def _passes(plans: Sequence[StorePlan]) -> list[list[StorePlan]]:
    """The plans of each pass over the videos: those of one encoder share it, and so do encoders that read the same."""
    passes: dict[str, list[StorePlan]] = {}
    for encoder in dict.fromkeys(plan.encoder for plan in plans):
        own = [plan for plan in plans if plan.encoder == encoder]
        widest = _widest(own)
        key = json.dumps([widest.manifest.config["sampling"], widest.clip_frames], sort_keys=True)
        passes.setdefault(key, []).extend(own)
    return list(passes.values())


def _widest(plans: Sequence[StorePlan]) -> StorePlan:
    """The plan whose frames serve all: a frame-level store of a trained model has every frame that a clip chooses."""
    return min(plans, key=lambda plan: plan.clip_frames)


def _target(plans: Sequence[StorePlan], device: str, extra_files: Mapping[str, Callable[[Path], None]]) -> Target:
    config = plans[0].manifest.config
    writers = [SharedWriter(plan.folder, plan.manifest, config["store_dtype"], extra_files) for plan in plans]
    return plans[0].encoder.target(writers, device=device, dtype=config["compute_dtype"])


def _discard(folder: Path) -> None:
    """Make a store incomplete and forget its parts; its other files are replaced when the new one is committed."""
    (folder / "manifest.json").unlink(missing_ok=True)
    discard_parts(folder)
