"""`avs rerank --method model`: a trained model scores the best candidates of each list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avs.core.errors import Problems, UnknownIdError
from avs.core.features import Features, by_feature_name, open_features
from avs.core.ids import natural_key
from avs.core.progress import Reporter
from avs.features.encoders import resolve_device
from avs.models.architectures import architectures
from avs.pipeline.search.system import locations_of
from avs.pipeline.search.trained import TrainedModel, load_trained
from avs.pipeline.train.collections import store_table
from avs.reranking.material import TopicCandidates
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.data import FeatureTable
from avs.train.embed import batches


@dataclass(frozen=True, slots=True, eq=False)
class ModelScoring:
    """A trained model, and the stores that hold its features. A `material.Scoring`.

    Attributes:
        checkpoint: the model.
        stores: of the features that it reads, in its order.
        weights, word2vec: current locations of the stores' encoders, one per store, and of word vectors, if they moved.
        device: where to compute.
    """

    checkpoint: Checkpoint
    stores: Sequence[Features]
    weights: Sequence[str]
    word2vec: Path | None
    device: str

    def identity(self) -> str:
        """What the scores depend on, except for the features."""
        return self.checkpoint.fingerprint

    def scores(self, topics: Sequence[TopicCandidates], reporter: Reporter) -> list[np.ndarray]:
        """(N,) float64 score of each shot of each topic. Every shot is embedded once, and scored where it is listed.

        Raises:
            UnknownIdError: shots without the features that the model reads; names all of them.
            DataError: the model knows no word of some topics; names them.
        """
        shots = sorted({shot for one in topics for shot in one.shots}, key=natural_key)
        table = self._table(shots)
        trained = self._loaded()
        ids, texts = [one.topic for one in topics], [one.text for one in topics]
        for line in trained.unknown_words(texts, ids):
            reporter.say(f"{trained.name}: {line}")
        column = {shot: place for place, shot in enumerate(shots)}
        columns = [np.array([column[shot] for shot in one.shots], dtype=np.int64) for one in topics]
        return _score_columns(trained, table, (texts, ids), columns, reporter)

    def _table(self, shots: Sequence[str]) -> FeatureTable:
        """The features of shots, which must have what the model reads: some of it, or all if it cannot do without.

        Raises:
            UnknownIdError: shots lack it; names all of them.
        """
        named = by_feature_name(self.stores)
        table = store_table({name: named[name] for name in self.checkpoint.video_features}, shots)
        lacking = np.array([rows < 0 for rows in table.rows.values()])  # (features, shots)
        every = architectures.get(self.checkpoint.architecture).every_feature(self.checkpoint.config)
        missing = np.flatnonzero(lacking.any(axis=0) if every else lacking.all(axis=0)).tolist()
        where = ", ".join(str(store.folder) for store in self.stores)
        problems = Problems(f"{len(missing)} of {len(shots)} candidates have no vector in {where}")
        for place in missing:
            absent = [name for name, row in zip(table.rows, lacking[:, place], strict=True) if row]
            problems.add(shots[place], "not in the store" if len(lacking) == 1 else f"no {', '.join(absent)}")
        problems.raise_if_any(UnknownIdError, next_step="extract their features, or rerank a list of the store's shots")
        return table

    def _loaded(self) -> TrainedModel:
        locations = locations_of(self.stores, self.weights, self.word2vec)
        return load_trained(self.checkpoint, locations=locations, device=self.device)


def _score_columns(
    trained: TrainedModel,
    table: FeatureTable,
    questions: tuple[Sequence[str], Sequence[str]],
    columns: Sequence[np.ndarray],
    reporter: Reporter,
) -> list[np.ndarray]:
    """(N,) float64 scores of some items of a table for each of T texts.

    Args:
        questions: T texts, and their ids.
        columns: T times (N,) int64 items.
    """
    model, first = trained.model, 0
    scores = [np.empty(len(wanted)) for wanted in columns]
    with torch.inference_mode(), reporter.stage("score", sum(map(len, columns)), "pairs") as stage:
        queries = trained.embed(*questions)
        for batch in batches(table, device=trained.device):
            videos = model.embed_videos(batch).float()
            for number, wanted in enumerate(columns):
                here = np.flatnonzero((wanted >= first) & (wanted < first + len(videos)))
                if len(here):
                    listed = videos[torch.from_numpy(wanted[here] - first).to(videos.device)]
                    scores[number][here] = model.score(queries[number : number + 1], listed)[0].double().cpu().numpy()
                    stage.advance(len(here))
            first += len(videos)
    return scores


def open_scoring(
    checkpoint: Path, stores: Sequence[Path], *, weights: Sequence[str], word2vec: Path | None, device: str
) -> ModelScoring:
    """The trained model in a folder with its stores, checked; the weights are loaded when the first shot is scored.

    Raises:
        ConfigError: two stores hold one feature; `weights` are there, but not for every store.
        SpecMismatchError: the stores are not from the encoders that the model was trained with.
        AvsError: a folder is missing, or holds something else.
    """
    resolve_device(device, "float32")
    opened, model = [open_features(folder) for folder in stores], read_checkpoint(checkpoint)
    specs = {name: store.spec for name, store in by_feature_name(opened).items()}
    model.require_specs(specs, where=", ".join(map(str, stores)))
    locations_of(opened, weights, word2vec)
    return ModelScoring(model, opened, weights, word2vec, device)
