"""Trained models ready to use: the network, and what turns sentences into what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature, report_unknown, text_feature_from_json
from avs.features.text.encoder import EncoderText
from avs.models.retrieval import RetrievalModel
from avs.pipeline.search.names import model_name
from avs.pipeline.train.tables import require_known_words
from avs.pipeline.train.texts import text_table
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.data import FeatureTable
from avs.train.embed import embed_texts


@dataclass(frozen=True, slots=True)
class Moved:
    """Where things lie now that a checkpoint remembers elsewhere.

    Attributes:
        encoders: catalog name -> weights, folder or Hub name.
        word2vec: file with word vectors.
    """

    encoders: Mapping[str, str]
    word2vec: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A checkpoint brought back.

    Attributes:
        name: of its lists: of models/laff/best "laff", of models/laff/average "laff-average".
        model: in eval mode.
        text_features: what its text side reads, vocabularies as in training.
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


def load_trained(paths: Sequence[Path], *, moved: Moved | None = None, device: str = "cpu") -> list[TrainedModel]:
    """The models of checkpoints; text towers that several of them read are loaded once.

    Raises:
        FormatError: a folder is no checkpoint, or not complete.
        SpecMismatchError: word vectors that are not those of the training.
    """
    moved = moved or Moved({})
    towers: dict[EmbedderSpec, TextFeature] = {}
    return [_load(read_checkpoint(path), moved, device, towers) for path in paths]


def _load(checkpoint: Checkpoint, moved: Moved, device: str, towers: dict[EmbedderSpec, TextFeature]) -> TrainedModel:
    features = [_text_feature(data, moved, device, towers) for data in checkpoint.text_features]
    model: Any = checkpoint.load_model(device)
    return TrainedModel(model_name(checkpoint.folder), checkpoint, model, features, device)


def _text_feature(
    data: Mapping[str, Any], moved: Moved, device: str, towers: dict[EmbedderSpec, TextFeature]
) -> TextFeature:
    if data["kind"] != "encoder":
        path = moved.word2vec if data["kind"] == "word2vec" else None
        return text_feature_from_json(data, path=path, device=device)
    spec = EmbedderSpec.from_json(data["spec"])
    if spec not in towers:
        towers[spec] = EncoderText(spec, weights=moved.encoders.get(spec.name), device=device)
    return towers[spec]
