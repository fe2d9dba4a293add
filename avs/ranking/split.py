"""Blocks of a source read by several threads, each its own: none waits for another at every block.

A product of a few queries with a block of 2,048 rows takes a tenth of a millisecond. Threads that share such a product
meet at each of 700 blocks, and on a machine that does other work too they wait for each other for seconds. Threads that
have blocks of their own meet a few times in a pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from time import perf_counter

from avs.ranking.blocks import Block, BlockSource

WORTH_SPLITTING = 20_000  # shots
ROUND_S = 0.5
FIRST_ROUND, LONGEST_ROUND = 32, 1024  # blocks of a thread


class SplitSource:
    """A source whose blocks are read by threads at the same time. One pass at a time.

    Its threads and their buffers are kept for the next pass. They end when nobody has it any more.

    Args:
        threads: how many there are; one reads the blocks in the thread of the caller.
    """

    def __init__(self, source: BlockSource, threads: int) -> None:
        self.source, self.threads = source, threads
        self._twins = [source.twin() for _ in range(threads)] if threads > 1 else [source]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pass", initializer=one_thread)

    def rounds(
        self,
        work: Callable[[int, Block], None],
        first: int = 0,
        stop: int | None = None,
        *,
        end: Callable[[int, BlockSource], None] = lambda number, source: None,
    ) -> Iterator[int]:
        """Have the threads do `work` with every block from the shot at position `first` on, to the one before `stop`.

        Args:
            work: gets the number of a thread, and a block that is valid until it returns.
            first, stop: borders of blocks, as for BlockSource.blocks.
            end: what a thread does after its blocks of a round. It gets its number and the source that it reads.

        Yields:
            The position after the last shot that was worked at: all shots before it were.
        """
        last_border = len(self.source) if stop is None else stop
        borders = [border for border in self.source.borders() if first <= border <= last_border]
        at, size = 0, FIRST_ROUND
        while at < len(borders) - 1:
            begin = perf_counter()
            last = min(at + size * self.threads, len(borders) - 1)
            self._round(borders[at : last + 1], work, end)
            yield borders[last]
            at = last
            if perf_counter() - begin < ROUND_S / 4:
                size = min(4 * size, LONGEST_ROUND)

    def _round(
        self, borders: list[int], work: Callable[[int, Block], None], end: Callable[[int, BlockSource], None]
    ) -> None:
        """Have the threads work at the blocks between borders. All have ended when it returns, also by an error."""
        failed = threading.Event()

        def share(number: int) -> None:
            first, last = ((len(borders) - 1) * part // self.threads for part in (number, number + 1))
            try:
                for block in self._twins[number].blocks(borders[first], borders[last]):
                    if failed.is_set():
                        return
                    work(number, block)
                end(number, self._twins[number])
            except BaseException:
                failed.set()
                raise

        if self.threads == 1:
            share(0)
            return
        futures = [self._pool.submit(share, number) for number in range(self.threads)]
        wait(futures)
        for future in futures:
            future.result()


def split_of(source: BlockSource, threads: int) -> SplitSource:
    """The source for so many threads; that of the pass before is kept with the source."""
    kept = source.split
    if not isinstance(kept, SplitSource) or kept.threads != threads:
        kept = SplitSource(source, threads)
        source.split = kept
    return kept


def threads_for(source: BlockSource, threads: int) -> int:
    """How many threads should read a source, of so many that may."""
    splits = source.device.type == "cpu" and len(source) >= WORTH_SPLITTING
    return max(min(threads, len(source.borders()) - 1), 1) if splits else 1


def one_thread() -> None:
    """The products of this thread are its own work: nobody meets it."""
    import torch

    torch.set_num_threads(1)
