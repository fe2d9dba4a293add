"""`avs extract-features --model CHECKPOINT`, and what the stores are good for: searching, evaluating, training on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import DIM, make_clip
from tiny_models import make_trained
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.trecvid.trec import read_trec

HEADS = ("meanP", "seqLSTM", "seqTransf")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films, shots, topics, a CLIP, and models that were trained on pixels (`HEAD`) and on vectors (`HEAD-vectors`)."""
    root = tmp_path_factory.mktemp("models")
    write_collection(root)
    clip = make_clip(root / "clip")
    for head in HEADS:
        make_trained(root / head, clip, head=head)
        make_trained(root / f"{head}-vectors", clip, head=head, pixels=False)
    (root / "topics.txt").write_text("901 a red car\n902 two dogs\n903 sky\n")
    return root


def extract(work: Path, output: Path, *more: object) -> list[str]:
    where = ["--videos", str(work / "videos"), "--shots", str(work / "shots.tsv"), "-o", str(output)]
    return ["extract-features", *where, "--workers", "0", "--store-dtype", "float32", "--quiet", *map(str, more)]


def search(work: Path, out: Path, *more: object) -> list[str]:
    return ["search", "--topics", str(work / "topics.txt"), "-o", str(out), "--quiet", *map(str, more)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ["", "-vectors"])
def test_a_search_of_its_shots_ranks_as_a_search_of_its_frames(
    work: Path, tmp_path: Path, head: str, kind: str
) -> None:
    model = work / f"{head}{kind}"
    assert main(extract(work, tmp_path, "--model", model)) == 0
    shot, frame = (FeatureStore(tmp_path / model.name / level) for level in ("shot", "frame"))
    assert shot.vectors.shape == (9, DIM) and frame.vectors.shape == (36, DIM)
    assert main(search(work, tmp_path / "frames.trec", "--checkpoint", model, "--store", frame.folder)) == 0
    assert main(search(work, tmp_path / "shots.trec", "--store", shot.folder)) == 0
    by_frames, by_shots = (read_trec(tmp_path / f"{name}.trec").lists for name in ("frames", "shots"))
    assert list(by_frames) == list(by_shots)
    for topic, ranked in by_frames.items():
        assert ranked.shots == by_shots[topic].shots
        np.testing.assert_allclose(ranked.scores, by_shots[topic].scores, atol=2e-6)


def test_try(work):
    pass
