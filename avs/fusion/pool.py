"""The candidates of one topic: every shot that a list contains, with its score and rank in each list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avs.core.errors import ConfigError, DataError, Problems
from avs.core.ids import some
from avs.core.ranking import RankedList, Run

DEFAULT_DEPTH = 2000  # number of top shots used of each list; RUCMM's score files have as many


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePool:
    """The candidates of one topic: C shots of M lists.

    Attributes:
        topic: topic id.
        lists: the M names, one per column; `pool_runs` sorts them.
        shots: C ids in descending string order, so that a stable sort by score breaks ties as a ranked list does.
        scores: (C, M) float64 scores in the lists; NaN where a list does not contain the shot.
        ranks: (C, M) int64 ranks from 1; 0 where a list does not contain the shot.
        held: (C, M) bool, whether a list contains a shot; where it does not, the score may be recomputed.
    """

    topic: str
    lists: tuple[str, ...]
    shots: tuple[str, ...]
    scores: np.ndarray
    ranks: np.ndarray
    held: np.ndarray

    def __len__(self) -> int:
        return len(self.shots)

    def columns(self, lists: Sequence[str]) -> CandidatePool:
        """The same candidates with the columns of these lists, in this order.

        Raises:
            ConfigError: a list is missing.
        """
        if tuple(lists) == self.lists:
            return self
        require_lists(self.lists, lists)
        columns = [self.lists.index(name) for name in lists]
        # take, not [:, columns]: it keeps the memory layout, so that sums over lists are the same to the last bit
        scores, ranks, held = (values.take(columns, axis=1) for values in (self.scores, self.ranks, self.held))
        return replace(self, lists=tuple(lists), scores=scores, ranks=ranks, held=held)

    def recomputed(self, scores: np.ndarray) -> CandidatePool:
        """The candidates with the true scores of shots that a list does not contain, and ranks by all scores.

        A shot that a list contains keeps its score.

        Args:
            scores: (C, M) true scores; NaN where a list cannot score a shot.

        Raises:
            DataError: the scores have another shape, or are infinite.
        """
        if scores.shape != self.scores.shape or np.isinf(scores).any():
            raise DataError(
                "recomputed scores must be finite, and one for each candidate and list",
                where=f"topic {self.topic}",
                got=f"{scores.shape}, {int(np.isinf(scores).sum())} infinite",
                wanted=self.scores.shape,
            )
        scores = np.where(self.held, self.scores, scores)
        known = ~np.isnan(scores)
        return replace(self, scores=scores, ranks=np.where(known, ranks_of(np.where(known, scores, -np.inf)), 0))

    def rows(self, kept: np.ndarray) -> CandidatePool:
        """The candidates for which (C,) `kept` is true."""
        shots = tuple(shot for shot, keep in zip(self.shots, kept.tolist(), strict=True) if keep)
        return replace(self, shots=shots, scores=self.scores[kept], ranks=self.ranks[kept], held=self.held[kept])

    def ranking(self, scores: np.ndarray, *, limit: int) -> RankedList:
        """The `limit` best candidates by (C,) fused scores; ties by shot id in descending string order."""
        order = np.argsort(-scores, kind="stable")[:limit]
        return RankedList(self.topic, tuple(self.shots[i] for i in order), scores[order])


def require_lists(given: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that every wanted list is given.

    Raises:
        ConfigError: lists are missing; names all of them.
    """
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ConfigError(
            "the fuser needs lists that are missing",
            got=f"lists {', '.join(given)}",
            wanted=", ".join(missing),
            next_step="give the lists under the names they had when it was fitted; lists/clip.trec is called clip",
        )


def pool_runs(
    runs: Mapping[str, Run], *, depth: int = DEFAULT_DEPTH, partial: bool = False
) -> dict[str, CandidatePool]:
    """Topic -> the union of the best `depth` shots of every list.

    Args:
        runs: name -> its lists, whose scores grow with relevance.
        depth: number of top shots of each list.
        partial: whether a list may lack a topic; then it has no scores there.

    Raises:
        ConfigError: there is no list, or the depth is below 1.
        DataError: lists are over different topics, or all scores of a list are equal; names all of them.
    """
    if not runs or depth < 1:
        raise ConfigError("nothing to fuse", got=f"{len(runs)} lists, depth {depth}", wanted="1 list, depth 1, or more")
    runs = {name: runs[name] for name in sorted(runs)}  # sums do not depend on the order of the lists
    topics = list(dict.fromkeys(topic for run in runs.values() for topic in run.topics))
    _check(runs, topics, partial=partial)
    return {topic: _pool(topic, {name: run.lists.get(topic) for name, run in runs.items()}, depth) for topic in topics}


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """(C, M) int64 ranks from 1 within each column; ties in row order."""
    order = np.argsort(-scores, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(scores) + 1)[:, None], axis=0)
    return ranks


def _pool(topic: str, lists: Mapping[str, RankedList | None], depth: int) -> CandidatePool:
    tops = [() if ranked is None else ranked.shots[:depth] for ranked in lists.values()]
    shots = sorted(set().union(*tops), reverse=True)
    position = {shot: row for row, shot in enumerate(shots)}
    shape = (len(shots), len(lists))
    scores, ranks = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    for column, (ranked, top) in enumerate(zip(lists.values(), tops, strict=True)):
        if ranked is None:
            continue
        rows = np.fromiter(map(position.__getitem__, top), dtype=np.int64, count=len(top))
        scores[rows, column] = ranked.scores[: len(top)]
        ranks[rows, column] = np.arange(1, len(top) + 1)
    return CandidatePool(topic, tuple(lists), tuple(shots), scores, ranks, ranks > 0)


def _check(runs: Mapping[str, Run], topics: Sequence[str], *, partial: bool) -> None:
    problems = Problems("lists that cannot be fused")
    for name, run in runs.items():
        missing = [topic for topic in topics if not len(run.lists.get(topic, ()))]
        if missing and not partial:
            problems.add(name, f"has no shots for {_topics(missing)}, which other lists have")
        equal = [t for t, ranked in run.lists.items() if len(ranked) > 1 and ranked.scores[0] == ranked.scores[-1]]
        if equal:
            problems.add(name, f"all scores are equal for {_topics(equal)}, so that there is no order")
    problems.raise_if_any(
        DataError, next_step="leave these lists out, or make them again; --partial accepts lists that lack topics"
    )


def _topics(topics: Collection[str]) -> str:
    return f"topic{'s' if len(topics) > 1 else ''} {some(topics)}"
