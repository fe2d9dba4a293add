"""Passes over the stores of the collection: for the lists of a question, and for tables of all scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from avs.core.device import available_cores
from avs.core.errors import DataError
from avs.core.ranking import RankedList
from avs.ranking.blocks import Block, BlockSource, Rows
from avs.ranking.score import Scorer, may_split, require_wanted, search
from avs.ranking.split import split_of, threads_for
from avs.serve.opened.collection import Collection, rows_in_source
from avs.serve.search.scorers import AmongScorer

Cancelled = Callable[[], bool]
MOST_THREADS = 8
LONG_ROW, LONG_BLOCK, LEAST_ROWS = 1024, 2**20, 128  # numbers of a row, and of a block of longer rows


class SplitPass:
    """Passes over the stores of a collection, by several threads where there are many shots. One at a time."""

    def __init__(self, collection: Collection) -> None:
        self.collection, self.threads = collection, min(available_cores(), MOST_THREADS)
        self._sources: dict[frozenset[str], tuple[BlockSource, np.ndarray | None]] = {}

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
        source, rows = self._source(scorers)
        if allowed is not None:
            inside = allowed if rows is None else allowed[rows]
            scorers = [AmongScorer(scorer, inside) for scorer in scorers]
        found = search(scorers, [topic], source, k=k, cancelled=cancelled, threads=self.threads)
        return {name: ranked for name, (ranked,) in found.items()}

    def tables(self, scorers: Sequence[Scorer], parts: int, *, cancelled: Cancelled) -> list[np.ndarray]:
        """(P, N) float32 scores of every shot by each scorer; NaN where a scorer gives none.

        Raises:
            SearchCancelled, DataError: as lists.
        """
        source, rows = self._source(scorers)
        columns = self.collection.columns
        tables = [np.full((parts, len(columns)), np.nan, dtype=np.float32) for _ in scorers]

        def work(_: int, block: Block) -> None:
            here = slice(block.first, block.first + block.count)
            for table, scorer in zip(tables, scorers, strict=True):
                scores, present = scorer.score(block)
                values = scores.float().cpu().numpy()
                scored = here if rows is None else rows[here]
                if present is not None:
                    scored = (np.arange(here.start, here.stop) if rows is None else rows[here])[present]
                self._require_finite(values, scored, scorer.name)
                table[:, scored] = values
            require_wanted(cancelled)

        threads = threads_for(source, self.threads) if all(map(may_split, scorers)) else 1
        for _ in split_of(source, threads).rounds(work):
            pass
        return tables

    def _require_finite(self, values: np.ndarray, rows: np.ndarray | slice, name: str) -> None:
        if np.isfinite(values).all():
            return
        at = int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])
        bad = rows.start + at if isinstance(rows, slice) else int(rows[at])
        raise DataError(
            "a score is not a finite number", where=self.collection.columns.ids[bad], got=name,
            next_step="the store holds values that cannot be used: extract this shot's features again",
        )  # fmt: skip

    def _source(self, scorers: Sequence[Scorer]) -> tuple[BlockSource, np.ndarray | None]:
        """The blocks that scorers read, and the (S,) rows of their shots in the collection; None: they are the rows."""
        key = frozenset(scorer.name for scorer in scorers)
        if key not in self._sources:
            source = self._opened([scorer.name for scorer in scorers])
            self._sources[key] = source, rows_in_source(self.collection.columns, source.ids)
        return self._sources[key]

    def _opened(self, names: Sequence[str]) -> BlockSource:
        """The blocks that systems read: those of the searcher, or with the embeddings of models."""
        searcher, embedded = self.collection.searcher, self.collection.embedded
        if embedded.keys().isdisjoint(names):
            return searcher.source([searcher.systems[name] for name in names])
        rows: dict[str, Rows] = {embedded[name].feature: embedded[name] for name in names if name in embedded}
        for name in names:
            rows |= {} if name in embedded else searcher.features_of(searcher.systems[name])
        return BlockSource(rows, device=searcher.device, dtype=searcher.dtype, block_rows=self._block_rows(rows))

    def _block_rows(self, rows: Mapping[str, Rows]) -> int | None:
        """Fewer rows where they are long, so that a block stays in the cache; None: as ever."""
        widest = max(one.vectors.shape[1] for one in rows.values())
        long = widest > LONG_ROW and self.collection.searcher.device == "cpu"
        return max(LONG_BLOCK // widest, LEAST_ROWS) if long else None
