"""What a trained model keeps of a shot and of a query, and what it costs to compare them, by its config alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Footprint:
    """The size of a model's embeddings, and the work of its `score`.

    A multiply-add is one of a matrix product: two flops, as torch's flop counter counts them. Work that goes value by
    value, such as a softmax, is left out.

    Attributes:
        shot_numbers: E of `embed_videos`, which is all that `score` needs of a shot. Places that only fill up are
            numbers too.
        query_numbers: E of `embed_texts`.
        pair_multiply_adds: of `score`, for every pair of query and shot.
        query_multiply_adds: of `score`, once for a query, however many shots it is compared with.
    """

    shot_numbers: int
    query_numbers: int
    pair_multiply_adds: int
    query_multiply_adds: int = 0


def dot_product(numbers: int) -> Footprint:
    """The footprint of a model whose score is one product of two rows of so many numbers."""
    return Footprint(numbers, numbers, numbers)
