"""Write ranked lists as the XML run file NIST takes, under its run id; never one that check-run refuses."""

from __future__ import annotations

import json as json_
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from avs.cli.options import Debug, Force, Json, Quiet

EXAMPLES = """
avs make-run --topics tv23.xml --ranked lists/x.trec --edition tv23 --shots V3C2.validShotTable --pid TEAM --priority 1 --class F --task M --novelty C --trtype D --desc "CLIP, zero-shot"
avs make-run --topics tv24.avs.topics.txt --ranked lists/x.trec --edition tv24 --shots V3C2.validShotTable --pid TEAM --priority 2 --class F --task M --novelty N --trtype D --algo C --desc "novelty run" --elapsed seconds.txt
avs make-run --topics topics.txt --ranked lists/x.trec --edition custom --shots shots.tsv --pid ME --priority 1 --class F --task M --novelty C --trtype D --desc "my own videos" --elapsed 1
"""  # noqa: E501  # a command to copy stands on one line

INPUTS, RUN, OUTPUT = "Inputs", "Run", "Output"


def command(
    topics: Annotated[
        list[Path], typer.Option("--topics", help="Topic files of the run, all and only.", rich_help_panel=INPUTS)
    ],
    ranked: Annotated[
        Path,
        typer.Option(
            "--ranked", help="Ranked lists: TREC columns (as `avs search` writes) or XML.", rich_help_panel=INPUTS
        ),
    ],
    edition: Annotated[str, typer.Option("--edition", help="tv16 .. tv25, mini or custom.", rich_help_panel=INPUTS)],
    shots: Annotated[
        Path,
        typer.Option(
            "--shots",
            help="The shots that exist: NIST's validShotTable, a shot table of avs, or a list of ids.",
            rich_help_panel=INPUTS,
        ),
    ],
    pid: Annotated[str, typer.Option("--pid", help="Short team id.", rich_help_panel=RUN)],
    priority: Annotated[int, typer.Option("--priority", help="1 is judged first.", rich_help_panel=RUN)],
    class_: Annotated[
        str,
        typer.Option(
            "--class", help="F fully automatic, M manually assisted, R relevance feedback.", rich_help_panel=RUN
        ),
    ],
    trtype: Annotated[
        str,
        typer.Option(
            "--trtype",
            help="Training data: A the collection's only, D any other, E no annotation, F as E with a manual query.",
            rich_help_panel=RUN,
        ),
    ],
    desc: Annotated[str, typer.Option("--desc", help="How this run differs from others.", rich_help_panel=RUN)],
    task: Annotated[
        str | None, typer.Option("--task", help="M main, P progress; from TV19 on.", rich_help_panel=RUN)
    ] = None,
    novelty: Annotated[
        str | None, typer.Option("--novelty", help="C common, N novelty run; from TV19 on.", rich_help_panel=RUN)
    ] = None,
    algo: Annotated[
        str | None, typer.Option("--algo", help="From TV24 on; C and V are known to pass.", rich_help_panel=RUN)
    ] = None,
    elapsed: Annotated[
        str | None,
        typer.Option(
            "--elapsed",
            help="Seconds a topic took, one number or a file of `topic seconds`; fractions are rounded up. "
            "Default: the seconds of the search that made the lists, over its topics.",
            rich_help_panel=RUN,
        ),
    ] = None,
    dropped: Annotated[
        Path | None, typer.Option("--dropped", help="Shots taken out of the collection.", rich_help_panel=INPUTS)
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the run file.", rich_help_panel=OUTPUT)
    ] = Path("runs"),
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.artifacts import Manifest, atomic_write, fingerprint_input, is_up_to_date, write_artefact
    from avs.core.progress import Reporter
    from avs.trecvid.editions import get_edition
    from avs.trecvid.run_file import read_run
    from avs.trecvid.submission import make_submission, read_elapsed, submission_name
    from avs.trecvid.topics import read_topics
    from avs.trecvid.valid_shots import read_valid_shots

    start = perf_counter()
    reporter = Reporter(quiet=quiet or json)
    year = get_edition(edition)
    given = {"trType": trtype, "class": class_, "task": task, "novelty": novelty, "algo": algo, "pid": pid}
    attributes = {name: value for name, value in given.items() if value is not None}
    attributes |= {"priority": str(priority), "desc": desc}
    path = output / submission_name(year, attributes)

    ids = read_topics(topics, edition=year).ids
    elapsed_s = read_elapsed(elapsed or _seconds_of_search(ranked, len(ids)), ids)
    inputs = {"ranked": ranked, "shots": shots, **({"dropped": dropped} if dropped else {})}
    inputs |= {f"topics {number}": file for number, file in enumerate(topics, start=1)}
    manifest = Manifest(
        "run",
        {"edition": year.id, "attributes": attributes, "elapsed_s": elapsed_s},
        {name: fingerprint_input(file) for name, file in inputs.items()},
        paths=inputs,
    )
    if is_up_to_date(path, manifest, force=force, reporter=reporter):
        if json:
            print(json_.dumps({"path": str(path), "up_to_date": True}))
        return

    run = read_run(ranked, topics=ids)
    made = make_submission(
        run, year, attributes, read_valid_shots(shots, dropped=dropped), topics=ids, elapsed_s=elapsed_s
    )

    def write(path: Path) -> None:
        with atomic_write(path, "wb") as file:
            file.write(made.data)

    counts = {"topics": made.report.topics, "shots": made.report.items, "cut_topics": len(made.cut_topics)}
    manifest = replace(manifest, counts=counts, seconds=perf_counter() - start)
    write_artefact(path, manifest, write)
    if made.cut_topics:
        reporter.say(f"cut {len(made.cut_topics)} lists to their best {year.max_results}, as many as NIST takes")
    reporter.say(f"wrote {path}: {made.report.summary}; it passes avs check-run")
    scored_with = next(iter(year.scored_with), "QRELS")
    reporter.say(f"next: submit it, or avs eval {path} --qrels {scored_with}")
    if json:
        print(json_.dumps({"path": str(path), "seconds": round(manifest.seconds, 3), **counts}))


def _seconds_of_search(ranked: Path, topics: int) -> str:
    """Seconds a topic took, from the manifest beside the ranked lists.

    Raises:
        ConfigError: there is no manifest, or it does not know.
    """
    from avs.core.artifacts import require_path
    from avs.core.errors import ConfigError
    from avs.core.list_files import seconds_of_search

    seconds = seconds_of_search([require_path(ranked, what="file of ranked lists")])
    if not seconds:
        raise ConfigError(
            "how long the search took is not known",
            where=ranked,
            next_step="give the seconds a topic took: --elapsed 5, or a file of `topic seconds`",
        )
    return str(seconds / topics)
