"""Commands that a stage prints and runs: with the options that all of them share."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from avs.core.progress import Reporter
from avs.pipeline.commands import Commands, repeated


def test_options_of_all_commands_are_added_where_a_verb_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[tuple[str, Sequence[str]]] = []
    avs = Commands(Reporter(quiet=True), lambda verb, words: ran.append((verb, words)) or 0, force=True)  # type: ignore[func-returns-value]
    avs("search", "--k", 5)
    avs("check-run", "a.xml")
    assert ran == [("search", ["--k", "5", "--quiet", "--force"]), ("check-run", ["a.xml", "--quiet"])]


def test_an_answer_is_what_a_command_prints_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    def run(verb: str, words: Sequence[str]) -> int:
        print(json.dumps({"verb": verb, "words": list(words)}))
        return 0

    assert Commands(Reporter(quiet=False), run).answer("eval", "a b") == {"verb": "eval", "words": ["a b", "--json"]}
    printed = capsys.readouterr()
    assert printed.out == "" and "$ avs eval 'a b' --json" in printed.err


def test_a_command_that_fails_ends_the_program_with_its_code() -> None:
    with pytest.raises(SystemExit) as stopped:
        Commands(Reporter(), lambda verb, words: 3).answer("eval")
    assert stopped.value.code == 3


def test_an_option_is_repeated_before_each_value() -> None:
    assert repeated("--model", ["a", "b"]) == ["--model", "a", "--model", "b"]
