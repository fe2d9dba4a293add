"""The lists of one topic side by side: every shot that a list holds, with what each list says of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avs.core.errors import ConfigError, DataError, Problems
from avs.core.ranking import RankedList, Run

DEFAULT_DEPTH = 2000  # best shots taken from each list; RUCMM keeps as many in its score files


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePool:
    """The candidates of one topic: C shots of M lists.

    Attributes:
        topic: topic id.
        lists: the M names, one a column; `pool_runs` sorts them.
        shots: C ids, the larger string first, so that a stable sort by score breaks ties as a ranked list does.
        scores: (C, M) float64 as the lists give them; NaN where a list does not hold the shot.
        ranks: (C, M) int64 from 1; 0 where a list does not hold the shot.
        held: (C, M) bool, which list brought which candidate; other places of `scores` may be recomputed.
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
        """The same candidates as these lists see them, in this order.

        Raises:
            ConfigError: a list is missing.
        """
        if tuple(lists) == self.lists:
            return self
        require_lists(self.lists, lists)
        at = [self.lists.index(name) for name in lists]
        # take, not [:, at]: the same layout in memory, so that sums over lists are the same to the last bit
        scores, ranks, held = (values.take(at, axis=1) for values in (self.scores, self.ranks, self.held))
        return replace(self, lists=tuple(lists), scores=scores, ranks=ranks, held=held)

    def recomputed(self, scores: np.ndarray) -> CandidatePool:
        """The candidates with the true scores (C, M) of shots that a list does not hold, and ranks by all scores.

        NaN stays where a list cannot score a shot. What a list holds keeps the score it has there.

        Raises:
            DataError: scores of another shape, or infinite.
        """
        if scores.shape != self.scores.shape or np.isinf(scores).any():
            raise DataError(
                "recomputed scores must be finite, one for each candidate and list",
                where=f"topic {self.topic}",
                got=f"{scores.shape}, {int(np.isinf(scores).sum())} infinite",
                wanted=self.scores.shape,
            )
        scores = np.where(self.held, self.scores, scores)
        known = ~np.isnan(scores)
        return replace(self, scores=scores, ranks=np.where(known, ranks_of(np.where(known, scores, -np.inf)), 0))

    def rows(self, kept: np.ndarray) -> CandidatePool:
        """The candidates where (C,) `kept` is true."""
        shots = tuple(shot for shot, keep in zip(self.shots, kept.tolist(), strict=True) if keep)
        return replace(self, shots=shots, scores=self.scores[kept], ranks=self.ranks[kept], held=self.held[kept])

    def ranking(self, scores: np.ndarray, *, limit: int) -> RankedList:
        """The candidates by fused scores (C,), the best `limit`; ties by shot id, the larger string first."""
        order = np.argsort(-scores, kind="stable")[:limit]
        return RankedList(self.topic, tuple(self.shots[i] for i in order), scores[order])


def require_lists(found: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that every wanted list is there.

    Raises:
        ConfigError: naming all that are missing.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ConfigError(
            f"the fuser needs {len(missing)} list{'s' if len(missing) > 1 else ''} that {_is_are(missing)} missing",
            got=f"lists {', '.join(found)}",
            wanted=", ".join(missing),
            next_step="give the lists under the names they had when it was fitted (X.trec is called X)",
        )


def pool_runs(
    runs: Mapping[str, Run], *, depth: int = DEFAULT_DEPTH, partial: bool = False
) -> dict[str, CandidatePool]:
    """Topic -> the union of the best `depth` shots of every list.

    Args:
        runs: name -> its lists, whose scores are comparable within a topic and grow with relevance.
        partial: a list may lack a topic, and says nothing there.

    Raises:
        ConfigError: fewer than one list; depth below 1.
        DataError: lists over different topics; a list of equal scores, which orders nothing; all of them at once.
    """
    if not runs or depth < 1:
        raise ConfigError("nothing to fuse", got=f"{len(runs)} lists, depth {depth}", wanted="a list, depth 1 or more")
    runs = {name: runs[name] for name in sorted(runs)}  # so that sums do not depend on the order they are given in
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
            problems.add(name, f"has no shots for {_some(missing)}, which other lists have")
        equal = [t for t, ranked in run.lists.items() if len(ranked) > 1 and ranked.scores[0] == ranked.scores[-1]]
        if equal:
            problems.add(name, f"all scores are equal for {_some(equal)}: it orders nothing there")
    problems.raise_if_any(
        DataError, next_step="leave these lists out, or make them again; --partial lets a list lack a topic"
    )


def _some(topics: Collection[str]) -> str:
    first = list(topics)[:5]
    more = f" and {len(topics) - 5} more" if len(topics) > 5 else ""
    return f"topic{'s' if len(topics) > 1 else ''} {', '.join(first)}{more}"


def _is_are(words: Sequence[str]) -> str:
    return "are" if len(words) > 1 else "is"
