"""A trained model with its queries, as what a search scores the shots of a block with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from avs.models.batch import Batch, Sequences

CPU_CHUNK_SHOTS = 1024  # the weights are read half as often as with 512, and what a LAFF makes still fits the cache
CUDA_CHUNK_SHOTS = 8192
PADDED_ROWS = 4096  # of frames at once


class FeatureRows(Protocol):
    """One feature of the shots of a block: as search.blocks.BlockFeature."""

    @property
    def rows(self) -> Tensor: ...
    @property
    def starts(self) -> np.ndarray | None: ...
    @property
    def present(self) -> np.ndarray | None: ...


class Shots(Protocol):
    """Shots with their features: as search.blocks.Block."""

    @property
    def count(self) -> int: ...
    @property
    def features(self) -> Mapping[str, Any]: ...


class ModelScorer:
    """A retrieval model as a search.score.Scorer: shots are scored that have at least one of its features.

    Args:
        name: of its lists.
        model: a RetrievalModel; it is put in eval mode, moved to `device` and `dtype`, and its weights are laid out for
            this search: it can do nothing else afterwards.
        queries: (T, E) embeddings of the topics, made before in float32.
        device, dtype: of the pass: the blocks' own. Similarities of embeddings are float32 in either.
        chunk_shots: shots that are embedded at once; None: 1,024 on the CPU, 8,192 on CUDA.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        queries: Tensor,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        chunk_shots: int | None = None,
    ) -> None:
        self.name, self.model = name, model.eval().to(device=device, dtype=dtype)
        self.queries = queries.detach().to(device=device, dtype=torch.float32)
        self.features: tuple[str, ...] = tuple(model.video_features)
        on_cpu = torch.device(device).type == "cpu"
        self.chunk_shots = chunk_shots or (CPU_CHUNK_SHOTS if on_cpu else CUDA_CHUNK_SHOTS)
        self.fingerprint = self._fingerprint()
        for module in self.model.modules():
            if hasattr(module, "pack_weights"):
                module.pack_weights(self.chunk_shots)

    def _fingerprint(self) -> str:
        """sha256 of the weights, the queries and the length of a chunk."""
        digest = hashlib.sha256(f"{type(self.model).__name__} {self.chunk_shots} ".encode())
        for name, values in {"queries": self.queries, **self.model.state_dict()}.items():
            digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
            digest.update(values.contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @torch.inference_mode()
    def score(self, block: Shots) -> tuple[Tensor, np.ndarray | None]:
        """(T, P) float32 similarities of the P shots with a feature, and which those are; None: all."""
        chosen = {name: block.features[name] for name in self.features}
        masks = [feature.present for feature in chosen.values()]
        some = None if any(mask is None for mask in masks) else np.logical_or.reduce(masks)
        shots = np.arange(block.count) if some is None else np.flatnonzero(some)
        longest = _most_frames(chosen, block.count)[shots]
        parts = [
            self._similarities(_batch(chosen, block.count, shots[first:last]))
            for first, last in _chunks(longest, self.chunk_shots)
        ]
        return torch.cat(parts, dim=1) if parts else self.queries.new_empty(len(self.queries), 0), some

    def _similarities(self, batch: Batch) -> Tensor:
        similarities: Tensor = self.model.score(self.queries, self.model.embed_videos(batch).float())
        return similarities


def _most_frames(features: Mapping[str, FeatureRows], count: int) -> np.ndarray:
    """(count,) int64 rows of each shot in its longest feature; 1 without frame-level features."""
    most = np.ones(count, dtype=np.int64)
    for feature in features.values():
        if feature.starts is not None:
            there = slice(None) if feature.present is None else feature.present
            most[there] = np.maximum(most[there], np.diff(feature.starts, append=len(feature.rows)))
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
        there = np.ones(count, dtype=bool) if feature.present is None else feature.present
        at = np.cumsum(there) - 1  # of each shot among those present
        mask = there[shots]
        held = at[shots[mask]]  # without gaps: every shot that has the feature is scored
        if feature.starts is None:
            vectors[name] = _spread(feature.rows[held[0] : held[-1] + 1] if len(held) else feature.rows[:0], mask)
        else:
            sequences[name] = _sequences(feature, held, mask)
        if not mask.all():
            present[name] = torch.from_numpy(mask).to(feature.rows.device)
    return Batch(vectors, sequences, present)


def _spread(rows: Tensor, mask: np.ndarray) -> Tensor:
    """(B, ...) with `rows` where `mask` is true; what stands elsewhere is not read."""
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
