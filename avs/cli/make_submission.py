"""Make a whole submission from one YAML: search, fuse, rerank, and the run files in order of priority, checked.

Every step is a command you could type; it prints it and runs it. What stands is left alone, so that a killed command,
run again, goes on; what was made from other inputs or settings is made anew, with all that follows from it.
"""

from __future__ import annotations

import json as json_
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.pipeline.submission.plan import Step, SubmissionPlan
    from avs.pipeline.submission.verb_options import Verb

EXAMPLES = """
avs make-submission configs/runs/mini.yaml
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23 --dry-run
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23
avs make-submission configs/runs/rucmm_tv23.yaml -o submissions/tv23 --only laffs
"""

PROVENANCE, CLAIM = "provenance.json", "submission.txt"
INPUTS, OUTPUT = "Inputs", "Output"


def command(
    config: Annotated[Path, typer.Argument(help="The YAML of the submission (docs/submission.md).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for lists/, fusions/, reranks/ and runs/; default: submissions/ and the name of the YAML.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the YAML and print the commands only.", rich_help_panel=RUNTIME)
    ] = False,
    only: Annotated[
        str | None, typer.Option("--only", help="A step, by its name, and those it needs.", rich_help_panel=RUNTIME)
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.submission.planner import read_submission

    folder = output or Path("submissions") / config.stem
    plan = read_submission(config, folder, cache(describe))
    steps = plan.only(only) if only else plan.steps
    if dry_run:
        _print_commands(steps, json=json)
        return
    _claim(folder, config, force=force)
    reporter = Reporter(quiet=quiet)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        for step in steps:
            _run(step, folder, reporter, force=force)
    if only:
        return
    provenance = _write_provenance(plan, config, folder)
    _say_what_is_left(plan, folder, reporter)
    _summarize(plan, provenance, reporter, json=json)


def describe(verb: str) -> Verb:
    """What a verb takes, read from its own command, so that a YAML may hold all of it and nothing else."""
    from avs.cli.main import app_for, module_of
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

    return Verb(verb, options, refusal)


def _run(step: Step, folder: Path, reporter: Reporter, *, force: bool) -> None:
    """Run a step; what stands in its way and was made here from something else is replaced.

    Raises:
        SystemExit: it did not end well; with its exit code.
        AvsError: what its verb raises.
    """
    from avs.cli.main import invoke
    from avs.core.errors import ChangedInputsError

    quiet = ["--quiet"] if reporter.quiet else []
    reporter.say(f"\n$ {shlex.join(['avs', *step.argv])}")
    forced = ["--force"] if force and step.makes else []
    try:
        code = invoke(step.verb, [*step.words, *quiet, *forced])
    except ChangedInputsError as error:
        if error.got is None or not _made_here(error.where, folder):  # a file of another hand stays
            raise
        reporter.say(f"{step.name}: {error.where} was {error.what} ({error.got}); making it again")
        code = invoke(step.verb, [*step.words, *quiet, "--force"])
    if code:
        raise SystemExit(code)


def _claim(folder: Path, config: Path, *, force: bool) -> None:
    """Keep in the folder whose submission it holds: that of another YAML would replace its steps.

    Raises:
        ConfigError: it holds that of another YAML, and `force` is off.
    """
    from avs.core.artifacts import atomic_write
    from avs.core.errors import ConfigError

    mark, here = folder / CLAIM, os.path.relpath(config.resolve(), folder.resolve())
    before = mark.read_text(encoding="utf-8").strip() if mark.is_file() else here
    if before != here and not force:
        raise ConfigError(
            "the folder holds the submission of another YAML",
            where=folder,
            got=before,
            wanted=here,
            next_step="choose another -o, or replace it with --force",
        )
    if not mark.is_file() or before != here:
        with atomic_write(mark) as file:
            file.write(f"{here}\n")


def _made_here(artefact: object, folder: Path) -> bool:
    """Whether an artefact is one of avs and of this submission, which may then replace it."""
    from avs.core.artifacts import manifest_path

    path = Path(str(artefact)).resolve()
    return path.is_relative_to(folder.resolve()) and manifest_path(path).is_file()


def _print_commands(steps: Sequence[Step], *, json: bool) -> None:
    if json:
        told = [
            {"step": s.name, "argv": s.argv, "needs": list(s.needs), "makes": [str(path) for path in s.makes]}
            for s in steps
        ]
        print(json_.dumps(told, indent=2))
        return
    for step in steps:
        print(f"# {step.name}\n{shlex.join(['avs', *step.argv])}")


def _write_provenance(plan: SubmissionPlan, config: Path, folder: Path) -> Path:
    """Everything the runs come from, beside them; as it was made, so videos are not read again."""
    from avs.core.artifacts import atomic_write, fingerprint_file
    from avs.pipeline.provenance import Trail

    path = folder / "runs" / PROVENANCE
    trail = Trail([run.path for run in plan.runs], check_videos=False).to_json(base=path.parent)
    made_by = {"config": str(config), "fingerprint": fingerprint_file(config)}
    text = json_.dumps({"submission": made_by, **trail}, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as file:
            file.write(text)
    return path


def _say_what_is_left(plan: SubmissionPlan, folder: Path, reporter: Reporter) -> None:
    """Name run files of an earlier YAML: they must not be submitted by mistake."""
    for path in sorted((folder / "runs").glob("*.xml")):
        if path not in {run.path for run in plan.runs}:
            reporter.say(f"warning: {path} is not of this submission any more; remove it")


def _summarize(plan: SubmissionPlan, provenance: Path, reporter: Reporter, *, json: bool) -> None:
    from avs.core.artifacts import read_manifest

    rows: list[Mapping[str, Any]] = [
        {
            "priority": run.priority,
            "run": run.id,
            "file": str(run.path),
            "shots": read_manifest(run.path)["counts"]["shots"],
            "list": run.made_of,
        }
        for run in plan.runs
    ]
    if json:
        print(json_.dumps({"runs": rows, "provenance": str(provenance)}, indent=2))
    elif not reporter.quiet:
        table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print()
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    reporter.say(f"what they were made from: {provenance}, or avs info {rows[0]['file']} --provenance")
    reporter.say(f"next: submit them, or avs eval {Path(rows[0]['file']).parent}/*.xml --qrels QRELS")
