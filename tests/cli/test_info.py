from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_models import make_trained

from avs.cli.main import main
from avs.core.artifacts import Manifest, fingerprint_file, write_manifest
from avs.core.spec import EmbedderSpec
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.pipeline import footprint, scoring_rate

SPEC = EmbedderSpec("tiny", "sha256:1", 4, 8, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", True)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    writer = FeatureWriter(tmp_path / "store", Manifest("feature-store", {"level": "shot"}, {}, SPEC.to_json()))
    writer.add(ShotFeatures("shot1_1", np.full((1, 4), 0.5), np.zeros(1)))
    writer.add(ShotFeatures("shot1_2", np.ones((0, 4)), np.zeros(0), "failed", "cannot decode"))
    writer.commit(["shot1_1", "shot1_2"])
    return tmp_path / "store"


def test_a_store_explains_itself(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(store)]) == 0
    out = capsys.readouterr().out
    assert "vectors: 1 x 4 float16, 1 shots, shot level" in out
    assert "  shot1_2: failed: cannot decode" in out
    assert "  name: tiny" in out
    assert main(["info", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"ok": 1, "partial": 0, "failed": 1}


def test_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--env"]) == 0
    assert "numpy: " in capsys.readouterr().out


def test_a_missing_artefact_and_no_artefact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "none")]) == 2
    assert "avs info: no such artefact" in capsys.readouterr().err
    assert main(["info"]) == 2
    assert "avs info: give an artefact or --env" in capsys.readouterr().err


def test_the_provenance_of_a_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store.parent
    (folder / "shots.tsv").write_text("table")
    inputs = {"shots": fingerprint_file(folder / "shots.tsv")}
    write_manifest(store, Manifest("feature-store", inputs=inputs, paths={"shots": folder / "shots.tsv"}))
    assert main(["info", str(store), "--provenance"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  shots: {folder / 'shots.tsv'}  ✓"]
    (folder / "shots.tsv").write_text("other")
    assert main(["info", str(store), "--provenance"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"  shots: {folder / 'shots.tsv'}  ✗ changed since",
        "1 input has changed since or been removed; the trail ends there",
    ]
    assert main(["info", str(store), "--provenance", "--json"]) == 0
    (artefact,) = json.loads(capsys.readouterr().out)["artefacts"].values()
    assert artefact["inputs"]["shots"]["state"] == "changed"
    assert main(["info", "--env", "--provenance"]) == 2
    assert "--provenance needs an artefact" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("661 0 shot1_1 1 2.5 T\n661 0 shot1_2 2 1.5 T\n", ["a run", "1 topics"]),
        ("1661 0 shot1_1 1 1\n1661 0 shot1_2 2 -1\n", ["a qrels file", "relevant", "judgments"]),
        ("661  a hang glider floating in the sky\n", ["a topic file", "661 a hang glider floating in the sky"]),
    ],
)
def test_a_file_that_avs_did_not_write_is_told_by_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: list[str]
) -> None:
    (tmp_path / "x").write_text(content)
    assert main(["info", str(tmp_path / "x")]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in [*said, "avs did not write this file"])


def test_the_footprint_of_a_trained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scoring_rate, "MOST_SHOTS", 40)
    monkeypatch.setattr(footprint, "checkpoint_footprint", partial(footprint.checkpoint_footprint, seconds=0))
    model = str(make_trained(tmp_path / "model", make_clip(tmp_path / "clip"), head="tightTransf"))
    assert main(["info", model, "--footprint"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("footprint of model, clip4clip, 3 frames a shot\n")
    assert "102 bytes" in out and "pairs/s" in out  # 3 frames of 16 dimensions and their mask, in float16
    assert main(["info", model, "--footprint", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shot"] == {"numbers": 51, "bytes": {"float16": 102, "float32": 204}}
    assert set(facts["measured"]["pairs_per_s"]) == {"1", "30"}


def test_the_footprint_of_something_else(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(store), "--footprint"]) == 2
    assert "avs info: only a trained model has a footprint" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "none"), "--footprint"]) == 2
    assert "avs info: no such trained model" in capsys.readouterr().err
    assert main(["info", "--env", "--footprint"]) == 2
    assert "--footprint needs an artefact" in capsys.readouterr().err
