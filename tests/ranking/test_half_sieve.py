"""A search that sifts in half precision gives the lists of one that does not, to the last bit, or does not sift."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny_stores import SPEC, shot_ids

from avs.core.errors import DataError
from avs.core.ranking import RankedList
from avs.core.spec import EmbedderSpec
from avs.ranking import half_sieve, score
from avs.ranking.blocks import BlockSource
from avs.ranking.cosine import CosineScorer
from avs.ranking.half_sieve import KernelTrial, error_bound, half_queries
from avs.ranking.score import Scorer, SearchCancelled, covered, search
from avs.ranking.topk import TopK
from avs.serve.search.scorers import AmongScorer, WeighedScorer

DIM, HEIGHT = 16, 64


@dataclass(eq=False)
class InMemory:
    """A store of (N, D) rows, one a shot."""

    vectors: np.ndarray
    ids: tuple[str, ...] = ()
    offsets: np.ndarray | None = None
    spec: EmbedderSpec = SPEC
    folder: Path = Path("in-memory")

    def __post_init__(self) -> None:
        self.ids = self.ids or tuple(shot_ids(len(self.vectors)))
        self.spec = replace(self.spec, dim=self.vectors.shape[1])


class Kernel:
    """Counts the blocks that are sifted; products at trials are not counted."""

    def __init__(self, real: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.real, self.lock, self.here, self.blocks = real, threading.Lock(), threading.local(), 0

    def __call__(self, rows: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        with self.lock:
            self.blocks += not getattr(self.here, "tried", False)
        return self.real(rows, query)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """Small stores are sifted, whatever time it takes."""
    monkeypatch.setattr("avs.ranking.half_sieve.SHOTS_PER_PLACE", 0)
    monkeypatch.setattr("avs.ranking.half_sieve.WORTH_SIFTING", 0)
    monkeypatch.setattr("avs.ranking.split.WORTH_SPLITTING", 1)
    monkeypatch.setattr("avs.ranking.split.FIRST_ROUND", 2)
    monkeypatch.setattr(KernelTrial, "pays", True)
    counted = Kernel(half_sieve.half_products)
    holds = KernelTrial.holds

    def uncounted(trial: KernelTrial) -> bool:
        counted.here.tried = True
        try:
            return holds(trial)
        finally:
            counted.here.tried = False

    monkeypatch.setattr(KernelTrial, "holds", uncounted)
    monkeypatch.setattr(half_sieve, "half_products", counted)
    yield counted
    half_sieve._distrusted.clear()


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def near_ties(count: int, query: np.ndarray, seed: int = 0, low: float = 0.5) -> np.ndarray:
    """(count, D) rows whose cosines with a query are even between `low` and 1: some are near any cut."""
    rng = np.random.default_rng(seed)
    along, across = query / np.linalg.norm(query), rng.normal(size=(count, len(query)))
    across -= (across @ along)[:, None] * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    cosines = rng.uniform(low, 1, count)[:, None]
    return unit(cosines * along + np.sqrt(1 - cosines**2) * across)


def scorer_of(query: np.ndarray, store: InMemory, name: str = "x") -> CosineScorer:
    rows = np.asarray(query, dtype=np.float32).reshape(-1, store.spec.dim)
    topics = [str(number) for number in range(len(rows))]
    return CosineScorer(name, rows, topics=topics, store=store, feature=name, query_spec=store.spec)  # type: ignore[arg-type]


def without(scorers: list[Scorer], source: BlockSource, k: int) -> dict[str, list[RankedList]]:
    """The lists of a pass that does not sift."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "half_queries", lambda *_: {})
        return search(scorers, ["1"], source, k=k, threads=1)


def require_same(found: dict[str, list[RankedList]], wanted: dict[str, list[RankedList]]) -> None:
    assert found.keys() == wanted.keys()
    for name, (ranked,) in wanted.items():
        assert found[name][0].shots == ranked.shots
        assert found[name][0].scores.dtype == ranked.scores.dtype
        assert found[name][0].scores.tobytes() == ranked.scores.tobytes()


