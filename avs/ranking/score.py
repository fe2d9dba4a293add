"""One pass over a collection: any number of models, all topics, the k best shots for each.

Blocks of rows flow from the stores through every scorer into its top-k collector. A block is read, converted and moved
once. Memory depends on the size of a block, not on that of the collection.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avs.core.errors import AvsError, ConfigError
from avs.core.progress import Reporter
from avs.core.ranking import MAX_RESULTS, RankedList
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.half_sieve import BoundBroken, HalfQuery, HalfSieve, distrust, half_queries
from avs.ranking.split import split_of, threads_for
from avs.ranking.state import SearchState
from avs.ranking.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

    Scored = tuple[Block, dict[str, tuple[Tensor, np.ndarray | None]]]

log = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 60.0


class SearchCancelled(AvsError):
    """A search whose answer is no longer wanted."""


class Scorer(Protocol):
    """Gives the shots of a block their scores: a trained model with its queries, or queries alone.

    Attributes:
        name: name of its lists.
        features: names of the features it reads from a block.
        fingerprint: covers everything that decides its scores, except the features.
    """

    name: str
    features: tuple[str, ...]

    @property
    def fingerprint(self) -> str: ...

    def score(self, block: Block) -> tuple[Tensor, np.ndarray | None]:
        """The scores of those shots of a block that it can score, possibly not waited for (CUDA).

        Returns:
            (T, P) float32 on the block's device, and the (count,) bool mask of the P shots; None: all of them.
        """
        ...


def search(
    scorers: Sequence[Scorer],
    topics: Sequence[str],
    source: BlockSource,
    *,
    k: int = MAX_RESULTS,
    reporter: Reporter | None = None,
    state: Path | None = None,
    save_every_s: float = SECONDS_BETWEEN_SAVES,
    cancelled: Callable[[], bool] = lambda: False,
    threads: int | None = None,
) -> dict[str, list[RankedList]]:
    """The `k` best shots per scorer and topic, in one pass; ties by shot id, the larger string first.

    Args:
        scorers: their names differ.
        topics: T topic ids.
        source: the N shots. A list is shorter than `k` only where fewer shots could be scored.
        state: a file that keeps what was found so far. A search that was killed resumes from it, after the last block
            it covers, and ends with the same lists. The file is removed at the end.
        save_every_s: seconds of work between two writes of that file.
        cancelled: asked after every block; when it says yes, the search ends without lists.
        threads: that read blocks of their own, where the scorers allow that (avs.ranking.split); None: as torch has.

    Returns:
        Name of a scorer -> its lists in the order of `topics`.

    Raises:
        ConfigError: no scorer, or two of one name; one that needs a feature the source lacks; `k` below 1.
        DataError: a score that is not finite (the first such shot is named).
        SearchCancelled: `cancelled` said yes.
    """
    require_fitting(scorers, source)
    best = {scorer.name: TopK(topics, source.ids, k=k) for scorer in scorers}
    reporter = reporter or Reporter()
    kept = SearchState(state, lambda: _fingerprint(scorers, topics, source, k)) if state is not None else None
    first = kept.load(best, reporter) if kept is not None else 0
    what = scorers[0].name if len(scorers) == 1 else f"{len(scorers)} models"
    with reporter.stage(f"search {what}", len(source), "shots") as stage:
        stage.advance(first)
        saved = time.monotonic()
        for done in covered(best, scorers, source, first, threads=threads, cancelled=cancelled):
            stage.advance(done - first)
            first = done
            if kept is not None and time.monotonic() - saved >= save_every_s:
                kept.save(done, best)
                saved = time.monotonic()
    lists = {name: collector.lists() for name, collector in best.items()}
    if kept is not None:
        kept.remove()
    return lists


def covered(
    best: Mapping[str, TopK],
    scorers: Sequence[Scorer],
    source: BlockSource,
    first: int = 0,
    stop: int | None = None,
    *,
    threads: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Add scores to the collectors by name of a scorer, by several threads where `search` would.

    Args:
        first, stop: borders of blocks, as for BlockSource.blocks.
        threads, cancelled: as of search.

    Yields:
        The position up to which the collectors have all shots.

    Raises:
        DataError: a score that is not finite.
        SearchCancelled: `cancelled` said yes.
    """
    import torch

    before = torch.get_num_threads()
    several = threads_for(source, threads or before) if all(map(may_split, scorers)) else 1
    halves = half_queries(scorers, source, max((collector.k for collector in best.values()), default=1))
    if several == 1 and not halves:
        for block, scores in _scored(scorers, source, first, stop):
            for name, (columns, present) in scores.items():
                best[name].add(columns.cpu().numpy(), first=block.first, present=present)
            require_wanted(cancelled)
            yield block.first + block.count
        return
    begun = {name: collector.state() for name, collector in best.items()}
    try:
        try:
            yield from _in_rounds(best, scorers, source, first, stop, several, halves, cancelled)
        except BoundBroken as error:
            distrust()
            log.warning("a product in half precision was wrong (%s): searching again, and from now on, without", error)
            for name, state in begun.items():
                best[name].restore(state)
            yield from _in_rounds(best, scorers, source, first, stop, several, {}, cancelled)
    finally:
        torch.set_num_threads(before)  # the number of new threads is that of the thread that said it last


