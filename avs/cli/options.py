"""The options that several verbs share, each with one spelling, one meaning and one default.

An option that one verb alone has is defined in the file of that verb, in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from avs.core.artifacts import is_folder as is_folder
from avs.core.errors import ConfigError, typed

INPUTS, MODEL, SAMPLING, LEARN, OUTPUT, RUNTIME = "Inputs", "Model", "Sampling", "Learning", "Output", "Runtime"

# Every verb
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.", rich_help_panel=RUNTIME)]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON summary on stdout.", rich_help_panel=RUNTIME)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=RUNTIME)]

# Every verb that writes something
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace an output that was made from other inputs.", rich_help_panel=RUNTIME),
]

# Which frames are encoded
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames", help="Number of frames per shot (uniform, head, tail); the most, by default 120, of others.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip

# How it runs
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Number of processes that decode; default: one per core; 0: this process alone.",
        show_default=False,
        rich_help_panel=RUNTIME,
    ),
]
Cluster = Annotated[
    Literal["ray"] | None,
    typer.Option(
        "--cluster",
        help="Do the work on a Ray cluster that runs already (docs/cluster.md); needs avs[ray].",
        rich_help_panel=RUNTIME,
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        "--actors",
        min=1,
        help="Number of actors on the cluster; default: one for each free GPU, or for each machine.",
        show_default=False,
        rich_help_panel=RUNTIME,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed of everything random in this command.", rich_help_panel=RUNTIME)
]
MaxFailed = Annotated[
    float,
    typer.Option(
        "--max-failed",
        min=0,
        max=1,
        help="Share (0 to 1) of shots or videos that may fail; above it the exit code is 1.",
        rich_help_panel=OUTPUT,
    ),
]

# Topics
Topics = Annotated[
    list[Path], typer.Option("--topics", help="Topic file, text or XML; repeatable.", rich_help_panel=INPUTS)
]
OptionalTopics = Annotated[
    list[Path] | None, typer.Option("--topics", help="Topic file, text or XML; repeatable.", rich_help_panel=INPUTS)
]
Narratives = Annotated[
    Path | None, typer.Option("--narratives", help="File with a narrative for every topic.", rich_help_panel=INPUTS)
]
QueryMode = Annotated[
    str, typer.Option("--query-mode", help="What to search with: query, narrative or both.", rich_help_panel=INPUTS)
]
Edition = Annotated[
    str | None,
    typer.Option("--edition", help="Edition the topics must belong to: tv16 to tv25, or mini.", rich_help_panel=INPUTS),
]
EditionFile = Annotated[
    Path | None,
    typer.Option(
        "--edition-file",
        help="YAML that describes the edition, if avs does not know it (topics/README.md).",
        rich_help_panel=INPUTS,
    ),
]
PastEditionFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--edition-file",
        help="YAML of an edition to learn from that avs does not know (topics/README.md); repeatable.",
        rich_help_panel=LEARN,
    ),
]
RunEdition = Annotated[
    str, typer.Option("--edition", help="Edition of the runs: tv16 to tv25, mini or custom.", rich_help_panel=INPUTS)
]

# Collections
Videos = Annotated[Path, typer.Option("--videos", help="Folder of video files.", rich_help_panel=INPUTS)]
OptionalVideos = Annotated[Path | None, typer.Option("--videos", help="Folder of video files.", rich_help_panel=INPUTS)]
VideoIds = Annotated[
    Literal["stem", "name"],
    typer.Option("--video-ids", help="stem: 00123.mp4 is video 00123; name: it is 00123-mp4.", rich_help_panel=INPUTS),
]
Shots = Annotated[Path, typer.Option("--shots", help="Shot table, as `avs shots` writes it.", rich_help_panel=INPUTS)]
OptionalShots = Annotated[
    Path | None, typer.Option("--shots", help="Shot table, as `avs shots` writes it.", rich_help_panel=INPUTS)
]
ValidShots = Annotated[
    Path,
    typer.Option(
        "--shots",
        help="The shots that exist: NIST's validShotTable, a shot table, or a list of shot ids.",
        rich_help_panel=INPUTS,
    ),
]
DroppedShots = Annotated[
    Path | None,
    typer.Option("--dropped", help="File of shots that were removed from the collection.", rich_help_panel=INPUTS),
]
Captions = Annotated[Path, typer.Option("--captions", help="Caption file of the videos.", rich_help_panel=INPUTS)]
CaptionsFormat = Annotated[
    str | None,
    typer.Option(
        "--captions-format", help="Format of the caption file, where its content does not show it.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip
Split = Annotated[
    str | None,
    typer.Option(
        "--split", help="Part of the collection: a name that the caption file knows, or a file of video ids.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip

# Lists, stores and models
Lists = Annotated[
    list[Path],
    typer.Argument(help="Ranked lists (TREC or run XML); lists/clip.trec is called clip."),
]
Runs = Annotated[list[Path], typer.Argument(help="Run files: NIST's XML, or TREC's six columns.")]
Stores = Annotated[
    list[Path], typer.Option("--store", help="Feature store or BigFile; repeatable.", rich_help_panel=INPUTS)
]
OptionalStores = Annotated[
    list[Path] | None, typer.Option("--store", help="Feature store or BigFile; repeatable.", rich_help_panel=INPUTS)
]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", help="Trained model; repeatable.", rich_help_panel=MODEL),
]
ZeroShot = Annotated[
    bool,
    typer.Option(
        "--zero-shot", help="Also use the encoders of the stores, beside the trained models.", rich_help_panel=MODEL
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="Current location of the encoder's weights, if they moved: a folder or a Hub name, one per --store.",
        rich_help_panel=MODEL,
    ),
]
Word2Vec = Annotated[
    Path | None,
    typer.Option("--word2vec", help="Current location of the models' word vectors, if moved.", rich_help_panel=MODEL),
]
K = Annotated[
    int, typer.Option("--k", min=1, help="Number of shots per topic; NIST accepts 1000.", rich_help_panel=OUTPUT)
]

# Judgments
Qrels = Annotated[
    Path, typer.Option("--qrels", help="Judgments: topic 0 shot stratum judgment.", rich_help_panel=INPUTS)
]
PastQrels = Annotated[
    list[Path] | None,
    typer.Option("--qrels", help="Judgments of past topics to learn from; repeatable.", rich_help_panel=LEARN),
]
FitOn = Annotated[
    str | None,
    typer.Option(
        "--fit-on", help="Editions to learn from, such as tv19,tv20; default: all judged.", rich_help_panel=LEARN
    ),
]
Study = Annotated[
    bool,
    typer.Option(
        "--study",
        help="The topics are judged: each one is ranked by what was learned without it.",
        rich_help_panel=LEARN,
    ),
]

_WRITES_NOTHING = {"--force": "the same command without it: this verb writes no file"}
FORMER: Mapping[str, Mapping[str, str]] = {
    "make-run": {"--ranked": "the file alone, as in avs make-run LISTS --topics TOPICS ..."},
    "check-run": _WRITES_NOTHING,
    "eval": _WRITES_NOTHING,
    "compare": _WRITES_NOTHING,
    "info": _WRITES_NOTHING,
    "train-laff": {"--features": "--store", "--validation-features": "--validation-store"},
    "train-dual-encoding": {"--features": "--store", "--validation-features": "--validation-store"},
    "demo": {"--shots": "--size"},
    "fuse": {"--model": "--fuser", "--weights": "--weight LIST=W"},
    "rerank": {"--model": "--reranker"},
}
"""Verb -> an option as it was once spelled -> what stands for it now."""


def refuse_former_options(verb: str, args: Sequence[str]) -> None:
    """Check that no option is spelled as it no longer is.

    Raises:
        ConfigError: naming the spelling of today.
    """
    former = FORMER.get(verb, {})
    for word in args[: args.index("--")] if "--" in args else args:
        option = word.partition("=")[0]
        if option in former:
            raise ConfigError(f"{option} is no longer an option of avs {verb}", next_step=f"use {former[option]}")


def output_file(output: str, example: str) -> Path:
    """The file that -o of a verb names which writes one file.

    Raises:
        ConfigError: -o is a folder.
    """
    if is_folder(output):
        raise ConfigError(
            "-o is a folder, and this command writes one file",
            got=output,
            next_step=f"name the file: -o {typed(Path(output) / example)}",
        )
    return Path(output)
