"""Stores, checkpoints, lists, fusers and rerankers made by avs 0.1.0 (commit bb2bf3b) still open, and give the same.

In tests/golden/made_before: a LAFF and a dual encoding trained on 48 shots, the lists of a search, fusers
and a reranker learned from random judgments. "Up to date" says that nothing that decides their content has changed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from files import files
from safetensors.torch import load_file

import avs
from avs.cli.main import main
from avs.trecvid.trec import read_trec

ENCODERS = Path(avs.__file__).parent / "demo" / "encoders"
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "made_before"
MODELS = ["--store", "collection/one", "--store", "collection/two", "--store", "collection/film"]
MODELS += ["--checkpoint", "models/laff", "--checkpoint", "models/dual"]
ZERO_SHOT = ["--store", "features/mini-clip/shot", "--store", "features/mini-clip/frame"]
LISTS = ["lists/laff.trec", "lists/dual.trec"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(*words: str) -> None:
    assert main(list(words)) == 0


def assert_same(one: Path, other: Path) -> None:
    first, second = read_trec(one), read_trec(other)
    assert first.topics == second.topics
    for topic in first.topics:
        assert first.lists[topic].shots == second.lists[topic].shots
        np.testing.assert_allclose(first.lists[topic].scores, second.lists[topic].scores, rtol=1e-4, atol=1e-5)


def mini_clip_of_then(folder: Path) -> Path:
    """mini-clip as it was: with the logit scale that its training started from, which no vector depends on."""
    shutil.copytree(ENCODERS / "clip", folder)
    weights = load_file(folder / "model.safetensors")
    header_bytes = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    content = bytearray((folder / "model.safetensors").read_bytes())
    start = 8 + header_bytes + json.loads(content[8 : 8 + header_bytes])["logit_scale"]["data_offsets"][0]
    assert weights["logit_scale"].exp().item() == pytest.approx(19.8, abs=0.02)
    content[start : start + 2] = np.float16(np.log(1 / 0.07)).tobytes()
    (folder / "model.safetensors").write_bytes(content)
    return folder


@pytest.mark.parametrize(("systems", "lists"), [(MODELS, "lists"), (ZERO_SHOT, "zero-shot")])
def test_searches(folder: Path, capsys: pytest.CaptureFixture[str], systems: list[str], lists: str) -> None:
    if lists == "zero-shot":
        weights = str(mini_clip_of_then(folder / "mini-clip"))
        systems = [*systems, "--weights", weights, "--weights", weights]
    run("search", "--topics", "topics.txt", *systems, "-o", f"{lists}/")
    assert capsys.readouterr().err.count("up to date: ") == 2
    run("search", "--topics", "topics.txt", *systems, "-o", "again/", "--quiet")
    for path in files(Path(lists), "*.trec"):
        assert_same(path, Path("again") / path.name)


@pytest.mark.parametrize("method", ["ltr", "coordinate-ascent", "rrf"])
def test_fusers(folder: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    learning = [] if method == "rrf" else ["--qrels", "qrels", "--study", "--fuser", f"fusers/{method}"]
    run("fuse", *LISTS, "--method", method, *learning, "-o", f"fused/{method}.trec")
    assert f"up to date: fused/{method}.trec" in capsys.readouterr().err
    if method != "ltr":  # which now starts from the best unlearned combination, not always from the average
        run("fuse", *LISTS, "--method", method, *learning[:3], "-o", "again.trec", "--quiet")
        assert_same(Path(f"fused/{method}.trec"), Path("again.trec"))


def test_a_fuser_is_applied_to_new_topics(folder: Path) -> None:
    lists = []
    for name in ("laff", "dual"):
        text = Path(f"lists/{name}.trec").read_text()
        Path(f"{name}.trec").write_text("".join(f"8{line[1:]}\n" for line in text.splitlines()))
        lists.append(f"{name}.trec")
    run("fuse", *lists, "--fuser", "fusers/ltr", "-o", "new.trec", "--quiet")
    assert read_trec(Path("new.trec")).topics[0] == "801"


def test_rerankers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["lists/laff.trec", "--topics", "topics.txt", "--store", "collection/one"]
    run("rerank", *shared, "--method", "k-reciprocal", "--qrels", "qrels", "--reranker", "rerankers/k")
    run("rerank", *shared, "--method", "near-duplicates", "-o", "reranked/near.trec")
    assert capsys.readouterr().err.count("up to date: ") == 2


@pytest.mark.parametrize("path", ["features/mini-clip/frame", "models/laff", "lists/dual.trec", "fusers/ltr"])
def test_info(folder: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    run("info", path, "--provenance")
    assert capsys.readouterr().out
