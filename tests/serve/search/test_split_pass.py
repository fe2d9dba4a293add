"""Passes by several threads give the lists and scores of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from live_server import TinyServed
from tiny_stores import make_store

from avs.features.embedder import read_spec
from avs.ranking.score import SearchCancelled, search
from avs.serve.journal.marks import MarkBook
from avs.serve.opened.collection import Collection, open_collection
from avs.serve.search.engine import Engine
from avs.serve.search.scorers import ask
from avs.serve.search.split_pass import SplitPass
from avs.serve.shapes import QueryPart


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small collection is cut for threads as a large one."""
    monkeypatch.setattr("avs.ranking.split.WORTH_SPLITTING", 1)
    monkeypatch.setattr("avs.ranking.blocks.CPU_BLOCK_ROWS", 7)


def opened(tiny: TinyServed, work: Path, **more: object) -> Collection:
    return open_collection(tiny.options(work, **more), lambda what, done, of: None)


def scorers_of(collection: Collection, *texts: str):
    engine = Engine(collection, MarkBook(None, 1), lambda name: np.empty(0))
    return list(
        ask(collection, engine.vectors, [QueryPart(text=text) for text in texts], [*collection.stores]).scorers.values()
    )


def never() -> bool:
    return False


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("level", ["shot", "frame"])
def test_lists_and_tables(tiny: TinyServed, tmp_path: Path, k: int, level: str) -> None:
    more: dict[str, object] = {}
    if level == "frame":
        spec = read_spec("clip", weights=tiny.root / "weights-one")
        lengths = np.random.default_rng(1).integers(1, 5, 60)
        vectors = np.random.default_rng(2).normal(size=(int(lengths.sum()), spec.dim))
        make_store(
            tmp_path / "f/frame", vectors / np.linalg.norm(vectors, axis=1, keepdims=True), lengths=lengths, spec=spec
        )
        more = {"stores": [tmp_path / "f/frame"]}
    collection = opened(tiny, tmp_path, **more)
    split, whole = SplitPass(collection), SplitPass(collection)
    split.threads, whole.threads = 3, 1
    one = scorers_of(collection, "a dog")
    systems = [collection.searcher.systems[name] for name in collection.stores]
    wanted = search(one, ["t"], collection.searcher.source(systems), k=k)
    found = split.lists(one, "t", None, k=k, cancelled=never)
    for name, (ranked,) in wanted.items():
        assert found[name].shots == ranked.shots
        np.testing.assert_allclose(found[name].scores, ranked.scores, atol=1e-6)
    allowed = np.random.default_rng(0).random(60) < 0.3
    some, those = (p.lists(one, "t", allowed, k=k, cancelled=never) for p in (split, whole))
    for name in some:
        assert some[name].shots == those[name].shots
        assert all(allowed[collection.columns.row(shot)] for shot in some[name].shots)
    two = scorers_of(collection, "a dog", "a red circle")
    for mine, theirs in zip(split.tables(two, 2, cancelled=never), whole.tables(two, 2, cancelled=never), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_ties_over_the_parts_are_broken_by_id(tiny: TinyServed, tmp_path: Path) -> None:
    spec = read_spec("clip", weights=tiny.root / "weights-one")
    vectors = np.tile(np.eye(spec.dim)[:1], (60, 1))
    make_store(tmp_path / "t/shot", vectors, spec=spec)
    collection = opened(tiny, tmp_path, stores=[tmp_path / "t/shot"])
    split = SplitPass(collection)
    split.threads = 4
    found = split.lists(scorers_of(collection, "a"), "t", None, k=9, cancelled=never)["t-shot"]
    assert list(found.shots) == sorted(collection.columns.ids, reverse=True)[:9]


def test_all_threads_end_when_a_search_is_cancelled(tiny: TinyServed, tmp_path: Path) -> None:
    collection = opened(tiny, tmp_path)
    split = SplitPass(collection)
    with pytest.raises(SearchCancelled):
        split.lists(scorers_of(collection, "a"), "t", None, k=9, cancelled=lambda: True)
    assert len(split.lists(scorers_of(collection, "a"), "t", None, k=9, cancelled=never)["one-shot"]) == 9


def test_shots_that_a_store_lacks(tiny: TinyServed, tmp_path: Path) -> None:
    """A store of the first 40 shots beside one of all: they are searched together."""
    spec = read_spec("clip", weights=tiny.root / "weights-one")
    vectors = np.random.default_rng(5).normal(size=(40, spec.dim))
    make_store(tmp_path / "part/shot", vectors / np.linalg.norm(vectors, axis=1, keepdims=True), spec=spec)
    collection = opened(tiny, tmp_path, stores=[tiny.stores[1], tmp_path / "part/shot"])
    split = SplitPass(collection)
    found = split.lists(scorers_of(collection, "a dog"), "t", None, k=1000, cancelled=never)
    assert (len(found["two-shot"]), len(found["part-shot"])) == (60, 40)
    tables = split.tables(scorers_of(collection, "a dog", "b"), 2, cancelled=never)
    assert [int(np.isnan(table).sum()) for table in tables] == [0, 2 * 20]
