"""Gradient caching: the gradient of a large batch with the memory of a small one.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (2021). The batch is
embedded in chunks without a graph, the loss of all embeddings gives their gradients, and every chunk is embedded again,
with a graph, to carry them on to the weights. Each chunk gets its random numbers again, or dropout would differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avs.train.data import PairBatch

Embed = Callable[[PairBatch], tuple[Tensor, Tensor]]


def backward_in_chunks(
    batch: PairBatch,
    embed: Embed,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    chunk: int,
    device: str,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Tensor:
    """Add the gradient of the batch's loss to the weights.

    Args:
        embed: (B, E) embeddings of the texts and of the videos of a batch. No row may depend on another, as with batch
            normalisation; an autocast must be entered in here, since it keeps what it casts without a graph.
        loss: the loss of all embeddings, gathered from all workers if there are several.
        chunk: number of pairs to embed at a time.
        scale: what the loss is multiplied by before it is differentiated.

    Returns:
        The loss, unscaled.
    """
    parts = batch.parts(chunk)
    states, embedded = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(device))
            embedded.append(embed(part))
    texts, videos = (torch.cat(side).float().requires_grad_() for side in zip(*embedded, strict=True))
    value = loss(texts, videos)
    torch.autograd.backward(scale(value))
    first = 0
    for part, state in zip(parts, states, strict=True):
        _restore(state, device)
        rows = slice(first, first + len(part.captions))
        gradients = [torch.zeros_like(side[rows]) if side.grad is None else side.grad[rows] for side in (texts, videos)]
        torch.autograd.backward([one.float() for one in embed(part)], gradients)
        first = rows.stop
    return value.detach()


def _random_state(device: str) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.startswith("cuda") else None


def _restore(state: tuple[Tensor, Tensor | None], device: str) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
