from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_stores import SPEC, make_store, without_hashes

from avs.core.errors import AvsError, ConfigError, DataError, SpecMismatchError, StoreError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.ranking import score as score_module
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.cosine import CosineScorer
from avs.ranking.score import search


def search_store(
    queries: np.ndarray,
    topics: list[str],
    store: FeatureStore,
    *,
    query_spec: EmbedderSpec | None = None,
    frame_score: str = "max",
    k: int = 1000,
    **how: object,
) -> list[RankedList]:
    """One store, searched zero-shot."""
    scorer = CosineScorer(
        "x",
        queries,
        topics=topics,
        store=store,
        feature="f",
        query_spec=query_spec or store.spec,
        frame_score=frame_score,
    )
    return search([scorer], topics, BlockSource({"f": store}, **how), k=k)["x"]


def dyadic(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small multiples of 1/8: their products and sums are exact in float32 in whatever order they are added."""
    values = rng.integers(-8, 8, size=shape, endpoint=True).astype(np.float32) / 8
    values[..., 0] = 1
    return values


def brute_force(
    queries: np.ndarray, topics: list[str], store: FeatureStore, k: int, frame_score: str = "max"
) -> list[RankedList]:
    """Shot by shot, frame by frame, in float64."""
    score = {"max": max, "mean": lambda values: np.float32(sum(values)) / np.float32(len(values))}[frame_score]
    lists = []
    for topic, query in zip(topics, queries, strict=True):
        scores = [score([float(query @ row) for row in store.frames(shot).astype(np.float64)]) for shot in store.ids]
        lists.append(RankedList.from_scores(topic, store.ids, scores, limit=k))
    return lists


def assert_same(found: list[RankedList], wanted: list[RankedList]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.topic, ours.shots) == (theirs.topic, theirs.shots)
        np.testing.assert_array_equal(ours.scores, theirs.scores)


@pytest.mark.parametrize("seed", range(25))
def test_shot_level_is_brute_force(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots, dim, topics = (
        int(rng.integers(1, 300)),
        int(rng.integers(2, 40)),
        [str(t) for t in range(rng.integers(1, 7))],
    )
    rows = dyadic(rng, shots, dim)
    rows[rng.integers(0, shots, size=shots // 3)] = rows[0]  # the same shot again and again: ties
    store = make_store(tmp_path, rows, dtype=str(rng.choice(["float16", "float32"])))
    queries, k = dyadic(rng, len(topics), dim), int(rng.choice([1, 5, 60, 1000]))
    block_rows = int(rng.choice([1, 3, 17, 64, 4096]))
    found = search_store(queries, topics, store, k=k, block_rows=block_rows)
    assert_same(found, brute_force(queries, topics, store, k))
    assert [len(ranked) for ranked in found] == [min(k, shots)] * len(topics)


@pytest.mark.parametrize("frame_score", ["max", "mean"])
@pytest.mark.parametrize("seed", range(12))
def test_frame_level_is_brute_force(tmp_path: Path, seed: int, frame_score: str) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 4, 8, 16], size=int(rng.integers(1, 60)))
    store = make_store(tmp_path, dyadic(rng, int(lengths.sum()), 8), lengths=lengths)
    queries, k, topics = dyadic(rng, 3, 8), int(rng.choice([1, 20, 1000])), ["1", "2", "3"]
    found = search_store(queries, topics, store, k=k, frame_score=frame_score, block_rows=int(rng.integers(1, 99)))
    assert_same(found, brute_force(queries, topics, store, k, frame_score))


def test_frames_of_any_number_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 7])
    store = make_store(tmp_path, rng.normal(size=(11, 8)), lengths=lengths, dtype="float32")
    query = rng.normal(size=(1, 8)).astype(np.float32)
    (found,) = search_store(query, ["1"], store, frame_score="mean")
    means = {shot: float((store.frames(shot) @ query[0]).mean()) for shot in store.ids}
    assert dict(zip(found.shots, found.scores, strict=True)) == pytest.approx(means, abs=1e-6)


def test_unit_vectors_in_float16(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(5000, 64)), rng.normal(size=(4, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    store = make_store(tmp_path, rows)
    found = search_store(queries, list("abcd"), store, k=200, block_rows=512)
    exact = queries.astype(np.float64) @ store.vectors.astype(np.float64).T
    for scores, ranked in zip(exact, found, strict=True):
        np.testing.assert_allclose(ranked.scores, np.sort(scores)[::-1][:200], atol=1e-6)
        np.testing.assert_allclose(ranked.scores, scores[store.index(ranked.shots)], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_that_are_not_normalised_are_compared_by_cosine(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    spec = replace(SPEC, normalised=False)
    rows, query = rng.normal(size=(50, 8)) * rng.uniform(0.1, 9, size=(50, 1)), rng.normal(size=(1, 8))
    store = make_store(tmp_path, rows, spec=spec, dtype="float32")
    cosine = (rows @ query[0]) / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    (found,) = search_store(5 * query.astype(np.float32), ["1"], store, dtype=dtype, block_rows=16)
    np.testing.assert_allclose(
        found.scores, cosine[store.index(found.shots)], atol=1e-6 if dtype == "float32" else 0.02
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("lengths", [None, np.array([2, 1, 5, 2])])
def test_cuda_gives_the_lists_of_the_cpu(tmp_path: Path, lengths: np.ndarray | None) -> None:
    rng = np.random.default_rng(0)
    store, queries = make_store(tmp_path, dyadic(rng, 10, 8), lengths=lengths), dyadic(rng, 3, 8)
    on_cpu = search_store(queries, list("abc"), store)
    on_cuda = search_store(queries, list("abc"), store, device="cuda", block_rows=3)
    assert_same(on_cuda, on_cpu)


def test_a_query_of_another_encoder_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, np.ones((2, 8)))
    with pytest.raises(SpecMismatchError) as caught:
        search_store(np.ones((1, 8)), ["1"], store, query_spec=replace(SPEC, name="other", activation="quick_gelu"))
    assert str(caught.value) == (
        f"the encoder does not match the store: name, activation differ\n  where:  {tmp_path}\n"
        "  got:    name=other, activation=quick_gelu\n  wanted: name=tiny, activation=gelu\n"
        "  next:   encode the topics with the model the store was made with (`avs info STORE` names it)"
    )


def test_a_vector_that_is_not_finite_names_its_shot(tmp_path: Path) -> None:
    make_store(tmp_path, np.ones((9, 8)))
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r+")
    vectors[4, 3] = np.nan
    vectors.flush()
    without_hashes(tmp_path)
    with pytest.raises(DataError) as caught:
        search_store(np.ones((2, 8)), ["661", "662"], FeatureStore(tmp_path), query_spec=SPEC, block_rows=2)
    assert "  where:  shot00001_5, topic 661\n  got:    nan" in str(caught.value)


def test_a_store_left_half_written_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path, np.ones((2, 8)))
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(StoreError, match="the store is not complete"):
        FeatureStore(tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        (
            {"queries": np.ones((2, 8))},
            DataError,
            r"queries of the wrong shape\n  got:    \(2, 8\)\n  wanted: \(1, 8\)",
        ),
        ({"queries": np.ones((1, 7))}, DataError, "queries of the wrong shape"),
        ({"queries": np.full((1, 8), np.nan)}, DataError, "zero or not finite\n  where:  topic 661"),
        ({"queries": np.zeros((1, 8))}, DataError, "zero or not finite\n  where:  topic 661"),
        ({"k": 0}, ConfigError, "at least 1\n  got:    k=0"),
        ({"frame_score": "min"}, ConfigError, "unknown frame score\n  got:    min\n  wanted: max, mean"),
    ],
)
def test_what_cannot_be_searched(tmp_path: Path, changes: dict, error: type[AvsError], text: str) -> None:
    store = make_store(tmp_path, np.ones((3, 8)))
    arguments = {"queries": np.ones((1, 8)), "topics": ["661"], "store": store, "query_spec": SPEC, **changes}
    with pytest.raises(error, match=text):
        search_store(**arguments)


def scorers_of(stores: dict[str, FeatureStore], topics: list[str], rng: np.random.Generator) -> list[CosineScorer]:
    return [
        CosineScorer(
            f"by {name}",
            dyadic(rng, len(topics), store.spec.dim),
            topics=topics,
            store=store,
            feature=name,
            query_spec=store.spec,
        )
        for name, store in stores.items()
    ]


def three_stores(folder: Path, rng: np.random.Generator) -> dict[str, FeatureStore]:
    """Two of 60 shots, and one of the first 41 of them; with many ties."""
    lengths = rng.choice([1, 2, 4], size=60)
    rows = dyadic(rng, 60, 4)
    rows[10:40] = rows[0]
    return {
        "a": make_store(folder / "a", rows),
        "b": make_store(folder / "b", dyadic(rng, int(lengths.sum()), 6), lengths=lengths),
        "c": make_store(folder / "c", dyadic(rng, 41, 5)),
    }


@pytest.mark.parametrize("seed", range(5))
def test_one_pass_gives_the_lists_of_a_pass_each(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stores, topics = three_stores(tmp_path, rng), ["661", "662"]
    scorers = scorers_of(stores, topics, rng)
    found = search(scorers, topics, BlockSource(stores, block_rows=int(rng.integers(1, 40))), k=20)
    assert list(found) == ["by a", "by b", "by c"]
    for scorer, (name, store) in zip(scorers, stores.items(), strict=True):
        assert_same(found[scorer.name], brute_force(scorer.queries, topics, store, 20))
        assert_same(found[scorer.name], search([scorer], topics, BlockSource({name: store}), k=20)[scorer.name])


def test_a_shot_without_the_feature_enters_no_list(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stores = three_stores(tmp_path, rng)
    found = search(scorers_of(stores, ["1"], rng), ["1"], BlockSource(stores, block_rows=7))
    assert sorted(found["by c"][0].shots) == sorted(stores["c"].ids)
    assert len(found["by a"][0]) == 60


class Fails(CosineScorer):
    """Scores some blocks, then no more."""

    left = 10**9

    def score(self, block: Block) -> tuple[torch.Tensor, np.ndarray | None]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().score(block)


@pytest.mark.parametrize("after", [0, 1, 4, 11])
@pytest.mark.parametrize("k", [3, 25, 1000])
def test_a_search_that_was_killed_goes_on(
    tmp_path: Path, after: int, k: int, capsys: pytest.CaptureFixture[str]
) -> None:
    topics, state = ["661", "662"], tmp_path / "state.npz"

    def run(left: int, **how: object) -> dict[str, list[RankedList]]:
        rng = np.random.default_rng(0)
        scorers = scorers_of(stores, topics, rng)
        last = Fails(
            "by c", scorers[2].queries, topics=topics, store=stores["c"], feature="c", query_spec=stores["c"].spec
        )
        last.left = left
        source = BlockSource(stores, block_rows=5)
        return search([*scorers[:2], last], topics, source, k=k, reporter=Reporter(quiet=False), **how)

    stores = three_stores(tmp_path, np.random.default_rng(1))
    whole = run(10**9)
    blocks = len(list(BlockSource(stores, block_rows=5).blocks()))
    assert blocks > 12
    with pytest.raises(KeyboardInterrupt):
        run(after, state=state, save_every_s=0)
    assert state.exists() == (after > 0)
    capsys.readouterr()
    again = run(blocks - after, state=state, save_every_s=0)  # would be interrupted if it scored a block twice
    assert ("resuming after the" in capsys.readouterr().err) == (after > 0)
    for name in whole:
        assert_same(again[name], whole[name])
    assert not state.exists()


def test_the_state_of_another_search_is_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores, state, topics = three_stores(tmp_path, np.random.default_rng(0)), tmp_path / "state.npz", ["1", "2"]

    def run(k: int, *, left: int = 10**9, seed: int = 0) -> dict[str, list[RankedList]]:
        query = dyadic(np.random.default_rng(seed), 2, 4)
        scorer = Fails("x", query, topics=topics, store=stores["a"], feature="a", query_spec=stores["a"].spec)
        scorer.left = left
        source = BlockSource({"a": stores["a"]}, block_rows=9)
        return search([scorer], topics, source, k=k, state=state, save_every_s=0, reporter=Reporter(quiet=False))

    for k, seed in ((5, 0), (4, 1)):
        with pytest.raises(KeyboardInterrupt):
            run(4, left=2)
        capsys.readouterr()
        found = run(k, seed=seed)
        assert f"{state} belongs to another search; this search starts from the first shot" in capsys.readouterr().err
        assert_same(found["x"], brute_force(dyadic(np.random.default_rng(seed), 2, 4), topics, stores["a"], k))
    state.write_bytes(b"not an archive")
    assert_same(run(5)["x"], brute_force(dyadic(np.random.default_rng(0), 2, 4), topics, stores["a"], 5))


def test_scorers_that_do_not_fit(tmp_path: Path) -> None:
    store = make_store(tmp_path, np.ones((3, 8)))
    (scorer,) = scorers_of({"a": store}, ["1"], np.random.default_rng(0))
    with pytest.raises(ConfigError, match="there is nothing to score with"):
        search([], ["1"], BlockSource({"a": store}))
    with pytest.raises(ConfigError, match="two scorers of one name\n  got:    by a"):
        search([scorer, scorer], ["1"], BlockSource({"a": store}))
    with pytest.raises(ConfigError, match="by a needs features that no store gives\n  got:    b\n  wanted: a"):
        search([scorer], ["1"], BlockSource({"b": store}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_block_comes_out_once_and_in_order_whether_the_next_is_read_first_or_not(device: str) -> None:
    read: list[int] = []

    def blocks(first: int, stop: None) -> Iterator[int]:
        for number in range(first, 4):
            read.append(number)
            yield number

    source = SimpleNamespace(device=SimpleNamespace(type=device), blocks=blocks)
    scorer = SimpleNamespace(name="x", score=lambda block: block * 10)
    found = [(block, scores, len(read)) for block, scores in score_module._scored([scorer], source, 1)]  # type: ignore
    assert [(block, scores["x"]) for block, scores, _ in found] == [(1, 10), (2, 20), (3, 30)]
    assert [ahead for *_, ahead in found] == ([1, 2, 3] if device == "cpu" else [2, 3, 3])
