"""Making a submission: the steps of a plan are run in order, and the provenance of its runs is written.

A step whose result exists is up to date, so a killed submission resumes. A result of this submission that was made from
other inputs or settings is made again; a file that something else wrote is never replaced.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avs.core.artifacts import atomic_write, fingerprint_content, manifest_path, require_writable
from avs.core.errors import ChangedInputsError, ConfigError
from avs.core.progress import Reporter
from avs.pipeline.provenance import Trail
from avs.pipeline.submission.plan import Step, SubmissionPlan

PROVENANCE, CLAIM = "provenance.json", "submission.txt"

RunVerb = Callable[[str, Sequence[str]], None]
"""Runs a verb with the words of a command line, and raises an exception if the verb does not succeed."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission on disk.

    Attributes:
        provenance: the file with the manifests of all that the runs were made from.
        stale: run files in its folder that the plan does not have.
    """

    provenance: Path
    stale: tuple[Path, ...]


def make_submission(
    plan: SubmissionPlan,
    config: Path,
    folder: Path,
    run_verb: RunVerb,
    *,
    only: str | None = None,
    force: bool = False,
    reporter: Reporter,
) -> Submission | None:
    """Run the steps of a plan.

    Args:
        config: the YAML of the plan.
        folder: for everything that is made.
        only: name of the one step to run, after the steps it needs.
        force: make every step again, also in a folder of another YAML.

    Returns:
        The submission; None if only some steps were run.

    Raises:
        ConfigError: the folder holds the submission of another YAML, and `force` is off.
        AvsError: as the verbs.
    """
    steps = plan.only(only) if only else plan.steps
    _claim(folder, config, force=force)
    for step in steps:
        _run(step, folder, run_verb, force=force, reporter=reporter)
    if only:
        return None
    files = [run.path for run in plan.runs]
    stale = tuple(path for path in sorted((folder / "runs").glob("*.xml")) if path not in files)
    return Submission(_write_provenance(files, config, folder), stale)


def _run(step: Step, folder: Path, run_verb: RunVerb, *, force: bool, reporter: Reporter) -> None:
    quiet = ["--quiet"] if reporter.quiet else []
    reporter.say(f"\n$ {shlex.join(['avs', *step.argv])}")
    forced = ["--force"] if force and step.makes else []
    try:
        run_verb(step.verb, [*step.words, *quiet, *forced])
    except ChangedInputsError as error:
        if error.got is None or not _is_own(error.where, folder):  # not made by this submission
            raise
        reporter.say(f"{step.name}: {error.where} was {error.what} ({error.got}); making it again")
        run_verb(step.verb, [*step.words, *quiet, "--force"])


def _claim(folder: Path, config: Path, *, force: bool) -> None:
    """Record in the folder which YAML it belongs to, because another YAML would replace its steps."""
    mark, yaml = folder / CLAIM, os.path.relpath(config.resolve(), folder.resolve())
    owner = mark.read_text(encoding="utf-8").strip() if mark.is_file() else None
    if owner not in (None, yaml) and not force:
        raise ConfigError(
            "the folder holds the submission of another YAML",
            where=folder,
            got=owner,
            wanted=yaml,
            next_step="choose another -o, or replace it with --force",
        )
    if owner != yaml:
        require_writable(mark)
        with atomic_write(mark) as file:
            file.write(f"{yaml}\n")


def _is_own(artefact: object, folder: Path) -> bool:
    """Whether this submission made an artefact, and may replace it."""
    path = Path(str(artefact)).resolve()
    return path.is_relative_to(folder.resolve()) and manifest_path(path).is_file()


def _write_provenance(runs: Sequence[Path], config: Path, folder: Path) -> Path:
    """Write what the runs were made from, beside them, as recorded: videos are not read again."""
    path = folder / "runs" / PROVENANCE
    trail = Trail(runs, check_videos=False).to_json(base=path.parent)
    made_by = {"config": str(config), "fingerprint": fingerprint_content(config)}
    text = json.dumps({"submission": made_by, **trail}, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as file:
            file.write(text)
    return path
