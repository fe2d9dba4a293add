"""Zero-shot scores: queries x the vectors of one store, by cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from avs.core.errors import ConfigError, DataError
from avs.core.features import Features
from avs.core.spec import EmbedderSpec
from avs.ranking.blocks import Block

if TYPE_CHECKING:
    from torch import Tensor

FrameScore = Literal["max", "mean"]
FRAME_SCORES = ("max", "mean")


@dataclass(frozen=True, slots=True, eq=False)
class SingleQuery:
    """Scores that are products of one query with rows of length 1: what avs.ranking.half_sieve can sift.

    Attributes:
        scorer: which gives the scores.
        allowed: (N,) bool, the shots of the source that are scored; None: all.
    """

    scorer: CosineScorer
    allowed: np.ndarray | None = None


def single_of(scorer: object) -> SingleQuery | None:
    """The single query of a scorer that says it has one."""
    found: SingleQuery | None = getattr(scorer, "single", None)
    return found


class CosineScorer:
    """The cosine similarities of queries with the rows of a feature. A Scorer.

    Vectors that the spec calls normalised are multiplied as they are; others are divided by their lengths.

    Args:
        name: name of its lists.
        queries: (T, D) float32.
        topics: T topic ids.
        store: with the vectors.
        feature: name of the store among those of the pass.
        query_spec: of the encoder that made the queries.
        frame_score: a shot's score in a frame-level store, from the scores of its rows: "max" or "mean". For a BLIP-2
            store with pooling "queries", "max" is the ITC score.

    Attributes:
        in_threads: several threads may ask it at once.

    Raises:
        SpecMismatchError: another encoder made the store.
        DataError: queries of the wrong shape; one that is zero or not finite.
        ConfigError: unknown frame score.
    """

    in_threads = True

    def __init__(
        self,
        name: str,
        queries: np.ndarray,
        *,
        topics: Sequence[str],
        store: Features,
        feature: str,
        query_spec: EmbedderSpec,
        frame_score: FrameScore = "max",
    ) -> None:
        store.spec.require_same(query_spec, where=str(store.folder))
        if frame_score not in FRAME_SCORES:
            raise ConfigError("unknown frame score", got=frame_score, wanted=", ".join(FRAME_SCORES))
        self.name, self.frame_score = name, frame_score
        self.features: tuple[str, ...] = (feature,)
        self.queries, self.normalise = _checked(queries, topics, store.spec), not store.spec.normalised

    @property
    def fingerprint(self) -> str:
        """sha256 of the queries and of how they are compared."""
        how = f"cosine {self.normalise} {self.frame_score} {self.queries.shape} ".encode()
        return hashlib.sha256(how + self.queries.tobytes()).hexdigest()

    @property
    def single(self) -> SingleQuery | None:
        """Itself, if it has one query and the rows have length 1."""
        return SingleQuery(self) if len(self.queries) == 1 and not self.normalise else None

    def score(self, block: Block) -> tuple[Tensor, np.ndarray | None]:
        """(T, P) scores of the P shots that have the feature, and which those are; None: all."""
        import torch

        feature = block.features[self.features[0]]
        queries = torch.from_numpy(self.queries).to(feature.buffer)
        scores = (queries @ feature.buffer.T)[:, : feature.count].float()  # (T, D) @ (D, R) -> (T, R)
        if self.normalise:
            scores = scores / feature.rows.float().norm(dim=1)
        return _by_shot(scores, feature.starts, self.frame_score), feature.present


def _by_shot(scores: Tensor, starts: np.ndarray | None, frame_score: str) -> Tensor:
    """(T, P) scores of shots from the (T, R) scores of their rows."""
    import torch

    if starts is None or not len(starts):
        return scores
    lengths = torch.from_numpy(np.diff(starts, append=scores.shape[1])).to(scores.device)
    return torch.segment_reduce(scores.T.contiguous(), frame_score, lengths=lengths, axis=0).T


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
