"""`avs extract-features --raw-length`: vectors as the tower gives them, and everything that compares them by cosine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_blip2, make_clip
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.features import open_features
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder, load_embedder_for, read_spec
from avs.features.recipe import EncoderRecipe, ExtractionRecipe
from avs.pipeline.extract import extraction_recipe
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec
from avs.video.folder import VideoFolder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films, captions, topics, a CLIP, and its frames in `unit/clip/frame` and `raw/clip/frame`."""
    root = tmp_path_factory.mktemp("raw")
    write_collection(root)
    make_clip(root / "clip")
    assert main(extract(root, root / "unit")) == 0
    assert main(extract(root, root / "raw", "--raw-length")) == 0
    ids = open_features(root / "unit/clip/frame").ids
    sentences = ["a red car", "two dogs", "sky"]
    lines = (f"{shot}#{n} {sentences[(i + n) % 3]}\n" for i, shot in enumerate(ids) for n in range(2))
    (root / "c.txt").write_text("".join(lines))
    (root / "topics.txt").write_text("901 a red car\n902 two dogs\n")
    return root


def extract(work: Path, output: Path, *more: str) -> list[str]:
    where = ["--videos", str(work / "videos"), "--shots", str(work / "shots.tsv"), "-o", str(output)]
    clip = ["--model", "clip", "--weights", str(work / "clip")] if "--model" not in more else []
    level = ["--level", "frame"] if "--level" not in more else []
    dtype = ["--store-dtype", "float32", "--workers", "0", "--quiet"]
    return ["extract-features", *where, *clip, *level, *dtype, *more]


def test_they_are_the_towers_own(work: Path) -> None:
    raw, unit = (FeatureStore(work / name / "clip/frame") for name in ("raw", "unit"))
    assert not raw.spec.normalised and unit.spec.normalised
    clip = load_embedder("clip", weights=work / "clip", unit_length=False)
    (first, *_) = VideoFolder({"00001": work / "videos/00001.mp4"}).read("00001", [_first_shot(work)])
    np.testing.assert_allclose(raw.frames("shot00001_1"), clip.encode_images(clip.preprocess(first.data)), atol=1e-5)
    lengths = np.linalg.norm(raw.vectors, axis=1, keepdims=True)
    assert lengths.std() > 1e-3, "all frames have one length"
    np.testing.assert_allclose(raw.vectors / lengths, unit.vectors, atol=1e-6)
    assert np.linalg.norm(load_embedder_for(raw.spec).encode_texts(["a dog"])) == pytest.approx(1)
    assert load_embedder_for(raw.spec).spec == raw.spec == read_spec("clip", weights=work / "clip", unit_length=False)
    assert main(["info", str(raw.folder), "--verify"]) == 0


def _first_shot(work: Path):  # type: ignore[no-untyped-def]
    from avs.core.shots import read_shot_table

    return next(iter(read_shot_table(work / "shots.tsv")))


@pytest.mark.parametrize("frame_score", ["max", "mean"])
def test_a_search_compares_directions(work: Path, tmp_path: Path, frame_score: str) -> None:
    for name in ("raw", "unit"):
        line = ["search", "--topics", str(work / "topics.txt"), "--store", str(work / name / "clip/frame")]
        assert main([*line, "--frame-score", frame_score, "-o", str(tmp_path / f"{name}.trec"), "--quiet"]) == 0
    _same_lists(tmp_path / "raw.trec", tmp_path / "unit.trec")


@pytest.mark.parametrize(
    "method", [["clip", "--alpha", "0.5"], ["k-reciprocal", "--alpha", "0.5"], ["near-duplicates"]]
)
def test_rerankers_compare_directions(work: Path, tmp_path: Path, method: list[str]) -> None:
    line = ["search", "--topics", str(work / "topics.txt"), "--store", str(work / "unit/clip/frame")]
    assert main([*line, "-o", str(tmp_path / "list.trec"), "--quiet"]) == 0
    for name in ("raw", "unit"):
        line = ["rerank", str(tmp_path / "list.trec"), "--topics", str(work / "topics.txt"), "--method", *method]
        store = str(work / name / "clip/frame")
        assert main([*line, "--store", store, "-o", str(tmp_path / f"{name}.trec"), "--quiet"]) == 0
    _same_lists(tmp_path / "raw.trec", tmp_path / "unit.trec")


