"""The features of a collection, whichever format holds them: a feature store or a BigFile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from avs.core.artifacts import refuse_folder_above, require_path
from avs.core.bigfile import BigFile
from avs.core.errors import ConfigError, StoreError
from avs.core.store import FeatureStore

Features = FeatureStore | BigFile


def open_features(path: Path) -> Features:
    """The features in a folder: a store of `avs extract-features`, or a BigFile.

    A BigFile is read at frame level in `MODEL/frame`, as our stores are laid out, and in `frame/MODEL`, as RUC's are.

    Raises:
        AvsError: there is no such folder.
        StoreError: the folder holds neither, or is not complete.
    """
    folder = require_path(Path(path), what="feature store")
    if folder.is_dir() and not any((folder / name).exists() for name in ("manifest.json", "parts", "feature.bin")):
        refuse_folder_above(folder, what="store", cls=StoreError)
    if not (folder / "feature.bin").is_file():
        return FeatureStore(folder)
    place = folder.resolve()
    return BigFile(folder, level="frame" if "frame" in (place.name, place.parent.name) else "shot")


def feature_name(features: Features) -> str:
    """The encoder's name, followed by "/frame" when every frame has a row."""
    return features.spec.name + ("/frame" if features.offsets is not None else "")


def kept_frames(features: Features) -> int:
    """Number of frames of a shot that a store has at most, of level keep:K; 0: it has all, or one row per shot."""
    return int((features.manifest.get("config") or {}).get("keep", 0)) if isinstance(features, FeatureStore) else 0


def by_feature_name(stores: Iterable[Features]) -> dict[str, Features]:
    """Feature name -> store, as trained models look for their features.

    Raises:
        ConfigError: two stores hold the same feature; a store that holds only some of the sampled frames, which are not
            those that a model was or will be trained on.
    """
    named: dict[str, Features] = {}
    for store in stores:
        name, keep = feature_name(store), kept_frames(store)
        if keep:
            raise ConfigError(
                f"the store keeps the {keep} frames of a shot that are farthest apart, and trained models read all",
                where=store.folder,
                got=f"level keep:{keep}",
                next_step="search it zero-shot, or extract the model's features with --level frame or shot",
            )
        if name in named:
            raise ConfigError(
                f"two stores hold the feature {name}",
                got=f"{named[name].folder} and {store.folder}",
                next_step="give one of them" if store.spec == named[name].spec else _other_name(store),
            )
        named[name] = store
    return named


def _other_name(store: Features) -> str:
    """How a store of another encoder gets another name."""
    if isinstance(store, BigFile):
        return "the folder of a BigFile is the name of its feature: rename one"
    return (
        "the folder of a trained model is the name of its features: rename that of one model, and extract its store "
        "again; of an encoder of the catalog give one store"
    )


def open_stores(folders: Sequence[Path]) -> dict[str, Features]:
    """Feature name -> opened store, as by_feature_name and open_features."""
    return by_feature_name(open_features(folder) for folder in folders)
