"""Check run files by the rules of NIST's checker and stricter ones; every fault is listed with its file and line."""

from __future__ import annotations

import json as json_
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import INPUTS, Debug, DroppedShots, EditionFile, Json, Quiet, RunEdition, Runs, ValidShots

if TYPE_CHECKING:
    from avs.trecvid.findings import CheckReport

EXAMPLES = """
avs check-run runs/F_M_C_D_TEAM.24_1.xml --edition tv24 --shots V3C2.validShotTable
avs check-run runs/*.xml --edition tv21 --shots V3C1.validShotTable --dropped V3C1.dropped.shots.list --task M
avs check-run mine.xml --edition custom --shots shots.tsv --topics topics.txt
"""

ExpectedTopics = Annotated[
    list[Path] | None,
    typer.Option(
        "--topics",
        help="Topic files whose topics a run must have; default: the topics of the edition's task.",
        rich_help_panel=INPUTS,
    ),
]
Pids = Annotated[
    Path | None,
    typer.Option(
        "--pids", help="File of registered team ids, one per line; default: any team.", rich_help_panel=INPUTS
    ),
]
ExpectedTask = Annotated[
    str | None,
    typer.Option("--task", help="Task the runs must be of: M (main) or P (progress).", rich_help_panel=INPUTS),
]


def command(
    runs: Runs,
    edition: RunEdition,
    shots: ValidShots,
    dropped: DroppedShots = None,
    edition_file: EditionFile = None,
    topics: ExpectedTopics = None,
    pids: Pids = None,
    task: ExpectedTask = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.artifacts import require_path
    from avs.core.errors import ConfigError, FormatError
    from avs.trecvid.check import check_run
    from avs.trecvid.editions import TASK_NAMES, get_edition
    from avs.trecvid.topics import read_topics
    from avs.trecvid.valid_shots import read_valid_shots

    year = get_edition(edition, edition_file)
    if task is not None and task not in TASK_NAMES:
        raise ConfigError("--task is M (main) or P (progress)", got=task)
    valid = read_valid_shots(shots, dropped=dropped)
    ids = read_topics(topics).ids if topics else None
    teams = frozenset(require_path(pids).read_text(encoding="utf-8").split()) if pids else None
    reports = [check_run(path, year, valid, task=task, topics=ids, pids=teams) for path in runs]

    if json:
        print(_json(reports))
    for report in () if json else reports:
        _print(report, f"checked against {len(valid)} shots of {valid.name}", quiet=quiet)
    refused = [report.name for report in reports if not report.ok]
    if refused:
        faults = sum(len(report.findings) for report in reports)
        raise FormatError(
            f"{len(refused)} of {len(reports)} run files would be refused, {faults} problem{'s' if faults > 1 else ''}",
            where=", ".join(refused),
        )


def _json(reports: list[CheckReport]) -> str:
    findings, warnings = (
        {report.name: [asdict(found) for found in getattr(report, kind)] for report in reports}
        for kind in ("findings", "warnings")
    )
    counts = {r.name: {"runs": r.runs, "topics": r.topics, "shots": r.items} for r in reports}
    ok = all(report.ok for report in reports)
    return json_.dumps({"ok": ok, "findings": findings, "warnings": warnings, "counts": counts}, indent=2)


def _print(report: CheckReport, checked: str, *, quiet: bool) -> None:
    from avs.core.errors import in_few_lines

    lines = list(in_few_lines([(f"{report.name}:{f.line}: {f.what}", f.what) for f in report.findings]))
    for line in lines:
        print(line)
    if len(lines) < len(report.findings):
        print(f"{report.name}: --json lists all {len(report.findings)} problems")
    if report.ok and not quiet:
        print(f"OK {report.name}: {report.summary}, {checked}")
    for warning in () if quiet else report.warnings:
        print(f"warning: {report.name}:{warning.line}: {warning.what}")
