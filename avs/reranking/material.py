"""What rerankers look at: the best shots of every list with their vectors, their topics, a judge, a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.reranking.vectors import Vectors, candidate_cosines, shot_vectors


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Does the shot with these frames show the topic?

    Attributes:
        topic: text of the topic.
        frames: (F, H, W, 3) uint8 RGB in time order, F >= 1.
    """

    topic: str
    frames: np.ndarray


class Judge(Protocol):
    """Answers questions with yes or no.

    Attributes:
        fingerprint: differs between judges whose answers may differ: by the model's weights, prompt or precision.
    """

    @property
    def fingerprint(self) -> str: ...

    def judge(self, questions: Sequence[Question]) -> np.ndarray:
        """(B,) probability of "yes", in [0, 1], for each question; independent of the other questions."""
        ...


class Judging(Protocol):
    """A judge, the pictures it looks at, and the file that keeps its answers.

    Attributes:
        judge: who answers.
        cache: file of answers.
        batch_size: number of questions that are answered together.
    """

    judge: Judge
    cache: Path
    batch_size: int

    def pictures(self, shots: Sequence[str], reporter: Reporter) -> Mapping[str, str]:
        """Shot -> a text that identifies the pictures of it."""
        ...

    def frames_of(self, shots: Sequence[str]) -> Iterator[ShotFrames]:
        """The frames of the shots, in any order."""
        ...


@dataclass(frozen=True, eq=False)
class TopicCandidates:
    """The best shots of one list, with what the reranker needs beside them; the rest is None or empty.

    Attributes:
        topic: topic id.
        shots: N ids, best first.
        text: text of the topic.
        store: vectors of the shots.
        query: (D,) the text as a vector of the store's encoder.
        others: (Q, D) vectors of other topics.
    """

    topic: str
    shots: tuple[str, ...]
    text: str = ""
    store: Vectors | None = None
    query: np.ndarray | None = None
    others: np.ndarray | None = None

    @property
    def vectors(self) -> np.ndarray:
        """(N, D) float32 vectors of length 1; for a shot with frames, the mean of their directions.

        Raises:
            UnknownIdError, DataError: see shot_vectors.
        """
        assert self.store is not None
        return shot_vectors(self.store, self.shots)

    @cached_property
    def cosines(self) -> np.ndarray:
        """(1 + Q, N) float32 cosines of the query and of the other topics with the best frame of each shot.

        Raises:
            UnknownIdError, DataError: see candidate_cosines.
        """
        assert self.store is not None and self.query is not None
        queries = self.query[None] if self.others is None else np.concatenate([self.query[None], self.others])
        return candidate_cosines(self.store, self.shots, queries)


class Scoring(Protocol):
    """A trained model, and the features of the shots."""

    def scores(self, topics: Sequence[TopicCandidates], reporter: Reporter) -> Sequence[np.ndarray]:
        """(N,) score of each shot of each topic, for its text; the larger the better.

        Raises:
            UnknownIdError: shots without the features that the model reads; names all of them.
            DataError: the model knows no word of some topics; names them.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that a reranker may look at.

    Attributes:
        topics: the best shots of each list.
        reporter: reports progress.
        judging: a judge with its pictures, for a reranker that needs it.
        scoring: a trained model with its features, for a reranker that needs it.
    """

    topics: Sequence[TopicCandidates]
    reporter: Reporter
    judging: Judging | None = None
    scoring: Scoring | None = None
