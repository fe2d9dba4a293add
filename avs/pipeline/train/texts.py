"""The text features of a model: built from the training captions, and computed for any texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avs.core.artifacts import atomic_write
from avs.core.columns import Column, VectorColumn
from avs.core.spec import EmbedderSpec
from avs.features.embedder import has_text_side, read_spec
from avs.features.text import TextFeature, build_text_feature, parse_text_options
from avs.features.text.concepts import Concepts
from avs.features.text.encoder import EncoderOptions, EncoderText
from avs.features.text.word_ids import RecurrentOptions, WordIds
from avs.features.word_vectors import open_word_vectors
from avs.models.architectures import Tokens
from avs.models.retrieval import RetrievalModel
from avs.pipeline import encoders  # noqa: F401 (it files trained models as encoders)
from avs.train.data import FeatureTable


def default_text(video: Mapping[str, EmbedderSpec], *, bag_of_words: bool) -> list[Any]:
    """The text tower of every video feature that has one; and bag of words, if asked for or if there is no tower."""
    names = {spec.name: spec.weights if spec.trained else spec.name for spec in video.values() if has_text_side(spec)}
    towers = [{"kind": "encoder", "model": model} for model in names.values()]
    return parse_text_options(["bow", *towers] if bag_of_words or not towers else towers)


def build_text_features(
    options: Sequence[Any], captions: Sequence[str], video: Mapping[str, EmbedderSpec], *, legacy: bool, device: str
) -> list[TextFeature]:
    """The text features of a recipe, with vocabularies of the training captions.

    A text tower without weights of its own has those of the video feature of the same name.
    """
    known = _by_name(video)
    return [
        EncoderText(known[option.name], unit_length=option.unit_length, device=device)
        if isinstance(option, EncoderOptions) and option.weights is None and option.name in known
        else build_text_feature(option, captions, device=device, legacy=legacy)
        for option in options
    ]


def text_inputs(options: Sequence[Any], video: Mapping[str, EmbedderSpec]) -> dict[str, str]:
    """Fingerprints of the files that text features are made from, for a manifest."""
    known = _by_name(video)
    fingerprints: dict[str, str] = {}
    for option in options:
        if not isinstance(option, EncoderOptions):
            fingerprints |= option.inputs()
        elif option.weights is not None or option.name not in known:
            spec = read_spec(option.model, weights=option.weights, pooling=option.pooling)
            fingerprints[f"text tower {option.name}"] = spec.revision
    return fingerprints


def _by_name(video: Mapping[str, EmbedderSpec]) -> dict[str, EmbedderSpec]:
    """Name -> spec; of a trained model that of its shots, which has a text side, and not that of its frames."""
    specs = sorted(video.values(), key=has_text_side)
    return {spec.name: spec for spec in specs}


def model_inputs(features: Sequence[TextFeature]) -> dict[str, dict[str, Any]]:
    """The fields `text` and `text_tokens` of a model's config."""
    recurrent = {
        f.name: Tokens(f.dim, f.embedding, f.hidden, f.bidirectional) for f in features if isinstance(f, WordIds)
    }
    return {
        "text": {feature.name: feature.dim for feature in features if feature.name not in recurrent},
        "text_tokens": recurrent,
    }


def set_initial_words(model: RetrievalModel, options: Sequence[Any], features: Sequence[TextFeature]) -> None:
    """Start word embeddings from the word vectors that recurrent features name."""
    for option, feature in zip(options, features, strict=True):
        if isinstance(feature, WordIds) and isinstance(option, RecurrentOptions) and option.words is not None:
            rows, vectors = feature.initial_embeddings(open_word_vectors(option.words))
            model.set_words(feature.name, torch.from_numpy(rows), torch.from_numpy(vectors))


def text_table(
    features: Sequence[TextFeature],
    texts: Sequence[str],
    *,
    video_of: np.ndarray | None = None,
    cache: Path | None = None,
) -> FeatureTable:
    """The features of texts.

    Args:
        video_of: (N,) int64, equal for captions of one video; needed for the labels of the videos' concepts.
        cache: folder for the vectors of text towers, which take long to compute; None: they are not kept.
    """
    columns: dict[str, Column] = {}
    rows: dict[str, np.ndarray] = {}
    everyone = np.arange(len(texts))
    for feature in features:
        if cache is not None and isinstance(feature, EncoderText):
            column, present = _cached(feature, texts, cache), None
        elif video_of is not None and isinstance(feature, Concepts):
            column, present = feature.labels(texts, video_of), None
        else:
            column, present = feature.columns(texts)
        columns[feature.name] = column
        rows[feature.name] = everyone if present is None else np.where(present, everyone, -1)
    return FeatureTable(columns, rows)


def _cached(feature: EncoderText, texts: Sequence[str], cache: Path) -> Column:
    """An encoder's vectors of the texts, read from the cache if it has them."""
    scaled = [] if feature.unit_length else ["as the tower gives them"]
    key = json.dumps([feature.spec.revision, feature.spec.name, feature.spec.pooling, *scaled, *texts])
    path = cache / f"{feature.name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if not path.is_file():
        column, _ = feature.columns(texts)
        with atomic_write(path, "wb") as file:
            np.save(file, column.take(np.arange(len(texts))))
    return VectorColumn(np.load(path, mmap_mode="r"))
