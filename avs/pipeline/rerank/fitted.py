"""A fitted reranker, read from its folder and checked against what it is applied to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from avs.core.artifacts import read_manifest, require_path
from avs.core.contents import require_unchanged
from avs.core.errors import ConfigError, FormatError, SpecMismatchError
from avs.core.features import open_features
from avs.core.spec import EmbedderSpec
from avs.pipeline.rerank.options import RerankOptions, option_name
from avs.reranking.methods import RERANKERS
from avs.trecvid.past_topics import refuse_leak
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import read_trec

RERANKER_TYPE, FILE = "reranker", "reranker.json"
AGAIN = "put the file back, or fit the reranker again: --qrels --force"


def with_fitted(options: RerankOptions, folder: Path) -> RerankOptions:
    """The options with the method, parameters, depth and query mode of a fitted reranker; checked.

    Raises:
        FormatError: the folder holds no reranker.
        ConfigError: an option was decided when it was fitted, or it was fitted on the topics of the list.
        SpecMismatchError: it was fitted with another encoder, judge or trained model.
    """
    manifest = read_manifest(require_path(folder, what="reranker"))
    if manifest["type"] != RERANKER_TYPE:
        raise FormatError("not a reranker", where=folder, got=manifest["type"])
    require_unchanged(folder, manifest, next_step=AGAIN)
    method, parameters, depth = read_settings(folder)
    decided = [option_name(name) for name in options.fixed] + (["--depth"] if options.depth is not None else [])
    decided += [f"--method {options.method}"] if options.method not in ("", method) else []
    if decided:
        raise ConfigError(
            f"{', '.join(decided)}: decided when the reranker was fitted",
            where=folder,
            got=f"a reranker of method {method}",
            next_step="leave it out, or fit another reranker: --qrels",
        )
    topics = read_topics(list(options.topics)).ids if options.topics else read_trec(options.ranked).topics
    needs = RERANKERS.get(method).needs
    _require_config(manifest, folder, with_store="store" in needs and "model" not in needs)
    refuse_leak(set(manifest["config"]["topics"]), topics)
    options = replace(options, method=method, fixed=parameters, depth=depth).checked()
    _require_same(options, manifest, folder)
    return replace(options, query_mode=manifest["config"]["query_mode"]) if options.needs("topics") else options


def _require_config(manifest: Mapping[str, Any], folder: Path, *, with_store: bool) -> None:
    """Check that a manifest says what the reranker was fitted on.

    Raises:
        FormatError: it does not.
    """
    try:
        topics = manifest["config"]["topics"]
        whole = isinstance(topics, list) and all(isinstance(topic, str) for topic in topics)
        whole = whole and isinstance(manifest["config"]["query_mode"], str)
        if with_store:
            EmbedderSpec.from_json(manifest["spec"])
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        where = folder / "manifest.json"
        raise FormatError("the manifest does not say what the reranker was fitted on", where=where, next_step=AGAIN)


def level_of(options: RerankOptions) -> str | None:
    """Whether the store has a vector for each shot or for each frame; None without a store."""
    if options.store is None:
        return None
    return "shot" if open_features(options.store).offsets is None else "frame"


def spec_of(store: Path) -> EmbedderSpec:
    """The encoder of a store."""
    return open_features(store).spec


def read_settings(folder: Path) -> tuple[str, dict[str, Any], int]:
    """Method, parameters and depth of the reranker in a folder.

    Raises:
        FormatError: the file is damaged.
    """
    try:
        fitted = json.loads((folder / FILE).read_text(encoding="utf-8"))
        method, parameters, depth = str(fitted["method"]), dict(fitted["parameters"]), fitted["depth"]
        known = {**RERANKERS.get(method).defaults, "depth": 1}
        for name, value in {**parameters, "depth": depth}.items():
            if type(value) is not type(known[name]) and not (type(value) is int and type(known[name]) is float):
                raise TypeError(f"{name} is {json.dumps(value)}")
        return method, parameters, depth
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, ConfigError) as error:
        raise FormatError(
            "not a reranker of avs", where=folder / FILE, got=f"{type(error).__name__}: {error}", next_step=AGAIN
        ) from error


def _require_same(options: RerankOptions, manifest: Mapping[str, Any], folder: Path) -> None:
    """Check that query mode, judge, model, encoder and level are those that the reranker was fitted with."""
    config = manifest["config"]
    if options.query_mode not in (None, config["query_mode"]):
        raise ConfigError(
            f"--query-mode {options.query_mode}: the reranker was fitted with another one",
            where=folder,
            wanted=config["query_mode"],
            next_step="leave it out, or fit another reranker: --qrels",
        )
    if options.judging and config["judge"] != options.judging.identity():
        raise SpecMismatchError(
            "the reranker was fitted with another judge",
            where=folder,
            got=options.judging.identity(),
            wanted=config["judge"],
            next_step="give the model, prompt, dtype and frames that it was fitted with, or fit another one: --qrels",
        )
    if options.scoring and config.get("model") != options.scoring.identity():
        raise SpecMismatchError(
            "the reranker was fitted with another trained model",
            where=folder,
            got=options.scoring.checkpoint.folder,
            next_step="give the --checkpoint that it was fitted with, or fit another reranker: --qrels",
        )
    if options.store:
        _require_encoder(EmbedderSpec.from_json(manifest["spec"]), spec_of(options.store), folder, options.store)
        if config.get("level") != level_of(options):
            raise ConfigError(
                "the reranker was fitted on a store of another level",
                where=options.store,
                got=level_of(options),
                wanted=config.get("level"),
            )


def _require_encoder(fitted: EmbedderSpec, spec: EmbedderSpec, folder: Path, store: Path) -> None:
    try:
        fitted.require_same(spec, where=str(store))
    except SpecMismatchError as error:
        raise SpecMismatchError(
            "the reranker was fitted on vectors of another encoder",
            where=store,
            got=error.got,
            wanted=error.wanted,
            next_step=f"give a store of the encoder that {folder} was fitted with, or fit another one: --qrels",
        ) from error
