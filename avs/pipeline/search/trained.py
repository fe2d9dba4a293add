"""Trained models ready to use: the network, and the text features that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avs.core.artifacts import fingerprint_content
from avs.core.list_files import model_name
from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature, report_unknown, text_feature_from_json
from avs.models.retrieval import RetrievalModel
from avs.pipeline.search.system import Locations
from avs.pipeline.train.backbone import feature_paths
from avs.pipeline.train.tables import require_known_words
from avs.pipeline.train.texts import text_table
from avs.train.checkpoint import Checkpoint
from avs.train.data import FeatureTable
from avs.train.embed import embed_texts

Tower = tuple[EmbedderSpec, bool]
"""The spec of a text tower, and whether its vectors have length 1."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A trained model, ready to embed sentences and videos.

    Attributes:
        name: what its lists are called, see model_name.
        model: the network, in eval mode.
        text_features: what its text side reads, with the vocabularies of the training.
    """

    name: str
    checkpoint: Checkpoint
    model: RetrievalModel
    text_features: Sequence[TextFeature]
    device: str

    def read(self, texts: Sequence[str], ids: Sequence[str], *, noun: str) -> FeatureTable:
        """The features of sentences.

        Raises:
            DataError: of some sentences the model knows no word.
        """
        table = text_table(self.text_features, texts)
        require_known_words(table, ids, noun=noun)
        return table

    def embed(self, texts: Sequence[str], ids: Sequence[str], *, noun: str = "topic") -> Tensor:
        """(T, E) embeddings of sentences."""
        return embed_texts(self.model, self.read(texts, ids, noun=noun), device=self.device)

    def unknown_words(self, texts: Sequence[str], ids: Sequence[str], *, noun: str = "topic") -> list[str]:
        """A line for every word that some of its text features cannot use."""
        return report_unknown(self.text_features, texts, ids, noun=noun)


def selection_warning(checkpoint: Checkpoint, topic_files: Sequence[Path]) -> list[str]:
    """A warning, if the model's best epoch was chosen on the very topics that it scores now."""
    chosen_on = checkpoint.validation.get("topics_fingerprint")
    return [
        f"warning: {model_name(checkpoint.folder)} was selected by xinfAP on {file}, so its scores on these topics say "
        f"nothing about new ones"
        for file in topic_files
        if chosen_on and fingerprint_content(file) == chosen_on
    ]


def load_trained(
    checkpoint: Checkpoint,
    *,
    locations: Locations | None = None,
    device: str = "cpu",
    towers: dict[Tower, TextFeature] | None = None,
) -> TrainedModel:
    """The model of a checkpoint with its text features.

    Args:
        towers: text towers that are loaded already; those loaded now are added. Models that read the same one share it.

    Raises:
        SpecMismatchError: the word vectors are not those of the training.
    """
    locations, towers = locations or Locations({}), {} if towers is None else towers
    kept = feature_paths(checkpoint.folder, checkpoint.text_features)
    features = [_text_feature(data, kept, locations, device, towers) for data in checkpoint.text_features]
    model: Any = checkpoint.load_model(device)
    return TrainedModel(model_name(checkpoint.folder), checkpoint, model, features, device)


def _text_feature(
    data: Mapping[str, Any],
    kept: Mapping[str, Path],
    locations: Locations,
    device: str,
    towers: dict[Tower, TextFeature],
) -> TextFeature:
    if data["kind"] != "encoder":
        moved = locations.word2vec if data["kind"] == "word2vec" else None
        return text_feature_from_json(data, path=kept.get(data["name"], moved), device=device)
    spec, unit_length = EmbedderSpec.from_json(data["spec"]), bool(data.get("unit_length", True))
    if (spec, unit_length) not in towers:
        towers[spec, unit_length] = text_feature_from_json(data, path=locations.encoders.get(spec.name), device=device)
    return towers[spec, unit_length]
