"""Trained models as encoders: of the frames of a shot to one vector, and of sentences to vectors of the same space.

The stage `features` loads encoders and knows no models. Importing this file files what opens trained models among its
`encoder_sources`, so that `load_embedder_for`, `read_spec` and the text feature "encoder" take them too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import AvsError, ConfigError, DataError, SpecMismatchError, typed
from avs.core.ids import some
from avs.core.list_files import model_name
from avs.core.spec import EmbedderSpec
from avs.features.catalog import read_catalog
from avs.features.embedder import TRAINED_MODELS, encoder_sources
from avs.features.families import families
from avs.features.preprocess import Preprocessing, read_preprocessing
from avs.features.text import text_feature_from_json
from avs.features.text.clip_tokens import ClipTokens
from avs.features.weights import fingerprint_weights
from avs.models.architectures import architectures, make_config
from avs.train.checkpoint import BACKBONE, Checkpoint, read_checkpoint
from avs.train.frame_choice import FrameChoice
from avs.video.sampling import NO_LIMIT

if TYPE_CHECKING:
    from torch import Tensor

    from avs.models.retrieval import RetrievalModel

log = logging.getLogger(__name__)
FAMILY = "clip"


@dataclass(frozen=True, eq=False)
class EncodingModel:
    """The checkpoint of a model that reads the frames of one backbone, before its weights are loaded.

    Attributes:
        checkpoint: of it.
        sampling: the frames that it reads, as `Checkpoint.sampling`; {} if nobody says.
    """

    checkpoint: Checkpoint
    sampling: Mapping[str, Any]

    @cached_property
    def config(self) -> Any:
        """The options of the model."""
        return make_config(self.checkpoint.architecture, self.checkpoint.config)

    @property
    def name(self) -> str:
        """Of its stores and text features."""
        return model_name(self.checkpoint.folder)

    @property
    def backbone(self) -> Path:
        """The folder of its backbone, with tokenizer and processor."""
        return self.checkpoint.folder / BACKBONE

    @property
    def frame_spec(self) -> EmbedderSpec:
        """The spec of the vectors of single frames: of its own backbone, or of the one whose frozen tower it reads."""
        return self.checkpoint.video_features[self.config.video_name]

    @property
    def choice(self) -> FrameChoice:
        """Which of the sampled frames of a shot it reads."""
        chosen = self.sampling.get("choice")
        return FrameChoice(**chosen) if chosen else self.own_choice

    @property
    def own_choice(self) -> FrameChoice:
        """Which frames it reads itself, where it is given more than it has places for (`spaced_steps`)."""
        return FrameChoice(self.config.max_frames)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How frames become the images of its backbone."""
        return read_preprocessing(self.backbone, shortest_edge=families.get(FAMILY).shortest_edge)

    @cached_property
    def tokens(self) -> ClipTokens:
        """Its text feature, whose tokenizer lies in the checkpoint."""
        (data,) = self.checkpoint.text_features
        feature = text_feature_from_json(data, path=self.backbone)
        assert isinstance(feature, ClipTokens)
        return feature

    @cached_property
    def spec(self) -> EmbedderSpec:
        """The spec of its vectors of shots; `revision` is of the weights and of all that decides what they compute."""
        geometry = self.preprocessing.geometry
        return EmbedderSpec(
            name=self.name,
            revision=self._revision(),
            dim=self.config.row_dim,
            image_size=self.config.image_size,
            mean=self.preprocessing.mean,
            std=self.preprocessing.std,
            resize=geometry.rule,
            interpolation=geometry.interpolation,
            activation=str(self.checkpoint.config["backbone"]["vision_config"].get("hidden_act", "")),
            pooling=self.config.kind,
            normalised=True,
            weights=str(self.checkpoint.folder.resolve()),
            trained=self._reads(),
        )

    def _revision(self) -> str:
        checkpoint = self.checkpoint
        frames = [[spec.revision, spec.normalised] for spec in checkpoint.video_features.values()]
        decisive = [checkpoint.architecture, checkpoint.config, list(checkpoint.text_features), frames]
        weights = fingerprint_weights(checkpoint.folder)
        return hashlib.sha256(json.dumps([weights, decisive], sort_keys=True, default=str).encode()).hexdigest()

    def _reads(self) -> str:
        """Architecture, frames and words, for people and to be compared."""
        choice, sampling = self.choice, self.sampling
        frames = f"{choice.frames} frames, {choice.policy}, {choice.order}"
        if sampling:
            limit = sampling.get("frames")
            most = f", at most {limit}" if limit and limit < NO_LIMIT else ""
            frames += f", of {sampling['policy']} {sampling['interval_s']:g} s{most}"
        return f"{self.checkpoint.architecture}: {frames}; {self.config.max_words} words"

    def load(self, spec: EmbedderSpec, *, device: str, dtype: str = "float32") -> TrainedEncoder:
        """The model with its weights, as the encoder of `spec`."""
        from avs.features.encoders import resolve_device

        resolve_device(device, dtype)
        return TrainedEncoder(self, self.checkpoint.load_model(device), spec, device=device, dtype=dtype)


