"""The stores of a collection, one a model and level: which stand already, and the making of those that do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avs.core.artifacts import Manifest, is_up_to_date
from avs.core.errors import ConfigError
from avs.core.frames import FrameSource
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore, Level
from avs.core.store_writer import FeatureWriter
from avs.features.embedder import load_embedder, read_spec
from avs.features.extract import Target, extract, store_manifest


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder asked for, as load_embedder takes it."""

    model: str
    weights: str | Path | None = None
    pooling: str | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A store to be, in `folder`."""

    folder: Path
    encoder: Encoder
    manifest: Manifest


def plan_stores(
    folder: Path,
    encoders: Sequence[Encoder],
    *,
    levels: Sequence[Level] = ("shot",),
    sampling: Mapping[str, object],
    inputs: Mapping[str, str],
    compute_dtype: str = "float32",
    store_dtype: str = "float16",
    paths: Mapping[str, Path] | None = None,
) -> list[Planned]:
    """The stores `folder/MODEL/LEVEL`, by encoder and then level; the weights are read for their fingerprint only.

    Args:
        inputs, paths: fingerprints of what the stores are made from, and where it lies.

    Raises:
        ConfigError: a model stands twice, or what load_embedder and store_manifest refuse.
    """
    models = [encoder.model for encoder in encoders]
    if len(set(models)) < len(models):
        raise ConfigError("a model is asked for twice", got=" ".join(models))
    planned = []
    for encoder in encoders:
        spec = read_spec(encoder.model, weights=encoder.weights, pooling=encoder.pooling)
        for level in dict.fromkeys(levels):
            manifest = store_manifest(
                spec, level, sampling=sampling, inputs=inputs, compute_dtype=compute_dtype, store_dtype=store_dtype
            )
            manifest = replace(manifest, paths=dict(paths or {}))
            planned.append(Planned(Path(folder) / encoder.model / level, encoder, manifest))
    return planned


def make_stores(
    planned: Sequence[Planned],
    shots: ShotTable,
    source: FrameSource,
    *,
    force: bool = False,
    device: str = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    reporter: Reporter | None = None,
    beside: Mapping[str, Callable[[Path], None]] | None = None,
) -> list[FeatureStore]:
    """All of `planned`, in order; those not complete are extracted now, in one pass over the frames.

    Args:
        planned: what plan_stores gave.
        shots, source, batch_size, workers: as for extract.
        force: make all of them anew, whatever stands there.
        device: "cpu", "cuda" or "cuda:N".
        reporter: of progress.
        beside: name -> writer of a file that lies in every store made, such as the table of its videos.

    Raises:
        ChangedInputsError: something else stands in a folder, and `force` is off.
        AvsError: what load_embedder and extract raise.
    """
    reporter = reporter or Reporter()
    missing = [
        store for store in planned if not is_up_to_date(store.folder, store.manifest, force=force, reporter=reporter)
    ]
    for store in missing:
        if force:
            _discard(store.folder)
        for name, write in (beside or {}).items():
            write(store.folder / name)
    targets = [
        _target([store for store in missing if store.encoder == encoder], device)
        for encoder in dict.fromkeys(store.encoder for store in missing)
    ]
    if targets:
        pin = device.startswith("cuda")
        extract(shots, source, targets, batch_size=batch_size, workers=workers, pin_memory=pin, reporter=reporter)
    return [FeatureStore(store.folder) for store in planned]


def _target(stores: Sequence[Planned], device: str) -> Target:
    encoder, config = stores[0].encoder, stores[0].manifest.config
    embedder = load_embedder(
        encoder.model,
        weights=encoder.weights,
        pooling=encoder.pooling,
        device=device,
        dtype=config["compute_dtype"],
    )
    writers = [FeatureWriter(store.folder, store.manifest, dtype=config["store_dtype"]) for store in stores]
    return Target(embedder, writers)


def _discard(folder: Path) -> None:
    """Make a store incomplete and forget its parts; its other files are replaced when the new one is committed."""
    (folder / "manifest.json").unlink(missing_ok=True)
    if (folder / "parts").is_dir():
        shutil.rmtree(folder / "parts")
