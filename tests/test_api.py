"""`import avs`: the functions that the README shows, on small stores and a small model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store

import avs
from avs.cli.main import main
from avs.core.errors import AvsError, ConfigError
from avs.features.embedder import read_spec

SHOTS = 40
QRELS = "".join(f"1{topic} 0 shot00001_{n} 1 {n % 2}\n" for topic in (661, 662) for n in range(1, 21))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stores of one encoder, a LAFF over the first of them, topics and judgments."""
    spec, rng = read_spec("clip", weights=make_clip(tmp_path / "weights")), np.random.default_rng(0)
    for model in ("clip", "other"):
        vectors = rng.normal(size=(SHOTS, spec.dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        make_store(tmp_path / f"features/{model}/shot", vectors, spec=spec)
    captions = "".join(
        f"shot0000{1 + n // 25}_{1 + n % 25}#0 a {'red' if n % 2 else 'blue'} thing\n" for n in range(40)
    )
    (tmp_path / "c.caption.txt").write_text(captions)
    (tmp_path / "topics.txt").write_text("661  a red thing\n662  a blue thing\n")
    (tmp_path / "qrels").write_text(QRELS)
    monkeypatch.chdir(tmp_path)
    model = ["--heads", "2", "--head-dim", "8", "--epochs", "1", "--text", "bow", "-o", "models/laff", "--quiet"]
    assert main(["train-laff", "--captions", "c.caption.txt", "--store", "features/clip/shot", *model]) == 0
    return tmp_path


def test_what_the_readme_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics, qrels = avs.read_topics("topics.txt"), avs.read_qrels("qrels")
    runs = avs.search(["features/clip/shot", "models/laff"], topics)
    fused = avs.fuse(runs, "rrf")
    assert list(runs) == ["clip-shot", "laff"] and fused.tag == "rrf"
    scores = avs.evaluate(fused, qrels, ["xinfAP", "P@10"])
    assert list(scores.means) == ["xinfAP", "P@10"] and 0 < scores.means["xinfAP"] <= 1
    alone = avs.search(["features/clip/shot"], "a red circle moving left")
    assert alone["clip-shot"].topics == ("query",) and len(alone["clip-shot"].lists["query"]) == SHOTS


def test_it_is_what_the_verbs_do(folder: Path) -> None:
    """The lists of `avs search` and `avs fuse`, to the last digit they are written with."""
    topics = avs.read_topics("topics.txt")
    runs = avs.search(["features/clip/shot", "features/other/shot"], topics, k=30)
    stores = ["--store", "features/clip/shot", "--store", "features/other/shot"]
    assert main(["search", "--topics", "topics.txt", *stores, "--k", "30", "-o", "lists/", "--quiet"]) == 0
    assert main(["fuse", "lists/clip-shot.trec", "lists/other-shot.trec", "-o", "average.trec", "--quiet"]) == 0
    again = {name: avs.read_run(f"lists/{name}.trec") for name in runs}
    for name, run in again.items():
        avs.write_run(runs[name], "x.trec")
        assert Path("x.trec").read_bytes() == Path(f"lists/{name}.trec").read_bytes()
        assert run.tag == name
    fused = avs.fuse(again)
    avs.write_run(fused, "x.trec")
    assert Path("x.trec").read_bytes() == Path("average.trec").read_bytes()


def test_rerank_and_compare(folder: Path) -> None:
    topics, qrels = avs.read_topics("topics.txt"), avs.read_qrels("qrels")
    run = avs.search(["features/clip/shot"], topics)["clip-shot"]
    reranked = avs.rerank(run, topics, "k-reciprocal", store="features/other/shot", alpha=0.5, depth=10)
    avs.write_run(run, "clip-shot.trec")
    words = ["--topics", "topics.txt", "--method", "k-reciprocal", "--store", "features/other/shot", "--alpha", "0.5"]
    assert main(["rerank", "clip-shot.trec", *words, "--depth", "10", "-o", "r.trec", "--quiet"]) == 0
    assert [one.shots for one in reranked.lists.values()] == [
        one.shots for one in avs.read_run("r.trec").lists.values()
    ]
    assert avs.rerank(run, None, "near-duplicates", store="features/other/shot").topics == run.topics
    comparison = avs.compare([run, avs.fuse({"a": run})], qrels, "xinfAP")
    assert len(comparison.to_pandas()) == 1
    with pytest.raises(ConfigError, match="needs --topics"):
        avs.rerank(run, None, "clip", store="features/other/shot")


def test_results_print_and_become_tables(folder: Path) -> None:
    run = avs.search(["features/clip/shot"], avs.read_topics("topics.txt"), k=5)["clip-shot"]
    assert repr(run) == 'Run("clip-shot": 2 topics, 10 shots)'
    assert re.fullmatch(
        r"RankedList\(topic 661: 5 shots, best shot0000\d_\d+ \(-?\d\.\d{4}\)\)", repr(run.lists["661"])
    )
    table = run.to_pandas()
    assert list(table.columns) == ["topic", "rank", "shot", "score"] and table["rank"].tolist() == [1, 2, 3, 4, 5] * 2
    scores = avs.evaluate(run, avs.read_qrels("qrels"), ["xinfAP"])
    assert repr(scores).startswith("Scores(clip-shot, 2 topics: xinfAP ")
    assert scores.to_pandas().index.tolist() == ["661", "662"]
    assert len(avs.open_store("features/clip/shot")) == SHOTS


def test_what_is_refused(folder: Path) -> None:
    run = avs.search(["features/clip/shot"], "x")["clip-shot"]
    with pytest.raises(ConfigError, match="learns from judged topics"):
        avs.fuse([run], "ltr")
    with pytest.raises(ConfigError, match="two runs have the same tag"):
        avs.fuse([run, run])
    with pytest.raises(ConfigError, match='unknown method "rff"; did you mean "rrf"'):
        avs.fuse([run], "rff")
    with pytest.raises(AvsError, match="no such"):
        avs.search(["features/none"], "x")
    with pytest.raises(ConfigError, match="needs topics and shots"):
        avs.write_run(run, "runs/", edition="mini")
    with pytest.raises(AttributeError):
        avs.serch  # noqa: B018


def test_the_public_names() -> None:
    assert avs.__all__ == sorted(avs.__all__) and set(dir(avs)) == set(avs.__all__)
    assert all(getattr(avs, name) for name in avs.__all__)
    folder = Path(avs.__file__).parent
    assert (folder / "py.typed").is_file()
    modules = {path.stem for path in folder.iterdir()}
    assert modules.isdisjoint(avs.__all__)  # importing avs.x would put the module in the place of the function


@pytest.mark.parametrize("names", ["__version__", "read_topics read_qrels read_run evaluate compare fuse write_run"])
def test_nothing_heavy_is_imported_before_it_is_needed(names: str) -> None:
    heavy = "{'torch', 'av', 'lightgbm'} & {*sys.modules}"
    code = f"import avs, sys; [getattr(avs, n) for n in {names.split()}]; print(*{heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
