"""Run every step on a small collection that is rendered on the spot, or on your own videos.

With --rehearse, recipes of your own are run on rendered collections, before the real data are there.

Each step is an avs command; the demo prints the command and runs it. Run the demo again to resume.
"""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import INPUTS, MODEL, OUTPUT, Debug, Force, Json, Quiet, Seed, Workers

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.pipeline.demo import DemoSummary
    from avs.pipeline.rehearsal.rehearse import RehearsalSummary

EXAMPLES = """
avs demo
avs demo --size 2000 --seed 1 -o big-demo
avs demo --videos my-videos --topics my-topics.txt --model clip-vit-b32 -o my-demo
avs demo --rehearse configs/rehearsals/rucmm_tv23.yaml
"""

Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="Folder that everything is written to; default: avs-demo, or avs-rehearsal.",
        show_default=False, rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Size = Annotated[
    int | None,
    typer.Option(
        "--size", min=120, help="Number of shots of the rendered collection; default 600.", rich_help_panel=INPUTS
    ),
]
Rehearse = Annotated[
    Path | None,
    typer.Option(
        "--rehearse",
        help="YAML that names recipes of features, trainings and submissions, to run on rendered collections "
        "(docs/rucmm.md).",
        rich_help_panel=INPUTS,
    ),
]
OwnVideos = Annotated[
    Path | None,
    typer.Option(
        "--videos", help="Folder of your own videos; default: the rendered collection.", rich_help_panel=INPUTS
    ),
]
OwnTopics = Annotated[
    list[Path] | None,
    typer.Option(
        "--topics", help="Topics for your videos: lines of an id and a sentence, or of a sentence alone; repeatable.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Encoder of the catalog for your videos; repeatable. The default ones know drawn shapes only.",
        rich_help_panel=MODEL,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights", help="Checkpoint of an encoder, as for extract-features; MODEL=WEIGHTS if several.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip


def command(
    output: Output = None,
    size: Size = None,
    seed: Seed = 0,
    videos: OwnVideos = None,
    topics: OwnTopics = None,
    model: Models = None,
    weights: Weights = None,
    rehearse: Rehearse = None,
    workers: Workers = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.cli.main import invoke
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter
    from avs.pipeline.demo import Demo

    if videos is None and (topics or model or weights):
        raise ConfigError(
            "the rendered collection has its own topics and encoders",
            next_step="give --videos with --topics, --model and --weights",
        )
    if rehearse and (videos or size is not None):
        raise ConfigError(
            "a rehearsal renders the collections that its YAML describes",
            got="--videos" if videos else "--size",
            next_step="leave it out, or change the sizes in the YAML",
        )
    reporter = Reporter(quiet=quiet or json)
    if rehearse:
        _rehearse(
            rehearse, output or Path("avs-rehearsal"), reporter, json=json, seed=seed, workers=workers, force=force
        )
        return
    output = output or Path("avs-demo")
    demo = Demo(output, reporter, invoke, workers=workers, force=force, models=model or (), weights=weights or ())
    summary = demo.own_videos(videos, topics or ()) if videos else demo.mini_collection(size or 600, seed)
    if json:
        print(json_.dumps(summary.to_json()))
    elif not quiet:
        _print_table(summary)
    reporter.say(f"\nlook at {summary.gallery}: the best shots of every topic")
    reporter.say(f"everything is in {output}; {summary.seconds:.0f} s")
    reporter.say(f"search it in the browser: {summary.serve}")
    reporter.suggest("avs extract-features --help, to index your own videos with an encoder of your choice")


def _rehearse(
    config: Path, output: Path, reporter: Reporter, *, json: bool, seed: int, workers: int | None, force: bool
) -> None:
    from avs.cli.main import invoke
    from avs.pipeline.rehearsal.rehearse import Rehearsal

    rehearsal = Rehearsal(config, output, reporter, invoke, seed=seed, workers=workers, force=force)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        summary = rehearsal.run()
    if json:
        print(json_.dumps(summary.to_json()))
    elif not reporter.quiet:
        _print_scores(summary)
    reporter.say(f"\n{summary.meaning}")
    reporter.say(f"everything is in {output}; {summary.seconds:.0f} s")


def _print_scores(summary: RehearsalSummary) -> None:
    """A line per list, or per search of several, then the run files."""
    for name, submission in summary.submissions.items():
        rows = _rows(submission.xinfap)
        width = max((len(row) for row in rows), default=0)
        print(f"\n{name:<{width}}  xinfAP")
        for row, value in rows.items():
            print(f"{row:<{width}}  {value:.4f}")
        for path in submission.runs:
            print(path)


def _rows(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores to show: of a search that makes several lists, the best and the mean of them."""
    searches: dict[str, list[float]] = {}
    for name, score in scores.items():
        searches.setdefault(name.rpartition("/")[0], []).append(score)
    alone = searches.pop("", [])
    rows: dict[str, float] = {}
    for search, found in searches.items():
        if len(found) == 1:
            rows[search] = found[0]
        else:
            rows |= {f"{search}: best of {len(found)}": max(found), f"{search}: mean": sum(found) / len(found)}
    return rows | dict(zip((name for name in scores if "/" not in name), alone, strict=True))


def _print_table(summary: DemoSummary) -> None:
    """One line per run: name, xinfAP where there are judgments, and file."""
    width = max(map(len, summary.runs))
    print(f"\n{'':<{width}}  {'xinfAP' if summary.xinfap else '':<6}  run")
    for name, path in summary.runs.items():
        score = format(summary.xinfap[name], ".4f") if summary.xinfap else ""
        print(f"{name:<{width}}  {score:<6}  {path}")
