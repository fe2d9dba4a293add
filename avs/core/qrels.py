"""Relevance judgments, with the strata NIST samples them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import DataError

UNJUDGED = -1


@dataclass(frozen=True, slots=True, eq=False)
class TopicQrels:
    """The pool of one topic.

    Attributes:
        topic: topic id as in the topic file (661, without the leading "1" of the qrels file).
        shots: N pooled shot ids, each once.
        strata: (N,) int64 stratum of each.
        judgments: (N,) int64; -1 pooled but not judged, 0 not relevant, 1 relevant (2, 3 ... graded).
    """

    topic: str
    shots: tuple[str, ...]
    strata: np.ndarray
    judgments: np.ndarray

    def __post_init__(self) -> None:
        for name in ("strata", "judgments"):
            values = np.asarray(getattr(self, name), dtype=np.int64)
            object.__setattr__(self, name, values)
            if values.shape != (len(self.shots),):
                raise DataError(
                    f"{name} and shots differ in number",
                    where=f"topic {self.topic}",
                    got=(values.shape, len(self.shots)),
                )
        if len(self.judgments) and self.judgments.min() < UNJUDGED:
            raise DataError("a judgment is below -1", where=f"topic {self.topic}", got=int(self.judgments.min()))

    def __len__(self) -> int:
        return len(self.shots)

    @property
    def relevant(self) -> frozenset[str]:
        """The shots judged relevant, of any grade."""
        return frozenset(shot for shot, grade in zip(self.shots, self.judgments.tolist(), strict=True) if grade > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Qrels:
    """Judgments for a set of topics, in the order the file gives them."""

    topics: Mapping[str, TopicQrels]

    @property
    def ids(self) -> Sequence[str]:
        return tuple(self.topics)

    def __len__(self) -> int:
        return len(self.topics)
