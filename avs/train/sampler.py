"""The order of a training epoch: every caption once, shuffled by seed and epoch, in batches shared by the workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class EpochSampler:
    """Batches of caption numbers. The seed alone decides the order of an epoch, so any batch can be made again.

    The last batch has the remaining captions. If these are fewer than the workers, they join the batch before.

    Args:
        size: number of captions.
        batch_size: batch size over all workers.
        seed: random seed for the order.
        rank, workers: number of this worker, and of workers; every worker has its share of each batch.
    """

    def __init__(self, size: int, batch_size: int, *, seed: int, rank: int = 0, workers: int = 1) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.workers = rank, workers

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(self.size, self.batch_size)
        return max(full + (rest >= self.workers if full else rest > 0), 1)

    def batches(self, epoch: int, *, first: int = 0) -> Iterator[np.ndarray]:
        """This worker's share of an epoch's batches, from batch `first` on: (B,) int64 each."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        for number in range(first, len(self)):
            end = (number + 1) * self.batch_size if number + 1 < len(self) else self.size
            yield np.array_split(order[number * self.batch_size : end], self.workers)[self.rank]
