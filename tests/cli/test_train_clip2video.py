"""avs train-clip2video: on a store and on videos, to a store that is searched as any other; what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store, shot_ids
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder_for, read_spec
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec

SHOTS, DIM = 12, 128
WORDS = ["a red car", "two dogs run on the grass", "a woman", "blue sky"]


def write_captions(path: Path, shots: list[str]) -> None:
    lines = (f"{shot}#{n} {WORDS[(i + n) % 4]} {i}\n" for i, shot in enumerate(shots) for n in range(2))
    path.write_text("".join(lines))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of videos of one to four frames, captions and topics; it is the current folder."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 5, SHOTS)
    lengths[:4] = 1
    rows = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    make_store(tmp_path / "mini-clip" / "frame", rows, lengths=lengths, spec=read_spec("mini-clip"))
    write_captions(tmp_path / "c.txt", list(shot_ids(SHOTS)))
    (tmp_path / "topics.txt").write_text("901 a red car\n902 a woman and a tree\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(out: str, *more: str) -> list[str]:
    line = ["train-clip2video", "--backbone", "mini-clip", "--captions", "c.txt", "--store", "mini-clip/frame"]
    return [*line, "--batch-size", "4", "--epochs", "1", "--max-words", "9", "--quiet", *more, "-o", out]


def search(out: str, *more: str) -> list[str]:
    return ["search", "--topics", "topics.txt", "-o", out, "--quiet", *more]


def test_on_a_store_with_videos_of_one_frame(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train("model", "--max-frames", "3", "--centres", "3")) == 0
    assert main(search("list.trec", "--checkpoint", "model", "--store", "mini-clip/frame")) == 0
    found = read_trec(work / "list.trec").lists["902"]
    assert len(found.shots) == SHOTS and 1 >= found.scores[0] > found.scores[-1] >= -1
    config = read_checkpoint(work / "model").config
    assert (config["temporal"], config["alignment"], config["centres"]) == ("sigmoid_selfA", "TAB_TDB", 3)
    line = ["eval-retrieval", "--checkpoint", "model", "--captions", "c.txt", "--store", "mini-clip/frame", "--json"]
    capsys.readouterr()
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["systems"][0]["rankings"]
    assert main(["info", "model", "--verify"]) == 0


def test_from_videos_to_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its rows, of twice the backbone's dimension, ranks as the model itself."""
    monkeypatch.chdir(tmp_path)
    write_collection(tmp_path, 2)
    write_captions(tmp_path / "c.txt", [f"shot{film:05d}_{n}" for film in (1, 2) for n in (1, 2, 3)])
    Path("topics.txt").write_text("901 a red car\n902 a woman\n")
    recipe = {
        "collections": "{clips: {captions: c.txt, videos: videos, shots: shots.tsv}}",
        "frames": "{fps: 2.5, policy: jittered, cache: cache}",
        "model": "{architecture: clip2video, backbone: mini-clip, max_frames: 3, max_words: 9}",
        "training": "{epochs: 1, batch_size: 4}",
        "validation": "{share: 0.5}",
    }
    Path("r.yaml").write_text("".join(f"{key}: {text}\n" for key, text in recipe.items()))
    assert main(["train-clip2video", "--config", "r.yaml", "-o", "trained", "--quiet"]) == 0
    line = ["extract-features", "--videos", "videos", "--shots", "shots.tsv", "--model", "trained", "-o", "features"]
    assert main([*line, "--workers", "0", "--store-dtype", "float32", "--quiet"]) == 0
    store = FeatureStore(Path("features/trained/shot"))
    assert store.vectors.shape == (6, 2 * DIM) and store.spec.pooling == "sigmoid_selfA, TAB_TDB"
    np.testing.assert_allclose(np.linalg.norm(store.vectors, axis=1), 1, atol=1e-5)
    assert main(search("shots.trec", "--store", "features/trained/shot")) == 0
    assert main(search("frames.trec", "--checkpoint", "trained", "--store", "features/trained/frame")) == 0
    by_shots, by_frames = (read_trec(Path(f"{name}.trec")).lists["901"] for name in ("shots", "frames"))
    assert by_shots.shots == by_frames.shots
    np.testing.assert_allclose(by_shots.scores, by_frames.scores, atol=2e-6)
    texts = load_embedder_for(store.spec).encode_texts(["a red car", "a woman"])
    scores = dict(zip(by_shots.shots, by_shots.scores, strict=True))
    assert (store.vectors @ texts[0]).tolist() == pytest.approx([scores[shot] for shot in store.ids], abs=1e-6)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--max-frames", "1"], "max_frames: got 1; differences of alignment TAB_TDB need at least 3 frames"),
        (["--max-frames", "500"], "max_frames: got 500; there are"),
        (["--max-words", "500"], "max_words: got 500"),
        (["--temporal", "none"], "alignment: got TAB_TDB with temporal none"),
        (["--temporal", "sigmoid"], "sigmoid_selfA"),
        (["--centres", "0"], "centres: got 0; wanted at least 1"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(
    work: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train("none", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (work / "none").exists()
