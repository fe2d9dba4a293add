"""A trained model that was embedded over the collection gives the lists of `avs search`, and is embedded once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_collection import TinyCollection, tiny_collection

from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.errors import AvsError, DataError
from avs.core.ranking import RankedList
from avs.pipeline.serve_options import ServeOptions
from avs.ranking.blocks import BlockSource
from avs.serve.journal.marks import MarkBook
from avs.serve.opened import embedded as embedded_module
from avs.serve.opened.collection import Collection, open_collection
from avs.serve.opened.embedded import VECTORS, exact_list, margin
from avs.serve.search.engine import Engine, ServedAnswer
from avs.serve.search.plan import plan_search
from avs.serve.search.split_pass import SplitPass
from avs.serve.shapes import Filter, Query, QueryPart

SHOTS = 3000  # more than a list and its margin
TEXT = "a dog in the forest"


@pytest.fixture(autouse=True)
def by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are many shots."""
    monkeypatch.setattr("avs.ranking.split.WORTH_SPLITTING", 1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> TinyCollection:
    return tiny_collection(tmp_path_factory.mktemp("large"), seed=1, shots=SHOTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models "laff" and "other"."""
    folder = tmp_path_factory.mktemp("models")
    small = tiny_collection(folder / "small")
    for seed, name in enumerate(("laff", "other")):
        command = ["train-laff", *small.options, "--text", "bow", "--quiet", "--heads", "2", "--head-dim", "16"]
        assert main([*command, "--epochs", "1", "--seed", str(seed), "-o", str(folder / name)]) == 0
    return folder


def options(large: TinyCollection, model: Path, work: Path, **more: Any) -> ServeOptions:
    given = {"stores": large.stores, "embed": [model], "cache": work / "cache", "sessions": work / "s", "rescore": 10}
    return ServeOptions.model_validate({**given, **more})


def opened(given: ServeOptions, report: Callable[[str, int, int], None] = lambda what, done, of: None) -> Collection:
    return open_collection(given, report)


def answer(collection: Collection, **query: Any) -> ServedAnswer:
    book = MarkBook(None, 1)
    engine = Engine(collection, book, lambda name: np.empty(0))
    engine.split.threads = 3
    asked = Query(**{"parts": [QueryPart(text=TEXT)], "by": ["laff"], **query})
    return engine.first(plan_search(asked, collection, book), lambda: False)


def search(large: TinyCollection, model: Path, work: Path) -> RankedList:
    """The list of `avs search`."""
    from avs.trecvid.trec import read_trec

    (work / "topics.txt").write_text(f"901  {TEXT}\n", encoding="utf-8")
    stores = [word for store in large.stores for word in ("--store", str(store))]
    command = ["search", "--topics", str(work / "topics.txt"), "--checkpoint", str(model), *stores, "--quiet"]
    assert main([*command, "-o", str(work / "lists/laff.trec")]) == 0
    return read_trec(work / "lists/laff.trec").lists["901"]


def test_its_list_is_that_of_avs_search(large: TinyCollection, models: Path, tmp_path: Path) -> None:
    collection = opened(options(large, models / "laff", tmp_path))
    (facts,) = [one for one in collection.facts() if one.name == "laff"]
    assert facts.whole and facts.kind == "model" and facts.exact
    found, wanted = answer(collection), search(large, models / "laff", tmp_path)
    assert found.final and found.scored == {"laff": SHOTS} and not found.warnings
    assert found.shown.shots == wanted.shots
    np.testing.assert_allclose(found.shown.scores, wanted.scores, atol=1e-6)  # the model's own, not those of float16


def test_without_embeddings_it_scores_the_first_shots(large: TinyCollection, models: Path, tmp_path: Path) -> None:
    collection = opened(options(large, models / "laff", tmp_path, embed=[], checkpoints=[models / "laff"]))
    assert not collection.whole("laff")


def test_a_part_of_the_collection_and_sentences_with_a_weight(
    large: TinyCollection, models: Path, tmp_path: Path
) -> None:
    collection = opened(options(large, models / "laff", tmp_path))
    wanted = collection.searcher.scores(TEXT, collection.columns.ids, systems=["laff"])["laff"][0]
    videos = ["00003", "00004"]
    found = answer(collection, filter=Filter(videos=videos))
    rows = np.concatenate([np.arange(len(collection.columns))[slice_of(collection, video)] for video in videos])
    best = rows[np.argsort(-wanted[rows], kind="stable")]
    assert sorted(found.shown.shots) == sorted(collection.columns.ids[row] for row in rows.tolist())
    np.testing.assert_allclose(found.shown.scores, wanted[best], atol=1e-6)
    minus = collection.searcher.scores("a cat", collection.columns.ids, systems=["laff"])["laff"][0]
    part = QueryPart.model_validate({"text": TEXT, "minus": [{"text": "a cat", "weight": -0.5}]})
    found = answer(collection, parts=[part], k=100)
    np.testing.assert_allclose(found.shown.scores, np.sort(wanted - 0.5 * minus)[::-1][:100], atol=1e-5)


def slice_of(collection: Collection, video: str) -> slice:
    rows = collection.columns.rows_of(video)
    return slice(rows.start, rows.stop)


def test_several_parts_in_time_are_scored_by_the_embeddings(
    large: TinyCollection, models: Path, tmp_path: Path
) -> None:
    collection = opened(options(large, models / "laff", tmp_path))
    split = SplitPass(collection)
    from avs.serve.search.scorers import ask

    engine = Engine(collection, MarkBook(None, 1), lambda name: np.empty(0))
    parts = [QueryPart(text=TEXT), QueryPart(text="a cat")]
    scorers = list(ask(collection, engine.vectors, parts, ["laff"]).scorers.values())
    (table,) = split.tables(scorers, 2, cancelled=lambda: False)
    model, ids = ["laff"], collection.columns.ids
    wanted = [collection.searcher.scores(part.text or "", ids, systems=model)["laff"][0] for part in parts]
    np.testing.assert_allclose(table, wanted, atol=2**-11)


def test_a_killed_embedding_goes_on_where_it_was(
    large: TinyCollection, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avs.ranking.blocks.CPU_BLOCK_ROWS", 256)
    monkeypatch.setattr("avs.models.scorer.CPU_CHUNK_SHOTS", 100)
    whole = opened(options(large, models / "laff", tmp_path / "whole"))
    seen: list[int] = []

    def stop(what: str, done: int, of: int) -> None:
        if what.startswith("embeddings"):
            assert of == SHOTS
            seen.append(done)
            if done >= 1024 and seen[0] == 0:
                raise AvsError("stopped")

    given = options(large, models / "laff", tmp_path)
    with pytest.raises(AvsError, match="stopped"):
        opened(given, stop)
    folder = given.cache / "embedded-laff"
    assert json.loads((folder / ".progress.json").read_text())["rows"] == 1024
    assert not (folder / "manifest.json").exists()
    with open(folder / VECTORS, "ab") as file:
        file.write(b"what a kill left")
    seen.clear()
    resumed = opened(given, stop)
    assert seen == [*range(1024, SHOTS, 256), SHOTS]
    np.testing.assert_array_equal(resumed.embedded["laff"].vectors, whole.embedded["laff"].vectors)
    assert resumed.embedded["laff"].vectors.shape == (SHOTS, 32)
    assert resumed.embedded["laff"].vectors.dtype == np.float16
    assert not (folder / ".progress.json").exists() and not resumed.warnings
    assert read_manifest(folder)["type"] == "shot-embeddings"


def test_rows_of_another_model_are_not_gone_on_with(
    large: TinyCollection, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avs.ranking.blocks.CPU_BLOCK_ROWS", 256)

    def stop(what: str, done: int, of: int) -> None:
        if what.startswith("embeddings") and done >= 1024:
            raise AvsError("stopped")

    shutil.copytree(models / "laff", tmp_path / "laff")
    given = options(large, tmp_path / "laff", tmp_path)
    with pytest.raises(AvsError, match="stopped"):
        opened(given, stop)
    shutil.rmtree(tmp_path / "laff")
    shutil.copytree(models / "other", tmp_path / "laff")
    wanted = opened(options(large, models / "other", tmp_path / "whole")).embedded["other"].vectors
    np.testing.assert_array_equal(opened(given).embedded["laff"].vectors, wanted)


def test_they_are_made_once_and_anew_of_something_else(
    large: TinyCollection, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    embed = embedded_module._embed
    monkeypatch.setattr(embedded_module, "_embed", lambda *given: (made.append(str(given[3])), embed(*given)))
    shutil.copytree(models / "laff", tmp_path / "laff")
    stores = [Path(shutil.copytree(store, tmp_path / store.name)) for store in large.stores]
    given = options(large, tmp_path / "laff", tmp_path, stores=stores)
    assert not opened(given).warnings and not opened(given).warnings
    assert len(made) == 1
    vectors = given.cache / "embedded-laff" / VECTORS
    with open(vectors, "rb+") as file:
        file.truncate(vectors.stat().st_size - 64)
    again = opened(given).warnings
    assert len(made) == 2 and "vectors.npy was changed" in again[0]
    shutil.rmtree(tmp_path / "laff")
    shutil.copytree(models / "other", tmp_path / "laff")
    again = opened(given).warnings
    assert len(made) == 3 and again == ["the embeddings of laff were made anew: another checkpoint"]
    shutil.rmtree(stores[1])
    shutil.copytree(tiny_collection(tmp_path / "third", seed=2, shots=SHOTS).stores[1], stores[1])
    again = opened(given).warnings
    assert len(made) == 4 and again == ["the embeddings of laff were made anew: another store two"]
    assert not opened(given).warnings and len(made) == 4


def test_it_may_be_named_as_a_checkpoint_too(large: TinyCollection, models: Path, tmp_path: Path) -> None:
    given = options(large, models / "laff", tmp_path, checkpoints=[models / "other", models / "laff/best"])
    collection = opened(given)
    assert list(collection.models) == ["other", "laff"] and list(collection.embedded) == ["laff"]
    assert collection.whole("laff") and not collection.whole("other")


def test_embeddings_that_float16_does_not_hold(
    large: TinyCollection, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avs.models.scorer import PackedModel

    embed = PackedModel.embed

    def far(self: PackedModel, batch: Any) -> Any:
        rows = embed(self, batch).clone()
        rows[3, 0] = 1e6
        return rows

    monkeypatch.setattr(PackedModel, "embed", far)
    with pytest.raises(DataError, match="float16") as error:
        opened(options(large, models / "laff", tmp_path))
    assert error.value.where == "shot00001_4"


def test_a_disk_without_room_is_told_before_the_work(
    large: TinyCollection, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(AvsError, match="no room"):
        opened(options(large, models / "laff", tmp_path))


class Fixed:
    """A coarse scorer and its exact side, which scores shots by a table."""

    name = "fixed"

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    @property
    def exact(self) -> Fixed:
        return self

    features = ("f",)
    fingerprint = "fixed"

    def score(self, block: Any) -> Any:
        import torch

        return torch.from_numpy(self.scores[None, block.first : block.first + block.count]), None


@pytest.mark.parametrize(("gap", "sure"), [(0.1, True), (1e-4, False)])
def test_a_list_says_whether_other_shots_could_be_in_it(gap: float, sure: bool) -> None:
    k = 8
    count = k + margin(k)
    ids = tuple(f"shot00001_{n}" for n in range(1, count + 1))
    rows = SimpleNamespace(ids=ids, vectors=np.zeros((count, 2), dtype=np.float32), offsets=None)
    coarse = (-gap * np.arange(count)).astype(np.float32)
    exact = coarse + np.float32(0.01) * (np.arange(count) % 2).astype(np.float32)
    candidates = RankedList.from_scores("t", ids, coarse, limit=count)
    found, told = exact_list(Fixed(exact), candidates, BlockSource({"f": rows}), k=k)
    assert told is sure and len(found) == k
    assert list(found.scores) == sorted(exact.tolist(), reverse=True)[:k]
