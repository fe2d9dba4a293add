"""Embeddings of whole tables, and the similarities of all texts with all videos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avs.models.batch import Batch
from avs.models.retrieval import RetrievalModel
from avs.train.data import FeatureTable, ahead

BATCH = 256


def batches(table: FeatureTable, *, device: str, batch_size: int = BATCH) -> Iterator[Batch]:
    """The items of a table in order, in batches on a device."""
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
    """(T, V) float32 scores of all texts against all videos. Videos are embedded batch by batch and not kept."""
    queries = embed_texts(model, texts, device=device)
    blocks = [
        model.score(queries, model.embed_videos(batch).float()).cpu().numpy()
        for batch in batches(videos, device=device)
    ]
    return np.concatenate(blocks, axis=1)
