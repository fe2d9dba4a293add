"""Exact search: queries x a feature store -> the k best shots per query.

Blocks of rows flow from the store through a scorer into a top-k collector. A block is converted into a buffer that
stays in the cache and is multiplied there, so a collection is read once and never held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from avs.core.errors import ConfigError, DataError, MissingDependencyError
from avs.core.progress import Reporter
from avs.core.ranking import MAX_RESULTS, RankedList
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.search.blocks import Block, BlockSource
from avs.search.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor, device

FrameScore = Literal["max", "mean"]
FRAME_SCORES = ("max", "mean")
SCORE_DTYPES = ("float32", "bfloat16")
CPU_BLOCK_ROWS = 2048  # as float32 of 512 dimensions: 4 MB, which the last-level cache holds
CUDA_BLOCK_ROWS = 65536
TILE_ROWS = 64


class Scorer(Protocol):
    """Turns blocks of rows into scores of rows."""

    def stream(self, blocks: BlockSource) -> Iterator[tuple[Block, np.ndarray]]:
        """Every block with its (T, R) float32 row scores, which are valid until the next one is asked for."""
        ...


def search(
    queries: np.ndarray,
    topics: Sequence[str],
    store: FeatureStore,
    *,
    query_spec: EmbedderSpec,
    k: int = MAX_RESULTS,
    frame_score: FrameScore = "max",
    device: str = "cpu",
    dtype: str = "float32",
    block_rows: int | None = None,
    reporter: Reporter | None = None,
) -> list[RankedList]:
    """The `k` best shots of a store per query, by cosine similarity; ties by shot id, the larger string first.

    Vectors that the spec calls normalised are multiplied as they are; others are divided by their lengths.

    Args:
        queries: (T, D) float32.
        topics: T topic ids.
        store: of N shots; a list is shorter than `k` only where N is.
        query_spec: of the encoder that made the queries.
        frame_score: a shot's score in a frame-level store, from its rows' scores: "max" or "mean". Of a BLIP-2 store
            with pooling "queries", "max" is the ITC score.
        device: "cpu" (as many threads as torch is set to), "cuda" or "cuda:N".
        dtype: of the product: "float32", or on CUDA "bfloat16", which is coarser.
        block_rows: rows that are scored at once; None: 2,048 on the CPU, 65,536 on CUDA.

    Raises:
        SpecMismatchError: another encoder made the store.
        DataError: queries of the wrong shape; a query or a score that is not finite (the first such shot is named).
        ConfigError: unknown frame score, device or dtype; `k` or `block_rows` below 1.
        MissingDependencyError: there is no such CUDA device.
    """
    store.spec.require_same(query_spec, where=str(store.folder))
    if frame_score not in FRAME_SCORES:
        raise ConfigError("unknown frame score", got=frame_score, wanted=", ".join(FRAME_SCORES))
    vectors = _checked(queries, topics, store.spec)
    where = _device(device, dtype)
    rows = block_rows if block_rows is not None else CPU_BLOCK_ROWS if where.type == "cpu" else CUDA_BLOCK_ROWS
    best = TopK(topics, store.ids, k=k)
    blocks = BlockSource(store, block_rows=rows)
    scorer: Scorer = (
        CpuScorer(vectors, normalise=not store.spec.normalised)
        if where.type == "cpu"
        else DeviceScorer(vectors, where, dtype=dtype, normalise=not store.spec.normalised)
    )
    with (reporter or Reporter()).stage(f"search {store.spec.name}", len(store), "shots") as stage:
        for block, scores in scorer.stream(blocks):
            by_shot = shot_scores(scores, block, frame_score)
            best.add(by_shot, first=block.first)
            stage.advance(by_shot.shape[1])
    return best.lists()


def shot_scores(scores: np.ndarray, block: Block, frame_score: FrameScore) -> np.ndarray:
    """(T, shots) float32 scores of a block's shots from the (T, R) scores of its rows."""
    if block.starts is None:
        return scores
    if frame_score == "max":
        return np.maximum.reduceat(scores, block.starts, axis=1)
    lengths = np.diff(block.starts, append=scores.shape[1])
    return np.add.reduceat(scores, block.starts, axis=1) / lengths.astype(np.float32)


