"""The settings of `avs serve`, as options or as YAML: what is opened, where it listens, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from avs.core.artifacts import require_path
from avs.core.config import load_config, validate_config
from avs.core.errors import ConfigError, Problems

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PORT = 8765


class ServeLimits(BaseModel):
    """What a client may ask for. Each has its own error text.

    Attributes:
        body_bytes: of a request with JSON; upload_bytes, upload_pixels: of a picture.
        header_s: for the head of a request to arrive; body_s: for its body; search_s: for a search.
        waiting: searches that wait; pictures: that are made at once; sprites: that are made or waited for.
        k: results of a list; text_characters: of a sentence.
        journal_bytes: of the journal of a session.
        cached_lists: lists that are kept; uploads: pictures that are kept; clients: connections at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    body_bytes: int = Field(default=2**20, ge=1024)
    upload_bytes: int = Field(default=10 * 2**20, ge=1024)
    upload_pixels: int = Field(default=40_000_000, ge=1)
    text_characters: int = Field(default=2000, ge=1, le=2000)
    k: int = Field(default=10_000, ge=1, le=10_000)
    parts: int = Field(default=4, ge=1, le=4)
    header_s: float = Field(default=10.0, gt=0)
    body_s: float = Field(default=10.0, gt=0)
    search_s: float = Field(default=30.0, gt=0)
    waiting: int = Field(default=8, ge=1)
    pictures: int = Field(default=2, ge=1)
    sprites: int = Field(default=10, ge=1)
    journal_bytes: int = Field(default=10**9, ge=1)
    cached_lists: int = Field(default=64, ge=1)
    uploads: int = Field(default=64, ge=1)
    clients: int = Field(default=256, ge=1)


