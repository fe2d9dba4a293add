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
    from avs.core.progress import Reporter
    from avs.pipeline.serve_options import ServeOptions

EXAMPLES = """
avs serve --store features/mini-clip/shot --shots shots.tsv --videos videos
avs serve --store features/mini-clip/shot --store features/mini-blip/shot --checkpoint models/laff --shots shots.tsv --videos videos --keyframes keyframes --topics topics.txt --qrels avs.qrels.mini --lists lists/
avs serve --store features/mini-clip/shot --store features/mini-blip/shot --embed models/laff --shots shots.tsv --text-table texts.tsv
avs serve --config configs/serve/mini.yaml --read-only
avs serve --store features/mini-clip/shot --shots shots.tsv --videos videos --dres https://dres.example.org --dres-user team7
avs serve --store features/mini-clip/shot --host 0.0.0.0 --token --allow-host search.example.org
avs serve --config configs/serve/mini.yaml --export-page circle.html --text "a red circle" --top 50
avs serve --config configs/serve/mini.yaml --replay sessions/20261122T084500Z-1a2b3c4d.jsonl
"""  # noqa: E501  # a command to copy is one line

INSTEAD = "Instead of serving"
FIELDS = {
    "store": "stores", "checkpoint": "checkpoints", "fuser": "fusers", "allow_host": "allow_hosts", "timer": "timer_s",
}  # fmt: skip
"""Option -> its name in a config; others have one name."""
DEFAULTS = {"video_ids": "stem", "device": "cpu"}
"""Values that an option has when it was not typed; then a config may say otherwise."""
PAGE = {"text": "texts", "topic": "topic", "by": "by", "fuse": "fuse", "top": "top"}
"""Option of a page -> field of PageQuestion."""
NO_SETTINGS = {"config", "open_browser", "quiet", "json", "debug", "replay", "export_page", *PAGE}
Config = Annotated[Path | None, typer.Option("--config", help="YAML with these options; options beside it come first.")]
Embed = Annotated[
    list[Path] | None,
    typer.Option(
        "--embed", help="Trained model that scores every shot: each is embedded once, into --cache; repeatable.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
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
ReplayOf = Annotated[
    Path | None,
    typer.Option(
        "--replay", help="Journal: ask its questions again, say which lists differ, and serve nothing.",
        rich_help_panel=INSTEAD,
    ),
]  # fmt: skip
ExportPage = Annotated[
    Path | None,
    typer.Option(
        "--export-page", help="Write a list with its pictures as one HTML file, and serve nothing.",
        rich_help_panel=INSTEAD,
    ),
]  # fmt: skip
PageText = Annotated[
    list[str] | None,
    typer.Option(
        "--text", help="Of the page: a sentence; two to four follow each other in time.", rich_help_panel=INSTEAD
    ),
]
PageTopic = Annotated[
    str | None,
    typer.Option(
        "--topic", help="Of the page: whose sentence, judgments and ranked lists are used.", rich_help_panel=INSTEAD
    ),
]
PageSystems = Annotated[
    list[str] | None,
    typer.Option(
        "--by", help="Of the page: system, or list of --lists; repeatable; default: all stores.",
        rich_help_panel=INSTEAD,
    ),
]  # fmt: skip
PageFuser = Annotated[
    str | None,
    typer.Option("--fuse", help="Of the page: average (default), rrf, or a fuser.", rich_help_panel=INSTEAD),
]
PageShots = Annotated[
    int | None, typer.Option("--top", help="Of the page: number of shots; default: 100.", rich_help_panel=INSTEAD)
]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Open the page in a browser.", rich_help_panel=RUNTIME)]


def command(
    config: Config = None,
    store: OptionalStores = None,
    checkpoint: Checkpoints = None,
    embed: Embed = None,
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
    replay: ReplayOf = None,
    export_page: ExportPage = None,
    text: PageText = None,
    topic: PageTopic = None,
    by: PageSystems = None,
    fuse: PageFuser = None,
    top: PageShots = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    _run(dict(locals()))


def _run(given: dict[str, Any]) -> None:
    """Serve, or do what is asked for instead.

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
    asked = {PAGE[name]: value for name, value in typed.items() if name in PAGE}
    if not _instead_of_serving(
        options, given["replay"], given["export_page"], asked, quiet=given["quiet"], json=given["json"]
    ):
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


def _instead_of_serving(
    options: ServeOptions, replay: Path | None, page: Path | None, asked: dict[str, Any], *, quiet: bool, json: bool
) -> bool:
    """Do what --replay or --export-page says; False: neither was given.

    Args:
        asked: what the page should show, as fields of PageQuestion.
    """
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter

    if replay is not None and page is not None:
        raise ConfigError("one thing at a time", got="--replay and --export-page", next_step="leave one of them out")
    if asked and page is None:
        named = ", ".join(f"--{option}" for option, name in PAGE.items() if name in asked)
        raise ConfigError("these options are of a page", got=named, next_step="name its file: --export-page FILE")
    reporter = Reporter(quiet=quiet or json)
    if replay is not None:
        _replay(options, replay, reporter, quiet=quiet, json=json)
    elif page is not None:
        _export_page(options, page, asked, reporter, json=json)
    return replay is not None or page is not None


def _replay(options: ServeOptions, journal: Path, reporter: Reporter, *, quiet: bool, json: bool) -> None:
    from avs.serve.journal.replay import replay
    from avs.serve.journal.replay_table import replay_lines

    found = replay(options, journal, reporter)
    if json:
        print(json_.dumps(found.to_json()))
    elif not quiet:
        print(*replay_lines(found), sep="\n")
    if any(question.differs for question in found.questions):
        raise typer.Exit(1)


def _export_page(options: ServeOptions, path: Path, asked: dict[str, Any], reporter: Reporter, *, json: bool) -> None:
    from avs.serve.export_page import PageQuestion, export_page

    made = export_page(options, PageQuestion(**asked), path, reporter)
    if json:
        print(json_.dumps(made.to_json()))
    reporter.say(f"{made.file}: {made.shots:,} of {made.total:,} shots, {made.bytes / 1e6:.1f} MB")