def _same_lists(one: Path, other: Path) -> None:
    for mine, theirs in zip(read_trec(one).lists.values(), read_trec(other).lists.values(), strict=True):
        assert mine.shots == theirs.shots
        np.testing.assert_allclose(mine.scores, theirs.scores, atol=2e-6)


@pytest.mark.parametrize("how", [["single"], ["mean"], ["kmeans_maxsim", "--k", "2"]])
def test_clip_straight_compares_directions(work: Path, how: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for name in ("raw", "unit"):
        line = ["eval-retrieval", "--captions", str(work / "c.txt"), "--store", str(work / name / "clip/frame")]
        assert main([*line, "--aggregate", *how, "--quiet"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


def test_clip4clip_trains_on_the_lengths_of_its_backbone_and_keeps_to_them(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train-clip4clip", "--backbone", str(work / "clip"), "--captions", str(work / "c.txt"), "--epochs", "1"]
    line += ["--batch-size", "4", "--max-words", "20", "--quiet", "--head", "seqLSTM", "-o", str(tmp_path / "model")]
    assert main([*line, "--store", str(work / "raw/clip/frame")]) == 0
    assert not read_checkpoint(tmp_path / "model").video_features["clip/frame"].normalised
    line = ["search", "--topics", str(work / "topics.txt"), "--checkpoint", str(tmp_path / "model"), "--quiet"]
    assert main([*line, "--store", str(work / "raw/clip/frame"), "-o", str(tmp_path / "raw.trec")]) == 0
    levels = ["--level", "shot", "--level", "frame"]
    assert main(extract(work, tmp_path / "own", "--model", str(tmp_path / "model"), *levels)) == 0
    frames = [open_features(folder).vectors for folder in (work / "raw/clip/frame", tmp_path / "own/model/frame")]
    np.testing.assert_allclose(*frames, atol=1e-6)
    found = ["search", "--topics", str(work / "topics.txt"), "--store", str(tmp_path / "own/model/shot"), "--quiet"]
    assert main([*found, "-o", str(tmp_path / "shots.trec")]) == 0
    _same_lists(tmp_path / "raw.trec", tmp_path / "shots.trec")
    assert main([*line, "--store", str(work / "unit/clip/frame"), "-o", str(tmp_path / "unit.trec")]) == 2
    assert "normalised=True, wanted normalised=False" in capsys.readouterr().err


def test_it_is_for_frames_of_encoders_of_images(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(extract(work, tmp_path, "--raw-length", "--level", "shot")) == 2
    assert "use --level frame, or leave --raw-length out" in capsys.readouterr().err
    assert main(extract(work, work / "unit", "--raw-length")) == 2
    assert "changed: spec.normalised" in capsys.readouterr().err
    assert not (tmp_path / "clip").exists()


def test_of_blip2_they_are_the_queries(work: Path) -> None:
    folder = make_blip2(work / "blip2")
    unit, raw = (load_embedder("blip2", weights=folder, pooling="queries", unit_length=u) for u in (True, False))
    images = unit.preprocess(np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8))
    vectors = raw.encode_images(images)  # type: ignore[union-attr]
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors / lengths, unit.encode_images(images), atol=1e-6)  # type: ignore[union-attr]


def test_a_recipe_says_it_of_each_encoder(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("encoders:\n  - {model: mini-clip, raw_length: true}\nlevels: [frame]\n")
    wanted = ExtractionRecipe(encoders=[EncoderRecipe(model="mini-clip", raw_length=True)], levels=["frame"])
    assert extraction_recipe(tmp_path / "r.yaml") == wanted
    assert extraction_recipe(None, models=["mini-clip"], levels=["frame"], raw_length=True) == wanted
    with pytest.raises(Exception, match="--config replaces these options") as caught:
        extraction_recipe(tmp_path / "r.yaml", raw_length=True)
    assert "--raw-length" in str(caught.value)
