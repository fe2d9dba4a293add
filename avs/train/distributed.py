"""Data-parallel workers under `torchrun`: batches are shared, embeddings gathered, gradients added up.

Every worker computes the loss of the whole batch, whose negatives come from all of them, and differentiates it with
respect to its own rows. The sum of the workers' gradients is then the gradient of the one loss: nothing is averaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

TIMEOUT = timedelta(hours=6)  # the others wait while the first validates


class Workers:
    """The processes that train together; one alone outside `torchrun`.

    Attributes:
        rank: our number; 0 writes and validates.
        count: of them.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        return self.rank == 0

    def gather(self, rows: Tensor) -> Tensor:
        """All workers' rows in rank order; only our own carry gradients. Their numbers may differ."""
        if self.count == 1:
            return rows
        sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
        most = int(max(int(size) for size in sizes))
        mine = rows.detach()
        padded = torch.cat([mine, mine.new_zeros(most - len(mine), *mine.shape[1:])]).contiguous()
        gathered = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(gathered, padded)
        parts = [part[: int(size)] for part, size in zip(gathered, sizes, strict=True)]
        parts[self.rank] = rows
        return torch.cat(parts)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by the sum over all workers."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:  # a feature none of our rows had; others' may have had it
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def average_buffers(self, model: nn.Module) -> None:
        """Running statistics become the mean over all workers, so that rank 0's model is everyone's."""
        if self.count == 1:
            return
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.count

    def from_first(self, values: dict[str, float]) -> dict[str, float]:
        """What rank 0 holds."""
        if self.count == 1:
            return values
        box: list[dict[str, float]] = [values]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


@contextmanager
def workers_of_environment(device: str) -> Iterator[tuple[Workers, str]]:
    """The workers `torchrun` started, or one alone, and our device: with "cuda" each worker has one of its own."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=TIMEOUT)
    try:
        yield Workers(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
