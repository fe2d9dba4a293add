"""A Searcher on a cluster, whose actors are threads here: they open the folders again, and find the same bytes."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ray import FakeSession, as_ray, node
from tiny_checkpoints import make_clip
from tiny_collection import TinyCollection
from tiny_stores import make_store

from avs.cli.main import main
from avs.cluster import search as search_module
from avs.cluster.placement import ClusterRequest
from avs.cluster.search_actor import SearchActor
from avs.core.errors import StoreError
from avs.core.features import Features, open_features
from avs.core.ranking import Run
from avs.core.topic import Topic, TopicSet
from avs.features.embedder import read_spec
from avs.pipeline.search import lists
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import model_system, store_system
from avs.train.checkpoint import read_checkpoint

TOPICS = TopicSet([Topic("901", "a dog in the forest"), Topic("902", "a house in the snow")])
SHOTS = 5000  # three blocks at shot level, more at frame level


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession([node(1), node(2)])
    monkeypatch.setattr(search_module, "ray_session", as_ray(session))
    return session


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of a tiny CLIP, with scores that tie: clip/shot, and clip/frame of one to three frames a shot."""
    root = tmp_path_factory.mktemp("large")
    spec, rng = read_spec("clip", weights=make_clip(root / "weights")), np.random.default_rng(0)
    few = rng.normal(size=(50, spec.dim))
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    lengths = rng.integers(1, 4, SHOTS)
    make_store(root / "clip/shot", few[rng.integers(0, 50, SHOTS)], spec=spec)
    make_store(root / "clip/frame", few[rng.integers(0, 50, lengths.sum())], lengths=lengths, spec=spec)
    return root


def bytes_of(runs: dict[str, Run]) -> dict[str, list[Any]]:
    return {
        name: [(topic, tuple(one.shots), np.asarray(one.scores).tobytes()) for topic, one in run.lists.items()]
        for name, run in runs.items()
    }


def same(searcher: Searcher, again: Searcher) -> bool:
    one = bytes_of(searcher.search(TOPICS, k=100))
    return one == bytes_of(again.search(TOPICS, k=100, cluster=ClusterRequest())) and len(one) == len(searcher.systems)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stores_of_both_levels(root: Path, session: FakeSession, dtype: str) -> None:
    stores = [open_features(root / "clip" / level) for level in ("shot", "frame")]
    systems = [store_system(stores[0]), store_system(stores[1], frame_score="mean")]
    assert same(Searcher(systems, stores, dtype=dtype), Searcher(systems, stores, dtype=dtype))
    assert len(session.started) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_trained_model_is_opened_by_every_actor(collection: TinyCollection, tmp_path: Path, dtype: str) -> None:
    features = [word for store in collection.stores for word in ("--store", str(store))]
    command = ["train-laff", "--captions", str(collection.captions), *features, "--text", "bow", "--quiet"]
    assert main([*command, "--heads", "2", "--head-dim", "16", "--epochs", "1", "-o", str(tmp_path / "laff")]) == 0
    stores: list[Features] = [open_features(folder) for folder in collection.stores]
    systems = [model_system(read_checkpoint(tmp_path / "laff"))]
    assert same(Searcher(systems, stores, dtype=dtype), Searcher(systems, stores, dtype=dtype))


def test_a_node_that_sees_another_store_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SearchActor._opened

    def elsewhere(self: SearchActor, opening: Any, *arguments: Any) -> list[int]:
        opening = pickle.loads(pickle.dumps(opening))
        moved = {name: (root / "clip/frame", mark) for name, (_, mark) in opening.stores.items()}
        return original(self, replace(opening, stores=moved), *arguments)

    monkeypatch.setattr(SearchActor, "_opened", elsewhere)
    store = open_features(root / "clip/shot")
    with pytest.raises(StoreError, match="a node sees something else in this folder") as caught:
        Searcher([store_system(store)], [store]).search(TOPICS, cluster=ClusterRequest())
    assert caught.value.where == root / "clip/frame"


def test_the_command_writes_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[ClusterRequest] = []
    monkeypatch.setattr(lists, "require_room", asked.append)
    (tmp_path / "topics.txt").write_text("901 a dog in the forest\n902 a house in the snow\n")
    words = ["search", "--topics", str(tmp_path / "topics.txt"), "--store", str(root / "clip/frame"), "--json"]
    assert main([*words, "-o", str(tmp_path / "one.trec")]) == 0
    (tmp_path / ".other.state.npz").write_bytes(b"of a search that was killed")
    assert main([*words, "-o", str(tmp_path / "other.trec"), "--cluster", "ray"]) == 0
    one, other = ((tmp_path / f"{name}.trec").read_bytes() for name in ("one", "other"))
    assert asked == [ClusterRequest()]
    assert one.replace(b" one\n", b" other\n") == other and one != other
    assert not (tmp_path / ".other.state.npz").exists()
    assert json.loads(capsys.readouterr().out.split("\n}\n")[0] + "}")["shots"] == SHOTS
    words[-1:] = ["--quiet", "--actors", "2", "-o", str(tmp_path / "x.trec")]
    assert main(words) == 2 and "give --cluster ray, too" in capsys.readouterr().err
    assert main([*words, "--cluster", "ray", "--device", "cuda:1"]) == 2
    assert "a cluster chooses the GPUs; give cpu or cuda" in capsys.readouterr().err
