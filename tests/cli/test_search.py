"""`avs search` as a user runs it, on small stores of tiny checkpoints."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store

from avs.cli.main import main
from avs.core.contents import content_fingerprint
from avs.core.ranking import RankedList
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder, read_spec
from avs.trecvid.trec import read_trec

LENGTHS = np.array([3, 1, 2, 4])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, a shot- and a frame-level store made by it, topics and narratives."""
    root = tmp_path_factory.mktemp("work")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    rng = np.random.default_rng(0)
    for level, rows, lengths in (("shot", 40, None), ("frame", int(LENGTHS.sum()), LENGTHS)):
        vectors = rng.normal(size=(rows, spec.dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        make_store(root / f"features/tiny/{level}", vectors, lengths=lengths, spec=spec)
    (root / "topics.txt").write_text("661  a red circle\n662  two people dance\n", encoding="utf-8")
    (root / "more.txt").write_text("701 a dog\n", encoding="utf-8")
    (root / "narratives.txt").write_text("661  It is round.\n662  Both of them.\n", encoding="utf-8")
    return root


def arguments(work: Path, output: object, *more: str, store: str = "shot") -> list[str]:
    where = ["--topics", str(work / "topics.txt"), "--store", str(work / "features/tiny" / store)]
    return ["search", *where, "-o", str(output), *more]


def expected(work: Path, text: str, topic: str, *, level: str = "shot", k: int = 1000) -> RankedList:
    store = FeatureStore(work / "features/tiny" / level)
    query = load_embedder("clip", weights=work / "weights").encode_texts([text])[0]
    scores = [float((store.frames(shot).astype(np.float32) @ query).max()) for shot in store.ids]
    return RankedList.from_scores(topic, store.ids, scores, limit=k)


def assert_close(found: RankedList, wanted: RankedList) -> None:
    assert found.shots == wanted.shots
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


def test_a_list_and_what_made_it(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lists/x.trec"
    assert main(arguments(work, path, "--json")) == 0
    out, err = capsys.readouterr()
    run = read_trec(path)
    assert (run.topics, run.tag) == (("661", "662"), "x")
    assert_close(run.lists["661"], expected(work, "a red circle", "661"))
    assert_close(run.lists["662"], expected(work, "two people dance", "662"))
    summary = json.loads(out)
    assert summary | {"seconds": 0} == {
        "path": str(path), "model": "clip", "topics": 2, "shots": 40, "results": 80, "seconds": 0,
    }  # fmt: skip
    assert re.search(
        rf"wrote {path}: the best 40 of 40 shots for 2 topics, \d+\.\d s\nnext: avs eval {path} --qrels", err
    )
    manifest = json.loads((tmp_path / "lists/x.trec.manifest.json").read_text())
    store = FeatureStore(work / "features/tiny/shot")
    assert manifest["type"] == "ranked-lists"
    assert manifest["config"] == {"k": 1000, "query_mode": "query", "score_dtype": "float32"}
    assert manifest["inputs"]["store"] == content_fingerprint(store.manifest)
    assert manifest["inputs"]["shots"] == store.fingerprint
    assert manifest["inputs"]["topics 1"].startswith("sha256:")
    assert manifest["spec"]["revision"] == store.spec.revision
    assert manifest["seconds"] > 0


def test_frames_narratives_and_a_length(work: Path, tmp_path: Path) -> None:
    options = ["--narratives", str(work / "narratives.txt"), "--query-mode", "both", "--k", "3", "--quiet"]
    assert main(arguments(work, tmp_path / "x.trec", *options, store="frame")) == 0
    run = read_trec(tmp_path / "x.trec")
    assert_close(run.lists["661"], expected(work, "a red circle It is round.", "661", level="frame", k=3))
    assert_close(run.lists["662"], expected(work, "two people dance Both of them.", "662", level="frame", k=3))
    manifest = json.loads((tmp_path / "x.trec.manifest.json").read_text())
    assert manifest["config"]["frame_score"] == "max" and "narratives" in manifest["inputs"]


def test_several_topic_files_and_stores(work: Path, tmp_path: Path) -> None:
    more = ["--topics", str(work / "more.txt"), "--store", str(work / "features/tiny/frame"), "--quiet"]
    assert main(arguments(work, f"{tmp_path}/lists/", *more)) == 0
    assert sorted(p.name for p in (tmp_path / "lists").glob("*.trec")) == ["tiny-frame.trec", "tiny-shot.trec"]
    run = read_trec(tmp_path / "lists/tiny-frame.trec")
    assert (run.topics, run.tag) == (("661", "662", "701"), "tiny-frame")
    assert_close(run.lists["701"], expected(work, "a dog", "701", level="frame"))


def test_done_is_done_and_other_settings_need_force(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.trec"
    assert main(arguments(work, path)) == 0
    written = path.stat().st_mtime_ns
    capsys.readouterr()
    assert main(arguments(work, path, "--json")) == 0
    out, err = capsys.readouterr()
    assert err == f"up to date: {path}\n" and json.loads(out) == {"path": str(path), "up_to_date": True}
    assert path.stat().st_mtime_ns == written
    assert main(arguments(work, path, "--k", "5")) == 2
    assert "got:    changed: config.k" in capsys.readouterr().err
    assert main(arguments(work, path, "--k", "5", "--force")) == 0
    assert len(read_trec(path).lists["661"]) == 5


def test_another_encoder_is_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_clip(tmp_path / "other", seed=1)
    assert main(arguments(work, tmp_path / "x.trec", "--weights", str(other))) == 2
    err = capsys.readouterr().err
    assert "avs search: the encoder does not match the store: revision differ" in err
    assert not (tmp_path / "x.trec").exists()


def test_a_model_that_is_not_in_the_catalog(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = replace(read_spec("clip", weights=work / "weights"), name="clip-of-someone")
    make_store(tmp_path / "store", np.ones((1, spec.dim)), spec=spec)
    topics = ["--topics", str(work / "topics.txt")]
    assert main(["search", *topics, "--store", str(tmp_path / "store"), "-o", str(tmp_path / "x.trec")]) == 2
    err = capsys.readouterr().err
    assert "the store was made by a model that the catalog does not know" in err
    assert (
        'got:    model "clip-of-someone"' in err
        and "next:   search it with a trained model (--checkpoint), or add its entry to " in err
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--topics", "none.txt"], "no such topic file"),
        (["--store", "none"], "no such feature store"),
        (["--edition", "tv16"], "topic 661 is not of tv16"),
        (["--query-mode", "narrative"], 'query mode "narrative" needs a narrative'),
        (["--query-mode", "all"], "unknown query mode"),
        (["--frame-score", "max"], "--frame-score is for frame-level stores"),
        (["--weights", "a", "--weights", "b"], "--weights does not fit the stores"),
        (["--k", "0"], "0 is not in the range x>=1"),
        (["--device", "tpu"], "unknown device"),
        (["--score-dtype", "float8"], "unknown dtype of scores"),
    ],
)
def test_what_cannot_be_searched(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], text: str
) -> None:
    assert main(arguments(work, tmp_path / "x.trec", *more)) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "x.trec").exists()


def test_several_stores_need_a_folder(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--store", str(work / "features/tiny/frame")]
    assert main(arguments(work, tmp_path / "x.trec", *more)) == 2
    assert "several lists need a folder to be written to" in capsys.readouterr().err
    assert main(arguments(work, tmp_path, "--store", str(work / "features/tiny/shot"))) == 2
    assert 'two systems are called "tiny-shot"' in capsys.readouterr().err


def test_a_store_left_half_written(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store/parts").mkdir(parents=True)
    topics = ["--topics", str(work / "topics.txt")]
    assert main(["search", *topics, "--store", str(tmp_path / "store"), "-o", str(tmp_path / "x.trec")]) == 2
    err = capsys.readouterr().err
    assert "the store is not complete" in err and "no manifest.json but parts of one" in err
