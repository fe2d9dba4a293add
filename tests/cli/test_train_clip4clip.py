"""avs train-clip4clip on a frame-level store: a checkpoint that searches by itself, goes on training, and says no."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids

from avs.captions.read import read_captions
from avs.cli.main import main
from avs.core.features import open_stores
from avs.features.embedder import load_embedder, read_spec
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.pipeline.search.trained import load_trained
from avs.pipeline.train.collections import CaptionedCollection, video_table
from avs.train.checkpoint import read_checkpoint
from avs.train.embed import similarities
from avs.train.record import read_metrics
from avs.trecvid.trec import read_trec

SHOTS = 20
WORDS = [
    "a red car",
    "two dogs run on the grass",
    "a woman",
    "blue sky",
    "a tree in the wind and a very long tail of words",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores, captions and topics, and a trained seqTransf."""
    folder = tmp_path_factory.mktemp("clip4clip")
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, SHOTS)
    rows = rng.standard_normal((int(lengths.sum()), 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    spec = read_spec("mini-clip")
    make_store(folder / "mini-clip" / "frame", rows, lengths=lengths, spec=spec)
    make_store(folder / "mini-clip" / "shot", rows[:SHOTS], spec=spec)
    other = replace(spec, revision="sha256:other")
    make_store(folder / "other" / "frame", rows, lengths=lengths, spec=other)
    lines = (f"{shot}#{n} {WORDS[(i + n) % 5]}\n" for i, shot in enumerate(shot_ids(SHOTS)) for n in range(2))
    (folder / "c.txt").write_text("".join(lines))
    (folder / "topics.txt").write_text("901 a red car\n902 a woman and a tree\n")
    assert main(train(folder, "seq", "--head", "seqTransf", "--max-frames", "3", "--max-words", "9")) == 0
    return folder


def train(work: Path, name: str, *more: str, store: str = "mini-clip/frame") -> list[str]:
    line = [
        "train-clip4clip",
        "--captions",
        str(work / "c.txt"),
        "--store",
        str(work / store),
        "--epochs",
        "2",
        "--quiet",
    ]
    return [*line, "--batch-size", "8", "--backbone", "mini-clip", *more, "-o", str(work / name)]


def search(work: Path, model: Path, out: Path) -> list[str]:
    line = ["search", "--topics", str(work / "topics.txt"), "--store", str(work / "mini-clip/frame"), "--quiet"]
    return [*line, "--checkpoint", str(model), "-o", str(out)]


def test_its_checkpoint_searches_wherever_it_lies(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "seq" / "best", tmp_path / "moved")
    assert main(search(work, tmp_path / "moved", tmp_path / "list.trec")) == 0
    found = read_trec(tmp_path / "list.trec").lists["902"]
    trained = load_trained(read_checkpoint(work / "seq"))
    assert len(found.shots) == SHOTS and 1 >= found.scores[0] > found.scores[-1] >= -1
    assert trained.checkpoint.config["max_words"] == 9 and trained.checkpoint.config["head"] == "seqTransf"
    assert [row["learning_rate"] for row in read_metrics(work / "seq")][-1] < 1e-4  # the cosine came down
    assert main(["info", str(work / "seq"), "--verify"]) == 0


def test_its_backbone_is_a_clip_of_its_own(work: Path, tmp_path: Path) -> None:
    embedder = load_embedder("clip", weights=work / "seq" / "best" / "backbone")
    trained = load_trained(read_checkpoint(work / "seq"))
    (tokens,) = trained.text_features
    assert tokens.cut(["a red car", "a red car " * 9]) == 1  # type: ignore[attr-defined]
    mine = trained.embed(["a red car"], ["1"]).numpy()
    np.testing.assert_allclose(embedder.encode_texts(["a red car"]), mine, atol=1e-5)
    before = load_embedder("mini-clip").encode_texts(["a red car"])
    assert np.abs(before - mine).max() > 1e-7  # the text tower was trained


def test_a_changed_tokenizer_or_backbone_is_noticed(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(work / "seq" / "best", tmp_path / "changed")
    file = tmp_path / "changed" / "backbone" / "tokenizer.json"
    file.write_text(file.read_text().replace('"car</w>"', '"rac</w>"'))
    assert main(search(work, tmp_path / "changed", tmp_path / "x.trec")) == 2
    assert "backbone/tokenizer.json" in capsys.readouterr().err


def test_it_goes_on_from_a_checkpoint(work: Path) -> None:
    line = train(work, "tuned", "--start-from", str(work / "seq"))
    line.remove("--backbone"), line.remove("mini-clip")
    assert main(line) == 0
    assert (work / "tuned" / "best" / "backbone" / "tokenizer.json").is_file()
    first, second = (read_checkpoint(work / name).load_model().state_dict() for name in ("seq", "tuned"))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_tight_similarities_are_for_captioned_videos_not_for_a_search(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(work, "tight", "--head", "tightTransf", "--epochs", "1")) == 0
    assert main(search(work, work / "tight", tmp_path / "x.trec")) == 2
    error, store = capsys.readouterr().err, work / "mini-clip/frame"
    assert "cannot search a collection" in error
    command = f"avs rerank LIST --method model --checkpoint {work / 'tight/best'} --store {store} --topics TOPICS"
    assert command in error
    line = ["eval-retrieval", "--checkpoint", str(work / "tight"), "--captions", str(work / "c.txt")]
    assert main([*line, "--store", str(store), "--json"]) == 0
    out, error = capsys.readouterr()
    assert "tight: 800 pairs of 40 captions and 20 videos" in error
    trained = load_trained(read_checkpoint(work / "tight"))
    collection = CaptionedCollection("c", read_captions(work / "c.txt"), open_stores([store]))
    texts = trained.read(collection.captions.texts, collection.captions.ids, noun="caption")
    scores = similarities(trained.model, texts, video_table([collection], ["mini-clip/frame"]))
    wanted = RetrievalScores.of(rank_videos(scores, collection.captions.video_of)).measures
    found = json.loads(out)["systems"][0]["rankings"][0]
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert main([*line, "--store", str(store), "--most-pairs", "799", "--per-query", str(tmp_path / "q.tsv")]) == 2
    error = capsys.readouterr().err
    assert "too many pairs of caption and video" in error and "--most-pairs 800" in error
    assert not (tmp_path / "q.tsv").exists()


@pytest.mark.parametrize(
    ("more", "store", "said"),
    [
        (["--backbone", "mini-blip"], "mini-clip/frame", "the backbone is no CLIP"),
        (["--backbone", "clip"], "mini-clip/frame", "--backbone FOLDER"),
        (["--backbone", "clip-vit-b3"], "mini-clip/frame", "clip-vit-b3"),
        ([], "other/frame", "revision"),
        ([], "mini-clip/shot", "reads the frames of a video"),
        (["--max-frames", "500", "--head", "seqTransf"], "mini-clip/frame", "max_frames: got 500"),
        (["--max-words", "500"], "mini-clip/frame", "max_words: got 500"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(
    work: Path, more: list[str], store: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(work, "none", *more, store=store)) == 2
    assert said in capsys.readouterr().err
    assert not (work / "none").exists()


def test_without_a_backbone_it_asks_for_one(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = train(work, "none")
    line.remove("--backbone"), line.remove("mini-clip")
    assert main(line) == 2
    assert "--backbone clip-vit-b32" in capsys.readouterr().err