def open_encoding_model(folder: Path, sampling: Mapping[str, Any] | None = None) -> EncodingModel:
    """The model in a folder, as an encoder.

    Args:
        sampling: the frames that it reads; None: as its checkpoint says.

    Raises:
        ConfigError: a model of features and not of videos; one whose name is in the catalog.
        FormatError: there is no whole checkpoint.
    """
    checkpoint = read_checkpoint(folder)
    if not architectures.get(checkpoint.architecture).backbone:
        stores = ", ".join(f"{name} ({spec.name})" for name, spec in checkpoint.video_features.items())
        raise ConfigError(
            f"a model of {checkpoint.architecture} reads feature stores and no videos, so it is no encoder",
            where=folder,
            got=f"it reads {stores}",
            next_step=f"extract those features, and search them with it: avs search --checkpoint {typed(folder)}",
        )
    model = EncodingModel(checkpoint, checkpoint.sampling if sampling is None else sampling)
    if model.name in read_catalog():
        raise ConfigError(
            "a trained model has the name of an encoder of the catalog",
            where=folder,
            got=model.name,
            next_step="rename its folder: the name of a model is that of its folder",
        )
    return model


class TrainedEncoder:
    """A trained model as a ClipEmbedder and a TextEmbedder.

    Args:
        model: what it was opened from.
        network: the model with its weights.
        spec: of its vectors.
        device, dtype: what it computes on and in.
    """

    def __init__(
        self, model: EncodingModel, network: RetrievalModel, spec: EmbedderSpec, *, device: str, dtype: str
    ) -> None:
        import torch

        self.model, self.network, self.spec, self.dtype = model, network, spec, dtype
        self.device = torch.device(device)
        self.preprocessing = model.preprocessing

    @property
    def clip_frames(self) -> int:
        """The most frames of a shot that are chosen for it."""
        return self.model.choice.frames

    def encode_clips(self, clips: Tensor, mask: Tensor) -> np.ndarray:
        """(B, D) float32 vectors of length 1 of (B, F, 3, S, S) uint8 clips; `mask` (B, F) is false for padding.

        A model that was trained on vectors of frames gets those of its own backbone, of the length it was trained on.
        """
        vectors: np.ndarray = self.device_vectors(clips, mask).cpu().numpy()
        return vectors

    def device_vectors(self, clips: Tensor, mask: Tensor) -> Tensor:
        """What encode_clips returns, on the device. The model looks which frames are there, and waits for that."""
        import torch

        clips, mask = clips.to(self.device), mask.to(self.device)
        with torch.inference_mode(), self._precision():
            if self.model.config.reads_vectors:
                frames = self.network.backbone.frames(clips, mask).float()  # type: ignore[union-attr, operator]
                clips = torch.nn.functional.normalize(frames, dim=-1) if self.model.frame_spec.normalised else frames
            return self._embedded(clips, mask.sum(dim=1))

    def shot_vectors(self, shots: Sequence[np.ndarray]) -> np.ndarray:
        """(S, D) vectors of length 1 of S shots, from the (F, D) vectors of the frames of each one.

        Of more than `max_frames` frames it reads as many, evenly spaced.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        values = pad_sequence([torch.as_tensor(frames, dtype=torch.float32) for frames in shots], batch_first=True)
        lengths = torch.tensor([len(frames) for frames in shots], device=self.device)
        with torch.inference_mode():
            vectors: np.ndarray = self._embedded(values.to(self.device), lengths).cpu().numpy()
            return vectors

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64, unit_length: bool = True) -> np.ndarray:
        """(T, D) float32 vectors of texts; the model's own have length 1, whatever `unit_length` asks.

        A text of more tokens than the model was trained on is cut before its end token, and a warning names it.

        Raises:
            DataError: a text is empty.
        """
        import torch

        from avs.models.batch import Batch, Sequences

        empty = [repr(text) for text in texts if not text.strip()]
        if empty:
            raise DataError(f"{len(empty)} of {len(texts)} texts are empty", got=some(empty))
        tokens = self.model.tokens
        self._warn_of_cuts(texts)
        parts = [np.empty((0, self.spec.dim), dtype=np.float32)]
        for first in range(0, len(texts), batch_size):
            column, _ = tokens.columns(texts[first : first + batch_size])
            values, lengths = column.take(np.arange(len(column)))
            batch = Batch(sequences={tokens.name: Sequences(torch.from_numpy(values), torch.from_numpy(lengths))})
            with torch.inference_mode():
                parts.append(self.network.embed_texts(batch.to(self.device)).float().cpu().numpy())
        return np.concatenate(parts)

    def _warn_of_cuts(self, texts: Sequence[str]) -> None:
        tokens = self.model.tokens
        for text in texts if tokens.cut(texts) else ():
            if tokens.cut([text]):
                shown = text if len(text) <= 80 else text[:77] + "..."
                log.warning('text cut: %s takes %d tokens: "%s"', self.spec.name, tokens.max_words, shown)

    def _embedded(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(B, D) float32 embeddings of (B, F, ...) frames or vectors, on the device."""
        from avs.models.batch import Batch, Sequences

        batch = Batch(sequences={self.model.config.video_name: Sequences(values, lengths)})
        return self.network.embed_videos(batch).float()

    def _precision(self) -> AbstractContextManager[Any]:
        """The head and all sums stay float32; the products of the tower are of the compute dtype."""
        import torch

        from avs.features.encoders import DTYPES

        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.dtype])


