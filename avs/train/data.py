"""What a model is trained on: captions paired with the features of their videos, and any rows of them as a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from avs.core.columns import Column
from avs.models.batch import Batch, Sequences

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The features of N videos or texts.

    Attributes:
        columns: name -> column.
        rows: name -> (N,) int64, where each item stands in that column, -1 where it lacks the feature.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def lacking(self) -> np.ndarray:
        """(N,) bool: items without any feature, of which a model cannot say anything."""
        lacks: np.ndarray = np.all([rows < 0 for rows in self.rows.values()], axis=0)
        return lacks

    def select(self, items: np.ndarray) -> FeatureTable:
        """The same features of (M,) `items`."""
        return FeatureTable(self.columns, {name: rows[items] for name, rows in self.rows.items()})

    def batch(self, items: np.ndarray) -> Batch:
        """The features of (B,) `items`."""
        vectors: dict[str, Tensor] = {}
        sequences: dict[str, Sequences] = {}
        present: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            rows = self.rows[name][items]
            there = rows >= 0
            if not there.all():
                present[name] = torch.from_numpy(there)
                rows = np.where(there, rows, 0)  # any row: the model does not read it
            taken = column.take(rows)
            if isinstance(taken, tuple):
                sequences[name] = Sequences(torch.from_numpy(taken[0]), torch.from_numpy(taken[1]))
            else:
                vectors[name] = torch.from_numpy(taken)
        return Batch(vectors, sequences, present)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Captions, each with the video it describes.

    Attributes:
        ids: of the N captions.
        texts: their features.
        videos: features of the V videos.
        video_of: (N,) int64, position in `videos` of each caption's video.
    """

    ids: Sequence[str]
    texts: FeatureTable
    videos: FeatureTable
    video_of: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, captions: np.ndarray) -> PairBatch:
        """The pairs of (B,) `captions`."""
        video_of = self.video_of[captions]
        return PairBatch(captions, self.texts.batch(captions), self.videos.batch(video_of), torch.from_numpy(video_of))


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """B pairs: `captions` (B,) their numbers, `texts`, `videos`, and `video_of` (B,) the videos' numbers."""

    captions: np.ndarray
    texts: Batch
    videos: Batch
    video_of: Tensor


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, the next one being made in a thread while one is used."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = worker.submit(next, source, end)
            yield item  # type: ignore[misc]
