"""A trained model with its queries, as what a search scores the shots of a block with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from avs.core.errors import ConfigError
from avs.models.batch import Batch, Sequences
from avs.models.retrieval import RetrievalModel

CPU_CHUNK_SHOTS = 1024  # the weights are read half as often as with 512, and what a LAFF makes still fits the cache
CUDA_CHUNK_SHOTS = 8192
PADDED_ROWS = 4096  # of frames at once


class FeatureRows(Protocol):
    """One feature of the shots of a block: as ranking.blocks.BlockFeature."""

    @property
    def rows(self) -> Tensor: ...
    @property
    def starts(self) -> np.ndarray | None: ...
    @property
    def present(self) -> np.ndarray | None: ...


class Shots(Protocol):
    """Shots with their features: as ranking.blocks.Block."""

    @property
    def count(self) -> int: ...
    @property
    def features(self) -> Mapping[str, Any]: ...


class PackedModel:
    """A retrieval model whose video side is prepared for searching, once for any number of questions.

    The video side moves to `device` and `dtype` and its weights are laid out for products with many shots. The text
    side stays as it is, so the model still embeds sentences; it can no longer be trained.

    Args:
        model: it is put in eval mode.
        device, dtype: of the pass: the blocks' own.
        chunk_shots: shots that are embedded at once; None: 1,024 on the CPU, 8,192 on CUDA.

    Attributes:
        fingerprint: sha256 of the weights of the video side and of the length of a chunk.

    Raises:
        ConfigError: the model was packed before for another dtype; its scores are pairwise.
    """

    def __init__(
        self,
        model: RetrievalModel,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        chunk_shots: int | None = None,
    ) -> None:
        if model.pairwise:
            raise ConfigError(
                "the model reads every text together with every video, so it cannot search a collection",
                got=type(model).__name__,
                next_step="rerank the list of another model with it: avs rerank --method model",
            )
        self.model, self.device = model.eval(), torch.device(device)
        self.features: tuple[str, ...] = tuple(model.video_features)
        self.chunk_shots = chunk_shots or (CPU_CHUNK_SHOTS if self.device.type == "cpu" else CUDA_CHUNK_SHOTS)
        if not model.video_side():
            self.model = deepcopy(self.model)
        video_side = [module.to(device=device, dtype=dtype) for module in self.model.video_side() or [self.model]]
        self.fingerprint = self._fingerprint(video_side)
        self.model.pack_weights(self.chunk_shots)

    def _fingerprint(self, video_side: Sequence[nn.Module]) -> str:
        digest = hashlib.sha256(f"{type(self.model).__name__} {self.chunk_shots} ".encode())
        for number, module in enumerate(video_side):
            for name, values in module.state_dict().items():
                _add(digest, f"{number} {name}", values)
        return digest.hexdigest()

    def batches(self, block: Shots) -> tuple[Iterator[Batch], np.ndarray | None]:
        """Those shots of a block that have a feature, a chunk after another, and which those are; None: all."""
        features = {name: block.features[name] for name in self.features}
        masks = [feature.present for feature in features.values()]
        scored = None if any(mask is None for mask in masks) else np.logical_or.reduce(masks)
        shots = np.arange(block.count) if scored is None else np.flatnonzero(scored)
        longest = _most_frames(features, block.count)[shots]
        chunks = _chunks(longest, self.chunk_shots)
        return (_batch(features, block.count, shots[first:last]) for first, last in chunks), scored

    @torch.inference_mode()
    def embed(self, batch: Batch) -> Tensor:
        """(B, E) float32 embeddings of a batch of shots."""
        embedded: Tensor = self.model.embed_videos(batch)
        return embedded.float()

    @torch.inference_mode()
    def score(self, queries: Tensor, embedded: Tensor) -> Tensor:
        """(T, B) float32 similarities of (T, E) embedded queries and (B, E) embedded shots."""
        scores: Tensor = self.model.score(queries, embedded)
        return scores

    def similarities(self, queries: Tensor, batch: Batch) -> Tensor:
        """(T, B) float32 similarities of (T, E) embedded queries and a batch of shots."""
        return self.score(queries, self.embed(batch))


class ModelScorer:
    """The queries of one question for a packed model. A Scorer of avs.ranking, for shots with at least one feature.

    Args:
        name: name of its lists.
        packed: the model.
        queries: (T, E) embeddings of the topics. They stay float32, whatever the dtype of the pass.
    """

    def __init__(self, name: str, packed: PackedModel, queries: Tensor) -> None:
        self.name, self.packed, self.features = name, packed, packed.features
        self.queries = queries.detach().to(device=packed.device, dtype=torch.float32)

    @property
    def fingerprint(self) -> str:
        """sha256 of the model and the queries."""
        digest = hashlib.sha256(self.packed.fingerprint.encode())
        _add(digest, "queries", self.queries)
        return digest.hexdigest()

    def score(self, block: Shots) -> tuple[Tensor, np.ndarray | None]:
        """(T, P) float32 similarities of the P shots with a feature, and which those are; None: all."""
        batches, scored = self.packed.batches(block)
        parts = [self.packed.similarities(self.queries, batch) for batch in batches]
        return torch.cat(parts, dim=1) if parts else self.queries.new_empty(len(self.queries), 0), scored


def _add(digest: hashlib._Hash, name: str, values: Tensor) -> None:
    """Take a named tensor into a digest."""
    digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
    digest.update(values.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())


def _most_frames(features: Mapping[str, FeatureRows], count: int) -> np.ndarray:
    """(count,) int64 rows of each shot in its longest feature; 1 without frame-level features."""
    most = np.ones(count, dtype=np.int64)
    for feature in features.values():
        if feature.starts is not None:
            present = slice(None) if feature.present is None else feature.present
            most[present] = np.maximum(most[present], np.diff(feature.starts, append=len(feature.rows)))
    return most


def _chunks(lengths: np.ndarray, shots: int) -> Iterator[tuple[int, int]]:
    """Where to cut consecutive shots: at most so many, and not more than PADDED_ROWS when all are as long as the
    longest, unless a single one is."""
    first = 0
    while first < len(lengths):
        longest = np.maximum.accumulate(lengths[first : first + shots])
        fitting = int(np.count_nonzero(longest * np.arange(1, len(longest) + 1) <= PADDED_ROWS))
        last = first + max(fitting if longest[-1] > 1 else len(longest), 1)
        yield first, last
        first = last


def _batch(features: Mapping[str, FeatureRows], count: int, shots: np.ndarray) -> Batch:
    """Those `shots` (ascending positions) of a block of `count`."""
    vectors: dict[str, Tensor] = {}
    sequences: dict[str, Sequences] = {}
    present: dict[str, Tensor] = {}
    for name, feature in features.items():
        in_block = np.ones(count, dtype=bool) if feature.present is None else feature.present
        position = np.cumsum(in_block) - 1  # of each shot among those present
        mask = in_block[shots]
        held = position[shots[mask]]  # without gaps: every shot that has the feature is scored
        if feature.starts is None:
            vectors[name] = _spread(feature.rows[held[0] : held[-1] + 1] if len(held) else feature.rows[:0], mask)
        else:
            sequences[name] = _sequences(feature, held, mask)
        if not mask.all():
            present[name] = torch.from_numpy(mask).to(feature.rows.device)
    return Batch(vectors, sequences, present)


def _spread(rows: Tensor, mask: np.ndarray) -> Tensor:
    """(B, ...) with `rows` where `mask` is true; the other rows are not read."""
    if mask.all():
        return rows
    spread = rows.new_zeros(len(mask), *rows.shape[1:])
    spread[torch.from_numpy(mask).to(rows.device)] = rows
    return spread


def _sequences(feature: FeatureRows, held: np.ndarray, mask: np.ndarray) -> Sequences:
    """The frames of the present shots number `held`, as far apart as `mask` has gaps."""
    assert feature.starts is not None
    starts = feature.starts[held]
    lengths = np.append(feature.starts, len(feature.rows))[held + 1] - starts
    longest = int(lengths.max(initial=1))
    places = np.minimum(np.arange(longest), lengths[:, None] - 1) + starts[:, None]  # a shot's last frame is repeated
    rows = feature.rows[torch.from_numpy(places).to(feature.rows.device)]  # (P, L, D)
    all_lengths = np.zeros(len(mask), dtype=np.int64)
    all_lengths[mask] = lengths
    return Sequences(_spread(rows, mask), torch.from_numpy(all_lengths).to(feature.rows.device))
