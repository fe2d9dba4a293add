"""One query over float16 rows: products in half precision sift the shots, and only what may enter the list is scored.

Let x be a row as the store has it, q the query, p the query rounded to float16, D their dimension, and u = 2^-24 the
unit roundoff of float32. The score of the row is s, the product q x in float32. What sifts is a, the product p x,
summed in float32 and rounded to float16: rows are read as they are, without conversion. With g = D u / (1 - D u), which
bounds the error of a sum of D products in any order (Higham, Accuracy and Stability, 2002, section 3.1),

    |s - q x|     <= g |q| |x|                              rounding of the score itself
    |q x - p x|   <= |q - p| |x|                            rounding of the query (Cauchy-Schwarz)
    |p x - sum|   <= g |p| |x|                              rounding of the sum
    |sum - a|     <= 2^-11 (1 + g) |p| |x| + 2^-25          rounding of the sum to float16, subnormal ones included

and |x| <= L, since rows of length 1 within the tolerance of a store are all that is sifted. So |s - a| <= E, where E is
the sum of the four; 2^-25 more stands for the underflow of float32, which loses far less.

Then no shot of the list is lost. Of the shots seen so far, k have an a of at least A, the k-th largest; their scores
are at least A - E. A shot of the list scores at least that, so its own a is at least A - 2 E. A shot with a score of at
least F, the k-th best that is known, has an a of at least F - E. All others are out. Those that stay are scored by the
scorer, each at the place of the buffer that it has in its block, so the lists are the same to the last bit.

What the proof takes from the machine is tried before each search (KernelTrial): that sums are of float32. In torch 2.6
and 2.13 they are, unless it is told to sum in float16, which can be done at any time. And |s - a| <= E is checked of
every score that is made in the end. If one breaks it, no kernel is trusted any more in this process: the log has a
warning, and the pass begins again without. Where the trial fails, or the kernel is slower than conversion and product,
blocks are scored as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from avs.core.store import length_tolerance
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.cosine import SingleQuery, single_of
from avs.ranking.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

    from avs.ranking.score import Scorer

FLOAT32_ROUNDOFF, FLOAT16_ROUNDOFF, FLOAT16_TINY = 2.0**-24, 2.0**-11, 2.0**-24
LONGEST = 1.0 + length_tolerance(np.dtype(np.float16))  # |x|
LEAST_DIM, MOST_DIM = 8, 2048  # above, the bound of a sum in float32 would let one in float16 pass
WORTH_SIFTING, SHOTS_PER_PLACE = 100_000, 200  # shots, in all and for each place of a list: with fewer, too many stay
TURNS = 5  # of the kernels at the trial of their speed

_distrusted = threading.Event()


class BoundBroken(Exception):
    """A product in half precision was farther from the score than it can be."""


def half_products(rows: Tensor, query: Tensor) -> Tensor:
    """(R,) float16 products of (R, D) rows with a (D,) query, both float16."""
    return rows @ query


def distrust() -> None:
    """Sift no more in this process."""
    _distrusted.set()


def sum_bound(dim: int) -> float:
    """The error of a sum of products in float32, in any order, relative to the sum of their sizes."""
    return dim * FLOAT32_ROUNDOFF / (1 - dim * FLOAT32_ROUNDOFF)


def error_bound(query: np.ndarray, rounded: np.ndarray) -> float:
    """E for a (D,) float32 query and what float16 makes of it."""
    exact, half, gamma = query.astype(np.float64), rounded.astype(np.float64), sum_bound(len(query))
    length, half_length = float(np.linalg.norm(exact)), float(np.linalg.norm(half))
    sums = gamma * (length + half_length) + float(np.linalg.norm(exact - half))
    return 1.0001 * (LONGEST * (sums + FLOAT16_ROUNDOFF * (1 + gamma) * half_length) + FLOAT16_TINY)


def just_below(value: float) -> float:
    """A number that float32 has, below another by next to nothing."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


