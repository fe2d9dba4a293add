"""Ranked lists of shots, one per topic, and the run they make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from avs.core.errors import DataError

if TYPE_CHECKING:
    import pandas

MAX_RESULTS = 1000  # NIST accepts at most this many shots per topic


@dataclass(frozen=True, slots=True, eq=False)
class RankedList:
    """The shots found for one topic, best first.

    Attributes:
        topic: topic id.
        shots: ids, each once.
        scores: (N,) float64, not increasing.
    """

    topic: str
    shots: tuple[str, ...]
    scores: np.ndarray

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, dtype=np.float64)
        object.__setattr__(self, "scores", scores)
        where = f"topic {self.topic}"
        if scores.shape != (len(self.shots),):
            raise DataError("shots and scores differ in number", where=where, got=(len(self.shots), scores.shape))
        if not np.isfinite(scores).all():
            bad = self.shots[int(np.flatnonzero(~np.isfinite(scores))[0])]
            raise DataError("a score is not a number", where=where, got=f"{bad} has no finite score")
        if len(set(self.shots)) < len(self.shots):
            seen: set[str] = set()
            twice = next(s for s in self.shots if s in seen or seen.add(s))  # type: ignore[func-returns-value]
            raise DataError("a shot occurs twice in a ranked list", where=where, got=twice)
        if (np.diff(scores) > 0).any():
            rank = int(np.flatnonzero(np.diff(scores) > 0)[0]) + 2
            raise DataError("scores must not increase down the list", where=f"{where}, rank {rank}")

    def __len__(self) -> int:
        return len(self.shots)

    def __repr__(self) -> str:
        best = f", best {self.shots[0]} ({self.scores[0]:.4f})" if self.shots else ""
        return f"RankedList(topic {self.topic}: {len(self)} shots{best})"

    def to_pandas(self) -> pandas.DataFrame:
        """Columns topic, rank (from 1), shot, score; a row per shot, best first."""
        import pandas

        ranks = np.arange(1, len(self) + 1)
        return pandas.DataFrame({"topic": self.topic, "rank": ranks, "shot": list(self.shots), "score": self.scores})

    @classmethod
    def from_scores(
        cls, topic: str, shots: Sequence[str], scores: Sequence[float] | np.ndarray, *, limit: int = MAX_RESULTS
    ) -> RankedList:
        """The `limit` best shots: by score, ties by shot id, the larger string first.

        The tie rule is that of NIST's sample_eval.pl, so a list scores the same before and after it is written.
        """
        values = np.asarray(scores, dtype=np.float64)
        if np.isnan(values).any():
            bad = shots[int(np.flatnonzero(np.isnan(values))[0])]
            raise DataError("a score is not a number", where=f"topic {topic}", got=f"{bad} scores NaN")
        order = rank_order(shots, values)[:limit]
        return cls(topic, tuple(shots[i] for i in order), values[order])


def rank_order(shots: Sequence[str], scores: np.ndarray) -> np.ndarray:
    """(N,) int64 positions, best first: score descending, then shot id descending as a string.

    Args:
        scores: (N,) float64, or Python integers that float64 could not tell apart.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    if len(ordered) > 1 and (ordered[1:] == ordered[:-1]).any():  # strings are sorted only where scores tie
        order = np.array(sorted(order.tolist(), key=lambda i: (scores[i], shots[i]), reverse=True), dtype=np.int64)
    return order


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One system's answer: a ranked list per topic.

    Attributes:
        lists: topic id -> its list.
        tag: the run's name.
        provenance: what made it (written into manifests, never scored).
    """

    lists: Mapping[str, RankedList]
    tag: str
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for topic, ranked in self.lists.items():
            if topic != ranked.topic:
                raise DataError("a list is under the id of another topic", where=f"topic {topic}", got=ranked.topic)

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self.lists)

    def __repr__(self) -> str:
        return f'Run("{self.tag}": {len(self.lists)} topics, {sum(map(len, self.lists.values()))} shots)'

    def to_pandas(self) -> pandas.DataFrame:
        """Columns topic, rank (from 1), shot, score; topic after topic, best first."""
        import pandas

        parts = [ranked.to_pandas() for ranked in self.lists.values()]
        return pandas.concat(parts, ignore_index=True) if parts else RankedList("", (), np.empty(0)).to_pandas()
