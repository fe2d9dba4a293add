"""Data-parallel workers under `torchrun`: they share batches, gather embeddings and add up gradients.

Every worker computes the loss of the whole batch, with negatives from all workers, and the workers' gradients are added
up. The embeddings of a worker's own rows have gradients, those of the others have none. But what the loss itself uses,
such as a logit scale or a head that scores pairs, gets the whole gradient from every worker. So each differentiates a
share of the loss (`share_of_loss`), and `gather` makes up for that in its own rows.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET_BYTES = 25 * 2**20
TIMEOUT = timedelta(hours=6)  # the other workers wait while the first validates


class Workers:
    """The processes that train together; outside `torchrun` there is one.

    Attributes:
        rank: number of this process; 0 writes and validates.
        count: number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        return self.rank == 0

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all workers in rank order, for a loss of which `share_of_loss` is differentiated.

        Only our own have gradients. The numbers of rows may differ.
        """
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
        if rows.requires_grad:
            rows = rows.view_as(rows)  # the gradient of this view is changed, not that of the caller's tensor
            rows.register_hook(lambda gradient: gradient * self.count)  # type: ignore[no-untyped-call]
        parts[self.rank] = rows
        return torch.cat(parts)

    def share_of_loss(self, loss: Tensor) -> Tensor:
        """What a worker differentiates of the loss of the whole batch, so that its gradient is the workers' sum."""
        return loss if self.count == 1 else loss / self.count

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by the sum over all workers."""
        if self.count == 1:
            return
        gradients = []
        for parameter in parameters:
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:  # none of our rows has the feature; others may have it
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, summed in zip(bucket, torch.split(flat, [one.numel() for one in bucket]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def average_buffers(self, model: nn.Module) -> None:
        """Replace running statistics by their mean over all workers, so that the model of rank 0 stands for all."""
        if self.count == 1:
            return
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.count

    def from_first(self, values: dict[str, float]) -> dict[str, float]:
        """The values of rank 0."""
        if self.count == 1:
            return values
        box: list[dict[str, float]] = [values]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def agree(self, decision: bool, *, device: str) -> bool:
        """The decision of rank 0."""
        if self.count == 1:
            return decision
        box = torch.tensor([decision], dtype=torch.uint8, device=device)
        dist.broadcast(box, src=0)
        return bool(box.item())

    def wait(self) -> None:
        """Wait until every worker is here."""
        if self.count > 1:
            dist.barrier()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type, together at least BUCKET_BYTES, so that few messages carry many tensors."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket


@contextmanager
def workers_of_environment(device: str) -> Iterator[tuple[Workers, str]]:
    """The workers that `torchrun` started, or one, and our device; with "cuda" each worker has a device of its own."""
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
        dist.barrier()  # a worker that leaves while another still needs it would end that one
    finally:
        dist.destroy_process_group()
        gc.collect()  # what is left of the group has threads, which must not meet the end of the interpreter
