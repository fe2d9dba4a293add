"""What ranks shots: a feature store with its own encoder, or a trained model over several stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avs.core.errors import ConfigError
from avs.core.features import Features, by_feature_name, open_features
from avs.core.list_files import is_trained_model, model_name, store_name
from avs.features.embedder import has_text_side, require_text_side
from avs.pipeline import encoders  # noqa: F401 (it files trained models as encoders)
from avs.ranking.cosine import FRAME_SCORES, FrameScore
from avs.train.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True, slots=True)
class Locations:
    """Where things are now, if they moved since a store or a checkpoint recorded their location.

    Attributes:
        encoders: name of an encoder -> weights, a folder or a Hub name.
        word2vec: file with word vectors.
    """

    encoders: Mapping[str, str]
    word2vec: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """A store searched with the encoder that made it, or a trained model.

    Attributes:
        name: what its ranked lists are called, see store_name and model_name.
        source: the store, or the checkpoint.
        frame_score: "max" or "mean": a shot's score in a frame-level store, from the scores of its frames.
    """

    name: str
    source: Features | Checkpoint
    frame_score: FrameScore = "max"


def open_source(folder: Path) -> Features | Checkpoint:
    """The trained model or the features in a folder.

    Raises:
        AvsError: there is no such folder, or it holds neither.
    """
    if is_trained_model(folder):
        return read_checkpoint(folder)
    return open_features(folder)


def store_system(store: Features, *, frame_score: str | None = None) -> System:
    """The zero-shot system of a store.

    Args:
        frame_score: for frame-level stores only; None: "max".

    Raises:
        ConfigError: a store without a text side; a frame score for a shot-level store; an unknown one.
    """
    require_text_side(store.spec, where=store.folder)
    if frame_score and store.offsets is None:
        raise ConfigError("--frame-score is for frame-level stores", where=store.folder, got="a shot-level store")
    if frame_score not in (None, *FRAME_SCORES):
        raise ConfigError(f'unknown frame score "{frame_score}"', wanted=", ".join(FRAME_SCORES))
    return System(store_name(store.folder), store, frame_score or "max")  # type: ignore[arg-type]  # one of them


def model_system(checkpoint: Checkpoint) -> System:
    """The system of a trained model."""
    return System(model_name(checkpoint.folder), checkpoint)


def locations_of(stores: Sequence[Features], weights: Sequence[str], word2vec: Path | None) -> Locations:
    """Where the encoder of each store is now.

    Raises:
        ConfigError: there are weights, but not for every store.
    """
    if weights and len(weights) != len(stores):
        raise ConfigError("--weights does not fit the stores", got=len(weights), wanted=f"{len(stores)}, or none")
    placed = sorted(zip(stores, weights, strict=False), key=lambda pair: has_text_side(pair[0].spec))
    return Locations({store.spec.name: place for store, place in placed}, word2vec)  # of two of a name, the text side's


def named_stores(stores: Sequence[Features], systems: Sequence[System]) -> dict[str, Features]:
    """Name -> store. Trained models look for stores by the name of the feature; without one, a folder is a name.

    Raises:
        ConfigError: two stores hold the same feature, and some system is a trained model.
    """
    if any(isinstance(system.source, Checkpoint) for system in systems):
        return by_feature_name(stores)
    return {str(store.folder): store for store in stores}