class _TrainedModels:
    """What `features` opens trained models with. An EncoderSource."""

    def read_spec(self, folder: Path) -> EmbedderSpec:
        model = open_encoding_model(folder)
        require_one_vector(model)
        return model.spec

    def load(self, spec: EmbedderSpec, *, weights: Path | None, device: str) -> TrainedEncoder:
        folder = weights or Path(spec.weights)
        try:
            require_path(folder, what="trained model")
        except AvsError as error:
            raise AvsError(
                f"the trained model {spec.name} is not where it was",
                where=folder,
                got=error.got,
                next_step="name its folder of today: --weights FOLDER, one for each --store; or put it back",
            ) from error
        checkpoint = read_checkpoint(folder)
        model = EncodingModel(checkpoint, {})
        own = replace(spec, revision=f"a model of {checkpoint.architecture}")
        if architectures.get(checkpoint.architecture).backbone:
            # the name is of the folder then, and the sampling may be what the user said then: no weights hold them
            own = replace(model.spec, name=spec.name, trained=spec.trained)
        if own != spec:
            raise SpecMismatchError(
                f"the folder holds another model than the one that was called {spec.name}",
                where=folder,
                got=f"revision={own.revision}",
                wanted=f"revision={spec.revision}",
                next_step="name the folder of the model that made the store: --weights FOLDER; or make the store again",
            )
        return model.load(spec, device=device)


def require_one_vector(model: EncodingModel) -> None:
    """Check that a model gives a shot a vector, whatever the text.

    Raises:
        ConfigError: it reads every text together with every shot.
    """
    if model.config.pairwise:
        raise ConfigError(
            "the model reads text and frames together, so a shot has no vector of its own",
            where=model.checkpoint.folder,
            got=", ".join(dict.fromkeys((model.checkpoint.architecture, model.config.kind))),
            next_step="make its frame-level store (--level frame); then rerank a list with it (avs rerank --method "
            "model), or score captioned videos (avs eval-retrieval --checkpoint)",
        )


encoder_sources.register(TRAINED_MODELS)(_TrainedModels())
