"""A search by actors of a cluster: what a node opens, and the question as numbers that it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avs.core.contents import content_fingerprint
from avs.core.errors import StoreError
from avs.core.features import Features, open_features
from avs.models.scorer import ModelScorer, PackedModel
from avs.pipeline.search.system import System
from avs.ranking.blocks import BlockSource
from avs.ranking.cosine import CosineScorer, FrameScore
from avs.ranking.score import Scorer
from avs.train.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class AskedSystem:
    """A system, and a question that it is asked.

    Attributes:
        name: of the system.
        folder: of its store or checkpoint.
        fingerprint: of what is in that folder.
        trained: whether it is a trained model.
        queries: (T, D) float32 vectors of the topics for a store, (T, E) embeddings for a trained model.
        features: names of the stores that it reads.
        frame_score: as of a System.
    """

    name: str
    folder: Path
    fingerprint: str
    trained: bool
    queries: np.ndarray
    features: tuple[str, ...]
    frame_score: FrameScore


@dataclass(frozen=True, slots=True, eq=False)
class CollectionOpening:
    """Opens stores and trained models on a node. An Opening of avs.cluster; picklable: it holds none of them.

    Attributes:
        stores: name -> folder, and fingerprint of its content.
        systems: what ranks.
        topics: T topic ids.
        dtype: of the products with the shots.
    """

    stores: Mapping[str, tuple[Path, str]]
    systems: Sequence[AskedSystem]
    topics: Sequence[str]
    dtype: str

    def __call__(self, device: str) -> tuple[list[Scorer], BlockSource]:
        """The scorers, and the shots.

        Raises:
            StoreError: a folder holds something else than it does where the command runs.
        """
        stores = {}
        for name, (folder, fingerprint) in self.stores.items():
            stores[name] = open_features(folder)
            _require_same(folder, content_fingerprint(stores[name].manifest), fingerprint)
        source = BlockSource(stores, device=device, dtype=self.dtype)
        return [self._scorer(system, stores, device) for system in self.systems], source

    def _scorer(self, system: AskedSystem, stores: Mapping[str, Features], device: str) -> Scorer:
        if system.trained:
            checkpoint = read_checkpoint(system.folder)
            _require_same(system.folder, checkpoint.fingerprint, system.fingerprint)
            model: Any = checkpoint.load_model(device)
            packed = PackedModel(model, device=device, dtype=getattr(torch, self.dtype))
            return ModelScorer(system.name, packed, torch.from_numpy(system.queries))
        store = stores[system.features[0]]
        return CosineScorer(
            system.name,
            system.queries,
            topics=self.topics,
            store=store,
            feature=system.features[0],
            query_spec=store.spec,  # whose encoder made them, where the command runs
            frame_score=system.frame_score,
        )


def opening_of(
    stores: Mapping[str, Features],
    asked: Mapping[str, tuple[System, Tensor | np.ndarray]],
    read: Mapping[str, tuple[str, ...]],
    topics: Sequence[str],
    dtype: str,
) -> CollectionOpening:
    """What nodes open.

    Args:
        stores: that are read, by name.
        asked: systems by name, and the topics as each compares them with shots.
        read: name of a system -> names of the stores that it reads.
        topics: T topic ids.
    """
    systems = []
    for name, (system, queries) in asked.items():
        source = system.source
        trained = isinstance(source, Checkpoint)
        mark = source.fingerprint if isinstance(source, Checkpoint) else content_fingerprint(source.manifest)
        numbers = queries.detach().cpu().float().numpy() if isinstance(queries, Tensor) else queries
        systems.append(AskedSystem(name, source.folder, mark, trained, numbers, read[name], system.frame_score))
    held = {name: (store.folder, content_fingerprint(store.manifest)) for name, store in stores.items()}
    return CollectionOpening(held, systems, tuple(topics), dtype)


def _require_same(folder: Path, here: str, there: str) -> None:
    if here != there:
        raise StoreError(
            "a node sees something else in this folder than the command does",
            where=folder,
            got=here[:12],
            wanted=there[:12],
            next_step="put stores and models on a folder that all nodes have at the same path",
        )
