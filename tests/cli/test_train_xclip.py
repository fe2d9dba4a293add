"""avs train-xclip: on a store and on videos; its checkpoint reranks and scores captions, searches nothing, says no."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.core.store import FeatureStore
from avs.features.embedder import read_spec
from avs.models.batch import Batch, Sequences
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec, write_trec

SHOTS = 12
WORDS = ["a red car", "two dogs run on the grass", "a woman", "blue sky", "a tree in the wind and a very long tail"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, captions and topics, and an X-CLIP trained on them."""
    folder, rng = tmp_path_factory.mktemp("xclip"), np.random.default_rng(0)
    lengths = rng.integers(1, 6, SHOTS)
    rows = rng.standard_normal((int(lengths.sum()), 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    make_store(folder / "mini-clip/frame", rows, lengths=lengths, spec=read_spec("mini-clip"))
    lines = (f"{shot}#{n} {WORDS[(i + n) % 5]}\n" for i, shot in enumerate(shot_ids(SHOTS)) for n in range(2))
    (folder / "c.txt").write_text("".join(lines))
    (folder / "topics.txt").write_text("901 a red car\n902 a woman and a tree\n")
    assert main(train(folder, "trained", "--backbone", "mini-clip", "--max-frames", "3", "--max-words", "9")) == 0
    return folder


def train(work: Path, name: str, *more: str) -> list[str]:
    line = ["train-xclip", "--captions", str(work / "c.txt"), "--store", str(work / "mini-clip/frame"), "--quiet"]
    return [*line, "--epochs", "1", "--batch-size", "8", *more, "-o", str(work / name)]


def test_the_verb_trains_with_the_settings_of_the_authors(work: Path) -> None:
    checkpoint = read_checkpoint(work / "trained")
    assert (checkpoint.architecture, checkpoint.config["head"]) == ("xclip", "seqTransf")
    assert (checkpoint.config["max_frames"], checkpoint.config["max_words"]) == (3, 9)
    model = checkpoint.load_model()
    matrices = {name: each for name, each in model.state_dict().items() if name.startswith("similarity.")}
    assert len(matrices) == 8 and not any(torch.equal(each, torch.eye(len(each))) for each in matrices.values())
    assert (work / "trained/best/backbone/tokenizer.json").is_file()
    assert main(["info", str(work / "trained"), "--verify"]) == 0


def test_a_search_says_what_to_do_instead_and_that_works(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, topics = str(work / "mini-clip/frame"), str(work / "topics.txt")
    line = ["search", "--topics", topics, "--store", store, "--checkpoint", str(work / "trained")]
    assert main([*line, "-o", str(tmp_path / "x.trec")]) == 2
    error = capsys.readouterr().err
    assert "cannot search a collection" in error and "avs rerank LIST --method model" in error
    assert f"avs eval-retrieval --checkpoint {work / 'trained/best'} --store {store} --captions CAPTIONS" in error
    lists = {topic: RankedList.from_scores(topic, shot_ids(SHOTS), np.arange(SHOTS)) for topic in ("901", "902")}
    write_trec(Run(lists, "r"), tmp_path / "list.trec")
    line = ["rerank", str(tmp_path / "list.trec"), "--topics", topics, "--method", "model", "--store", store]
    line += ["--checkpoint", str(work / "trained"), "--alpha", "0", "--quiet", "-o", str(tmp_path / "out.trec")]
    assert main(line) == 0
    found = read_trec(tmp_path / "out.trec").lists["902"].shots
    trained, features = load_trained(read_checkpoint(work / "trained")), FeatureStore(store)
    query, scores = trained.embed(["a woman and a tree"], ["902"]), []
    for shot in shot_ids(SHOTS):
        frames = torch.from_numpy(features.frames(shot).astype(np.float32))[None]
        video = Batch({}, {"mini-clip/frame": Sequences(frames, torch.tensor([frames.shape[1]]))})
        with torch.inference_mode():
            scores.append(trained.model.score(query, trained.model.embed_videos(video)).item())
    assert list(found) == [shot_ids(SHOTS)[place] for place in np.argsort(scores)[::-1]]


def test_captions_are_scored_up_to_a_number_of_pairs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["eval-retrieval", "--checkpoint", str(work / "trained"), "--captions", str(work / "c.txt")]
    line += ["--store", str(work / "mini-clip/frame"), "--json"]
    assert main(line) == 0
    out, error = capsys.readouterr()
    assert "trained: 288 pairs of 24 captions and 12 videos" in error
    assert 0 <= json.loads(out)["systems"][0]["rankings"][0]["R@1"] <= 100
    assert main([*line, "--most-pairs", "287"]) == 2
    assert "too many pairs of caption and video" in capsys.readouterr().err


def test_it_goes_on_from_a_checkpoint_with_its_words_and_frames(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train(work, "tuned", "--start-from", str(work / "trained"))) == 0
    config = read_checkpoint(work / "tuned").config
    assert (config["max_frames"], config["max_words"]) == (3, 9)
    assert main(train(work, "other", "--start-from", str(work / "trained"), "--max-frames", "4")) == 2
    assert "max_frames" in capsys.readouterr().err
    assert not (work / "other").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--head", "tightTransf"], "tightTransf"),
        (["--max-frames", "500"], "max_frames: got 500"),
        (["--max-words", "500"], "max_words: got 500"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(
    work: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(work, "none", "--backbone", "mini-clip", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (work / "none").exists()


def test_it_trains_on_videos_and_a_shot_has_no_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_collection(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    shots = [f"shot{film:05d}_{n}" for film in (1, 2) for n in (1, 2, 3)]
    (tmp_path / "c.txt").write_text("".join(f"{shot}#0 {WORDS[i % 5]}\n" for i, shot in enumerate(shots)))
    videos = ["--videos", "videos", "--shots", "shots.tsv", "--quiet"]
    line = ["train-xclip", "--backbone", "mini-clip", "--captions", "c.txt", *videos, "--max-frames", "2"]
    assert main([*line, "--epochs", "1", "--batch-size", "4", "--frame-cache", "none", "-o", "m"]) == 0
    capsys.readouterr()
    extract = ["extract-features", *videos, "--model", "m"]
    assert main([*extract, "--level", "shot", "-o", "f"]) == 2
    error = capsys.readouterr().err
    assert "a shot has no vector of its own" in error and "xclip" in error
    assert main([*extract, "-o", "f"]) == 0
    assert (tmp_path / "f/m/frame").is_dir() and not (tmp_path / "f/m/shot").exists()
    assert main(["eval-retrieval", "--checkpoint", "m", "--captions", "c.txt", "--store", "f/m/frame", "--quiet"]) == 0
