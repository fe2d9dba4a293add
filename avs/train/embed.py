"""Embeddings of whole tables, and the similarities of all texts with all videos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avs.models.batch import Batch
from avs.models.retrieval import RetrievalModel
from avs.train.data import DrawnColumn, FeatureTable, ahead

BATCH = 256
VIDEOS_AT_ONCE = 32  # whose frames are pixels: 32 x 12 frames of 224 x 224 are 58 MB, and 230 MB in float32
KEPT_BYTES = 2**30


def batches(table: FeatureTable, *, device: str, batch_size: int | None = None) -> Iterator[Batch]:
    """The items of a table in order, in batches on a device.

    Args:
        batch_size: None: as many as suit the size of an item.
    """
    if batch_size is None:
        pixels = any(isinstance(column, DrawnColumn) for column in table.columns.values())
        batch_size = VIDEOS_AT_ONCE if pixels else BATCH
    cuts = range(0, len(table), batch_size)
    return (
        batch.to(device)
        for batch in ahead(table.batch(np.arange(cut, min(cut + batch_size, len(table)))) for cut in cuts)
    )


@torch.inference_mode()
def embed_texts(model: RetrievalModel, table: FeatureTable, *, device: str = "cpu") -> Tensor:
    """(N, E) embeddings on `device`, by a model in eval mode."""
    return torch.cat([model.embed_texts(batch).float() for batch in batches(table, device=device)])


@torch.inference_mode()
def similarities(
    model: RetrievalModel, texts: FeatureTable, videos: FeatureTable, *, device: str = "cpu"
) -> np.ndarray:
    """(T, V) float32 scores of all texts against all videos.

    The texts' embeddings are kept, unless they take more than KEPT_BYTES and there are fewer videos, as with 59,800
    captions of a model whose embedding holds every word: then the videos' are. The other side is embedded batch by
    batch and not kept.
    """
    width = model.embed_texts(next(batches(texts, device=device, batch_size=1))).shape[1]
    if 4 * width * len(texts) <= KEPT_BYTES or len(texts) <= len(videos):
        queries = embed_texts(model, texts, device=device)
        return np.concatenate([_scores(model, queries, one) for one in _video_blocks(model, videos, device)], axis=1)
    kept = list(_video_blocks(model, videos, device))
    blocks = (model.embed_texts(batch).float() for batch in batches(texts, device=device))
    return np.concatenate([np.concatenate([_scores(model, q, one) for one in kept], axis=1) for q in blocks])


def _video_blocks(model: RetrievalModel, videos: FeatureTable, device: str) -> Iterator[Tensor]:
    return (model.embed_videos(batch).float() for batch in batches(videos, device=device))


def _scores(model: RetrievalModel, texts: Tensor, videos: Tensor) -> np.ndarray:
    scores: np.ndarray = model.score(texts, videos).cpu().numpy()
    return scores
