"""Encoders of images, texts and clips: their protocols, and loading an encoder by its catalog name.

A trained model encodes too, but this stage knows no models. `avs.pipeline.encoders` files what opens them under
TRAINED_MODELS in `encoder_sources`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from avs.core.errors import AvsError, ConfigError, did_you_mean, typed
from avs.core.list_files import is_trained_model
from avs.core.registry import Registry
from avs.core.spec import EmbedderSpec
from avs.features.catalog import CATALOG, Entry, get_entry, read_catalog
from avs.features.families import families
from avs.features.family import Facts, Family
from avs.features.preprocess import CENTER, Preprocessing, read_preprocessing
from avs.features.weights import fingerprint_weights, locate, read_json, require_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from avs.features.encoders import ClipEncoder, ImageEncoder
    from avs.features.lavis.encoder import LavisEncoder


BACKENDS = ("transformers", "lavis")  # whose code computes; the first also stands for the networks of avs
TRAINED_MODELS = "trained models"


class TextEmbedder(Protocol):
    """An encoder of texts, into the space of an image or clip encoder: the dot product is the similarity.

    Attributes:
        spec: what decides its numbers.
    """

    spec: EmbedderSpec

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64, unit_length: bool = True) -> np.ndarray:
        """(T, D) float32 vectors of texts; one that is too long is cut, with a warning that names it.

        Args:
            unit_length: whether they are scaled to length 1, which comparing them with images takes for granted.
        """
        ...


class ImageEmbedder(Protocol):
    """An encoder of images.

    Attributes:
        spec: what decides its numbers.
        preprocessing: of its images; picklable, so worker processes can do it without the model.
    """

    spec: EmbedderSpec
    preprocessing: Preprocessing

    def encode_images(self, images: Tensor) -> np.ndarray:
        """(B, D) float32 vectors of (B, 3, S, S) uint8 images; (B, Q, D) with pooling "queries".

        They have length 1 if the spec says so; otherwise they are as the tower gives them.
        """
        ...


@runtime_checkable
class ClipEmbedder(Protocol):
    """An encoder of clips, which are several frames of one shot in time order.

    Attributes:
        spec: what decides its numbers.
        preprocessing: of its images; picklable, so worker processes can do it without the model.
    """

    spec: EmbedderSpec
    preprocessing: Preprocessing

    @property
    def clip_frames(self) -> int:
        """Number of frames F in a clip; shorter clips are padded."""
        ...

    def encode_clips(self, clips: Tensor, mask: Tensor) -> np.ndarray:
        """(B, D) float32 unit-length vectors of (B, F, 3, S, S) uint8 clips.

        Args:
            mask: (B, F) bool, true for frames and false for padding; every clip has a frame.
        """
        ...


@runtime_checkable
class DeviceEmbedder(Protocol):
    """An encoder of images or clips whose vectors can stay on its device, so that nobody need wait for them.

    An encoder does without: then each batch is waited for (avs.features.device_queue).

    Attributes:
        spec: what decides its numbers.
        device: where it computes.
    """

    spec: EmbedderSpec
    device: torch.device

    def device_vectors(self, *arrays: Tensor) -> Tensor:
        """What encode_images or encode_clips returns of the same arrays, which may be on the device; there it stays."""
        ...


@runtime_checkable
class CompilableEmbedder(Protocol):
    """An encoder of images or clips whose tower torch.compile can make faster."""

    def compile(self, rows: int) -> None:
        """Compile the tower for batches of at most `rows` images or clips; shorter ones take as long.

        Raises:
            ConfigError: it cannot be compiled here.
        """
        ...


class EncoderSource(Protocol):
    """Opens encoders that are not in the catalog."""

    def read_spec(self, folder: Path) -> EmbedderSpec:
        """The spec of the vectors that the encoder in a folder makes."""
        ...

    def load(self, spec: EmbedderSpec, *, weights: Path | None, device: str) -> TextEmbedder:
        """The encoder of a spec, compared with it; `weights` is its folder now, None: where `spec` says."""
        ...


encoder_sources: Registry[EncoderSource] = Registry("source of encoders")


def _trained_models() -> EncoderSource:
    if TRAINED_MODELS not in encoder_sources:
        raise ConfigError(
            "nothing here opens trained models", next_step="in a program of your own: import avs.pipeline.encoders"
        )
    return encoder_sources.get(TRAINED_MODELS)


def family_of(model: str) -> type[Family]:
    """The family of an encoder of the catalog.

    Raises:
        ConfigError: unknown model, or unknown family in its entry.
    """
    return families.get(get_entry(model).family)


def has_text_side(spec: EmbedderSpec) -> bool:
    """Whether sentences can be encoded into the space of `spec`: by a trained model, or by an encoder of the catalog.

    A BigFile names no encoder, so its spec has no image size.
    """
    return bool(spec.trained) or spec.image_size > 0 and spec.name in read_catalog() and family_of(spec.name).text_tower


def require_text_side(spec: EmbedderSpec, *, where: object) -> None:
    """Check that sentences can be compared with vectors of `spec` without a trained model.

    Args:
        where: the store of those vectors, for the message.

    Raises:
        ConfigError: its encoder has no text tower, or is not in the catalog; says what the store is good for.
    """
    if has_text_side(spec):
        return
    if spec.image_size > 0 and spec.name in read_catalog():
        raise ConfigError(
            "the store has no text side: its encoder does not encode texts",
            where=where,
            got=f'model "{spec.name}"',
            next_step=f"train a model on it: avs train-laff --store {typed(where)} ..., then search with --checkpoint",
        )
    model = Path(spec.weights).parent  # whose backbone made the vectors of frames
    if is_trained_model(model):
        raise ConfigError(
            "the store holds single frames of a trained model, whose text side is compared with whole shots",
            where=where,
            got=f'model "{spec.name}"',
            next_step=f"search with the model: --checkpoint {typed(model)}; or search its shot-level store; one that "
            "reads text and frames together, such as X-CLIP, reranks a list: avs rerank --method model",
        )
    raise ConfigError(
        "the store was made by a model that the catalog does not know",
        where=where,
        got=f'model "{spec.name}"',
        wanted=", ".join(read_catalog()),
        next_step=f"search it with a trained model (--checkpoint), or add its entry to {CATALOG}",
    )


def read_spec(
    model: str,
    *,
    weights: str | Path | None = None,
    pooling: str | None = None,
    crops: str | None = None,
    unit_length: bool = True,
    clip_interval_s: float = 0.0,
    backend: str | None = None,
) -> EmbedderSpec:
    """The spec of an encoder, without loading its weights; arguments and errors as for load_embedder.

    Args:
        model: as for load_embedder, or the folder of a trained model.
    """
    folder = Path(model)
    if model not in read_catalog() and (is_trained_model(folder) or folder.parent != Path()):
        return _trained_models().read_spec(folder)
    if _is_lavis(backend):
        from avs.features.lavis.encoder import read_lavis_spec

        require_encoder(model, weights, pooling, crops, backend)
        return read_lavis_spec(model, weights=weights, pooling=pooling, unit_length=unit_length)
    return _read_checkpoint(model, weights, pooling, crops, unit_length, clip_interval_s).spec


def load_embedder(
    model: str,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    pooling: str | None = None,
    crops: str | None = None,
    unit_length: bool = True,
    clip_interval_s: float = 0.0,
    backend: str | None = None,
) -> ImageEncoder | ClipEncoder | LavisEncoder:
    """The encoder `model` of the catalog, ready to encode.

    Args:
        model: catalog name, such as "clip-vit-b32"; or a family, such as "clip", with `weights`.
        weights: a checkpoint folder, or `org/name[@revision]` on the Hub; None: what the catalog says.
        device: "cpu", "cuda" or "cuda:N".
        dtype: what the encoder computes in: "float32", "bfloat16", or "float16" on CUDA.
        pooling: one of the family's; None: its first.
        crops: "center", or one of the family's, such as "ten"; None: center.
        unit_length: whether vectors of images are scaled to length 1; false: as the tower gives them.
        clip_interval_s: seconds between the frames of its clips, which decide its numbers too; 0: not the same for all.
        backend: one of BACKENDS; None: the first.

    Raises:
        ConfigError: unknown model, pooling, crops, device or dtype, or weights that are not what the catalog says; an
            encoder of clips without `unit_length`; what the backend does not have.
        AvsError: there is no checkpoint, or it lacks a part.
        MissingDependencyError: the Hub or the CUDA device is not reachable, or LAVIS is not installed.
    """
    if _is_lavis(backend):
        from avs.features.lavis.encoder import load_lavis

        require_encoder(model, weights, pooling, crops, backend)
        return load_lavis(model, weights=weights, device=device, dtype=dtype, pooling=pooling, unit_length=unit_length)
    from avs.features.encoders import ClipEncoder, ImageEncoder, resolve_device

    resolved, computed_in = resolve_device(device, dtype)
    checkpoint = _read_checkpoint(model, weights, pooling, crops, unit_length, clip_interval_s)
    family = checkpoint.family(checkpoint.folder, dtype=computed_in, pooling=checkpoint.spec.pooling)
    encoder = ClipEncoder if family.clip_frames else ImageEncoder
    return encoder(
        checkpoint.spec,
        checkpoint.preprocessing,
        family,
        checkpoint.tokenizer(),
        max_tokens=checkpoint.facts.max_tokens,
        device=resolved,
        dtype=computed_in,
    )


def load_embedder_for(
    spec: EmbedderSpec, *, weights: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
) -> TextEmbedder:
    """The encoder that made vectors of `spec`, such as a store's, to encode queries with.

    Args:
        weights: current location of its weights; None: where they were when the vectors were made.

    Raises:
        SpecMismatchError: these weights are not those of `spec`.
    """
    if spec.trained:
        folder = Path(weights) if weights else None
        return _trained_models().load(spec, weights=folder, device=device)
    embedder = load_embedder(
        spec.name,
        weights=weights or spec.weights or None,
        device=device,
        dtype=dtype,
        pooling=spec.pooling,
        crops=spec.crops or None,
        unit_length=spec.normalised,
        clip_interval_s=spec.clip_interval_s,
        backend=spec.backend or None,
    )
    spec.require_same(embedder.spec, where=embedder.spec.weights)
    return embedder


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    folder: Path
    family: type[Family]
    facts: Facts
    preprocessing: Preprocessing
    spec: EmbedderSpec

    def tokenizer(self) -> object:
        """The tokenizer of the text tower; None without one."""
        if not self.family.text_tower:
            return None
        require_tokenizer(self.folder)
        return self.family.tokenizer(self.folder)


def _is_lavis(backend: str | None) -> bool:
    """Whether a backend is LAVIS.

    Raises:
        ConfigError: there is no such backend.
    """
    if backend not in (None, *BACKENDS):
        raise ConfigError(f'unknown backend "{backend}"{did_you_mean(backend, BACKENDS)}', wanted=", ".join(BACKENDS))
    return backend == "lavis"


def require_encoder(
    model: str,
    weights: str | Path | None,
    pooling: str | None,
    crops: str | None = None,
    backend: str | None = None,
) -> tuple[str, str]:
    """Where the weights of an encoder are, and its pooling; reads no weights.

    Raises:
        ConfigError: unknown model, pooling, crops or backend, a model that the backend does not have, or one whose
            weights the user must name.
    """
    entry, family = get_entry(model), family_of(model)
    location = str(weights) if weights is not None else entry.weights
    if _is_lavis(backend):
        from avs.features.lavis.published import open_lavis_checkpoint

        location = str(open_lavis_checkpoint(model, weights).location)
    elif entry.backend:
        raise ConfigError(f"{model} is a model of another backend alone", next_step=f"--backend {entry.backend}")
    if location is None:
        raise ConfigError(f'the model "{model}" needs weights', next_step=_how_to_get_weights(model, entry.family))
    pooling = pooling or family.poolings[0]
    if pooling not in family.poolings:
        raise ConfigError(f'{model} has no pooling "{pooling}"', wanted=", ".join(family.poolings))
    if crops not in (None, CENTER, *family.crops):
        raise ConfigError(f'{model} has no crops "{crops}"', wanted=", ".join((CENTER, *family.crops)))
    return location, pooling


def _how_to_get_weights(model: str, family: str) -> str:
    published = next(iter(families.get(family).published.values()), None)
    if published is None:
        return f"--model {model} --weights FOLDER_OR_HUB_NAME"
    made = f"avs import-weights FILE --family {family} -o FOLDER"
    return f"get {published.source}; {made}; then --model {model} --weights FOLDER"


def _read_checkpoint(
    model: str,
    weights: str | Path | None,
    pooling: str | None,
    crops: str | None,
    unit_length: bool,
    clip_interval_s: float,
) -> _Checkpoint:
    entry, family = get_entry(model), family_of(model)
    if family.clip_frames and not unit_length:
        raise ConfigError(f"{model} encodes clips, and raw length is for encoders of images", got="--raw-length")
    location, pooling = require_encoder(model, weights, pooling, crops)
    folder = locate(location, revision=entry.revision)
    _require_family(model, family, folder)
    facts = family.facts(folder)
    preprocessing = read_preprocessing(folder, shortest_edge=family.shortest_edge, crops=crops or CENTER)
    _require_entry(model, entry, facts, preprocessing, folder)
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
        normalised=unit_length,
        weights=str(folder.resolve()) if Path(location).is_dir() else location,
        layer=family.layer,
        crops="" if crops in (None, CENTER) else crops,
        clip_frames=family.clip_frames,
        clip_interval_s=clip_interval_s,
    )
    return _Checkpoint(folder, family, facts, preprocessing, spec)


def _require_family(model: str, family: type[Family], folder: Path) -> None:
    model_type = read_json(folder / "config.json").get("model_type")
    if family.model_type not in ("", model_type):
        raise ConfigError(
            f"the checkpoint is of another family than {model}",
            where=folder / "config.json",
            got=f"model_type {model_type}",
            wanted=f"model_type {family.model_type}",
        )


def _require_entry(model: str, entry: Entry, facts: Facts, preprocessing: Preprocessing, folder: Path) -> None:
    """Check that a checkpoint's processor fits its image tower, and that it is what the catalog says."""
    size = preprocessing.geometry.size
    if size != facts.image_size:
        raise AvsError(
            "the processor's image size is not the image tower's",
            where=folder,
            got=f"processor {size}, tower {facts.image_size}",
        )
    sizes = {"dim": facts.dim, "image_size": facts.image_size}
    wanted = {"dim": entry.dim, "image_size": entry.image_size}
    differing = [key for key, value in wanted.items() if value not in (None, sizes[key])]
    if differing:
        raise ConfigError(
            f"the weights are not those of {model}",
            where=folder,
            got=", ".join(f"{key} {sizes[key]}" for key in differing),
            wanted=", ".join(f"{key} {wanted[key]}" for key in differing),
            next_step=f"for weights of your own use --model {entry.family} --weights {typed(folder)}",
        )
