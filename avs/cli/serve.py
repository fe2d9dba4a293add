"""Search in the browser: type, look, judge, compare, and export runs.

It opens stores, trained models, fusers, ranked lists, topics and judgments, and serves one page and one HTTP API
(docs/serve.md). What is not given is not in the page. It listens on this machine alone; another --host needs --token.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from avs.cli.options import (
    INPUTS,
    MODEL,
    OUTPUT,
    RUNTIME,
    Checkpoints,
    Debug,
    Device,
    Json,
    Narratives,
    OptionalShots,
    OptionalStores,
    OptionalTopics,
    OptionalVideos,
    Quiet,
    VideoIds,
    Weights,
    Word2Vec,
)

if TYPE_CHECKING:
    from avs.pipeline.serve_options import ServeOptions

EXAMPLES = """
avs serve --store features/mini-clip/shot --shots shots.tsv --videos videos
avs serve --store features/mini-clip/shot --store features/mini-blip/shot --checkpoint models/laff --shots shots.tsv --videos videos --keyframes keyframes --topics topics.txt --qrels avs.qrels.mini --lists lists/
avs serve --config configs/serve/mini.yaml --read-only
avs serve --store features/mini-clip/shot --shots shots.tsv --videos videos --dres https://dres.example.org --dres-user team7
avs serve --store features/mini-clip/shot --host 0.0.0.0 --token --allow-host search.example.org
"""  # noqa: E501  # a command to copy is one line

FIELDS = {
    "store": "stores", "checkpoint": "checkpoints", "fuser": "fusers", "allow_host": "allow_hosts", "timer": "timer_s",
}  # fmt: skip
"""Option -> its name in a config; others have one name."""
DEFAULTS = {"video_ids": "stem", "device": "cpu"}
"""Values that an option has when it was not typed; then a config may say otherwise."""
NO_SETTINGS = {"config", "open_browser", "quiet", "json", "debug"}
Config = Annotated[Path | None, typer.Option("--config", help="YAML with these options; options beside it come first.")]
Fusers = Annotated[
    list[Path] | None,
    typer.Option("--fuser", help="Fuser that was fitted before; repeatable.", rich_help_panel=MODEL),
]
ServedLists = Annotated[
    list[Path] | None,
    typer.Option("--lists", help="Ranked lists, a file or a folder of them; repeatable.", rich_help_panel=INPUTS),
]
Keyframes = Annotated[
    Path | None,
    typer.Option(
        "--keyframes", help="Folder of pictures of shots; without it they are made from --videos.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip
OptionalQrels = Annotated[
    Path | None, typer.Option("--qrels", help="Judgments: topic 0 shot stratum judgment.", rich_help_panel=INPUTS)
]
TextTable = Annotated[
    Path | None,
    typer.Option(
        "--text-table", help="Texts of shots, of OCR or ASR: shot, kind and text between tabs.", rich_help_panel=INPUTS
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for pictures and columns that are made; default: .avs-serve.", rich_help_panel=OUTPUT
    ),
]
Sessions = Annotated[
    Path | None,
    typer.Option("--sessions", help="Folder of the journals of marks; default: sessions.", rich_help_panel=OUTPUT),
]
Host = Annotated[str | None, typer.Option("--host", help="Address; default: 127.0.0.1.", rich_help_panel=RUNTIME)]
Port = Annotated[int | None, typer.Option("--port", help="Default: 8765; 0 picks one.", rich_help_panel=RUNTIME)]
UseToken = Annotated[
    bool, typer.Option("--token", help="Clients must know a token, which is made and printed.", rich_help_panel=RUNTIME)
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help="Another name of this server; repeatable.", rich_help_panel=RUNTIME),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="No marks, no uploads, no files.", rich_help_panel=RUNTIME)]
Rescore = Annotated[
    int | None,
    typer.Option(
        "--rescore", help="Shots that a trained model scores of a larger collection; default: 1000.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
ServedFrameScore = Annotated[
    Literal["max", "mean"] | None,
    typer.Option("--frame-score", help="Score of a shot in a frame-level store.", rich_help_panel=MODEL),
]
DRES = "Evaluation server"
Dres = Annotated[
    str | None, typer.Option("--dres", help="Address of a DRES server to submit to: a dry run.", rich_help_panel=DRES)
]
DresUser = Annotated[
    str | None,
    typer.Option(
        "--dres-user", help="User there; the password is asked for, or AVS_DRES_PASSWORD.", rich_help_panel=DRES
    ),
]
DresName = Annotated[
    str | None, typer.Option("--dres-name", help="Name of a video there; default: {video}.", rich_help_panel=DRES)
]
DresCollection = Annotated[
    str | None, typer.Option("--dres-collection", help="Name of the collection there.", rich_help_panel=DRES)
]
DresEvaluation = Annotated[
    str | None, typer.Option("--dres-evaluation", help="Id or name; default: the only one.", rich_help_panel=DRES)
]
DresInsecure = Annotated[
    bool, typer.Option("--dres-insecure", help="Allow http to another machine.", rich_help_panel=DRES)
]
Live = Annotated[
    bool, typer.Option("--live", help="Send submissions; without it nothing leaves.", rich_help_panel=DRES)
]
Rate = Annotated[
    float | None, typer.Option("--rate", help="Submissions a second, at most; default: 2.", rich_help_panel=DRES)
]
Timer = Annotated[
    float | None,
    typer.Option(
        "--timer", help="Seconds of a task that the server does not time; default: 300.", rich_help_panel=DRES
    ),
]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Open the page in a browser.", rich_help_panel=RUNTIME)]


def command(
    config: Config = None,
    store: OptionalStores = None,
    checkpoint: Checkpoints = None,
    fuser: Fusers = None,
    lists: ServedLists = None,
    shots: OptionalShots = None,
    videos: OptionalVideos = None,
    video_ids: VideoIds = "stem",
    keyframes: Keyframes = None,
    topics: OptionalTopics = None,
    narratives: Narratives = None,
    qrels: OptionalQrels = None,
    text_table: TextTable = None,
    weights: Weights = None,
    word2vec: Word2Vec = None,
    frame_score: ServedFrameScore = None,
    rescore: Rescore = None,
    cache: Cache = None,
    sessions: Sessions = None,
    host: Host = None,
    port: Port = None,
    token: UseToken = False,
    allow_host: AllowHost = None,
    read_only: ReadOnly = False,
    dres: Dres = None,
    dres_user: DresUser = None,
    dres_name: DresName = None,
    dres_collection: DresCollection = None,
    dres_evaluation: DresEvaluation = None,
    dres_insecure: DresInsecure = False,
    live: Live = False,
    rate: Rate = None,
    timer: Timer = None,
    device: Device = "cpu",
    open_browser: OpenBrowser = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    _run(dict(locals()))


def _run(given: dict[str, Any]) -> None:
    """Serve.

    Args:
        given: name of a parameter of `command` -> its value.
    """
    from avs.pipeline.serve_options import serve_options

    typed = {
        name: value
        for name, value in given.items()
        if value is not None and value is not False and value != DEFAULTS.get(name)
    }
    fields = {FIELDS.get(name, name): value for name, value in typed.items() if name not in NO_SETTINGS}
    options = serve_options(given["config"], fields)
    _serve(options, quiet=given["quiet"], json=given["json"], open_browser=given["open_browser"])


def _serve(options: ServeOptions, *, quiet: bool, json: bool, open_browser: bool) -> None:
    from avs.serve.server import serve

    def listening(address: str) -> None:
        if json:
            print(json_.dumps({"address": address}), flush=True)
        elif not quiet:
            print(address, flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)

    serve(options, listening=listening)
