"""A pass by several threads gives the lists of one thread, is resumed as that is, and ends as a whole."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_stores import make_store, without_hashes

from avs.core.errors import DataError
from avs.core.store import FeatureStore
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.cosine import CosineScorer
from avs.ranking.score import SearchCancelled, search
from avs.ranking.split import SplitSource, threads_for

TOPICS = ["1", "2", "3"]


@pytest.fixture(autouse=True)
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avs.ranking.split.WORTH_SPLITTING", 1)
    monkeypatch.setattr("avs.ranking.split.FIRST_ROUND", 4)


def opened(folder: Path, seed: int, *, ties: bool = False) -> tuple[list[CosineScorer], BlockSource]:
    """Stores of either level, one of which lacks shots; of few different scores where `ties`."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 4, 150)
    draw = (lambda *shape: rng.integers(-1, 2, shape) + 0.0) if ties else (lambda *shape: rng.normal(size=shape))
    stores = {
        "all": make_store(folder / "all", draw(200, 8)), "some": make_store(folder / "some", draw(120, 8)),
        "frames": make_store(folder / "frames", draw(int(lengths.sum()), 8), lengths=lengths),
    }  # fmt: skip
    scorers = [
        CosineScorer(name, rng.normal(size=(3, 8)), topics=TOPICS, store=store, feature=name, query_spec=store.spec)
        for name, store in stores.items()
    ]
    return scorers, BlockSource(stores, block_rows=9)


@pytest.mark.parametrize("threads", [2, 3, 7, 100])
@pytest.mark.parametrize(("k", "ties"), [(1, False), (10, False), (1000, False), (10, True)])
def test_lists_are_those_of_one_thread(tmp_path: Path, threads: int, k: int, ties: bool) -> None:
    scorers, source = opened(tmp_path, threads + k, ties=ties)
    wanted = search(scorers, TOPICS, source, k=k, threads=1)
    found = search(scorers, TOPICS, source, k=k, threads=threads)
    for name, lists in wanted.items():
        for one, other in zip(found[name], lists, strict=True):
            assert one.shots == other.shots
            np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("skipped", [0, 5])
def test_every_block_is_worked_at_once_by_any_of_the_threads(tmp_path: Path, skipped: int) -> None:
    _, source = opened(tmp_path, 0)
    first = source.borders()[skipped]
    split, seen = SplitSource(source, 3), list[tuple[int, int, int]]()
    done = list(split.rounds(lambda number, block: seen.append((block.first, block.count, number)), first))
    wanted = [(block.first, block.count) for block in source.blocks(first)]
    assert sorted(one[:2] for one in seen) == wanted and {one[2] for one in seen} == {0, 1, 2}
    assert done == sorted(done) and done[-1] == len(source) and len(done) > 1


def test_a_search_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    scorers, source = opened(tmp_path, 1)
    wanted, asked = search(scorers, TOPICS, source, k=20, threads=1), list[int]()

    def killed() -> bool:
        asked.append(1)
        return len(asked) > 24

    state = tmp_path / "state"
    with pytest.raises(SearchCancelled):
        search(scorers, TOPICS, source, k=20, threads=2, state=state, save_every_s=0, cancelled=killed)
    with np.load(state, allow_pickle=False) as kept:
        position = int(kept["position"])
    assert 0 < position < len(source)
    blocks: list[int] = []
    scorers[0].score = lambda block, score=scorers[0].score: (blocks.append(block.first), score(block))[1]
    found = search(scorers, TOPICS, source, k=20, threads=2, state=state)
    assert min(blocks) == position and not state.exists()
    for name, lists in wanted.items():
        assert [one.shots for one in found[name]] == [one.shots for one in lists]


def test_an_error_of_a_thread_ends_all_and_is_told(tmp_path: Path) -> None:
    make_store(tmp_path, np.ones((100, 8)))
    stored = np.lib.format.open_memmap(tmp_path / "vectors.npy", mode="r+")
    stored[77] = np.nan
    stored.flush()
    store = FeatureStore(without_hashes(tmp_path))
    scorer = CosineScorer("x", np.ones((1, 8)), topics=["1"], store=store, feature="f", query_spec=store.spec)
    with pytest.raises(DataError) as error:
        search([scorer], ["1"], BlockSource({"f": store}, block_rows=3), threads=3)
    assert store.ids[77] in str(error.value)


def test_the_other_threads_end_after_their_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, source = opened(tmp_path, 5)
    flags: list[threading.Event] = []

    def flag() -> threading.Event:
        flags.append(threading.Event())
        return flags[-1]

    monkeypatch.setattr("avs.ranking.split.threading", SimpleNamespace(Event=flag))
    worked: list[int] = []

    def work(number: int, block: Block) -> None:
        if number == 0:
            raise ValueError("stop")
        worked.append(block.first)
        assert flags[0].wait(60)

    with pytest.raises(ValueError, match="stop"):
        list(SplitSource(source, 2).rounds(work))
    assert len(worked) <= 1


def test_the_threads_of_torch_are_as_before(tmp_path: Path) -> None:
    scorers, source = opened(tmp_path, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        search(scorers, TOPICS, source)
        found = [torch.get_num_threads()]
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert found == [2, 2]
    finally:
        torch.set_num_threads(before)


def test_scorers_that_do_not_say_so_are_asked_by_one_thread(tmp_path: Path) -> None:
    from threading import get_ident

    scorers, source = opened(tmp_path, 3)
    asked: set[int] = set()

    class Alone:
        name, features, fingerprint = "alone", ("all",), "alone"

        def score(self, block: Block):  # type: ignore[no-untyped-def]
            asked.add(get_ident())
            return scorers[0].score(block)

    search([Alone()], TOPICS, source, threads=4)
    assert asked == {get_ident()}


def test_how_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, source = opened(tmp_path, 4)
    blocks = len(source.borders()) - 1
    assert threads_for(source, 4) == 4 and threads_for(source, 1000) == blocks
    monkeypatch.setattr("avs.ranking.split.WORTH_SPLITTING", len(source) + 1)
    assert threads_for(source, 4) == 1
