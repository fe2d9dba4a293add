"""Check run files as NIST will, and more strictly: every fault, with file and line."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import Debug, Json, Quiet

EXAMPLES = """
avs check-run runs/F_M_C_D_TEAM.24_1.xml --edition tv24 --shots V3C2.validShotTable
avs check-run runs/*.xml --edition tv21 --shots V3C1.validShotTable --dropped V3C1.dropped.shots.list --task M
avs check-run mine.xml --edition custom --shots shots.tsv --topics topics.txt
"""

INPUTS = "Inputs"


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run files: NIST's XML, or TREC's six columns.")],
    edition: Annotated[str, typer.Option("--edition", help="tv16 .. tv25, mini or custom.", rich_help_panel=INPUTS)],
    shots: Annotated[
        Path,
        typer.Option(
            "--shots",
            help="The shots that exist: NIST's validShotTable, a shot table of avs, or a list of ids.",
            rich_help_panel=INPUTS,
        ),
    ],
    dropped: Annotated[
        Path | None, typer.Option("--dropped", help="Shots taken out of the collection.", rich_help_panel=INPUTS)
    ] = None,
    topics: Annotated[
        list[Path] | None,
        typer.Option(
            "--topics", help="Topics a run must have; default: those of the edition's task.", rich_help_panel=INPUTS
        ),
    ] = None,
    pids: Annotated[
        Path | None,
        typer.Option("--pids", help="Registered team ids, one a line; default: any team.", rich_help_panel=INPUTS),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="M (main) or P (progress), where runs must be of it; default: any.", rich_help_panel=INPUTS
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.artifacts import require_path
    from avs.core.errors import MAX_LISTED_PROBLEMS, ConfigError, FormatError
    from avs.trecvid.check import check_run
    from avs.trecvid.editions import TASK_NAMES, get_edition
    from avs.trecvid.topics import read_topics
    from avs.trecvid.valid_shots import read_valid_shots

    year = get_edition(edition)
    if task is not None and task not in TASK_NAMES:
        raise ConfigError("--task is M (main) or P (progress)", got=task)
    known = read_valid_shots(shots, dropped=dropped)
    ids = read_topics(topics).ids if topics else None
    teams = frozenset(require_path(pids).read_text(encoding="utf-8").split()) if pids else None
    reports = [check_run(path, year, known, task=task, topics=ids, pids=teams) for path in runs]

    faults = sum(len(report.findings) for report in reports)
    refused = [report.name for report in reports if not report.ok]
    if json:
        found = {r.name: [{"line": f.line, "what": f.what} for f in r.findings] for r in reports}
        counts = {r.name: {"runs": r.runs, "topics": r.topics, "shots": r.items} for r in reports}
        print(json_.dumps({"ok": not faults, "findings": found, "counts": counts}, indent=2))
    for report in () if json else reports:
        for finding in report.findings[:MAX_LISTED_PROBLEMS]:
            print(f"{report.name}:{finding.line}: {finding.what}")
        if len(report.findings) > MAX_LISTED_PROBLEMS:
            print(f"{report.name}: ... and {len(report.findings) - MAX_LISTED_PROBLEMS} more (--json lists all)")
        if report.ok and not quiet:
            print(f"OK {report.name}: {report.summary}, checked against {len(known)} shots of {known.name}")
        if report.empty_topics and not quiet:
            print(f"note: {report.name}: topics without a shot: {', '.join(report.empty_topics)}")
    if refused:
        raise FormatError(
            f"{len(refused)} of {len(reports)} run files would be refused, {faults} problems", where=", ".join(refused)
        )
