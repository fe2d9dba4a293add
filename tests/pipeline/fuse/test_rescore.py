"""`avs fuse --missing recomputed`: short lists are fused as if they had been searched to the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store

from avs.cli.main import main
from avs.features.embedder import read_spec
from avs.trecvid.trec import read_trec

LENGTHS = np.tile([3, 1, 2, 4], 10)  # rows of 40 shots


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Topics, a shot- and a frame-level store of one encoder, and their lists of 8 and of all shots."""
    root = tmp_path_factory.mktemp("rescoring")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    rng = np.random.default_rng(0)
    for level, rows, lengths in (("shot", 40, None), ("frame", int(LENGTHS.sum()), LENGTHS)):
        vectors = rng.normal(size=(rows, spec.dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        make_store(root / f"features/tiny/{level}", vectors, lengths=lengths, spec=spec)
    (root / "topics.txt").write_text("661  a red circle\n662  two people dance\n", encoding="utf-8")
    for k in ("8", "40"):
        assert main(["search", *inputs(root), "--k", k, "-o", f"{root}/k{k}/", "--quiet"]) == 0
    return root


def inputs(work: Path, *, topics: str = "topics.txt") -> list[str]:
    stores = [word for level in ("shot", "frame") for word in ("--store", str(work / "features/tiny" / level))]
    return ["--topics", str(work / topics), *stores]


def lists(work: Path, k: int) -> list[str]:
    return [str(work / f"k{k}" / f"tiny-{level}.trec") for level in ("shot", "frame")]


def test_short_lists_are_fused_as_long_ones(work: Path, tmp_path: Path) -> None:
    again = ["--missing", "recomputed", *inputs(work)]
    assert main(["fuse", *lists(work, 8), *again, "--normalize", "zscore", "-o", str(tmp_path / "short.trec")]) == 0
    short, least = read_trec(tmp_path / "short.trec"), tmp_path / "least.trec"
    whole = {name: read_trec(Path(path)) for name, path in zip("ab", lists(work, 40), strict=True)}
    for topic, ranked in short.lists.items():
        scores = {n: dict(zip(r.lists[topic].shots, r.lists[topic].scores, strict=True)) for n, r in whole.items()}
        columns = np.array([[scores[name][shot] for shot in ranked.shots] for name in "ab"])
        z = (columns - columns.mean(axis=1, keepdims=True)) / columns.std(axis=1, keepdims=True)
        np.testing.assert_allclose(ranked.scores, z.mean(axis=0), atol=1e-5)
        held = {shot for path in lists(work, 8) for shot in read_trec(Path(path)).lists[topic].shots}
        assert set(ranked.shots) == held
    assert main(["fuse", *lists(work, 8), "--normalize", "zscore", "-o", str(least), "--quiet"]) == 0
    assert any(read_trec(least).lists[t].shots != ranked.shots for t, ranked in short.lists.items())
    manifest = json.loads((tmp_path / "short.trec.manifest.json").read_text())
    assert manifest["config"]["fusion"]["recomputed"] is True
    assert {"store 1", "store 2", "topics 1"} <= set(manifest["inputs"])


def failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["fuse", *words, "--missing", "recomputed", "--quiet"]) == 2
    return capsys.readouterr().err


def test_what_did_not_make_the_lists_is_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.trec")]
    (work / "other.txt").write_text("661  a blue square\n662  two people dance\n", encoding="utf-8")
    error = failure([*lists(work, 8), *inputs(work, topics="other.txt"), *out], capsys)
    assert error.startswith(
        "avs fuse: the given stores and checkpoints do not make these lists: 2 problems\n  tiny-frame: topic 661: shot"
    )
    assert "give the topics, stores and checkpoints the lists were made with, or --missing minimum" in error
    assert failure([*lists(work, 8), *inputs(work)[:4], *out], capsys) == (
        "avs fuse: no store or checkpoint makes tiny-frame\n"
        "  got:    tiny-shot\n"
        "  wanted: for every list the --store or --checkpoint that `avs search` made it from\n"
    )
    assert failure([*lists(work, 8), *out], capsys) == (
        "avs fuse: --missing recomputed needs the sentences of the topics, and takes neither --past nor --partial\n"
        "  next:   give the topic files of the lists: --topics, and --past-topics for the topics learned from\n"
    )
