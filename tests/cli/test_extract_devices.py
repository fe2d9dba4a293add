"""avs extract-features in several processes: --devices, the environment of torchrun, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import end_by, session, started, wait_until
from twelve_films import same, twelve_films, words

from avs.cli.main import main
from avs.features import compiled


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twelve_films(tmp_path_factory.mktemp("collection"))


def test_devices_share_the_work_and_the_summary_is_one(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(collection, tmp_path, "--devices", "cpu,cpu", "--workers", 0, "--json")) == 0
    captured = capsys.readouterr()
    (store,) = json.loads(captured.out)["stores"]
    assert store["finished"] and same(collection, tmp_path)
    assert "progress: extract clip 36/36 shots" in captured.err and captured.err.count("next: avs search") == 1
    manifest = json.loads((tmp_path / "clip/shot/manifest.json").read_text())
    assert "--devices cpu,cpu" in manifest["command"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=str)  # the command takes SIGTERM as Ctrl-C
def test_no_process_is_left_of_several_devices(collection: Path, tmp_path: Path, how: signal.Signals) -> None:
    arguments = words(collection, tmp_path, "--devices", "cpu,cpu", "--workers", 2)
    with started(["-m", "avs", *arguments]) as process:
        # the command, two for devices, a worker of each, and Python's own helper of each that starts others
        wait_until(lambda: len(session(process.pid)) >= 6, process)
        ended, err = end_by(process, how)
    assert ended == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[how]
    if how != signal.SIGKILL:
        assert "run the same command again to resume" in err and "Traceback" not in err


def test_of_processes_of_torchrun_the_first_speaks(collection: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "avs", *words(collection, tmp_path, "--workers", 0, "--json")]
    of_both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            arguments, env={**os.environ, **of_both, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    told = [process.communicate() for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], told
    assert same(collection, tmp_path)
    assert len(json.loads(told[0][0])["stores"]) == 1 and "extract clip" in told[0][1]
    assert told[1] == ("", "")


def test_options_that_do_not_fit_are_refused_before_anything_is_read(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(collection, tmp_path, "--device", "cpu", "--devices", "cpu,cpu")) == 2
    assert "it replaces --device" in capsys.readouterr().err
    assert main(words(collection, tmp_path, "--devices", "cpu,tpu,cuda,cuda:0")) == 2
    err = capsys.readouterr().err
    assert 'tpu: unknown device "tpu"' in err and "cuda:0: " in err and "hash videos" not in err
    assert not list(tmp_path.iterdir())


def test_compiled_encoders_give_the_store_to_rounding(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from avs.core.store import FeatureStore

    monkeypatch.setattr(compiled, "BACKEND", "eager")  # traced, and run as it is: no compiler is needed
    assert main(words(collection, tmp_path, "--compile", "--workers", 0)) == 0
    one, other = FeatureStore(collection / "whole/clip/shot"), FeatureStore(tmp_path / "clip/shot")
    assert one.ids == other.ids and one.manifest["config"] == other.manifest["config"]
    np.testing.assert_allclose(np.asarray(one.vectors), np.asarray(other.vectors), atol=2e-3)


def test_an_encoder_that_cannot_be_compiled_is_refused(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "no such compiler")
    assert main(words(collection, tmp_path, "--compile", "--workers", 0)) == 2
    err = capsys.readouterr().err
    assert "the tower of an encoder cannot be compiled here" in err and "leave --compile out" in err
    assert "Traceback" not in err and not list(tmp_path.rglob("*.part"))
