"""Make a whole submission from one YAML: search, fuse, rerank, and the checked run files in order of priority.

Each step is an avs command, which is printed and run. Run the same command again to resume: a step whose result is up
to date is skipped. If the inputs or settings of a step have changed, the step and those that depend on it run again.
"""

from __future__ import annotations

import json as json_
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avs.cli.options import OUTPUT, RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.pipeline.submission.make import Submission
    from avs.pipeline.submission.plan import Step, SubmissionRun
    from avs.pipeline.submission.verb_options import Verb

EXAMPLES = """
avs make-submission configs/runs/mini.yaml
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23 --dry-run
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23 --only laffs
"""

Config = Annotated[Path, typer.Argument(metavar="YAML", help="The YAML of the submission (docs/submission.md).")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Folder for lists/, fusions/, reranks/ and runs/; default: submissions/ and the name of the YAML.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only check the YAML and print the commands.", rich_help_panel=RUNTIME)
]
Only = Annotated[
    str | None,
    typer.Option("--only", help="Name of the one step to run, after the steps it needs.", rich_help_panel=RUNTIME),
]


def command(
    config: Config,
    output: Output = None,
    dry_run: DryRun = False,
    only: Only = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.submission.make import make_submission
    from avs.pipeline.submission.planner import read_submission

    folder = output or Path("submissions") / config.stem
    plan = read_submission(config, folder, cache(describe))
    if dry_run:
        _print_commands(plan.only(only) if only else plan.steps, json=json)
        return
    reporter = Reporter(quiet=quiet)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        submission = make_submission(plan, config, folder, _run_verb, only=only, force=force, reporter=reporter)
    if submission is not None:
        _summarize(submission, plan.runs, reporter, json=json)


def describe(verb: str) -> Verb:
    """The options of a verb, read from its own command, so that a YAML may use all of them and no other."""
    from avs.cli.main import app_for, module_of
    from avs.cli.options import FORMER
    from avs.pipeline.submission.verb_options import Option, Verb

    command = typer.main.get_command(app_for(module_of(verb)))
    usage_error: Any = typer.BadParameter.__mro__[1]  # typer brings its own click or uses the one installed
    options = {
        word.removeprefix("--"): Option(
            flag=bool(getattr(parameter, "is_flag", False)),
            repeatable=bool(getattr(parameter, "multiple", False)),
            reads=parameter.type.name == "path" and getattr(parameter, "rich_help_panel", None) != OUTPUT,
        )
        for parameter in command.params
        for word in parameter.opts
        if word.startswith("--")
    }

    def refusal(words: Sequence[str]) -> str | None:
        try:
            command.make_context(verb, list(words))
        except usage_error as error:
            return str(error.format_message())
        return None

    former = {option.removeprefix("--"): now for option, now in FORMER.get(verb, {}).items()}
    return Verb(verb, options, refusal, former)


def _run_verb(verb: str, words: Sequence[str]) -> None:
    from avs.cli.main import invoke

    code = invoke(verb, words)
    if code:
        raise SystemExit(code)


def _print_commands(steps: Sequence[Step], *, json: bool) -> None:
    if json:
        data = [
            {"step": s.name, "argv": s.argv, "needs": list(s.needs), "makes": [str(path) for path in s.makes]}
            for s in steps
        ]
        print(json_.dumps(data, indent=2))
        return
    for step in steps:
        print(f"# {step.name}\n{shlex.join(['avs', *step.argv])}")


def _summarize(submission: Submission, runs: Sequence[SubmissionRun], reporter: Reporter, *, json: bool) -> None:
    from avs.core.artifacts import read_manifest
    from avs.core.errors import typed

    for path in submission.stale:
        reporter.say(f"warning: {path} is not part of this submission any more; remove it")
    rows: list[dict[str, Any]] = [
        {
            "priority": run.priority,
            "run": run.id,
            "file": str(run.path),
            "shots": read_manifest(run.path)["counts"]["shots"],
            "list": run.made_of,
        }
        for run in runs
    ]
    if json:
        print(json_.dumps({"runs": rows, "provenance": str(submission.provenance)}, indent=2))
    elif not reporter.quiet:
        table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print()
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    reporter.say(
        f"what they were made from: {submission.provenance}, or avs info {typed(rows[0]['file'])} --provenance"
    )
    reporter.suggest(f"submit them, or avs eval {typed(Path(rows[0]['file']).parent)}/*.xml --qrels QRELS")
