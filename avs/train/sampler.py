"""The order of a training epoch: every caption once, shuffled by seed and epoch, in batches shared among workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class EpochSampler:
    """Batches of caption numbers. An epoch's order follows from the seed alone, so any batch of it can be had again.

    The last batch is as short as it falls out, except that one with fewer rows than there are workers joins the batch
    before it.

    Args:
        size: captions.
        batch_size: of all workers together.
        seed: of the order.
        rank, workers: which share of every batch is ours.
    """

    def __init__(self, size: int, batch_size: int, *, seed: int, rank: int = 0, workers: int = 1) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.workers = rank, workers

    def __len__(self) -> int:
        """Batches of an epoch."""
        full, rest = divmod(self.size, self.batch_size)
        return max(full + (rest >= self.workers if full else rest > 0), 1)

    def batches(self, epoch: int, *, first: int = 0) -> Iterator[np.ndarray]:
        """Our share of batches `first` and later of an epoch: (B,) int64 each."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        for number in range(first, len(self)):
            end = (number + 1) * self.batch_size if number + 1 < len(self) else self.size
            yield np.array_split(order[number * self.batch_size : end], self.workers)[self.rank]