class ServeOptions(BaseModel):
    """What `avs serve` opens, and how it serves it.

    Attributes:
        stores, checkpoints, fusers, lists: what ranks; lists is a folder of ranked lists, or single files.
        weights, word2vec: as of `avs search`.
        shots: shot table; videos, video_ids, keyframes: what there is to see.
        topics, narratives, qrels: what is studied.
        text_table: texts of shots, whose words can be a filter.
        cache: folder of pictures that were made and of the columns of the shot table.
        sessions: folder of journals.
        host, port: where it listens; port 0 picks one. token: whether clients must know a token.
        allow_hosts: more names by which the server may be addressed.
        dres, dres_user: address of the evaluation server, and who submits; the password is no setting.
        dres_name: what the server calls a video; dres_collection: and its collection; dres_evaluation: id or name.
        dres_insecure: it may be another machine without TLS. live: submissions are sent; otherwise it is a dry run.
        rate: submissions a second, at most. timer_s: where the page's own timer begins.
        rescore: of how many shots a model that is not searched whole scores anew.
        keys: action -> key, of those that the page should not have by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stores: list[Path] = []
    weights: list[str] = []
    checkpoints: list[Path] = []
    word2vec: Path | None = None
    frame_score: Literal["max", "mean"] | None = None
    fusers: list[Path] = []
    lists: list[Path] = []
    shots: Path | None = None
    videos: Path | None = None
    video_ids: Literal["stem", "name"] = "stem"
    keyframes: Path | None = None
    topics: list[Path] = []
    narratives: Path | None = None
    qrels: Path | None = None
    text_table: Path | None = None
    cache: Path = Path(".avs-serve")
    sessions: Path = Path("sessions")
    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65535)
    token: bool = False
    allow_hosts: list[str] = []
    read_only: bool = False
    dres: str | None = None
    dres_user: str | None = None
    dres_name: str = "{video}"
    dres_collection: str | None = None
    dres_evaluation: str | None = None
    dres_insecure: bool = False
    live: bool = False
    rate: float = Field(default=2.0, gt=0, le=100)
    timer_s: float = Field(default=300.0, gt=0, le=86_400)
    rescore: Annotated[int, Field(ge=1, le=100_000)] = 1000
    device: str = "cpu"
    keys: dict[str, str] = {}
    limits: ServeLimits = ServeLimits()

    @field_validator("keys", mode="before")
    @classmethod
    def _actions_are_texts(cls, keys: object) -> object:
        if isinstance(keys, dict) and any(isinstance(action, bool) for action in keys):
            raise ValueError('write "yes", "no" and "on" in quotes: YAML takes them for true and false')
        return keys


def serve_options(config: Path | None, given: dict[str, Any]) -> ServeOptions:
    """The settings of a YAML file and of options, which come before the file's.

    Args:
        given: the options that were typed.

    Raises:
        ConfigError: the file or the options cannot be used; nothing to search with; a host that needs a token.
        AvsError: a file or folder is not there; all of them at once.
    """
    if config is None:
        options = validate_config(given, ServeOptions, where="avs serve")
    else:
        options = load_config(config, ServeOptions, adjust=lambda data: data.update(given))
    if not options.stores:
        raise ConfigError("there is nothing to search", next_step="give a store: avs serve --store FOLDER")
    if options.host not in LOOPBACK and not options.token:
        raise ConfigError(
            "other machines can reach this address, so clients must know a token",
            got=f"--host {options.host}",
            next_step="add --token; the address that is printed then holds the token",
        )
    _require_dres(options)
    _require_paths(options)
    return options


def _require_dres(options: ServeOptions) -> None:
    """Check the settings of the evaluation server.

    Raises:
        ConfigError: they cannot be used; all that is wrong at once.
    """
    problems = Problems("the evaluation server")
    if options.dres is None:
        if options.live:
            problems.add("--live", "there is no server to submit to; name one: --dres URL")
    else:
        _check_address(options.dres, options.dres_insecure, problems)
        if not options.dres_user:
            problems.add("--dres-user", "whose submissions are they? Name the user: --dres-user NAME")
        if options.read_only:
            problems.add("--read-only", "such a server submits nothing; leave out --dres or --read-only")
    if "{video}" not in options.dres_name:
        problems.add(
            "--dres-name", f"{options.dres_name!r} names every video the same; write {{video}} where its id is"
        )
    problems.raise_if_any(ConfigError)


def _check_address(address: str, insecure: bool, problems: Problems) -> None:
    """Check where the password and the submissions would go."""
    try:
        place = urlsplit(address)
        host, _ = place.hostname, place.port
    except ValueError:
        place, host = urlsplit(""), None
    if place.scheme not in ("http", "https") or not host:
        problems.add("--dres", f"{address[:200]!r} is no address; write it as https://dres.example.org")
        return
    if place.username is not None or place.query or place.fragment:
        problems.add("--dres", "the address holds more than host, port and path; the user is --dres-user")
    if place.scheme == "http" and host not in LOOPBACK and not insecure:
        problems.add("--dres", f"the password would go to {host} unencrypted; use https, or allow it: --dres-insecure")


def _require_paths(options: ServeOptions) -> None:
    singles = {
        "word vector file": options.word2vec, "shot table": options.shots, "video folder": options.videos,
        "folder of key frames": options.keyframes, "narratives file": options.narratives, "qrels file": options.qrels,
        "text table": options.text_table,
    }  # fmt: skip
    several = {
        "feature store": options.stores, "checkpoint": options.checkpoints, "fuser": options.fusers,
        "list": options.lists, "topic file": options.topics,
    }  # fmt: skip
    named = [(what, path) for what, path in singles.items() if path is not None]
    named += [(what, path) for what, paths in several.items() for path in paths]
    missing = [(what, path) for what, path in named if not path.exists()]
    if len(missing) == 1:
        require_path(missing[0][1], what=missing[0][0])
    problems = Problems("what avs serve should open")
    for what, path in missing:
        problems.add(path, f"no such {what}")
    problems.raise_if_any(ConfigError)
