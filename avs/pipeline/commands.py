"""avs commands that a stage prints and then runs, as a user would type them."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from avs.core.progress import Reporter, no_suggestions

READING_VERBS = ("check-run", "eval")  # they write nothing, so they have no --force

RunVerb = Callable[[str, Sequence[str]], int]
"""Runs `avs VERB ARGUMENTS` and returns its exit code."""


class Commands:
    """Prints avs commands and runs them.

    Args:
        run_verb: runs one of them.
        force: let them replace what was made from other inputs.
    """

    def __init__(self, reporter: Reporter, run_verb: RunVerb, *, force: bool = False) -> None:
        self.reporter, self.run_verb, self.force = reporter, run_verb, force

    def __call__(self, verb: str, *words: object) -> None:
        """Print a command and run it.

        Raises:
            SystemExit: the command failed; with its exit code.
        """
        arguments = [str(word) for word in words]
        self.reporter.say(f"\n$ {shlex.join(['avs', verb, *arguments])}")
        quiet = ["--quiet"] if self.reporter.quiet else []
        force = ["--force"] if self.force and verb not in READING_VERBS else []
        with no_suggestions():
            code = self.run_verb(verb, [*arguments, *quiet, *force])
        if code:
            raise SystemExit(code)

    def answer(self, verb: str, *words: object) -> Any:
        """What a command prints with --json.

        Raises:
            SystemExit: the command failed; with its exit code.
        """
        printed = io.StringIO()
        with redirect_stdout(printed):
            self(verb, *words, "--json")
        return json.loads(printed.getvalue())


def repeated(option: str, values: Sequence[object]) -> list[object]:
    """`option` before each of the values."""
    return [word for value in values for word in (option, value)]
