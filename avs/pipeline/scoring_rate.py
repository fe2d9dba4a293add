"""How many pairs of query and shot a model scores in a second, in a search over embeddings that are in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avs.models.architectures.footprint import Footprint
from avs.models.retrieval import RetrievalModel
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.score import search

SECONDS = 2.0  # of measuring, for each rate
ROUND_BYTES, ROUND_MULTIPLY_ADDS = 2**26, 2**31  # of what is scored at once
MOST_SHOTS, LEAST_SHOTS = 65_536, 8


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something was done.

    Attributes:
        per_s: in the fastest round, by the clock.
        per_cpu_s: in the round of least CPU seconds, of all threads; other load on the machine disturbs it less.
        count: of one round.
        rounds: that were measured.
    """

    per_s: float
    per_cpu_s: float
    count: int
    rounds: int


@dataclass(frozen=True, slots=True, eq=False)
class _Embeddings:
    """Random embeddings of shots as a store holds them. Rows of avs.ranking."""

    ids: tuple[str, ...]
    vectors: np.ndarray
    offsets: None = None


class _EmbeddingScorer:
    """A model that scores embeddings which are there. A Scorer of avs.ranking.

    Args:
        queries: (T, E) embeddings.
    """

    fingerprint = ""

    def __init__(self, model: RetrievalModel, queries: Tensor) -> None:
        self.name, self.model, self.queries = "model", model, queries
        self.features: tuple[str, ...] = ("embeddings",)

    @torch.inference_mode()
    def score(self, block: Block) -> tuple[Tensor, None]:
        return self.model.score(self.queries, block.features["embeddings"].rows), None


def pair_rate(model: RetrievalModel, own: Footprint, queries: int, seconds: float) -> Rate:
    """Pairs a second of a search: embeddings in float16, read in blocks, scored in float32, the best 1,000 kept."""
    shots = at_once(2 * own.shot_numbers, queries * own.pair_multiply_adds)
    rows = np.random.default_rng(0).standard_normal((shots, own.shot_numbers), dtype=np.float32)
    embeddings = _Embeddings(tuple(f"shot1_{number}" for number in range(1, shots + 1)), rows.astype(np.float16))
    scorer = _EmbeddingScorer(model, torch.randn(queries, own.query_numbers))
    topics, source = [str(number) for number in range(queries)], BlockSource({"embeddings": embeddings})
    return rate_of(lambda: search([scorer], topics, source), shots * queries, seconds)


def at_once(bytes_each: int, work_each: int) -> int:
    """A number of shots of which a round takes little memory, and less than a second."""
    fitting = min(ROUND_BYTES // bytes_each, ROUND_MULTIPLY_ADDS // max(work_each, 1), MOST_SHOTS)
    return max(fitting, LEAST_SHOTS)


def rate_of(job: Callable[[], object], count: int, seconds: float) -> Rate:
    """The rate of a job that does something `count` times: of its fastest round, after one to warm up."""
    job()
    end, took = time.perf_counter() + seconds, list[tuple[float, float]]()
    while not took or time.perf_counter() < end:
        took.append(_timed(job))
    wall_s, cpu_s = (min(each) for each in zip(*took, strict=True))
    return Rate(count / wall_s, count / cpu_s, count, len(took))


def _timed(job: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - wall, max(time.process_time() - cpu, 1e-9)