QUERIES = {
    "plain": lambda rng: rng.normal(size=DIM) / 4,
    "a float16": lambda rng: (rng.normal(size=DIM) / 4).astype(np.float16),
    "long": lambda rng: rng.normal(size=DIM) * 100,
    "one big component": lambda rng: np.where(np.arange(DIM) == 5, 0.999, 1e-4 * rng.normal(size=DIM)),
    "components that underflow": lambda rng: np.where(np.arange(DIM) % 2, 0.35, 1e-9 * rng.normal(size=DIM)),
    "all underflow": lambda rng: 1e-9 * rng.normal(size=DIM),
    "overflows": lambda rng: 1e6 * rng.normal(size=DIM),
}


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("k", [1, 10, 5000])
def test_lists_are_those_of_the_pass_that_does_not_sift(kind: str, threads: int, k: int, kernel: Kernel) -> None:
    rng = np.random.default_rng(len(kind) + k)
    query = QUERIES[kind](rng)
    store = InMemory(near_ties(HEIGHT * 40 + 7, np.asarray(query, dtype=np.float64)))
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    scorers: list[Scorer] = [scorer_of(query, store)]
    wanted = without(scorers, source, k)
    require_same(search(scorers, ["1"], source, k=k, threads=threads), wanted)
    assert kernel.blocks  # and all 40 of them, unless the sieve is of no use
    if kind in ("plain", "a float16", "long") and k < 5000:
        assert kernel.blocks == 40


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [1, 5, 300])
def test_ties_and_duplicates(k: int, sign: int, kernel: Kernel) -> None:
    rng = np.random.default_rng(k)
    query = rng.normal(size=DIM)
    different = near_ties(300, query, low=-1) * np.float16(sign)
    store = InMemory(different[rng.integers(0, 300, HEIGHT * 20)])
    scorers: list[Scorer] = [scorer_of(query, store)]
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    require_same(search(scorers, ["1"], source, k=k, threads=2), without(scorers, source, k))
    assert kernel.blocks


def test_scores_below_zero_and_rows_of_zeros(kernel: Kernel) -> None:
    query = np.random.default_rng(3).normal(size=DIM)
    rows = -near_ties(HEIGHT * 10, query)
    rows[::7] = 0
    store = InMemory(rows)
    scorers: list[Scorer] = [scorer_of(query, store)]
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    for k in (3, 100, 400):  # zeros are the best
        require_same(search(scorers, ["1"], source, k=k, threads=2), without(scorers, source, k))
    assert kernel.blocks


def test_many_ties_make_the_sieve_give_up(kernel: Kernel) -> None:
    query = np.random.default_rng(4).normal(size=DIM)
    store = InMemory(np.repeat(near_ties(1, query), HEIGHT * 50, axis=0))
    scorers: list[Scorer] = [scorer_of(query, store)]
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    require_same(search(scorers, ["1"], source, k=10, threads=1), without(scorers, source, 10))
    assert 1 < kernel.blocks < 5


