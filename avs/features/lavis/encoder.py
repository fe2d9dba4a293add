"""Encoders of images and texts that LAVIS computes: their specs, and the encoder that extraction and search call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.errors import AvsError, ConfigError, DataError
from avs.core.ids import some
from avs.core.spec import EmbedderSpec
from avs.features.families import families
from avs.features.lavis.client import LavisClient
from avs.features.lavis.environment import environment_folder, spec_versions
from avs.features.lavis.published import ACTIVATIONS, LavisCheckpoint, LavisModel, open_lavis_checkpoint
from avs.features.preprocess import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

LAVIS = "lavis"
COMPUTED_IN = "float32"
TOLERANCE = 1e-6  # of mean and std


class LavisEncoder:
    """A model of LAVIS in a worker process. An ImageEmbedder and a TextEmbedder.

    Args:
        spec: what decides its numbers.
        preprocessing: of its images; they are resized here, and normalised in the worker.
        client: the worker.
        clean: what texts are turned to before they are sent.
        raw: whether the model gives vectors as long as its tower makes them; the others come with length 1.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        preprocessing: Preprocessing,
        client: LavisClient,
        *,
        clean: Callable[[str], str] = str,
        raw: bool = False,
    ) -> None:
        self.spec, self.preprocessing = spec, preprocessing
        self._client, self._clean, self._raw = client, clean, raw

    def preprocess(self, frames: np.ndarray) -> Tensor:
        """(F, 3, S, S) uint8 images of (F, H, W, 3) uint8 RGB frames: resized and cropped, not normalised."""
        import torch

        return torch.from_numpy(self.preprocessing.geometry.apply(frames))

    def encode_images(self, images: Tensor) -> np.ndarray:
        """(B, D) float32 vectors of (B, 3, S, S) uint8 images; (B, Q, D) with pooling "queries".

        They have length 1 if the spec says so; otherwise they are as the tower gives them.

        Raises:
            DataError: LAVIS gave values that are not finite, or of another shape; names the images.
            AvsError: the worker was lost twice.
        """
        pixels = np.ascontiguousarray(images.numpy())
        _, arrays = self._client.ask({"type": "images"}, [pixels], items=len(pixels))
        vectors = self._checked(arrays, "image", len(pixels))
        if vectors.ndim == 3 and self.spec.pooling != "queries":
            vectors = vectors.mean(axis=1)
        return _unit(vectors) if self.spec.normalised else vectors

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64, unit_length: bool = True) -> np.ndarray:
        """(T, D) float32 vectors of texts, scaled to length 1 unless `unit_length` is false.

        A text with more tokens than the tower takes is cut at its end, and a warning names it.

        Raises:
            ConfigError: `unit_length` is false, and LAVIS gives unit vectors alone.
            DataError: a text is empty; or as for encode_images.
        """
        if not unit_length:
            _require_raw(self.spec.name, raw=self._raw)
        cleaned = [self._clean(text) for text in texts]
        empty = [repr(text) for text, clean in zip(texts, cleaned, strict=True) if not clean.strip()]
        if empty:
            raise DataError(f"{len(empty)} of {len(texts)} texts are empty", got=some(empty))
        parts = [np.empty((0, self.spec.dim), dtype=np.float32)]
        for first in range(0, len(cleaned), batch_size):
            batch = cleaned[first : first + batch_size]
            header, arrays = self._client.ask({"type": "texts", "texts": batch}, items=len(batch))
            self._warn_of_cuts(texts[first : first + batch_size], header.get("cut", []))
            vectors = self._checked(arrays, "text", len(batch))
            parts.append(_unit(vectors) if unit_length else vectors)
        return np.concatenate(parts)

    def close(self) -> None:
        """End the worker; the next call starts another."""
        self._client.close()

    def _checked(self, arrays: Sequence[np.ndarray], kind: str, count: int) -> np.ndarray:
        """The vectors of an answer about `count` images or texts."""
        shapes = [list(array.shape) for array in arrays]
        fits = len(arrays) == 1 and arrays[0].dtype == np.float32 and arrays[0].ndim in (2, 3)
        if not fits or arrays[0].shape[0] != count or arrays[0].shape[-1] != self.spec.dim:
            raise DataError(
                f"LAVIS gave other vectors of {kind}s than its model has",
                where=self.spec.name,
                got=f"arrays of shapes {shapes}",
                wanted=f"one of shape [{count}, {self.spec.dim}]",
            )
        whole = np.isfinite(arrays[0]).reshape(count, -1).all(axis=1)
        if not whole.all():
            places = [f"{kind} {number + 1}" for number in np.flatnonzero(~whole)]
            raise DataError(
                f"LAVIS gave vectors that are not finite for {len(places)} of {count} {kind}s",
                where=self.spec.name,
                got=f"{some(places)} of the batch",
                next_step="check the weights: they may hold values that are not finite, or not be those of this model",
            )
        return arrays[0]

    def _warn_of_cuts(self, texts: Sequence[str], cut: Sequence[int]) -> None:
        for text, tokens in zip(texts, cut, strict=True):
            if tokens:
                shown = text if len(text) <= 80 else text[:77] + "..."
                log.warning('text cut by %d tokens, which %s does not take: "%s"', tokens, self.spec.name, shown)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1; zeros stay zeros, which a store refuses."""
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def read_lavis_spec(
    model: str, *, weights: str | Path | None, pooling: str | None, unit_length: bool = True
) -> EmbedderSpec:
    """The spec of an encoder of LAVIS; its weights are read for their fingerprint, and the worker greets.

    Args, Raises: as for load_lavis.
    """
    spec = _described(open_lavis_checkpoint(model, weights), model, pooling, unit_length)
    with LavisClient(environment_folder()).open() as greeted:
        return replace(spec, backend_versions=spec_versions(greeted.versions))


def load_lavis(
    model: str,
    *,
    weights: str | Path | None,
    device: str = "cpu",
    dtype: str = COMPUTED_IN,
    pooling: str | None = None,
    unit_length: bool = True,
) -> LavisEncoder:
    """The encoder `model` of LAVIS, ready to encode.

    Args:
        model: a catalog name that LAVIS has, or a family for weights of one's own.
        weights: the file that LAVIS would download, or its folder.
        device, dtype, pooling, unit_length: as for avs.features.embedder.load_embedder.

    Raises:
        ConfigError: LAVIS has no such model, files are missing, or LAVIS cannot do what is asked.
        MissingDependencyError: there is no environment of LAVIS, or one of other versions.
        AvsError: the worker was lost; or the weights are not those of the model.
    """
    require_float32(dtype)
    checkpoint = open_lavis_checkpoint(model, weights)
    spec = _described(checkpoint, model, pooling, unit_length)
    client = LavisClient(environment_folder(), checkpoint.opening(device)).open()
    spec = replace(spec, backend_versions=spec_versions(client.versions))
    _require_same(client.facts, spec, checkpoint)
    family = checkpoint.model.family
    return LavisEncoder(
        spec, checkpoint.model.preprocessing, client, clean=families.get(family).clean, raw=family == "clip"
    )


def require_float32(dtype: str) -> None:
    """Check that LAVIS computes in `dtype`.

    Raises:
        ConfigError: it does not.
    """
    if dtype != COMPUTED_IN:
        raise ConfigError(
            "LAVIS computes in float32 here", got=f"--compute-dtype {dtype}", wanted=f"--compute-dtype {COMPUTED_IN}"
        )


def _described(checkpoint: LavisCheckpoint, model: str, pooling: str | None, unit_length: bool) -> EmbedderSpec:
    """The spec without the versions, which the worker says."""
    described, preprocessing = checkpoint.model, checkpoint.model.preprocessing
    if not unit_length:
        _require_raw(model, raw=described.family == "clip")
    return EmbedderSpec(
        name=model,
        revision=checkpoint.revision(),
        dim=described.dim,
        image_size=described.image_size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        resize=preprocessing.geometry.rule,
        interpolation=preprocessing.geometry.interpolation,
        activation=ACTIVATIONS[described.family],
        pooling=_pooling(model, described, pooling),
        normalised=unit_length,
        weights=str(checkpoint.location),
        backend=LAVIS,
    )


def _pooling(model: str, described: LavisModel, pooling: str | None) -> str:
    known = families.get(described.family).poolings
    if pooling not in (None, *known):
        raise ConfigError(f'{model} has no pooling "{pooling}"', wanted=", ".join(known))
    return pooling or known[0]


def _require_raw(model: str, *, raw: bool) -> None:
    if not raw:
        raise ConfigError(
            f"LAVIS gives vectors of {model} with length 1 alone",
            got="vectors of raw length",
            next_step="leave --raw-length (unit_length: false) out, or --backend lavis",
        )


def _require_same(facts: dict[str, Any], spec: EmbedderSpec, checkpoint: LavisCheckpoint) -> None:
    """Check that the model that LAVIS loaded is the one that the spec describes, and sees images as this side makes.

    Raises:
        AvsError: it is not, or does not.
    """
    wanted: dict[str, Any] = {"dim": spec.dim, "takes": spec.image_size, "resize": spec.resize}
    wanted |= {"interpolation": spec.interpolation, "mean": list(spec.mean), "std": list(spec.std)}
    differing = [
        name
        for name, value in wanted.items()
        if not (np.allclose(facts[name], value, atol=TOLERANCE) if isinstance(value, list) else facts[name] == value)
    ]
    if differing:
        raise AvsError(
            "LAVIS has loaded a model of another kind",
            where=checkpoint.location,
            got=", ".join(f"{name} {facts[name]}" for name in differing),
            wanted=", ".join(f"{name} {wanted[name]}" for name in differing),
            next_step="check dim, image_size and kind of the weights",
        )
