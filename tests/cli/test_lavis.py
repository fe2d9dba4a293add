"""`--backend lavis` as a user runs it, beside a worker that speaks the protocol and has no LAVIS; `avs lavis setup`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import end_by, session, started, wait_until
from tiny_checkpoints import make_blip
from tiny_lavis import DIM, VERSIONS, counted, make_environment, write_weights
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.store import FeatureStore
from avs.features.lavis import building

FILMS = 3


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collection")
    write_collection(root, films=FILMS)
    write_weights(root / "weights")
    (root / "topics.txt").write_text("661 a dog runs\n662 a red house\n", encoding="utf-8")
    return root


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the environment that `--backend lavis` finds."""

    def make(name: str = "env", **how: object) -> Path:
        folder = make_environment(tmp_path / name, **how)
        monkeypatch.setenv("AVS_LAVIS_VENV", str(folder))
        return folder

    return make


def extraction(collection: Path, output: Path, *more: object) -> list[str]:
    where = ["--videos", collection / "videos", "--shots", collection / "shots.tsv", "-o", output]
    model = ["--model", "blip", "--weights", collection / "weights", "--backend", "lavis", "--workers", 0]
    return ["extract-features", *map(str, [*where, *model, "--batch-size", 4, *more])]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}


def test_a_store_and_a_search(
    collection: Path, tmp_path: Path, environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = environment()
    levels = ["--level", "shot", "--level", "frame"]
    assert main(extraction(collection, tmp_path, *levels)) == 0
    store = FeatureStore(tmp_path / "blip/shot")
    assert store.vectors.shape == (3 * FILMS, DIM) and store.spec.backend == "lavis"
    assert read_manifest(tmp_path / "blip/shot")["spec"]["backend_versions"].startswith("salesforce-lavis 1.0.2, ")
    frames = FeatureStore(tmp_path / "blip/frame").vectors.astype(np.float32)
    assert np.allclose(np.linalg.norm(frames, axis=1), 1, atol=1e-2)
    extracting = counted(folder, "starts")
    out = tmp_path / "list.trec"
    searching = ["search", "--topics", collection / "topics.txt", "--store", tmp_path / "blip/shot", "-o", out]
    assert main([*map(str, searching)]) == 0
    assert counted(folder, "starts") > extracting, "the topics were not encoded by LAVIS"
    assert len(out.read_text().splitlines()) == 2 * 3 * FILMS
    assert main(extraction(collection, tmp_path, *levels)) == 0
    assert "up to date" in capsys.readouterr().err


def test_a_recipe_names_the_backend_of_each_encoder(
    collection: Path, tmp_path: Path, environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    environment()
    blip = make_blip(tmp_path / "checkpoint")
    recipe = tmp_path / "recipe.yaml"
    encoders = [{"model": "blip", "weights": str(collection / "weights"), "backend": "lavis"}]
    recipe.write_text(json.dumps({"encoders": encoders}), encoding="utf-8")
    where = ["--videos", collection / "videos", "--shots", collection / "shots.tsv", "--workers", 0]
    here = ["extract-features", *map(str, where)]
    assert main([*here, "--config", str(recipe), "-o", str(tmp_path / "out")]) == 0
    assert FeatureStore(tmp_path / "out/blip/shot").spec.backend == "lavis"
    other = [*here, "--model", "blip", "--weights", str(blip), "--backend", "transformers", "-o", str(tmp_path / "out")]
    assert main(other) == 2
    assert "spec" in capsys.readouterr().err, "a store of the other backend is in the way"
    assert main([*here, "--config", str(recipe), "--backend", "lavis", "-o", str(tmp_path / "out")]) == 2
    assert "--config replaces these options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ({"versions": {**VERSIONS, "transformers": "4.30.2"}}, 3, "transformers 4.30.2"),
        ({"protocol": 7}, 2, "speaks another protocol"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told_before_work_starts(
    collection: Path,
    tmp_path: Path,
    environment: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    how: dict[str, object],
    code: int,
    said: str,
) -> None:
    folder = environment(**how)
    assert main(extraction(collection, tmp_path / "out")) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and counted(folder, "messages") == 0


def test_without_an_environment_the_command_that_builds_it_is_told(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVS_LAVIS_VENV", str(tmp_path / "none"))
    assert main(extraction(collection, tmp_path / "out")) == 3
    assert f"avs lavis setup --venv {tmp_path / 'none'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit(
    collection: Path, tmp_path: Path, environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = environment()
    for words, said in (
        (["--compute-dtype", "bfloat16"], "LAVIS computes in float32"),
        (["--compile"], "nor LAVIS"),
        (["--backend", "lavis=blip"], "--backend does not fit the models"),
    ):
        assert main(extraction(collection, tmp_path / "out", *words)) == 2, words
        assert said in capsys.readouterr().err
        assert counted(folder, "starts") == 0, "weights and videos were read first"
    assert main(extraction(collection, tmp_path / "out", "--raw-length", "--level", "frame")) == 2
    assert "with length 1 alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "work has begun"


@pytest.mark.parametrize("how", ["dies", "is killed"])
def test_an_extraction_outlives_a_worker_and_writes_the_same_bytes(
    collection: Path, tmp_path: Path, environment: Callable[..., Path], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    environment()
    assert main(extraction(collection, tmp_path / "calm")) == 0
    folder = environment("lost", wrong={how: [4]})
    assert main(extraction(collection, tmp_path / "lost-out")) == 0
    assert counted(folder, "starts") == 3 and "another one is started" in caplog.text
    assert content(tmp_path / "calm/blip/shot") == content(tmp_path / "lost-out/blip/shot") != {}


def test_values_that_are_not_finite_end_the_extraction(
    collection: Path, tmp_path: Path, environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    environment(wrong={"nan": [3]})
    assert main(extraction(collection, tmp_path / "out")) == 2
    assert "image 2 of the batch" in capsys.readouterr().err
    environment("sound")
    assert main(extraction(collection, tmp_path / "out")) == 0, "what was done before is kept"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    write_collection(tmp_path, films=40)
    write_weights(tmp_path / "weights")
    return tmp_path


def workers(pid: int) -> Iterator[int]:
    """The living workers of LAVIS of a session."""
    for one in session(pid):
        try:
            words = Path(f"/proc/{one}/cmdline").read_bytes()
        except OSError:
            continue
        if b"fake_lavis.py" in words:
            yield one


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=str
)
def test_no_worker_is_left(
    many: Path, tmp_path: Path, environment: Callable[..., Path], how: signal.Signals, code: int
) -> None:
    """Also one that computes."""
    folder = environment(wrong={"hangs": [6]})
    with started(["-m", "avs", *extraction(many, tmp_path / "out")]) as process:
        wait_until(lambda: counted(folder, "messages") == 6, process)
        assert len(list(workers(process.pid))) == 1
        ended, err = end_by(process, how)
    assert ended == code
    if how != signal.SIGKILL:
        assert "run the same command again to resume" in err and "Traceback" not in err


def test_two_extractions_at_once(many: Path, tmp_path: Path, environment: Callable[..., Path]) -> None:
    folder = environment()
    words = ["-m", "avs", *extraction(many, tmp_path / "out")]
    with started(words) as one, started(words) as other:
        said = [process.communicate()[1] for process in (one, other)]
        assert [one.returncode, other.returncode] == [0, 0], said
    store = FeatureStore(tmp_path / "out/blip/shot")
    assert store.vectors.shape == (120, DIM)
    assert counted(folder, "starts") in (3, 4)  # each has one that greets alone; a late process needs no other


def test_setup_says_what_is_wrong_with_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    assert main(["lavis", "setup", "--venv", str(tmp_path / "notes")]) == 2
    assert "no virtual environment" in capsys.readouterr().err
    assert main(["lavis", "setup", "--venv", str(tmp_path / "new"), "--python", "/bin/false"]) == 3
    assert "exit code 1" in capsys.readouterr().err
    assert main(["lavis", "setup", "--venv", str(tmp_path / "notes"), "--force"]) == 2
    assert (tmp_path / "notes/a.txt").exists()
    assert main(["lavis", "remove"]) == 2


def test_setup_installs_from_the_constraints_and_tests_what_it_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip is not run; the worker is a fake."""
    facts = {"dim": 256, "takes": 32, "operators_registered": True}
    folder = tmp_path / "env"
    monkeypatch.setenv("AVS_LAVIS_VENV", str(tmp_path / "elsewhere"))
    ran: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(words)
        if "venv" in words and "--clear" not in words:
            make_environment(folder, facts=facts)
            (folder / "pyvenv.cfg").touch()
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(building.subprocess, "run", run)
    assert main(["lavis", "setup", "--venv", str(folder), "--json"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["versions"]["transformers"] == "4.26.1" and summary["operators_registered"]
    assert f"export AVS_LAVIS_VENV={folder}" in said.err and "self-test" in said.err
    made, others, alone = ran
    assert made[1:] == ["-m", "venv", str(folder)]
    assert "torch" in others and "--no-deps" not in others
    assert alone[-4:] == ["--no-deps", "salesforce-lavis", "timm", "fairscale"]
    for words in (others, alone):
        assert words[words.index("-c") + 1].endswith("avs/features/lavis/constraints.txt")
    ran.clear()
    assert main(["lavis", "setup", "--venv", str(folder)]) == 0
    assert len(ran) == 2, "it is completed, and not begun again"
    assert main(["lavis", "setup", "--venv", str(folder), "--force"]) == 0
    assert ran[2][1:] == ["-m", "venv", "--clear", str(folder)]


def test_setup_refuses_what_it_built_if_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(building.subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0))
    facts = {"dim": 256, "takes": 32, "operators_registered": False}
    make_environment(tmp_path / "old", facts=facts, versions={**VERSIONS, "timm": "1.0.31"})
    assert main(["lavis", "setup", "--venv", str(tmp_path / "old")]) == 3
    assert "timm 1.0.31" in capsys.readouterr().err
    make_environment(tmp_path / "narrow", facts={**facts, "dim": 16})
    assert main(["lavis", "setup", "--venv", str(tmp_path / "narrow")]) == 2
    assert "the self-test failed: vectors of images" in capsys.readouterr().err


def test_setup_wants_a_python_that_lavis_runs_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(building.sys, "version_info", (3, 13, 0))
    monkeypatch.setattr(building.shutil, "which", lambda name: f"/bin/{name}" if name == "python3.10" else None)
    assert building.find_python() == "/bin/python3.10"
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    assert sys.version_info[:2] == (3, 13)
    assert main(["lavis", "setup", "--venv", str(tmp_path / "env")]) == 3
