"""Search in the browser: type, look, judge, compare, and export runs.

It opens stores, trained models, fusers, ranked lists, topics and judgments, and serves one page and one HTTP API
(docs/serve.md). What is not given is not in the page. It listens on this machine alone; another --host needs --token.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Any, Literal

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

EXAMPLES = """
avs serve --store features/mini-clip/shot --shots shots.tsv --videos videos
avs serve --store features/mini-clip/shot --store features/mini-blip/shot --checkpoint models/laff --shots shots.tsv --videos videos --keyframes keyframes --topics topics.txt --qrels avs.qrels.mini --lists lists/
avs serve --config configs/serve/mini.yaml --read-only
avs serve --store features/mini-clip/shot --host 0.0.0.0 --token --allow-host search.example.org
"""  # noqa: E501  # a command to copy is one line

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
    device: Device = "cpu",
    open_browser: OpenBrowser = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.pipeline.serve_options import serve_options
    from avs.serve.server import serve

    given: dict[str, Any] = {
        "stores": store, "checkpoints": checkpoint, "fusers": fuser, "lists": lists, "shots": shots, "videos": videos,
        "keyframes": keyframes, "topics": topics, "narratives": narratives, "qrels": qrels, "text_table": text_table,
        "weights": weights, "word2vec": word2vec, "frame_score": frame_score, "rescore": rescore, "cache": cache, "sessions": sessions,
        "host": host, "port": port, "allow_hosts": allow_host, "token": token or None, "read_only": read_only or None,
        "video_ids": None if video_ids == "stem" else video_ids, "device": None if device == "cpu" else device,
    }  # fmt: skip
    options = serve_options(config, {name: value for name, value in given.items() if value is not None})

    def listening(address: str) -> None:
        if json:
            print(json_.dumps({"address": address}), flush=True)
        elif not quiet:
            print(address, flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)

    serve(options, listening=listening)
