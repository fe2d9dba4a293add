"""Frames and sentences to vectors: the protocol, and the loading of an encoder by its catalog name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from avs.core.errors import AvsError, ConfigError
from avs.core.spec import EmbedderSpec
from avs.features.catalog import Entry, get_entry
from avs.features.preprocess import Preprocessing, read_preprocessing
from avs.features.weights import fingerprint_weights, locate, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from avs.features.towers import TowerFacts, Towers
    from avs.features.two_tower import TwoTower


class Embedder(Protocol):
    """An encoder of images and texts into one space, where the dot product is the similarity.

    Attributes:
        spec: what decides its numbers.
        preprocessing: of its images; picklable, so worker processes do it without the model.
    """

    spec: EmbedderSpec
    preprocessing: Preprocessing

    def preprocess(self, frames: np.ndarray) -> Tensor:
        """(F, 3, S, S) uint8 images of (F, H, W, 3) uint8 RGB frames: resized and cropped, not normalised."""
        ...

    def encode_images(self, images: Tensor) -> np.ndarray:
        """(B, D) float32 unit-length vectors of (B, 3, S, S) uint8 images; (B, Q, D) with pooling "queries"."""
        ...

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """(T, D) float32 unit-length vectors of texts; one that is too long is cut, with a warning naming it."""
        ...


def read_spec(model: str, *, weights: str | Path | None = None, pooling: str | None = None) -> EmbedderSpec:
    """The spec of an encoder, without loading its weights; arguments and errors as load_embedder's."""
    return _read_checkpoint(model, weights, pooling).spec


def load_embedder(
    model: str,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    pooling: str | None = None,
) -> TwoTower:
    """The encoder `model` of the catalog, ready to encode.

    Args:
        model: catalog name, such as "clip-vit-b32", or a family ("clip", "blip", "blip2") with `weights`.
        weights: a checkpoint folder, or `org/name[@revision]` on the Hub; None: what the catalog says.
        device: "cpu", "cuda" or "cuda:N".
        dtype: the towers compute in: "float32", "bfloat16", or "float16" on CUDA.
        pooling: one of the family's; None: its first.

    Raises:
        ConfigError: unknown model, pooling, device or dtype, or weights that are not what the catalog says.
        AvsError: no checkpoint there, or one that lacks a part.
        MissingDependencyError: the Hub or the CUDA device is not reachable.
    """
    from avs.features.towers import quiet_transformers
    from avs.features.two_tower import TwoTower, resolve_device

    where, computed_in = resolve_device(device, dtype)
    found = _read_checkpoint(model, weights, pooling)
    from transformers import AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(found.folder, local_files_only=True)
    towers = found.family(found.folder, dtype=computed_in, pooling=found.spec.pooling)
    return TwoTower(
        found.spec,
        found.preprocessing,
        towers,
        tokenizer,
        max_tokens=found.facts.max_tokens,
        device=where,
        dtype=computed_in,
    )


def load_embedder_for(
    spec: EmbedderSpec, *, weights: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
) -> TwoTower:
    """The encoder that made vectors of `spec`, such as a store's, to encode queries with.

    Args:
        weights: where they lie now; None: where they lay when the vectors were made.

    Raises:
        SpecMismatchError: the weights found are not those of `spec`.
    """
    embedder = load_embedder(
        spec.name, weights=weights or spec.weights or None, device=device, dtype=dtype, pooling=spec.pooling
    )
    spec.require_same(embedder.spec, where=embedder.spec.weights)
    return embedder


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    folder: Path
    family: type[Towers]
    facts: TowerFacts
    preprocessing: Preprocessing
    spec: EmbedderSpec


def _read_checkpoint(model: str, weights: str | Path | None, pooling: str | None) -> _Checkpoint:
    from avs.features.towers import families

    entry = get_entry(model)
    said = str(weights) if weights is not None else entry.weights
    if said is None:
        raise ConfigError(
            f'the model "{model}" needs weights', next_step=f"--model {model} --weights FOLDER_OR_HUB_NAME"
        )
    import_module(f"avs.features.{entry.family}")
    family = families.get(entry.family)
    pooling = pooling or family.poolings[0]
    if pooling not in family.poolings:
        raise ConfigError(f'{model} has no pooling "{pooling}"', wanted=", ".join(family.poolings))
    folder = locate(said, revision=entry.revision)
    facts = family.facts(_read_config(folder, family.model_type, model))
    preprocessing = read_preprocessing(folder, shortest_edge=family.shortest_edge)
    _require_as_said(model, entry, facts, preprocessing, folder)
    spec = EmbedderSpec(
        name=model,
        revision=fingerprint_weights(folder),
        dim=facts.dim,
        image_size=facts.image_size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        resize=preprocessing.geometry.rule,
        interpolation=preprocessing.geometry.interpolation,
        activation=facts.activation,
        pooling=pooling,
        normalised=True,
        weights=str(folder.resolve()) if Path(said).is_dir() else said,
    )
    return _Checkpoint(folder, family, facts, preprocessing, spec)


def _read_config(folder: Path, model_type: str, model: str) -> Any:
    from transformers import AutoConfig

    from avs.features.towers import quiet_transformers

    found = read_json(folder / "config.json").get("model_type")
    if found != model_type:
        raise ConfigError(
            f"the checkpoint is of another family than {model}",
            where=folder / "config.json",
            got=f"model_type {found}",
            wanted=f"model_type {model_type}",
        )
    with quiet_transformers():
        return AutoConfig.from_pretrained(folder, local_files_only=True)


def _require_as_said(model: str, entry: Entry, facts: TowerFacts, preprocessing: Preprocessing, folder: Path) -> None:
    size = preprocessing.geometry.size
    if size != facts.image_size:
        raise AvsError(
            "the processor's image size is not the image tower's",
            where=folder,
            got=f"processor {size}, tower {facts.image_size}",
        )
    said = {"dim": entry.dim, "image_size": entry.image_size}
    found = {"dim": facts.dim, "image_size": facts.image_size}
    differing = [key for key, value in said.items() if value not in (None, found[key])]
    if differing:
        raise ConfigError(
            f"the weights are not those of {model}",
            where=folder,
            got=", ".join(f"{key} {found[key]}" for key in differing),
            wanted=", ".join(f"{key} {said[key]}" for key in differing),
            next_step=f"for weights of your own use --model {entry.family} --weights {folder}",
        )