class KernelTrial:
    """Products of vectors that a sum in float16 gets wrong, by the kernels that a search uses on blocks of this shape.

    A row is c in one place, almost -c in another, and small elsewhere: c swallows the small ones when a partial sum has
    11 bits. The two meet at every place of a row. The query is no float16, nor anything shorter than float32.

    Args:
        height, dim: of the blocks.
    """

    def __init__(self, height: int, dim: int) -> None:
        import torch

        rng, turned = np.random.default_rng(0), []
        for _ in range(-(-height // dim)):
            row = rng.uniform(0.5, 1, dim) * 2**-12
            row[0], row[1 + rng.integers(dim - 1)] = rng.uniform(0.99, 1), -rng.uniform(0.99, 1)
            turned.append(np.lib.stride_tricks.sliding_window_view(np.tile(row, 2), dim)[:dim])
        self.rows = torch.from_numpy((0.7 * np.concatenate(turned)[:height]).astype(np.float16))
        self.query = torch.from_numpy((0.7 * rng.uniform(0.99, 1, dim)).astype(np.float32))
        self.half, self.room = self.query.half(), self.rows.float()
        self._of_half, self._of_query = self._exact(self.half), self._exact(self.query)

    def holds(self) -> bool:
        """Whether both kernels are as near to the products as a sum in float32 must be."""
        wanted, apart = self._of_half
        apart = apart + FLOAT16_ROUNDOFF * (np.abs(wanted) + apart) + FLOAT16_TINY
        sifts = np.abs(half_products(self.rows, self.half).numpy() - wanted) <= apart
        wanted, apart = self._of_query
        scores = np.abs((self.query[None] @ self.room.T)[0].numpy() - wanted) <= apart
        return bool(sifts.all() and scores.all())

    @cached_property
    def pays(self) -> bool:
        """Whether the product of halves takes less time here than conversion and the product of floats."""
        halves, floats = [], []
        for _ in range(TURNS):
            begin = perf_counter()
            half_products(self.rows, self.half)
            middle = perf_counter()
            self.query[None] @ self.room.copy_(self.rows).T
            halves.append(middle - begin)
            floats.append(perf_counter() - middle)
        return min(halves) < min(floats)

    def _exact(self, query: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(height,) products in float64, and how far a sum in float32 may be from them."""
        rows, exact = self.rows.numpy().astype(np.float64), query.numpy().astype(np.float64)
        return rows @ exact, sum_bound(len(exact)) * (np.abs(rows) @ np.abs(exact))


kernel_trial = lru_cache(maxsize=4)(KernelTrial)


class HalfQuery:
    """A query of a search that may be sifted, for all threads.

    Args:
        single: the query.
        k: length of the list.

    Attributes:
        bound: E.
        given_up: so many shots nearly tie at the end of the list that sifting is no gain.
    """

    def __init__(self, single: SingleQuery, k: int) -> None:
        import torch

        query = single.scorer.queries[0]
        with np.errstate(over="ignore"):
            rounded = query.astype(np.float16)  # infinite: then no product is finite, and blocks are scored as ever
            self.bound = error_bound(query, rounded)
        self.single, self.k, self.query = single, k, torch.from_numpy(rounded)
        self.feature, self.given_up = single.scorer.features[0], False
        self._kernels: dict[torch.Size, bool] = {}

    def products(self, block: Block) -> np.ndarray | None:
        """(R,) float32 products with the rows of a block; None if it must be scored as ever.

        That is a block of several rows a shot, with gaps, lower than the others (whose kernels were tried), of another
        dtype, or one with a product that is not finite.
        """
        feature = block.features[self.feature]
        whole = feature.starts is None and feature.present is None and feature.count == feature.room.shape[0]
        if self.given_up or not whole or feature.stored is None or not self._trusted(feature.stored):
            return None
        products: np.ndarray = half_products(feature.stored, self.query).float().numpy()
        return products if np.isfinite(products).all() else None

    def _trusted(self, stored: Tensor) -> bool:
        """Whether the kernels may sift rows of this dtype and shape; they are tried once in a search."""
        import torch

        shape = stored.shape
        if shape not in self._kernels:
            trial = kernel_trial(*shape) if stored.dtype == torch.float16 else None
            self._kernels[shape] = trial is not None and trial.pays and trial.holds()
        return self._kernels[shape]


class HalfSieve:
    """What one thread sifts of its blocks. It keeps shots that may enter a list, and scores them in the end.

    Args:
        half: the query.
        best: gets the scores. It knows which may still enter.
    """

    def __init__(self, half: HalfQuery, best: TopK) -> None:
        self.half, self.best = half, best
        self._least = just_below(float(best.floor[0]) - half.bound)
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # (shot, place, product) columns
        self._count = 0

    def took(self, block: Block) -> bool:
        """Sift a block, or say that it must be scored as ever."""
        products = self.half.products(block)
        if products is None:
            return False
        near, allowed = products >= self._least, self.half.single.allowed
        if allowed is not None:
            near &= allowed[block.first : block.first + block.count]
        places = np.flatnonzero(near)
        self._kept.append((block.first + places, places, products[places]))
        self._count += len(places)
        most = 2 * self.half.k + len(products)
        if self._count > most:
            self._sift()
            self.half.given_up |= self._count > most
        return True

    def finish(self, source: BlockSource) -> None:
        """Give the scores of what was kept to the collector.

        Args:
            source: whose blocks these were. Their buffers are written to.

        Raises:
            BoundBroken: a score is farther from its product than the bound.
        """
        if not self._count:
            return
        shots, places, products = self._sift()
        scores = np.empty(len(shots), dtype=np.float32)
        for chosen, block in source.placed(self.half.feature, shots, places):
            scores[chosen] = self.half.single.scorer.score(block)[0].numpy()[0, places[chosen]]
        apart = np.abs(scores.astype(np.float64) - products)
        if not (apart <= self.half.bound).all():
            raise BoundBroken(f"{apart.max():.3g} is more than {self.half.bound:.3g}")
        self.best.take({"counts": np.array([len(shots)]), "shots": shots, "scores": scores})

    def _sift(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Drop what cannot enter the list any more."""
        shots, places, products = (np.concatenate(columns) for columns in zip(*self._kept, strict=True))
        if len(products) >= self.half.k:
            last = float(np.partition(products, len(products) - self.half.k)[len(products) - self.half.k])
            self._least = max(self._least, just_below(last - 2 * self.half.bound))
        kept = products >= self._least
        self._kept, self._count = [(shots[kept], places[kept], products[kept])], int(kept.sum())
        return self._kept[0]


def half_queries(scorers: Sequence[Scorer], source: BlockSource, k: int) -> dict[str, HalfQuery]:
    """Name of a scorer -> its query, where sifting may pay."""
    import torch

    if source.device.type != "cpu" or source.dtype != torch.float32:
        return {}
    if len(source) < max(WORTH_SIFTING, SHOTS_PER_PLACE * k):
        return {}
    found = {} if _distrusted.is_set() else {scorer.name: single_of(scorer) for scorer in scorers}
    return {
        name: HalfQuery(single, k)
        for name, single in found.items()
        if single is not None and LEAST_DIM <= single.scorer.queries.shape[1] <= MOST_DIM
    }
