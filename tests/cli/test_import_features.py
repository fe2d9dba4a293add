"""avs import-features and export-features, and a search with what came in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_borrowed import IDS, ROWS, write_big, write_table
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder
from avs.trecvid.trec import read_trec

TOPICS = ["731 a red circle", "732 a green square", "733 two dogs", "734 blue"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_features_of_an_encoder_of_the_catalog_are_searched(here: Path) -> None:
    texts = [topic.partition(" ")[2] for topic in TOPICS]
    write_big(Path("theirs"), IDS[::-1], load_embedder("mini-clip").encode_texts(texts)[::-1])
    asked = ["import-features", "theirs", "--shots", "shots.tsv", "--as", "mini-clip", "-o", "mini-clip/shot"]
    assert main(asked) == 0
    Path("topics.txt").write_text("\n".join(TOPICS) + "\n")
    assert main(["search", "--topics", "topics.txt", "--store", "mini-clip/shot", "-o", "lists/"]) == 0
    run = read_trec(Path("lists/mini-clip-shot.trec"))
    assert [run.lists[topic.split()[0]].shots[0] for topic in TOPICS] == list(IDS)


def test_there_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [f"{shot}_{n}" for shot in ("2.x", *IDS[:3]) for n in (0, 1)]
    rows = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    write_big(Path("theirs"), frames, rows)
    asked = ["theirs", "--shots", "shots.tsv", "--level", "frame", "--fps", "2", "--numbers-from", "shot"]
    assert main(["import-features", *asked, "--model", "m", "--revision", "r", "--image-size", "9", "-o", "in"]) == 0
    said = capsys.readouterr().err
    assert "wrote in: 8 rows of 3 float32 for 4 shots, not all of length 1" in said
    assert "2 rows are named after a video that has one shot" in said
    assert "the rows were copied: their order is not that of the shot table" in said and "next: avs info in" in said
    store = FeatureStore(Path("in"))
    assert (store.spec.name, store.spec.revision, store.spec.image_size) == ("m", "r", 9)
    assert np.array_equal(store.vectors, np.roll(rows, -2, axis=0))
    assert main(["export-features", "in", "--format", "bigfile", "--dots-to", "_", "-o", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 8
    assert Path("out/id.txt").read_text().split()[-1] == "shot2_x_1_1"
    assert np.array_equal(np.fromfile("out/feature.bin", "<f4").reshape(8, 3), store.vectors)
    assert main(["info", "in", "--provenance"]) == 0 and main(["info", "out", "--verify"]) == 0


def test_a_summary_as_json_and_a_link_that_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_big(Path("theirs"), IDS, ROWS)
    assert main(["import-features", "theirs", "--shots", "shots.tsv", "-o", "a"]) == 0
    assert "the rows are a link to theirs/feature.bin" in capsys.readouterr().err
    assert main(["import-features", "theirs", "--shots", "shots.tsv", "-o", "b", "--copy", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["linked"], summary["ok"]) == (False, 4)
    assert main(["import-features", "theirs", "--shots", "shots.tsv", "-o", "a"]) == 0
    assert "up to date: a" in capsys.readouterr().err


def test_extraction_that_replaces_borrowed_rows_leaves_nothing_of_them(tmp_path: Path) -> None:
    write_collection(tmp_path, 1)
    table = ["--shots", str(tmp_path / "shots.tsv")]
    theirs = write_big(tmp_path / "theirs", [f"shot00001_{n}" for n in (1, 2, 3)], ROWS[:3])
    store = tmp_path / "mini-clip/shot"
    assert main(["import-features", str(theirs), *table, "-o", str(store)]) == 0
    videos = ["--videos", str(tmp_path / "videos"), *table, "--model", "mini-clip", "--workers", "0"]
    assert main(["extract-features", *videos, "-o", str(tmp_path)]) == 2
    assert main(["extract-features", *videos, "-o", str(tmp_path), "--force"]) == 0
    assert FeatureStore(store).vectors.shape == (3, 128) and not (store / "vectors.bin").exists()
    assert (theirs / "feature.bin").read_bytes() == ROWS[:3].tobytes()


def test_ids_of_another_collection_end_with_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_big(Path("theirs"), ["shot7_1", *IDS[1:]], ROWS)
    assert main(["import-features", "theirs", "--shots", "shots.tsv", "--allow-missing", "-o", "a"]) == 2
    assert "1 of 4 ids are not in the table: shot7_1" in capsys.readouterr().err and not Path("a").exists()
    assert main(["import-features", "theirs", "--shots", "shots.tsv", "--numbers-from", "video", "-o", "a"]) == 2
    assert "needs --fps" in capsys.readouterr().err