@pytest.mark.parametrize("dim", [8, 512, 2048])
def test_the_bound_covers_every_rounding(dim: int) -> None:
    query = unit(np.random.default_rng(dim).normal(size=(1, dim)))[0].astype(np.float32)
    whole, sums = float(np.linalg.norm(query)), dim * 2.0**-24
    assert error_bound(query, query) >= 1.002 * whole * (2 * sums + 2.0**-11) + 2.0**-25
    moved = query.astype(np.float64) * (1 + 2.0**-10)
    assert error_bound(moved.astype(np.float32), query) >= error_bound(query, query) + whole * 2.0**-10


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("rounds", [2, 100])
def test_products_may_be_off_by_the_bound(k: int, rounds: int, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst kernel that the proof allows: those of the list are as low as can be, all others as high."""
    monkeypatch.setattr("avs.ranking.split.FIRST_ROUND", rounds)
    query = unit(np.random.default_rng(k).normal(size=(1, DIM)))[0].astype(np.float64)
    store = InMemory(near_ties(HEIGHT * 20, query, low=0.95))
    scorers: list[Scorer] = [scorer_of(query, store)]
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    wanted = without(scorers, source, k)
    least = float(wanted["x"][0].scores[-1])
    bound = error_bound(scorers[0].queries[0], query.astype(np.float16))  # type: ignore[attr-defined]

    def worst(rows: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        scores = rows.double() @ torch.from_numpy(query)
        return (scores + 0.99 * bound * torch.where(scores > least - 1e-7, -1, 1)).float()

    kernel.real = worst
    monkeypatch.setattr(KernelTrial, "holds", lambda trial: True)
    require_same(search(scorers, ["1"], source, k=k, threads=1), wanted)
    assert kernel.blocks == 20 and not half_sieve._distrusted.is_set()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_filters(share: float, kernel: Kernel) -> None:
    rng = np.random.default_rng(5)
    query = rng.normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 20 + 1, query))
    source = BlockSource({"x": store}, block_rows=HEIGHT)
    some, more = rng.random(len(source)) < share, rng.random(len(source)) < 0.9
    plain = scorer_of(query, store)
    for scorer in (AmongScorer(plain, some), AmongScorer(AmongScorer(plain, some), more)):
        require_same(search([scorer], ["1"], source, k=20, threads=2), without([scorer], source, 20))
    assert kernel.blocks


def test_what_is_not_one_product_is_not_sifted() -> None:
    query = np.random.default_rng(6).normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 4, query))
    source, plain = BlockSource({"x": store}, block_rows=HEIGHT), scorer_of(query, store)
    assert list(half_queries([plain], source, 5)) == ["x"]
    assert not half_queries([scorer_of(np.stack([query, query]), store)], source, 5)
    assert not half_queries([WeighedScorer(plain, np.ones((1, 1), np.float32))], source, 5)
    assert not half_queries([AmongScorer(WeighedScorer(plain, np.ones((1, 1))), np.ones(256, bool))], source, 5)
    assert not half_queries([plain], BlockSource({"x": store}, dtype="bfloat16"), 5)
    other = InMemory(store.vectors, spec=replace(SPEC, normalised=False))
    assert not half_queries([scorer_of(query, other)], source, 5)
    wide = InMemory(np.ones((2, half_sieve.MOST_DIM + 1), np.float16))
    assert not half_queries([scorer_of(np.ones(half_sieve.MOST_DIM + 1), wide)], source, 5)


def test_short_collections_are_not_sifted(monkeypatch: pytest.MonkeyPatch) -> None:
    query = np.random.default_rng(6).normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 4, query))
    source, plain = BlockSource({"x": store}, block_rows=HEIGHT), scorer_of(query, store)
    monkeypatch.setattr("avs.ranking.half_sieve.SHOTS_PER_PLACE", HEIGHT)
    assert half_queries([plain], source, 4) and not half_queries([plain], source, 5)
    monkeypatch.setattr("avs.ranking.half_sieve.WORTH_SIFTING", HEIGHT * 4 + 1)
    assert not half_queries([plain], source, 1)


def test_every_scorer_is_searched_in_its_own_way(kernel: Kernel) -> None:
    """Stores of any order, with gaps, of frames, of float32, of rows of any length; and a part of one."""
    rng = np.random.default_rng(7)
    query = rng.normal(size=DIM)
    rows, count = near_ties(HEIGHT * 30, query), HEIGHT * 10
    ids = tuple(shot_ids(count))
    order = rng.permutation(count)
    stores = {
        "half": InMemory(rows[:count]),
        "shuffled": InMemory(rows[count : 2 * count], ids=tuple(ids[at] for at in order)),
        "gaps": InMemory(rows[: count - 100], ids=tuple(np.array(ids)[np.sort(order[100:])].tolist())),
        "float": InMemory(rows[:count].astype(np.float32)),
        "long": InMemory(rows[:count] * np.float16(3), spec=replace(SPEC, normalised=False)),
        "frames": InMemory(rows[: 2 * count], ids=ids, offsets=np.arange(0, 2 * count + 1, 2)),
        "odd": InMemory(rows[: count // 2], ids=ids[::2]),
        "even": InMemory(rows[: count // 2], ids=ids[1::2]),
    }
    ways = ["half shuffled", "half float long", "gaps half", "frames half", "odd even", " ".join(stores)]
    for names in map(str.split, ways):
        kernel.blocks = 0
        source = BlockSource({name: stores[name] for name in names}, block_rows=HEIGHT)
        scorers: list[Scorer] = [scorer_of(query, stores[name], name) for name in names]
        scorers.append(AmongScorer(scorer_of(query, stores[names[0]], names[0]), rng.random(len(source)) < 0.3))
        scorers[-1].name = "among"  # type: ignore[attr-defined]
        require_same(search(scorers, ["1"], source, k=15, threads=2), without(scorers, source, 15))
        if {"gaps", "frames", "odd"}.isdisjoint(names):
            assert kernel.blocks == 10 * sum(name in ("half", "shuffled", "among") for name in [*names, "among"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_that_is_not_finite_ends_the_search_as_ever(value: float, threads: int) -> None:
    query = np.random.default_rng(8).normal(size=DIM)
    rows = near_ties(HEIGHT * 12, query)
    rows[HEIGHT * 7 + 5, 3] = value
    store = InMemory(rows)
    source, plain = BlockSource({"x": store}, block_rows=HEIGHT), scorer_of(query, store)
    with pytest.raises(DataError) as wanted:
        without([plain], source, 5)
    with pytest.raises(DataError) as found:
        search([plain], ["1"], source, k=5, threads=threads)
    assert str(found.value) == str(wanted.value) and store.ids[HEIGHT * 7 + 5] in str(found.value)
    allowed = np.ones(len(source), dtype=bool)
    allowed[HEIGHT * 7 + 5] = False  # a filter that hides it
    among = AmongScorer(plain, allowed)
    require_same(search([among], ["1"], source, k=5, threads=threads), without([among], source, 5))


def test_a_search_that_was_killed_goes_on(tmp_path: Path, kernel: Kernel) -> None:
    query = np.random.default_rng(9).normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 40, query))
    source, scorers = BlockSource({"x": store}, block_rows=HEIGHT), [scorer_of(query, store)]
    asked, state = list[int](), tmp_path / "state"

    def killed() -> bool:
        asked.append(1)
        return len(asked) > 24

    with pytest.raises(SearchCancelled):
        search(scorers, ["1"], source, k=20, threads=2, state=state, save_every_s=0, cancelled=killed)
    with np.load(state, allow_pickle=False) as kept:
        position = int(kept["position"])
    assert 0 < position < len(source)
    kernel.blocks = 0
    found = search(scorers, ["1"], source, k=20, threads=2, state=state)
    assert kernel.blocks == 40 - position // HEIGHT
    require_same(found, without(scorers, source, 20))


def half_sum(rows: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Products that are summed in float16, one after another."""
    total = np.zeros(len(rows), dtype=np.float16)
    for column in (rows * query).numpy().T:
        total = total + column
    return torch.from_numpy(total)


def half_lanes(rows: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Products that are summed in float16 in 16 registers of 32 lanes, those in pairs, and the lanes in float32."""
    products = np.pad((rows.float() * query.float()).numpy(), ((0, 0), (0, -rows.shape[1] % 512)))
    total = np.zeros((len(rows), 16, 32), dtype=np.float16)
    for part in np.split(products.reshape(len(rows), -1, 32), products.shape[1] // 512, axis=1):
        total = (total.astype(np.float32) + part).astype(np.float16)
    while total.shape[1] > 1:
        total = total[:, : total.shape[1] // 2] + total[:, total.shape[1] // 2 :]
    return torch.from_numpy(total[:, 0].astype(np.float32).sum(axis=1).astype(np.float16))


def brain_floats(rows: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    return (rows.bfloat16().float() @ query.bfloat16().float()).half()


@pytest.mark.parametrize("dim", [8, 33, 512, 768, 2048])
@pytest.mark.parametrize("wrong", [half_sum, half_lanes, brain_floats])
def test_kernels_that_sum_in_float16_are_found_out(
    dim: int, wrong: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = KernelTrial(HEIGHT * 4, dim)
    exact = trial.rows.double() @ trial.half.double()
    monkeypatch.setattr(half_sieve, "half_products", lambda rows, query: (rows.double() @ query.double()).half())
    assert trial.holds()
    monkeypatch.setattr(half_sieve, "half_products", wrong)
    assert not trial.holds() and torch.isfinite(exact).all()


@pytest.mark.parametrize("bits", [8, 11])
def test_scores_of_less_than_float32_are_found_out(bits: int) -> None:
    """As torch makes them where it is told to multiply bfloat16 or TF32 in place of float32."""
    trial = KernelTrial(HEIGHT, 512)
    shorter = trial.query.numpy().view(np.uint32) + np.uint32(1 << (23 - bits))
    trial.query = torch.from_numpy((shorter & np.uint32(0xFFFFFFFF << (24 - bits) & 0xFFFFFFFF)).view(np.float32))
    assert not trial.holds()


def test_a_kernel_that_fails_its_trial_sifts_nothing(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    query = np.random.default_rng(10).normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 10, query))
    source, scorers = BlockSource({"x": store}, block_rows=HEIGHT), [scorer_of(query, store)]
    wanted = without(scorers, source, 10)
    kernel.real = half_sum
    require_same(search(scorers, ["1"], source, k=10, threads=2), wanted)
    kernel.real = torch.mv
    monkeypatch.setattr(KernelTrial, "pays", False)
    require_same(search(scorers, ["1"], source, k=10, threads=2), wanted)
    assert kernel.blocks == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_product_beyond_the_bound_ends_all_sifting(
    threads: int, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The best shots of blocks before it were lost by the same kernel, and nothing showed that."""
    query = np.random.default_rng(11).normal(size=DIM)
    store = InMemory(near_ties(HEIGHT * 40, query))
    source, scorers = BlockSource({"x": store}, block_rows=HEIGHT), [scorer_of(query, store)]
    wanted, best = without(scorers, source, 10), {"x": TopK(["1"], source.ids, k=10)}
    assert list(covered(best, scorers, source, 0, HEIGHT * 4, threads=threads))[-1] == HEIGHT * 4
    kernel.blocks = 0

    def lies(rows: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        products = torch.mv(rows, query)
        products[products.argmax()] = -1
        if kernel.blocks >= 25:
            products[0] = 9
        return products

    kernel.real = lies
    monkeypatch.setattr(KernelTrial, "holds", lambda trial: True)
    with caplog.at_level(logging.WARNING):
        done = list(covered(best, scorers, source, HEIGHT * 4, threads=threads))
    assert done[-1] == len(source) and done != sorted(done)  # it began again
    require_same({"x": best["x"].lists()}, wanted)
    assert "half precision" in caplog.text
    count = kernel.blocks
    require_same(search(scorers, ["1"], source, k=10, threads=threads), wanted)
    assert kernel.blocks == count >= 25


def test_rows_are_placed_where_their_blocks_have_them() -> None:
    rows = np.arange(HEIGHT * 3 * 2, dtype=np.float16).reshape(-1, 2)
    order = np.random.default_rng(0).permutation(len(rows))
    ids = shot_ids(len(rows))
    source = BlockSource({"x": InMemory(rows[order], ids=tuple(ids[at] for at in order))}, block_rows=HEIGHT)
    assert source.ids == tuple(ids[at] for at in order)
    both = BlockSource({"y": InMemory(rows), "x": InMemory(rows[order], ids=source.ids)}, block_rows=HEIGHT)
    assert both.ids == tuple(ids)
    shots = np.array([5, 70, 69, 133, 191, 0])
    seen = []
    for chosen, block in both.placed("x", shots, shots % HEIGHT):
        assert block.count == HEIGHT == len(block.features["x"].buffer)
        assert block.features["x"].buffer[shots[chosen] % HEIGHT].tolist() == rows[shots[chosen]].tolist()
        seen.append(shots[chosen].tolist())
    assert seen == [[5, 70, 191, 0], [69], [133]]
    assert list(both.placed("x", shots[:0], shots[:0])) == []


VALUES = st.floats(-1, 1, width=16) | st.sampled_from([0.0, 1.0, -1.0, 2.0**-14, 2.0**-24])


@given(
    st.lists(st.lists(VALUES, min_size=8, max_size=8), min_size=1, max_size=6),
    st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8).filter(any),
    st.sampled_from([1.0, 2.0**-30, 2.0**-13, 2.0**10, 2.0**20]),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 2.0**-11, 2.0**-8, 0.1]),
    st.integers(1, 3),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_and_any_query(
    pool: list[list[float]], query: list[float], scale: float, k: int, seed: int, spread: float, threads: int
) -> None:
    """Rows are drawn from a pool, and moved a little."""
    rng = np.random.default_rng(seed)
    rows = np.array(pool)[rng.integers(0, len(pool), HEIGHT * 8 + 3)]
    rows = rows + spread * rng.integers(-2, 3, rows.shape)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    store = InMemory((rows / np.where(lengths > 0, lengths, 1)).astype(np.float16))
    vector = (np.array(query) * scale).astype(np.float32)
    assume(np.linalg.norm(vector) > 0)
    source, plain = BlockSource({"x": store}, block_rows=HEIGHT), scorer_of(vector, store)
    for scorer in (plain, AmongScorer(plain, rng.random(len(source)) < 0.5)):
        require_same(search([scorer], ["1"], source, k=k, threads=threads), without([scorer], source, k))
    with np.errstate(over="ignore"):
        rounded = vector.astype(np.float16)
    if np.isfinite(rounded).all():
        products = half_sieve.half_products(torch.from_numpy(store.vectors), torch.from_numpy(rounded)).double()
        scores = torch.from_numpy(store.vectors).float() @ torch.from_numpy(vector)
        finite = torch.isfinite(products)
        assert ((scores.double() - products).abs()[finite] <= error_bound(vector, rounded)).all()
