"""`avs serve` as a user starts it."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest
from live_server import TinyServed, tiny_served
from processes import started, wait_until

from avs.cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyServed:
    return tiny_served(tmp_path_factory.mktemp("served"))


def test_it_prints_its_address_and_ends_in_order(tiny: TinyServed, tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(
        f"stores: [{tiny.stores[0]}]\nport: 0\ncache: {tmp_path / 'cache'}\nsessions: {tmp_path / 'sessions'}\n"
        'keys: {"yes": j}\nread_only: true\nvideo_ids: name\n',
        encoding="utf-8",
    )
    with started(["-m", "avs", "serve", "--config", config, "--shots", tiny.shots]) as process:
        assert process.stdout is not None
        root = process.stdout.readline().strip()
        assert root.startswith("http://127.0.0.1:")

        def ready() -> bool:
            try:
                status = httpx.get(f"{root}api/v1/status").json()
            except httpx.TransportError:
                return False
            assert status["keys"] == {"yes": "j"} and status["read_only"]  # a flag that was not typed changes nothing
            return bool(status["ready"]) and status["media"]["times"]

        wait_until(ready, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "", "")


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["serve", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_served(tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", tiny.stores[0]]
    assert "there is nothing to search" in refused(capsys)
    err = refused(capsys, *store, "--host", "0.0.0.0", "--port", 0)
    assert "clients must know a token" in err and "--token" in err
    assert "no such shot table" in refused(capsys, *store, "--shots", tmp_path / "none.tsv")
    both = refused(capsys, *store, "--shots", tmp_path / "none.tsv", "--qrels", tmp_path / "none")
    assert "2 problems" in both and "no such shot table" in both and "no such qrels file" in both
    assert "rescore" in refused(capsys, *store, "--rescore", 0)
    config = tmp_path / "serve.yaml"
    config.write_text(f"stores: [{tiny.stores[0]}]\nkeys: {{yes: j}}\nnothing: 1\n", encoding="utf-8")
    err = refused(capsys, "--config", config)
    assert "unknown key" in err and 'write "yes", "no" and "on" in quotes' in err
    keys = '{"yes": j, "no": j, basket: v, judge: q}'
    config.write_text(f"stores: [{tiny.stores[0]}]\nkeys: {keys}\n", encoding="utf-8")
    err = refused(capsys, "--config", config)
    assert 'no: its key "j" is that of yes' in err and 'basket: its key "v" is that of video' in err
    assert "judge: there is no such action" in err and "3 problems" in err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        err = refused(capsys, *store, "--port", taken.getsockname()[1])
    assert "the address cannot be used" in err and "--port 0" in err


def test_a_collection_that_does_not_fit_ends_the_server(
    tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "shots.tsv"
    table.write_text("".join(tiny.shots.read_text().splitlines(keepends=True)[:5]), encoding="utf-8")
    options = ["--store", tiny.stores[0], "--shots", table, "--port", 0, "--cache", tmp_path / "cache", "--quiet"]
    err = refused(capsys, *options)
    assert "56 shots of a store are not in the shot table" in err and "Traceback" not in err


def test_without_the_web_packages(
    tiny: TinyServed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--store", str(tiny.stores[0])]) == 3
    assert 'pip install "avs[serve]"' in capsys.readouterr().err
