from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import SPEC, make_store

from avs.core.errors import AvsError, ConfigError, DataError, MissingDependencyError, SpecMismatchError, StoreError
from avs.core.ranking import RankedList
from avs.core.store import FeatureStore
from avs.search.blocks import BlockSource
from avs.search.score import CpuScorer, DeviceScorer, search, shot_scores


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
    found = search(queries, topics, store, query_spec=store.spec, k=k, block_rows=block_rows)
    assert_same(found, brute_force(queries, topics, store, k))
    assert [len(ranked) for ranked in found] == [min(k, shots)] * len(topics)


@pytest.mark.parametrize("frame_score", ["max", "mean"])
@pytest.mark.parametrize("seed", range(12))
def test_frame_level_is_brute_force(tmp_path: Path, seed: int, frame_score: str) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 4, 8, 16], size=int(rng.integers(1, 60)))
    store = make_store(tmp_path, dyadic(rng, int(lengths.sum()), 8), lengths=lengths)
    queries, k, topics = dyadic(rng, 3, 8), int(rng.choice([1, 20, 1000])), ["1", "2", "3"]
    found = search(
        queries, topics, store, query_spec=store.spec, k=k, frame_score=frame_score, block_rows=int(rng.integers(1, 99))
    )
    assert_same(found, brute_force(queries, topics, store, k, frame_score))


def test_frames_of_any_number_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 7])
    store = make_store(tmp_path, rng.normal(size=(11, 8)), lengths=lengths, dtype="float32")
    query = rng.normal(size=(1, 8)).astype(np.float32)
    (found,) = search(query, ["1"], store, query_spec=store.spec, frame_score="mean")
    means = {shot: float((store.frames(shot) @ query[0]).mean()) for shot in store.ids}
    assert dict(zip(found.shots, found.scores, strict=True)) == pytest.approx(means, abs=1e-6)


def test_unit_vectors_in_float16(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(5000, 64)), rng.normal(size=(4, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    store = make_store(tmp_path, rows)
    found = search(queries, list("abcd"), store, query_spec=store.spec, k=200, block_rows=512)
    exact = queries.astype(np.float64) @ store.vectors.astype(np.float64).T
    for scores, ranked in zip(exact, found, strict=True):
        np.testing.assert_allclose(ranked.scores, np.sort(scores)[::-1][:200], atol=1e-6)
        np.testing.assert_allclose(ranked.scores, scores[store.index(ranked.shots)], atol=1e-6)


@pytest.mark.parametrize("scorer", ["cpu", "device"])
def test_vectors_that_are_not_normalised_are_compared_by_cosine(tmp_path: Path, scorer: str) -> None:
    rng = np.random.default_rng(0)
    spec = replace(SPEC, normalised=False)
    rows, query = rng.normal(size=(50, 8)) * rng.uniform(0.1, 9, size=(50, 1)), rng.normal(size=(1, 8))
    store = make_store(tmp_path, rows, spec=spec, dtype="float32")
    cosine = (rows @ query[0]) / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    if scorer == "cpu":
        (found,) = search(5 * query.astype(np.float32), ["1"], store, query_spec=store.spec, block_rows=16)
        np.testing.assert_allclose(found.scores, np.sort(cosine)[::-1], atol=1e-6)
    else:
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        one = DeviceScorer(unit, torch.device("cpu"), dtype="float32", normalise=True)
        scores = np.concatenate([s for _, s in one.stream(BlockSource(store, block_rows=16))], axis=1)
        np.testing.assert_allclose(scores[0], cosine, atol=1e-6)


@pytest.mark.parametrize("lengths", [None, np.array([2, 1, 5, 2])])
@pytest.mark.parametrize("block_rows", [1, 3, 64])
def test_the_scorer_for_accelerators_streams_the_same_scores(
    tmp_path: Path, lengths: np.ndarray | None, block_rows: int
) -> None:
    rng = np.random.default_rng(0)
    store, queries = make_store(tmp_path, dyadic(rng, 10, 8), lengths=lengths), dyadic(rng, 3, 8)
    streams = [
        [
            (block.first, shot_scores(scores.copy(), block, "max"))
            for block, scores in scorer.stream(BlockSource(store, block_rows=block_rows))
        ]
        for scorer in (
            CpuScorer(queries, normalise=False),
            DeviceScorer(queries, torch.device("cpu"), dtype="float32", normalise=False),
        )
    ]
    for ours, theirs in zip(*streams, strict=True):
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("lengths", [None, np.array([2, 1, 5, 2])])
def test_cuda_gives_the_lists_of_the_cpu(tmp_path: Path, lengths: np.ndarray | None) -> None:
    rng = np.random.default_rng(0)
    store, queries = make_store(tmp_path, dyadic(rng, 10, 8), lengths=lengths), dyadic(rng, 3, 8)
    on_cpu = search(queries, list("abc"), store, query_spec=store.spec)
    on_cuda = search(queries, list("abc"), store, query_spec=store.spec, device="cuda", block_rows=3)
    assert_same(on_cuda, on_cpu)


def test_a_query_of_another_encoder_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, np.ones((2, 8)))
    with pytest.raises(SpecMismatchError) as caught:
        search(np.ones((1, 8)), ["1"], store, query_spec=replace(SPEC, name="other", activation="quick_gelu"))
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
    with pytest.raises(DataError) as caught:
        search(np.ones((2, 8)), ["661", "662"], FeatureStore(tmp_path), query_spec=SPEC, block_rows=2)
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
        ({"block_rows": 0}, ConfigError, "got:    block_rows=0"),
        ({"frame_score": "min"}, ConfigError, "unknown frame score\n  got:    min\n  wanted: max, mean"),
        ({"device": "tpu"}, ConfigError, "unknown device\n  got:    tpu\n  wanted: cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, MissingDependencyError, "no such CUDA device\n  got:    cuda:99"),
        ({"dtype": "float8"}, ConfigError, "unknown dtype of scores"),
        ({"dtype": "bfloat16"}, ConfigError, "scores on the CPU are float32"),
    ],
)
def test_what_cannot_be_searched(tmp_path: Path, changes: dict, error: type[AvsError], text: str) -> None:
    store = make_store(tmp_path, np.ones((3, 8)))
    arguments = {"queries": np.ones((1, 8)), "topics": ["661"], "store": store, "query_spec": SPEC, **changes}
    with pytest.raises(error, match=text):
        search(**arguments)
