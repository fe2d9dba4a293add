"""Write ranked lists as the XML run file that NIST takes, under its run id; never one that check-run refuses."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import OUTPUT, Debug, DroppedShots, EditionFile, Force, Json, Quiet, RunEdition, Topics, ValidShots

EXAMPLES = """
avs make-run lists/x.trec --topics tv23.xml --edition tv23 --shots V3C2.validShotTable --pid TEAM --priority 1 --class F --task M --novelty C --trtype D --desc "CLIP, zero-shot"
avs make-run lists/x.trec --topics tv24.avs.topics.txt --edition tv24 --shots V3C2.validShotTable --pid TEAM --priority 2 --class F --task M --novelty N --trtype D --algo C --desc "novelty run" --elapsed seconds.txt
avs make-run lists/x.trec --topics topics.txt --edition custom --shots shots.tsv --pid ME --priority 1 --class F --task M --novelty C --trtype D --desc "my own videos" --elapsed 1
"""  # noqa: E501  # a command to copy is one line

RUN = "Run"

RankedLists = Annotated[
    Path, typer.Argument(metavar="LISTS", help="File of ranked lists, one list per topic: TREC's columns, or XML.")
]
Pid = Annotated[str, typer.Option("--pid", help="Short team id.", rich_help_panel=RUN)]
Priority = Annotated[int, typer.Option("--priority", help="1 is judged first.", rich_help_panel=RUN)]
Class = Annotated[
    str,
    typer.Option("--class", help="F fully automatic, M manually assisted, R relevance feedback.", rich_help_panel=RUN),
]
TrainingType = Annotated[
    str,
    typer.Option(
        "--trtype",
        help="Training data: A only from the collection, D any other, E no annotation, F as E with a manual query.",
        rich_help_panel=RUN,
    ),
]
Description = Annotated[
    str, typer.Option("--desc", help="What distinguishes this run from your others.", rich_help_panel=RUN)
]
Task = Annotated[str | None, typer.Option("--task", help="M main, P progress; from TV19 on.", rich_help_panel=RUN)]
NoveltyType = Annotated[
    str | None, typer.Option("--novelty", help="C common, N novelty run; from TV19 on.", rich_help_panel=RUN)
]
Algo = Annotated[
    str | None,
    typer.Option("--algo", help="C or V, as in NIST's sample runs; from TV24 on. Ask NIST.", rich_help_panel=RUN),
]
Elapsed = Annotated[
    str | None,
    typer.Option(
        "--elapsed",
        help="Seconds per topic: one number, or a file of lines `topic seconds`; fractions are rounded up. "
        "Default: the seconds of the search that made the lists, divided by its topics.",
        rich_help_panel=RUN,
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run file.", rich_help_panel=OUTPUT)]


def command(
    ranked: RankedLists,
    topics: Topics,
    edition: RunEdition,
    shots: ValidShots,
    pid: Pid,
    priority: Priority,
    class_: Class,
    trtype: TrainingType,
    desc: Description,
    task: Task = None,
    novelty: NoveltyType = None,
    algo: Algo = None,
    elapsed: Elapsed = None,
    dropped: DroppedShots = None,
    edition_file: EditionFile = None,
    output: Output = Path("runs"),
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.pipeline.run_files import write_run
    from avs.trecvid.editions import get_edition

    reporter = Reporter(quiet=quiet or json)
    options = {"trType": trtype, "class": class_, "task": task, "novelty": novelty, "algo": algo, "pid": pid}
    attributes = {name: value for name, value in options.items() if value is not None}
    attributes |= {"priority": str(priority), "desc": desc}
    year = get_edition(edition, edition_file)
    run = write_run(
        ranked, output, edition=year, topics=topics, shots=shots, attributes=attributes, dropped=dropped,
        elapsed=elapsed, force=force, reporter=reporter,
    )  # fmt: skip
    summary = {"seconds": round(run.seconds, 3), **run.counts} if run.report else {"up_to_date": True}
    if json:
        print(json_.dumps({"path": str(run.path), **summary}))
    if not run.report:
        return
    if run.cut_topics:
        reporter.say(f"cut {len(run.cut_topics)} lists to their best {year.max_results}, as many as NIST takes")
    for warning in run.report.warnings:
        reporter.say(f"warning: {run.path}:{warning.line}: {warning.what}")
    reporter.say(f"wrote {run.path}: {run.report.summary}; it passes avs check-run")
    submit = "" if year.id in ("mini", "custom") else "submit it, or "
    reporter.suggest(f"{submit}avs eval {typed(run.path)} --qrels {next(iter(year.scored_with), 'QRELS')}")