def _in_rounds(
    best: Mapping[str, TopK],
    scorers: Sequence[Scorer],
    source: BlockSource,
    first: int,
    stop: int | None,
    threads: int,
    halves: Mapping[str, HalfQuery],
    cancelled: Callable[[], bool],
) -> Iterator[int]:
    """What `covered` does, by threads that have collectors of their own in every round.

    Args:
        halves: name of a scorer -> its query, if it is sifted.
    """
    own = [_Share(best, halves) for _ in range(threads)]

    def work(number: int, block: Block) -> None:
        own[number].take(scorers, block)
        require_wanted(cancelled)

    def end(number: int, read: BlockSource) -> None:
        for sieve in own[number].sieves.values():
            sieve.finish(read)

    for done in split_of(source, threads).rounds(work, first, stop, end=end):
        for share in own:
            for name, collector in share.best.items():
                best[name].take(collector.state())
        own[:] = [_Share(best, halves) for _ in own]
        yield done


class _Share:
    """What a thread finds in its blocks of a round, of that which may still enter the lists.

    Args:
        best: what was found in the rounds before.
        halves: name of a scorer -> its query, if it is sifted.
    """

    def __init__(self, best: Mapping[str, TopK], halves: Mapping[str, HalfQuery]) -> None:
        self.best = {name: collector.empty() for name, collector in best.items()}
        self.sieves = {name: HalfSieve(half, self.best[name]) for name, half in halves.items()}

    def take(self, scorers: Sequence[Scorer], block: Block) -> None:
        """Score a block, or sift it."""
        for scorer in scorers:
            sieve = self.sieves.get(scorer.name)
            if sieve is None or not sieve.took(block):
                scores, present = scorer.score(block)
                self.best[scorer.name].add(scores.cpu().numpy(), first=block.first, present=present)


def may_split(scorer: Scorer) -> bool:
    """Whether several threads may ask a scorer at once."""
    return bool(getattr(scorer, "in_threads", False))


def require_wanted(cancelled: Callable[[], bool]) -> None:
    """Check that an answer is wanted.

    Raises:
        SearchCancelled: it is not, any more.
    """
    if cancelled():
        raise SearchCancelled("the search was cancelled")


def _scored(scorers: Sequence[Scorer], source: BlockSource, first: int, stop: int | None = None) -> Iterator[Scored]:
    """Every block with its scores by scorer. On CUDA a block comes out when the next one has been read."""
    before: Scored | None = None
    for block in source.blocks(first, stop):
        now = block, {scorer.name: scorer.score(block) for scorer in scorers}
        if source.device.type == "cpu":
            yield now
            continue
        if before is not None:
            yield before
        before = now
    if before is not None:
        yield before


def require_fitting(scorers: Sequence[Scorer], source: BlockSource) -> None:
    """Check that scorers can search a source.

    Raises:
        ConfigError: no scorer, or two of one name; one that needs a feature the source lacks.
    """
    names = [scorer.name for scorer in scorers]
    if not names:
        raise ConfigError("there is nothing to score with", wanted="a scorer or more")
    if len(set(names)) < len(names):
        raise ConfigError("two scorers of one name", got=max(names, key=names.count))
    for scorer in scorers:
        missing = [name for name in scorer.features if name not in source.features]
        if missing:
            raise ConfigError(
                f"{scorer.name} needs features that no store gives",
                got=", ".join(source.features),
                wanted=", ".join(missing),
            )


def _fingerprint(scorers: Sequence[Scorer], topics: Sequence[str], source: BlockSource, k: int) -> str:
    """sha256 of what decides the lists, down to their last digits."""
    parts = [[(scorer.name, scorer.fingerprint) for scorer in scorers], list(topics), source.fingerprint, k]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
