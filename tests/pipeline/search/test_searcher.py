"""A Searcher: systems opened once, any number of questions, any subset of systems and shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoints import make_clip
from tiny_collection import TinyCollection
from tiny_stores import make_store, without_hashes

from avs.cli.main import main
from avs.core.errors import AvsError, ConfigError, SpecMismatchError, UnknownIdError
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import Topic, TopicSet
from avs.features.embedder import read_spec
from avs.pipeline.search import searcher as searcher_module
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import System, model_system, store_system
from avs.ranking.score import SearchCancelled
from avs.train.checkpoint import read_checkpoint

TOPICS = TopicSet([Topic("901", "a dog in the forest"), Topic("902", "a house in the snow")])
SHOTS = 5000  # three blocks


@pytest.fixture(scope="module")
def model(collection: TinyCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "laff"
    features = [word for store in collection.stores for word in ("--store", str(store))]
    command = ["train-laff", "--captions", str(collection.captions), *features, "--text", "bow", "--quiet"]
    assert main([*command, "--heads", "2", "--head-dim", "16", "--epochs", "1", "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """A store of three blocks, made by a tiny CLIP."""
    root = tmp_path_factory.mktemp("large")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    vectors = np.random.default_rng(0).normal(size=(SHOTS, spec.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return open_features(make_store(root / "clip/shot", vectors, spec=spec).folder)


def same(one: Run, other: Run) -> bool:
    return one.topics == other.topics and all(
        one.lists[topic].shots == other.lists[topic].shots
        and np.array_equal(one.lists[topic].scores, other.lists[topic].scores)
        for topic in one.topics
    )


def test_a_trained_model_answers_again_and_again(collection: TinyCollection, model: Path) -> None:
    stores = [open_features(folder) for folder in collection.stores]
    searcher = Searcher([model_system(read_checkpoint(model))], stores)
    first, again = searcher.search(TOPICS)["laff"], searcher.search(TOPICS)["laff"]
    assert same(first, again)
    sentence = searcher.search("a dog in the forest")["laff"]
    assert sentence.topics == ("query",)
    assert sentence.lists["query"].shots == first.lists["901"].shots
    fresh = Searcher([model_system(read_checkpoint(model))], stores)
    assert same(fresh.search(TOPICS)["laff"], first)


def test_bfloat16_answers_again_as_well(collection: TinyCollection, model: Path) -> None:
    stores = [open_features(folder) for folder in collection.stores]
    searcher = Searcher([model_system(read_checkpoint(model))], stores, dtype="bfloat16")
    assert same(searcher.search(TOPICS)["laff"], searcher.search(TOPICS)["laff"])


def test_some_shots_rank_among_themselves_as_among_all(large: Features) -> None:
    searcher = Searcher([store_system(large)], [large])
    everything = searcher.search(TOPICS, k=SHOTS)["clip-shot"]
    chosen = set(large.ids[3::7])
    some = searcher.search(TOPICS, k=SHOTS, shots=chosen)["clip-shot"]
    for topic in TOPICS.ids:
        kept = [(s, v) for s, v in zip(everything.lists[topic].shots, everything.lists[topic].scores, strict=True)]
        wanted = [(shot, score) for shot, score in kept if shot in chosen]
        assert list(some.lists[topic].shots) == [shot for shot, _ in wanted]
        assert some.lists[topic].scores.tolist() == [score for _, score in wanted]  # to the last bit


def test_scores_of_given_shots_in_the_order_asked_for(large: Features) -> None:
    searcher = Searcher([store_system(large)], [large])
    ranked = searcher.search(TOPICS, k=SHOTS)["clip-shot"].lists["902"]
    score_of = dict(zip(ranked.shots, ranked.scores, strict=True))
    shots = [large.ids[4000], "shot99999_1", large.ids[7]]
    scores = searcher.scores(TOPICS, shots)["clip-shot"]
    assert scores.shape == (2, 3) and np.isnan(scores[:, 1]).all()
    assert [scores[1, 0], scores[1, 2]] == [score_of[shots[0]], score_of[shots[2]]]


def test_encoders_and_models_are_loaded_once(
    large: Features, collection: TinyCollection, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def count(name: str) -> None:
        load = getattr(searcher_module, name)
        monkeypatch.setattr(searcher_module, name, lambda one, **more: (loaded.append(name), load(one, **more))[1])

    count("load_embedder_for")
    count("load_trained")
    zero_shot = Searcher([store_system(large)], [large])
    trained = Searcher([model_system(read_checkpoint(model))], [open_features(folder) for folder in collection.stores])
    assert loaded == []  # nothing before the first question
    for _ in range(3):
        zero_shot.search(TOPICS, k=1)
        trained.search(TOPICS, k=1)
    assert sorted(loaded) == ["load_embedder_for", "load_trained"]


def test_a_subset_of_the_systems_reads_only_its_stores(collection: TinyCollection, model: Path) -> None:
    stores = [open_features(folder) for folder in collection.stores]
    own = make_store(collection.stores[0].parent / "alone/shot", np.ones((3, 2)))
    systems = [model_system(read_checkpoint(model)), System("alone", open_features(own.folder))]
    searcher = Searcher(systems, [*stores, systems[1].source])
    assert list(searcher.search(TOPICS, systems=["laff"])) == ["laff"]
    assert len(searcher.source([systems[0]])) == len(stores[0])
    assert len(searcher.source([systems[1]])) == 3
    with pytest.raises(ConfigError, match='unknown system "laf"; did you mean "laff"'):
        searcher.search(TOPICS, systems=["laf"])


def test_a_cancelled_search_ends_after_the_block(large: Features) -> None:
    searcher = Searcher([store_system(large)], [large])
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(SearchCancelled):
        searcher.search(TOPICS, cancelled=cancelled)
    assert len(asked) == 2
    assert searcher.search(TOPICS)["clip-shot"].topics == TOPICS.ids  # and the next question is answered


def test_what_is_refused(large: Features, collection: TinyCollection, model: Path) -> None:
    searcher = Searcher([store_system(large)], [large])
    with pytest.raises(UnknownIdError, match="shots that no store holds\n  got:    shot99999_1"):
        searcher.search(TOPICS, shots=["shot99999_1", large.ids[0]])
    with pytest.raises(AvsError, match="must be at least 1"):
        searcher.search(TOPICS, k=0)
    with pytest.raises(ConfigError, match='two systems are called "clip-shot"'):
        Searcher([store_system(large), store_system(large)], [large])
    with pytest.raises(ConfigError, match="there is nothing to search with"):
        Searcher([], [large])
    with pytest.raises(SpecMismatchError, match="where:  no stores"):
        Searcher.open([model])
    with pytest.raises(SpecMismatchError, match="the stores do not fit the checkpoint"):
        Searcher([model_system(read_checkpoint(model))], [large])
    with pytest.raises(ConfigError, match="unknown dtype of scores"):
        Searcher([store_system(large)], [large], dtype="float8")
    assert torch.is_grad_enabled()


def test_stores_without_a_common_shot_are_told(large: Features, capsys: pytest.CaptureFixture[str]) -> None:
    ids = (large.folder / "ids.txt").read_text()
    other = make_store(large.folder.parents[1] / "other/shot", np.asarray(large.vectors), spec=large.spec).folder
    without_hashes(other)
    (other / "ids.txt").write_text(ids.replace("shot", "shotx"))
    stores = [large, open_features(other)]
    searcher = Searcher([store_system(store) for store in stores], stores, reporter=Reporter(quiet=False))
    searcher.search(TOPICS, k=1)
    assert "have no shot in common: are they of one collection?" in capsys.readouterr().err
    searcher.search(TOPICS, k=1)
    assert "in common" not in capsys.readouterr().err  # once is enough
