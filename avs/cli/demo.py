"""Run every step on a small collection that is rendered on the spot, or on your own videos.

Each step is an avs command; the demo prints the command and runs it. Run the demo again to resume.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import INPUTS, MODEL, OUTPUT, Debug, Force, Json, Quiet, Seed, Workers

if TYPE_CHECKING:
    from avs.pipeline.demo import DemoSummary

EXAMPLES = """
avs demo
avs demo --size 2000 --seed 1 -o big-demo
avs demo --videos my-videos --topics my-topics.txt --model clip-vit-b32 -o my-demo
"""

Output = Annotated[
    Path, typer.Option("-o", "--output", help="Folder that everything is written to.", rich_help_panel=OUTPUT)
]
Size = Annotated[
    int,
    typer.Option("--size", min=120, help="Number of shots of the rendered collection.", rich_help_panel=INPUTS),
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
    output: Output = Path("avs-demo"),
    size: Size = 600,
    seed: Seed = 0,
    videos: OwnVideos = None,
    topics: OwnTopics = None,
    model: Models = None,
    weights: Weights = None,
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
    reporter = Reporter(quiet=quiet or json)
    demo = Demo(output, reporter, invoke, workers=workers, force=force, models=model or (), weights=weights or ())
    summary = demo.own_videos(videos, topics or ()) if videos else demo.mini_collection(size, seed)
    if json:
        print(json_.dumps(summary.to_json()))
    elif not quiet:
        _print_table(summary)
    reporter.say(f"\nlook at {summary.gallery}: the best shots of every topic")
    reporter.say(f"everything is in {output}; {summary.seconds:.0f} s")
    reporter.say(f"search it in the browser: {summary.serve}")
    reporter.suggest("avs extract-features --help, to index your own videos with an encoder of your choice")


def _print_table(summary: DemoSummary) -> None:
    """One line per run: name, xinfAP where there are judgments, and file."""
    width = max(map(len, summary.runs))
    print(f"\n{'':<{width}}  {'xinfAP' if summary.xinfap else '':<6}  run")
    for name, path in summary.runs.items():
        score = format(summary.xinfap[name], ".4f") if summary.xinfap else ""
        print(f"{name:<{width}}  {score:<6}  {path}")
