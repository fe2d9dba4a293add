from __future__ import annotations

import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from avs.cli import main as cli
from avs.cli.options import FORMER
from avs.core.artifacts import Manifest, write_manifest
from avs.core.errors import MissingDependencyError


def test_alone_it_prints_the_flow_and_the_verbs_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert cli.FLOW in out
    positions = [out.index(f"\n  {verb} ") for verb in cli.verbs()]
    assert positions == sorted(positions)


def test_an_unknown_verb_is_a_user_error_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serch"]) == 2
    assert 'avs: unknown verb "serch"; did you mean "search"?' in capsys.readouterr().err


READ_ONLY = ("eval", "compare", "check-run", "info", "serve")


@pytest.mark.parametrize("verb", cli.verbs())
def test_every_verb_has_help_with_three_examples_and_the_shared_options(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = cli.module_of(verb)
    assert len(module.EXAMPLES.strip().splitlines()) >= 3
    assert all(line.strip().startswith(f"avs {verb}") for line in module.EXAMPLES.strip().splitlines())
    assert cli.main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--quiet", "--json", "--debug"):
        assert option in out
    assert ("--force" in out) == (verb not in READ_ONLY)
    assert "Examples:" in out


@pytest.mark.parametrize("verb", FORMER)
def test_former_options_are_gone_and_refused_with_what_to_use(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.main.get_command(cli.app_for(cli.module_of(verb)))
    options = {word for parameter in command.params for word in parameter.opts}
    for former, now in FORMER[verb].items():
        assert former not in options
        assert cli.main([verb, former]) == 2
        assert capsys.readouterr().err.endswith(f"  next:   use {now}\n")


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *args: str) -> int:
    def command(debug: bool = False) -> None:
        raise error

    module = SimpleNamespace(command=command, EXAMPLES="avs info", __doc__="x")
    monkeypatch.setattr(cli, "import_module", lambda name: module)
    return cli.main(["info", *args])


def test_library_errors_exit_with_their_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, MissingDependencyError("no CUDA device", next_step="use --device cpu")) == 3
    assert capsys.readouterr().err == "avs info: no CUDA device\n  next:   use --device cpu\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, MissingDependencyError("no CUDA device"), "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_file_is_a_user_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, FileNotFoundError(2, "No such file or directory", "x.trec")) == 2
    assert capsys.readouterr().err == "avs info: No such file or directory\n  where:  x.trec\n"


def test_a_full_disk_is_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, OSError(28, "No space left on device")) == 3


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt()) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


def test_sigterm_ends_any_verb_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[str] = []

    def command(debug: bool = False) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            ended.append("what was done is kept")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(command=command, EXAMPLES="", __doc__="x"))
    assert cli.main(["info"]) == 143
    assert ended
    assert "run the same command again to resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\S*\n", capsys.readouterr().out)


def test_a_folder_in_place_of_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def told() -> str:
        assert run_with(monkeypatch, IsADirectoryError(21, "Is a directory", str(folder))) == 2
        return capsys.readouterr().err.removeprefix(f"avs info: Is a directory\n  where:  {folder}\n  wanted: a file\n")

    folder = tmp_path / "my lists"
    folder.mkdir()
    assert told() == ""
    (folder / "a.trec").write_text("")
    (folder / "README.md").write_text("")
    assert told() == f"  next:   name a file in it; for all: '{folder}'/*.trec\n"
    write_manifest(folder, Manifest("feature-store"))
    assert told() == "  got:    a feature-store: were two inputs swapped?\n"