class CpuScorer:
    """Scores on the CPU in float32, a block at a time in one reused buffer.

    A short block is multiplied with the whole buffer, whose rows fill the tiles of the matrix product: every row then
    goes through the same instructions, and its score does not depend on the block it came in.

    Args:
        queries: (T, D) float32.
        normalise: divide a row's scores by its length.
    """

    def __init__(self, queries: np.ndarray, *, normalise: bool) -> None:
        import torch

        self.queries, self.normalise = torch.from_numpy(queries), normalise

    def stream(self, blocks: BlockSource) -> Iterator[tuple[Block, np.ndarray]]:
        import torch

        padded = -(-blocks.max_rows // TILE_ROWS) * TILE_ROWS
        buffer = torch.zeros(padded, self.queries.shape[1])
        scores = torch.empty(len(self.queries), padded)
        for block in blocks:
            rows = len(block.rows)
            buffer[:rows].copy_(torch.from_numpy(block.rows))
            torch.mm(self.queries, buffer.T, out=scores)  # (T, D) @ (D, R) -> (T, R)
            yield block, _by_length(scores[:, :rows], buffer[:rows], self.normalise).numpy()


class DeviceScorer:
    """Scores on an accelerator: while it multiplies one block, the next is read into page-locked memory.

    Args:
        queries: (T, D) float32.
        device: of the product.
        dtype: of the product; scores come back as float32.
        normalise: divide a row's scores by its length.
    """

    def __init__(self, queries: np.ndarray, device: device, *, dtype: str, normalise: bool) -> None:
        import torch

        self.device, self.dtype, self.normalise = device, getattr(torch, dtype), normalise
        self.queries = torch.from_numpy(queries).to(device, self.dtype)

    def stream(self, blocks: BlockSource) -> Iterator[tuple[Block, np.ndarray]]:
        import torch

        stored = torch.from_numpy(blocks.vectors[:1]).dtype
        shape, pin = (blocks.max_rows, self.queries.shape[1]), self.device.type == "cuda"
        staging = [torch.empty(shape, dtype=stored, pin_memory=pin) for _ in range(2)]
        before: tuple[Block, Tensor] | None = None
        for number, block in enumerate(blocks):
            rows = staging[number % 2][: len(block.rows)]
            rows.copy_(torch.from_numpy(block.rows))  # the product of the block before runs meanwhile
            if before is not None:
                yield before[0], before[1].cpu().numpy()  # waits for it, after which its staging buffer is free
            before = block, self._scores(rows)
        if before is not None:
            yield before[0], before[1].cpu().numpy()

    def _scores(self, rows: Tensor) -> Tensor:
        """(T, R) float32 on the device, queued and not waited for."""
        there = rows.to(self.device, non_blocking=True).to(self.dtype)
        return _by_length((self.queries @ there.T).float(), there, self.normalise)


def _by_length(scores: Tensor, rows: Tensor, normalise: bool) -> Tensor:
    """(T, R) scores, divided by the lengths of the (R, D) rows where they are to be normalised."""
    return scores / rows.float().norm(dim=1) if normalise else scores


def _checked(queries: np.ndarray, topics: Sequence[str], spec: EmbedderSpec) -> np.ndarray:
    """The queries as contiguous float32, of length 1 where the spec leaves that to the search."""
    if queries.shape != (len(topics), spec.dim):
        raise DataError("queries of the wrong shape", got=queries.shape, wanted=(len(topics), spec.dim))
    vectors = np.ascontiguousarray(queries, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    for topic, length in zip(topics, lengths[:, 0].tolist(), strict=True):
        if not np.isfinite(length) or length == 0:
            raise DataError("a query vector is zero or not finite", where=f"topic {topic}", got=f"length {length}")
    return vectors if spec.normalised else vectors / lengths


def _device(name: str, dtype: str) -> device:
    import torch

    if dtype not in SCORE_DTYPES:
        raise ConfigError("unknown dtype of scores", got=dtype, wanted=", ".join(SCORE_DTYPES))
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ConfigError("unknown device", got=name, wanted="cpu, cuda or cuda:N")
    if kind == "cpu" and dtype != "float32":
        raise ConfigError("scores on the CPU are float32", got=dtype)
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise MissingDependencyError(
            "no such CUDA device",
            got=name,
            wanted=f"one of {torch.cuda.device_count()} CUDA devices",
            next_step="use --device cpu, or check `avs info --env`",
        )
    return torch.device(name)
