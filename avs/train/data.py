"""The data of a training: captions paired with the features of their videos, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from avs.core.columns import Column
from avs.models.batch import Batch, Sequences

T = TypeVar("T")


@runtime_checkable
class DrawnColumn(Column, Protocol):
    """A column of which a training sees a part that is drawn, such as some frames of each video."""

    def take_for(self, rows: np.ndarray, epoch: int, captions: np.ndarray) -> Any:
        """As `take`, but what (B,) `captions` see of `rows` in an epoch."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """What decides a draw besides the seed: the epoch, and (B,) numbers of captions."""

    epoch: int
    captions: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The features of N videos or texts.

    Attributes:
        columns: name -> column.
        rows: name -> (N,) int64, row of each item in that column, -1 where it lacks the feature.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def lacking(self) -> np.ndarray:
        """(N,) bool: items without any feature, which a model cannot score."""
        without: np.ndarray = np.all([rows < 0 for rows in self.rows.values()], axis=0)
        return without

    def select(self, items: np.ndarray) -> FeatureTable:
        """The same features of (M,) `items`."""
        return FeatureTable(self.columns, {name: rows[items] for name, rows in self.rows.items()})

    def batch(self, items: np.ndarray, draw: Draw | None = None) -> Batch:
        """The features of (B,) `items`.

        Args:
            draw: decides what a training sees of columns that are drawn; None: what a test sees.
        """
        vectors: dict[str, Tensor] = {}
        sequences: dict[str, Sequences] = {}
        present: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            rows = self.rows[name][items]
            has_feature = rows >= 0
            if not has_feature.all():
                present[name] = torch.from_numpy(has_feature)
                rows = np.where(has_feature, rows, 0)  # any row: the model does not read it
            if draw is not None and isinstance(column, DrawnColumn):
                values = column.take_for(rows, draw.epoch, draw.captions)
            else:
                values = column.take(rows)
            if isinstance(values, tuple):
                sequences[name] = Sequences(torch.from_numpy(values[0]), torch.from_numpy(values[1]))
            else:
                vectors[name] = torch.from_numpy(values)
        return Batch(vectors, sequences, present)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Captions, each with the video it describes.

    Attributes:
        ids: ids of the N captions.
        texts: features of the captions.
        videos: features of the V videos.
        video_of: (N,) int64, position in `videos` of each caption's video.
        neighbours: (N, K) int64, numbers of the captions around each caption and of itself, -1 for none; None: a
            batch has no blocks.
    """

    ids: Sequence[str]
    texts: FeatureTable
    videos: FeatureTable
    video_of: np.ndarray
    neighbours: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, captions: np.ndarray, epoch: int = 0) -> PairBatch:
        """The pairs of (B,) `captions`, as a training sees them in an epoch, each in its block if there are blocks."""
        block_of = None
        if self.neighbours is not None:
            block = self.neighbours[captions]
            block_of = torch.from_numpy(np.repeat(captions, (block >= 0).sum(axis=1)))
            captions = block[block >= 0]
        video_of = self.video_of[captions]
        videos = self.videos.batch(video_of, Draw(epoch, captions))
        return PairBatch(captions, self.texts.batch(captions), videos, torch.from_numpy(video_of), block_of)


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """B pairs: (B,) numbers of the captions, features of texts and videos, (B,) numbers of the videos.

    Attributes:
        block_of: (B,) number of the caption in the middle of each pair's block; None: there are no blocks.
    """

    captions: np.ndarray
    texts: Batch
    videos: Batch
    video_of: Tensor
    block_of: Tensor | None = None

    def parts(self, size: int) -> list[PairBatch]:
        """The same pairs, to embed, in consecutive batches of `size`; the last one has the rest."""
        cuts = (slice(first, first + size) for first in range(0, len(self.captions), size))
        return [PairBatch(self.captions[r], self.texts[r], self.videos[r], self.video_of[r]) for r in cuts]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items. A thread makes the next one while the current one is used."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = worker.submit(next, source, end)
            yield item  # type: ignore[misc]
