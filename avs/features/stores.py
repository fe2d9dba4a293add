"""The stores of a collection, one per model and level: which are complete already, and making those that are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from avs.core.artifacts import Manifest, is_up_to_date
from avs.core.errors import ConfigError
from avs.core.frames import ViewSource
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import RAW_VECTORS, FeatureStore
from avs.core.store_parts import SharedWriter, UnfinishedStore, discard_parts, require_no_writers
from avs.features.claims import Shard
from avs.features.embedder import family_of, load_embedder, read_spec
from avs.features.encoding import Target
from avs.features.extract import extract, store_manifest
from avs.features.levels import StoreLevel, parse_level
from avs.features.recipe import EncoderRecipe, ExtractionRecipe

SourceOf = Callable[[Sequence[Mapping[str, Any]]], ViewSource]


class StoreEncoder(Protocol):
    """An encoder that is to fill stores, before its weights are loaded."""

    @property
    def name(self) -> str:
        """The folder of its stores."""
        ...

    def levels(self, wanted: Sequence[str] | None) -> list[StoreLevel]:
        """The levels of its stores, as parse_level reads them; None: those that it makes when nobody says.

        Raises:
            ConfigError: it cannot make a store of a wanted level.
        """
        ...

    def manifest(
        self, level: StoreLevel, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str
    ) -> Manifest:
        """The manifest of its store before that is made."""
        ...

    def target(self, writers: Sequence[SharedWriter], *, view: int, device: str, dtype: str) -> Target:
        """The encoder with its weights, to fill stores that may be some of those planned, from a view of the source."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogEncoder:
    """An encoder of the catalog. A StoreEncoder."""

    recipe: EncoderRecipe

    @property
    def name(self) -> str:
        return self.recipe.model

    def levels(self, wanted: Sequence[str] | None) -> list[StoreLevel]:
        return [parse_level(level) for level in dict.fromkeys(wanted or ["shot"])]

    def sampling(self, recipe: ExtractionRecipe) -> dict[str, Any]:
        """The sampling that the recipe gives to this encoder; or else the recipe's, with what the family states."""
        if self.recipe.sampling is not None:
            return self.recipe.sampling.model_dump()
        return {**recipe.sampling.model_dump(), **family_of(self.recipe.model).sampling}

    def manifest(
        self, level: StoreLevel, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str
    ) -> Manifest:
        sampling = self.sampling(recipe)
        return store_manifest(
            read_spec(**self._options(sampling)),
            level,
            sampling={**sampling, "decoder": decoder},
            inputs=inputs,
            compute_dtype=recipe.compute_dtype,
            store_dtype=recipe.store_dtype,
            clip_frames=family_of(self.recipe.model).clip_frames,
        )

    def target(self, writers: Sequence[SharedWriter], *, view: int, device: str, dtype: str) -> Target:
        sampling = writers[0].manifest.config["sampling"]
        return Target(load_embedder(**self._options(sampling), device=device, dtype=dtype), writers, view=view)

    def _options(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """What decides its vectors, as read_spec and load_embedder take it."""
        own, apart_s = self.recipe, sampling["interval_s"] if sampling["policy"] == "clips" else 0.0
        made: dict[str, Any] = {"model": own.model, "weights": own.weights, "pooling": own.pooling, "crops": own.crops}
        return made | {"backend": own.backend, "unit_length": not own.raw_length, "clip_interval_s": apart_s}


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
    return [Path(folder) / encoder.name / level.folder for encoder, level in _stores_of(recipe, encoders)]


def _stores_of(recipe: ExtractionRecipe, encoders: Sequence[StoreEncoder]) -> Iterator[tuple[StoreEncoder, StoreLevel]]:
    """An encoder and a level for each store of a recipe; an encoder's own levels come before those of the recipe."""
    for own, encoder in zip(recipe.encoders, encoders, strict=True):
        for level in encoder.levels(own.levels or recipe.levels):
            yield encoder, level


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
    for encoder, level in _stores_of(recipe, encoders):
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
    video_timeout_s: float | None = None,
    shard: Shard | None = None,
    compiled: bool = False,
    reporter: Reporter | None = None,
    extra_files: Mapping[str, Callable[[Path], None]] | None = None,
) -> list[FeatureStore | UnfinishedStore]:
    """The stores of all `plans`, in order; those that are not complete are extracted now.

    One pass over the videos serves all encoders. Other processes may fill the stores at the same time; what they have
    still to do makes an UnfinishedStore.

    Args:
        plans: the result of plan_stores.
        source_of: gives a view for each of some samplings, which are those of manifests; under "choice" one may say
            which of the frames a clip takes.
        shots, batch_size, workers, video_timeout_s, shard, compiled: as for extract.
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
    if missing:
        samplings, targets = _views(missing, device, extra_files or {})
        stores = extract(
            shots, source_of(samplings), targets,
            batch_size=batch_size, workers=workers, video_timeout_s=video_timeout_s, shard=shard, device=device,
            compiled=compiled, reporter=reporter,
        )  # fmt: skip
        made = dict(zip([writer.folder for target in targets for writer in target.writers], stores, strict=True))
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


def _views(
    plans: Sequence[StorePlan], device: str, extra_files: Mapping[str, Callable[[Path], None]]
) -> tuple[list[Mapping[str, Any]], list[Target]]:
    """The samplings that the encoders of plans need, one for each view, and the encoders with their weights."""
    samplings: dict[str, Mapping[str, Any]] = {}
    targets = []
    for encoder in dict.fromkeys(plan.encoder for plan in plans):
        own = [plan for plan in plans if plan.encoder == encoder]
        # a frame-level store of a trained model has every frame that a clip chooses
        sampling = min(own, key=lambda plan: plan.clip_frames).manifest.config["sampling"]
        key = json.dumps(sampling, sort_keys=True)
        samplings.setdefault(key, sampling)
        config = own[0].manifest.config
        writers = [SharedWriter(plan.folder, plan.manifest, config["store_dtype"], extra_files) for plan in own]
        view = list(samplings).index(key)
        targets.append(encoder.target(writers, view=view, device=device, dtype=config["compute_dtype"]))
    return list(samplings.values()), targets


def _discard(folder: Path) -> None:
    """Make a store incomplete and forget its parts; its other files are replaced when the new one is committed."""
    for name in ("manifest.json", RAW_VECTORS):  # borrowed rows have a name of their own, so nothing would replace them
        (folder / name).unlink(missing_ok=True)
    discard_parts(folder)
