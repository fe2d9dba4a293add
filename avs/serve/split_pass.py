"""One pass over the stores by several threads, each over shots of its own: none waits for another at every block.

A product of one query with a block of 2,048 rows takes a tenth of a millisecond. Threads that share it meet at each of
700 blocks; on a busy machine they wait for each other for seconds. Threads that have halves of the shots meet once. The
lists are the same: the k best of all shots are among the k best of each half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from avs.core.device import available_cores
from avs.core.errors import DataError
from avs.core.ranking import RankedList
from avs.ranking.blocks import BlockSource, Rows
from avs.ranking.score import Scorer, SearchCancelled, search
from avs.serve.collection import Collection, rows_in_source
from avs.serve.embedded import EmbeddedModel
from avs.serve.scorers import AmongScorer, ChosenRows
from avs.serve.store_view import StoreView

T = TypeVar("T")
Cancelled = Callable[[], bool]
WORTH_SPLITTING = 50_000  # shots
LONG_ROW, LONG_BLOCK, LEAST_ROWS = 1024, 2**20, 128  # numbers of a row, and of a block of longer rows
MOST_THREADS = 8


@dataclass(frozen=True, slots=True, eq=False)
class SharePart:
    """The shots of one thread.

    Attributes:
        source: of these shots.
        rows: (S,) int64 their rows in the collection; None: all rows in their order.
    """

    source: BlockSource
    rows: np.ndarray | None


class SplitPass:
    """Passes over the stores of a collection. One at a time.

    Args:
        worth_splitting: collections with fewer shots are searched by one thread.
    """

    def __init__(self, collection: Collection, *, worth_splitting: int = WORTH_SPLITTING) -> None:
        self.collection, self.worth_splitting = collection, worth_splitting
        self.threads = min(available_cores(), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="pass", initializer=one_thread)
        self._parts: dict[frozenset[str], list[SharePart]] = {}

    def lists(
        self, scorers: Sequence[Scorer], topic: str, allowed: np.ndarray | None, *, k: int, cancelled: Cancelled
    ) -> dict[str, RankedList]:
        """Name of a scorer -> its k best shots, as `search` gives them.

        Args:
            allowed: (N,) bool, the shots that may be in the lists; None: all.

        Raises:
            SearchCancelled: `cancelled` said yes.
            DataError: a score is not finite.
        """

        def work(part: SharePart) -> dict[str, list[RankedList]]:
            mine = scorers
            if allowed is not None:
                inside = allowed if part.rows is None else allowed[part.rows]
                mine = [AmongScorer(scorer, inside) for scorer in scorers]
            return search(mine, [topic], part.source, k=k, cancelled=cancelled)

        found = self._each(scorers, work)
        merged = {}
        for scorer in scorers:
            lists = [one[scorer.name][0] for one in found]
            shots = [shot for ranked in lists for shot in ranked.shots]
            scores = np.concatenate([ranked.scores for ranked in lists])
            merged[scorer.name] = RankedList.from_scores(topic, shots, scores, limit=k) if len(lists) > 1 else lists[0]
        return merged

    def tables(self, scorers: Sequence[Scorer], parts: int, *, cancelled: Cancelled) -> list[np.ndarray]:
        """(P, N) float32 scores of every shot by each scorer; NaN where a scorer gives none.

        Raises:
            SearchCancelled, DataError: as lists.
        """
        columns = self.collection.columns
        tables = [np.full((parts, len(columns)), np.nan, dtype=np.float32) for _ in scorers]

        def work(part: SharePart) -> None:
            for block in part.source.blocks():
                here = np.arange(block.first, block.first + block.count)
                here = here if part.rows is None else part.rows[here]
                for table, scorer in zip(tables, scorers, strict=True):
                    scores, present = scorer.score(block)
                    values = scores.float().cpu().numpy()
                    scored = here if present is None else here[present]
                    self._require_finite(values, scored, scorer.name)
                    table[:, scored] = values
                if cancelled():
                    raise SearchCancelled("the search was cancelled")

        self._each(scorers, work)
        return tables

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _require_finite(self, values: np.ndarray, rows: np.ndarray, name: str) -> None:
        if np.isfinite(values).all():
            return
        bad = int(rows[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])])
        raise DataError(
            "a score is not a finite number", where=self.collection.columns.ids[bad], got=name,
            next_step="the store holds values that cannot be used: extract this shot's features again",
        )  # fmt: skip

    def _each(self, scorers: Sequence[Scorer], work: Callable[[SharePart], T]) -> list[T]:
        """What `work` gives of each part. All threads have ended when it returns, also by an error."""
        parts = self._shares([scorer.name for scorer in scorers])
        futures = [self._pool.submit(work, part) for part in parts]
        wait(futures)
        return [future.result() for future in futures]

    def _shares(self, names: Sequence[str]) -> list[SharePart]:
        """The shots of each thread: all of them for one where a trained model scores, or stores lack shots."""
        key = frozenset(names)
        if key not in self._parts:
            searcher, columns = self.collection.searcher, self.collection.columns
            views = [self._kept(name) for name in names]
            alike = all(view is not None and view.positions is None for view in views)
            if not alike or len(columns) < self.worth_splitting or searcher.device != "cpu":
                source = self._whole(names)
                self._parts[key] = [SharePart(source, rows_in_source(columns, source.ids))]
            else:
                cuts = [len(columns) * part // self.threads for part in range(self.threads + 1)]
                self._parts[key] = [
                    self._share(names, first, last) for first, last in zip(cuts, cuts[1:], strict=False)
                ]
        return self._parts[key]

    def _kept(self, name: str) -> StoreView | EmbeddedModel | None:
        """The rows that a system multiplies its queries with; None: of a model that embeds the shots anew."""
        return self.collection.stores.get(name) or self.collection.embedded.get(name)

    def _whole(self, names: Sequence[str]) -> BlockSource:
        """All shots."""
        searcher, embedded = self.collection.searcher, self.collection.embedded
        if embedded.keys().isdisjoint(names):
            return searcher.source([searcher.systems[name] for name in names])
        rows: dict[str, Rows] = {embedded[name].feature: embedded[name] for name in names if name in embedded}
        for name in names:
            rows |= {} if name in embedded else searcher.features_of(searcher.systems[name])
        return self._source(rows)

    def _source(self, rows: Mapping[str, Rows]) -> BlockSource:
        """The blocks of rows, of fewer rows where they are long: what is read of them stays in the cache."""
        searcher, widest = self.collection.searcher, max(one.vectors.shape[1] for one in rows.values())
        fewer = max(LONG_BLOCK // widest, LEAST_ROWS) if widest > LONG_ROW and searcher.device == "cpu" else None
        return BlockSource(rows, device=searcher.device, dtype=searcher.dtype, block_rows=fewer)

    def _share(self, names: Sequence[str], first: int, last: int) -> SharePart:
        """The shots from row `first` to `last`."""
        searcher, columns = self.collection.searcher, self.collection.columns
        ids, slices = columns.ids[first:last], {}
        for name in names:
            view = self._kept(name)
            assert view is not None  # as _shares has looked
            (feature,) = (
                [view.feature] if isinstance(view, EmbeddedModel) else searcher.features_of(searcher.systems[name])
            )
            if view.offsets is None:
                slices[feature] = ChosenRows(ids, view.vectors[first:last], None)
            else:
                offsets = view.offsets[first : last + 1]
                slices[feature] = ChosenRows(ids, view.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])
        return SharePart(self._source(slices), np.arange(first, last))


def one_thread() -> None:
    """The products of this thread are its own work: nobody meets it."""
    import torch

    torch.set_num_threads(1)
