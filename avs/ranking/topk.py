"""The k best shots per topic of a stream of score blocks: exact, ties included, in memory bounded by k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avs.core.errors import ConfigError, DataError
from avs.core.ranking import MAX_RESULTS, RankedList


class TopK:
    """Collects blocks of scores and ends with the lists `RankedList.from_scores` would give on all of them at once.

    A score below the k-th best so far can never enter a list, so only the others are kept, and merged when about as
    many have come together as the lists hold. Of shots that tie at the cut those with the larger ids stay.

    Args:
        topics: T topic ids.
        ids: of all shots; a column of a block is a position in it.
        k: length of a list.

    Raises:
        ConfigError: `k` is below 1.
    """

    def __init__(self, topics: Sequence[str], ids: Sequence[str], *, k: int = MAX_RESULTS) -> None:
        if k < 1:
            raise ConfigError("the length of a list must be at least 1", got=f"k={k}")
        self.topics, self.ids, self.k = tuple(topics), ids, k
        self._floor = np.full(len(self.topics), -np.inf, dtype=np.float32)  # k-th best score at the last merge
        self._shots = [np.empty(0, dtype=np.int64) for _ in self.topics]
        self._scores = [np.empty(0, dtype=np.float32) for _ in self.topics]
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # (topic, shot, score) columns
        self._pending_count = 0

    def add(self, scores: np.ndarray, *, first: int, present: np.ndarray | None = None) -> None:
        """Take the (T, B) float32 scores of shots `first` to `first + B`.

        Args:
            present: bool, of which B are true: the shots from `first` on that have a score. The others enter no list.

        Raises:
            DataError: a score is NaN or infinite; names the first such shot.
        """
        shots = first + (np.arange(scores.shape[1]) if present is None else np.flatnonzero(present))
        self._require_finite(scores, shots)
        topic, column = np.divmod(np.flatnonzero(scores >= self._floor[:, None]), scores.shape[1])
        if len(topic):
            self._pending.append((topic, shots[column], scores[topic, column]))
            self._pending_count += len(topic)
        if self._pending_count > len(self.topics) * self.k:
            self._merge()

    def lists(self) -> list[RankedList]:
        """The lists of what was added, in the order of the topics."""
        self._merge()
        return [
            RankedList.from_scores(topic, [self.ids[shot] for shot in shots.tolist()], scores, limit=self.k)
            for topic, shots, scores in zip(self.topics, self._shots, self._scores, strict=True)
        ]

    def state(self) -> dict[str, np.ndarray]:
        """What was kept so far, as arrays from which `restore` makes a collector of the same topics go on."""
        self._merge()
        return {
            "floor": self._floor.copy(),
            "counts": np.array([len(shots) for shots in self._shots], dtype=np.int64),
            "shots": np.concatenate([np.empty(0, dtype=np.int64), *self._shots]),
            "scores": np.concatenate([np.empty(0, dtype=np.float32), *self._scores]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`; what was added before is forgotten."""
        cuts = np.cumsum(state["counts"])[:-1]
        self._floor = state["floor"].copy()
        self._shots, self._scores = np.split(state["shots"], cuts), np.split(state["scores"], cuts)
        self._pending, self._pending_count = [], 0

    @property
    def floor(self) -> np.ndarray:
        """(T,) float32: a shot below it can enter no list any more."""
        return self._floor

    def empty(self) -> TopK:
        """A collector of the same lists, without shots; it takes none that cannot enter this one any more."""
        made = TopK(self.topics, self.ids, k=self.k)
        made._floor = self._floor.copy()
        return made

    def take(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the `state` of a collector of the same topics and ids, which has seen other shots."""
        topic = np.repeat(np.arange(len(self.topics)), state["counts"])
        self._pending.append((topic, state["shots"], state["scores"]))
        self._merge()

    def _require_finite(self, scores: np.ndarray, shots: np.ndarray) -> None:
        finite = np.isfinite(scores)
        if finite.all():
            return
        column = int(np.flatnonzero(~finite.all(axis=0))[0])
        topic = int(np.flatnonzero(~finite[:, column])[0])
        raise DataError(
            "a score is not a finite number",
            where=f"{self.ids[int(shots[column])]}, topic {self.topics[topic]}",
            got=f"{scores[topic, column]}",
            next_step="the store holds values that cannot be used: extract this shot's features again",
        )

    def _merge(self) -> None:
        if not self._pending:
            return
        topics, shots, scores = (np.concatenate(columns) for columns in zip(*self._pending, strict=True))
        self._pending, self._pending_count = [], 0
        order = np.argsort(topics, kind="stable")
        cuts = np.searchsorted(topics[order], np.arange(1, len(self.topics)))
        for topic, rows in enumerate(np.split(order, cuts)):
            self._shots[topic] = np.concatenate([self._shots[topic], shots[rows]])
            self._scores[topic] = np.concatenate([self._scores[topic], scores[rows]])
            if len(self._shots[topic]) >= self.k:
                self._cut(topic)

    def _cut(self, topic: int) -> None:
        """Keep the k best of one topic, and raise its floor to the last of them."""
        shots, scores = self._shots[topic], self._scores[topic]
        floor = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
        kept, tied = np.flatnonzero(scores > floor), np.flatnonzero(scores == floor)
        places = self.k - len(kept)
        if len(tied) > places:
            largest = sorted(tied.tolist(), key=lambda i: self.ids[int(shots[i])], reverse=True)
            tied = np.array(largest[:places], dtype=np.int64)
        kept = np.concatenate([kept, tied])
        self._shots[topic], self._scores[topic], self._floor[topic] = shots[kept], scores[kept], floor
