"""`avs rerank --method model` as a user runs it: a model that scores pairs, and one that reads several stores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids

import avs
from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.core.store import FeatureStore
from avs.features.embedder import read_spec
from avs.models.batch import Batch, Sequences
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec, write_trec

COUNT = 30
SHOTS = shot_ids(COUNT)
TOPICS = {"661": "a red car", "662": "two dogs run", "663": "a woman and a tree", "664": "blue sky"}
NEW = {"731": "a red dog", "732": "a car in the wind"}
SENTENCES = ["a red car", "two dogs run on the grass", "a woman", "blue sky", "a tree in the wind"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores, a tightTransf of the frames and a LAFF of two stores, lists of past and new topics, judgments."""
    root, rng = tmp_path_factory.mktemp("rerank-model"), np.random.default_rng(0)
    lengths = rng.integers(1, 6, COUNT)
    rows = rng.standard_normal((int(lengths.sum()), 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    spec = read_spec("mini-clip")
    make_store(root / "mini-clip/frame", rows, lengths=lengths, spec=spec)
    make_store(root / "mini-clip/shot", rows[:COUNT], spec=spec)
    make_store(root / "motion", rng.standard_normal((COUNT, 8)))
    lines = (f"{shot}#{n} {SENTENCES[(i + n) % 5]}\n" for i, shot in enumerate(SHOTS) for n in range(2))
    (root / "c.txt").write_text("".join(lines))
    for name, topics in (("past", TOPICS), ("new", NEW)):
        (root / f"{name}.txt").write_text("".join(f"{t} {text}\n" for t, text in topics.items()))
        lists = {t: RankedList.from_scores(t, SHOTS, rng.normal(size=COUNT)) for t in topics}
        write_trec(Run(lists, name), root / f"{name}.trec")
    rows_of_qrels = [f"1{t} 0 {shot} 1 {int(rng.random() < 0.3)}\n" for t in TOPICS for shot in SHOTS]
    (root / "qrels").write_text("".join(rows_of_qrels))
    common = ["--captions", str(root / "c.txt"), "--epochs", "1", "--batch-size", "8", "--quiet"]
    frames = ["--store", str(root / "mini-clip/frame"), "--backbone", "mini-clip", "--max-frames", "3"]
    assert main(["train-clip4clip", *common, *frames, "--head", "tightTransf", "-o", str(root / "tight")]) == 0
    shots = ["--store", str(root / "mini-clip/shot"), "--store", str(root / "motion"), "--text", "bow"]
    assert main(["train-laff", *common, *shots, "-o", str(root / "laff")]) == 0
    return root


def rerank(work: Path, *more: str, name: str = "past", model: str = "tight") -> list[str]:
    stores = ["mini-clip/frame"] if model == "tight" else ["mini-clip/shot", "motion"]
    line = ["rerank", str(work / f"{name}.trec"), "--topics", str(work / f"{name}.txt")]
    line += [word for store in stores for word in ("--store", str(work / store))]
    return [*line, "--method", "model", "--checkpoint", str(work / model), *more]


def failure(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return err


@torch.inference_mode()
def pair_scores(work: Path, text: str, shots: tuple[str, ...]) -> np.ndarray:
    """(N,) score of each pair by the tightTransf, one pair at a time."""
    trained, store = load_trained(read_checkpoint(work / "tight")), FeatureStore(work / "mini-clip/frame")
    query, scores = trained.embed([text], ["1"]), []
    for shot in shots:
        frames = torch.from_numpy(store.frames(shot).astype(np.float32))[None]
        sequences = {"mini-clip/frame": Sequences(frames, torch.tensor([frames.shape[1]]))}
        scores.append(trained.model.score(query, trained.model.embed_videos(Batch({}, sequences))).item())
    return np.array(scores)


def test_a_model_of_pairs_reorders_the_best_and_leaves_the_rest(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "x.trec"
    line = rerank(work, "--depth", "12", "--alpha", "0.25", "-o", str(made), "--json")
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "model"
    before, after = read_trec(work / "past.trec"), read_trec(made)
    for topic, text in TOPICS.items():
        old, new = before.lists[topic], after.lists[topic]
        assert new.shots[12:] == old.shots[12:]
        evidence = pair_scores(work, text, old.shots[:12])
        s, e = ((v - v.min()) / (v.max() - v.min()) for v in (old.scores[:12], evidence))
        wanted = RankedList.from_scores(topic, old.shots[:12], 0.25 * s + 0.75 * e)
        found = dict(zip(new.shots, new.scores, strict=True))
        np.testing.assert_allclose([found[shot] for shot in wanted.shots], wanted.scores, atol=1e-3)
    assert main(line) == 0
    assert "up to date" in capsys.readouterr().err
    manifest = json.loads(made.with_name(f"{made.name}.manifest.json").read_text())
    assert {"checkpoint", "store 1", "topics 1", "list"} <= set(manifest["inputs"])


def test_alpha_0_is_the_order_of_the_model_as_a_search_has_it(work: Path, tmp_path: Path) -> None:
    """LAFF can search: its own list is what reranking all shots with it gives."""
    made, searched = tmp_path / "x.trec", tmp_path / "searched.trec"
    assert main(rerank(work, "--alpha", "0", "-o", str(made), "--quiet", model="laff")) == 0
    stores = [word for store in ("mini-clip/shot", "motion") for word in ("--store", str(work / store))]
    topics = ["--topics", str(work / "past.txt"), "--checkpoint", str(work / "laff"), "-o", str(searched)]
    assert main(["search", *topics, *stores, "--quiet"]) == 0
    mine, its = read_trec(made), read_trec(searched)
    assert all(mine.lists[topic].shots == its.lists[topic].shots for topic in TOPICS)
    again = avs.rerank(
        read_trec(work / "past.trec"), avs.read_topics(work / "past.txt"), "model", alpha=0.0,
        store=[work / "mini-clip/shot", work / "motion"], checkpoint=work / "laff",
    )  # fmt: skip
    assert all(again.lists[topic].shots == mine.lists[topic].shots for topic in TOPICS)


def test_it_is_fitted_and_applied_with_the_same_model_only(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "reranker", ["-o", str(tmp_path / "x.trec")]
    fit = rerank(work, "--qrels", str(work / "qrels"), "--reranker", str(folder))
    assert main(fit) == 0
    assert "--store STORE --topics TOPICS --checkpoint CHECKPOINT --reranker" in capsys.readouterr().err
    apply = rerank(work, "--reranker", str(folder), *out, name="new")
    assert main(apply) == 0
    other = rerank(work, "--reranker", str(folder), *out, name="new", model="laff")
    assert "the reranker was fitted with another trained model" in failure(other, capsys)
    plain = [word for word in apply if word not in ("--checkpoint", str(work / "tight"))]
    assert "--method model needs --checkpoint" in failure(plain, capsys)


def test_shots_without_features_are_named_together(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign, out = tmp_path / "foreign.trec", ["-o", str(tmp_path / "x.trec")]
    shots = (SHOTS[0], "shot99999_1", "shot99999_2")
    write_trec(Run({t: RankedList(t, shots, np.array([3.0, 2, 1])) for t in TOPICS}, "foreign"), foreign)
    for model, said in (("tight", "not in the store"), ("laff", "no mini-clip, tiny")):
        err = failure(["rerank", str(foreign), *rerank(work, *out, model=model)[2:]], capsys)
        assert "2 of 3 candidates have no vector in" in err
        assert f"shot99999_1: {said}" in err and f"shot99999_2: {said}" in err
    assert not (tmp_path / "x.trec").exists()


def test_a_shot_that_lacks_one_of_several_features_is_scored_by_the_others(work: Path, tmp_path: Path) -> None:
    vectors = FeatureStore(work / "motion").vectors
    make_store(tmp_path / "motion", np.asarray(vectors)[:20])
    line = [w.replace(str(work / "motion"), str(tmp_path / "motion")) for w in rerank(work, model="laff")]
    assert main([*line, "-o", str(tmp_path / "x.trec"), "--quiet"]) == 0
    assert set(read_trec(tmp_path / "x.trec").lists["661"].shots) == set(SHOTS)


def test_what_does_not_fit_the_model_is_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.trec")]
    spec = replace(read_spec("mini-clip"), revision="sha256:other")
    make_store(tmp_path / "other/frame", np.ones((COUNT, 128)), lengths=np.ones(COUNT, dtype=int), spec=spec)
    line = [w.replace(str(work / "mini-clip/frame"), str(tmp_path / "other/frame")) for w in rerank(work, *out)]
    assert "the stores do not fit the checkpoint" in failure(line, capsys)
    alone = rerank(work, *out, model="laff")
    alone = alone[: alone.index(str(work / "motion")) - 1] + alone[alone.index(str(work / "motion")) + 1 :]
    assert "tiny: no store given" in failure(alone, capsys)
    (tmp_path / "t.txt").write_text("".join(f"{t} xyzzy plugh\n" for t in TOPICS))
    unknown = [w.replace(str(work / "past.txt"), str(tmp_path / "t.txt")) for w in rerank(work, *out, model="laff")]
    err = failure(unknown, capsys)
    assert "the model knows no word of 4 topics" in err and "661" in err
    assert "the stores" not in err
    two = ["--store", str(work / "motion"), "--method", "k-reciprocal", *out]
    list_of_two = ["rerank", str(work / "past.trec"), "--store", str(work / "mini-clip/shot"), *two]
    assert "--method k-reciprocal looks at one store" in failure(list_of_two, capsys)
    assert "--checkpoint is for model" in failure([*list_of_two, "--checkpoint", str(work / "laff")], capsys)
    assert "--method model needs --topics" in failure(
        ["rerank", str(work / "past.trec"), "--method", "model", "--checkpoint", str(work / "laff"), *out], capsys
    )


def test_a_model_that_was_selected_on_the_topics_is_named(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = tmp_path / "chosen"
    stores = [word for store in ("mini-clip/shot", "motion") for word in ("--store", str(work / store))]
    shutil.copy(work / "past.txt", tmp_path / "past.txt")
    recipe = {
        "collections": {"t": {"captions": str(work / "c.txt"), "features": stores[1::2]}},
        "validation": {"topics": str(work / "past.txt"), "qrels": str(work / "qrels"), "features": stores[1::2]},
        "text": ["bow"], "training": {"epochs": 1, "batch_size": 8},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    assert main(["train-laff", "--config", str(tmp_path / "recipe.yaml"), "--quiet", "-o", str(chosen)]) == 0
    line = [w.replace(str(work / "laff"), str(chosen)) for w in rerank(work, model="laff")]
    assert main([*line, "-o", str(tmp_path / "x.trec")]) == 0
    assert "was selected by xinfAP on" in capsys.readouterr().err
