"""Rerankers fitted on past topics, kept as a small folder: reranker.json and its manifest."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    is_up_to_date,
    manifest_path,
    read_manifest,
    require_path,
    require_place,
    write_manifest,
)
from avs.core.errors import ConfigError, FormatError, SpecMismatchError
from avs.core.features import open_features
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.spec import EmbedderSpec
from avs.core.topic import TopicSet
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.rerank.apply import WITH_QUERIES, RerankOptions, evidence_grid, read_inputs, write_lists
from avs.rerank.blend import reranked
from avs.rerank.dual_softmax import TEMPERATURES
from avs.rerank.fitting import Fit, fit_grid
from avs.trecvid.judged_list import judged_topics
from avs.trecvid.past_topics import edition_of, past_qrels, refuse_leak
from avs.trecvid.topics import read_topics

RERANKER_TYPE, FILE = "reranker", "reranker.json"


def fit_reranker(
    options: RerankOptions,
    qrels: Sequence[Path],
    *,
    fixed: Container[str],
    fit_on: Sequence[str] | None,
    model: Path | None,
    output: Path | None,
    study: bool,
    force: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    """Fit a reranker on the judged topics of the list, say what it is worth, keep it in `model`; returns a summary.

    What is fitted is alpha, and the temperature of dual softmax.

    Args:
        fixed: parameters that were given, so that they are not fitted.
        output: with `study`, of the list of judged topics, each reranked with the alpha of the others.

    Raises:
        ConfigError: a method without alpha, or an alpha that was given; nothing to write; an output that is no study;
            an unknown edition.
        DataError: no judged topic in the list, or topics of one fold only.
    """
    start = perf_counter()
    _require_sense(options, fixed, model, output, study)
    judgments = past_qrels(qrels, fit_on=fit_on, submitted=(), study=study)
    run, topics = read_inputs(options)
    judged = judged_topics(run, judgments, options.ranked)
    more, settings = {f"qrels {i}": file for i, file in enumerate(qrels, start=1)}, _settings(options, fixed)
    how = {"topics": judged, "study": study, "grid": settings, "level": _level_of(options)}
    made_from = options.manifest(RERANKER_TYPE, how, reporter, **more)
    manifest = replace(made_from, spec=None if options.judging else _spec_of(options).to_json())
    outputs = {made: _kind(manifest, made, model) for made in (model, output) if made is not None}
    ready = {made: is_up_to_date(made, one, force=force) for made, one in outputs.items()}
    if all(ready.values()):
        for made in outputs:
            reporter.say(f"up to date: {made}")
        return {"up_to_date": True, "outputs": [str(made) for made in outputs]}
    past = Run({topic: run.lists[topic] for topic in judged}, run.tag)
    found = evidence_grid(options, past, TopicSet(topics.get(topic) for topic in judged), settings, reporter)
    lists = list(past.lists.values())
    fit = fit_grid(lists, found, xinfap_objective(judgments), folds=_folds(judged))
    best = {**settings[fit.setting], "alpha": fit.alpha}
    summary = _report(fit, options, best, reporter)
    if model is not None and not ready[model]:
        _write_reranker(model, best, options, manifest)
        reporter.say(
            f"wrote {model}; next: avs rerank LIST --topics TOPICS {_needs(options)} --model {model} -o OUT.trec"
        )
        summary["model"] = str(model)
    if output is not None and not ready[output]:
        held_out = [some[setting] for some, setting in zip(found, fit.settings, strict=True)]
        best_lists = [reranked(*one, limit=options.k) for one in zip(lists, held_out, fit.alphas.tolist(), strict=True)]
        summary |= write_lists(best_lists, output, _kind(manifest, output, model), since=start, reporter=reporter)
    return summary


def with_fitted(
    model: Path, method: str | None, given: Mapping[str, Any], depth: int | None, *, topics: Sequence[Path]
) -> tuple[str, dict[str, Any], int]:
    """Method, parameters and depth of a fitted reranker.

    Raises:
        FormatError: the folder holds none.
        ConfigError: options that were decided when it was fitted; topics that it was fitted on.
    """
    manifest = read_manifest(require_path(model, what="reranker"))
    if manifest["type"] != RERANKER_TYPE:
        raise FormatError("not a reranker", where=model, got=manifest["type"])
    fitted = _read_fitted(model)
    decided = [f"--{name}" for name in given] + (["--depth"] if depth is not None else [])
    decided += [f"--method {method}"] if method not in (None, fitted["method"]) else []
    if decided:
        raise ConfigError(
            f"{', '.join(decided)}: decided when the reranker was fitted",
            where=model,
            got=f"a reranker of method {fitted['method']}",
            next_step="leave it out, or fit another one: --qrels",
        )
    refuse_leak(set(manifest["config"]["topics"]), read_topics(list(topics)).ids)
    return fitted["method"], fitted["parameters"], fitted["depth"]


def _read_fitted(model: Path) -> dict[str, Any]:
    """What was fitted.

    Raises:
        FormatError: the file is damaged.
    """
    try:
        fitted = json.loads((model / FILE).read_text(encoding="utf-8"))
        method, parameters, depth = str(fitted["method"]), dict(fitted["parameters"]), int(fitted["depth"])
    except (ValueError, KeyError, TypeError) as error:
        where = model / FILE
        raise FormatError("not a reranker of avs", where=where, got=f"{type(error).__name__}: {error}") from error
    return {"method": method, "parameters": parameters, "depth": depth}


def fitted_for(model: Path, options: RerankOptions) -> RerankOptions:
    """These options with the query mode that a reranker was fitted with.

    Raises:
        SpecMismatchError: the vectors are of another encoder than those it was fitted on, or the judge is another.
        ConfigError: another query mode.
    """
    manifest = read_manifest(model)
    fitted = manifest["config"]["query_mode"]
    if options.query_mode not in (None, fitted):
        raise ConfigError(
            f"--query-mode {options.query_mode}: not as the reranker was fitted",
            where=model,
            wanted=fitted,
            next_step="leave it out, or fit another one: --qrels",
        )
    if options.judging:
        _require_judge(manifest["config"]["judge"], options.judging.identity(), model)
    else:
        _require_encoder(EmbedderSpec.from_json(manifest["spec"]), _spec_of(options), model, options.store)
        if manifest["config"].get("level") != _level_of(options):
            raise ConfigError(
                "the reranker was fitted on a store of another level",
                where=options.store,
                got=_level_of(options),
                wanted=manifest["config"].get("level"),
            )
    return options if options.method not in WITH_QUERIES else replace(options, query_mode=fitted)


def _level_of(options: RerankOptions) -> str | None:
    """Whether each shot has a row in the store, or each frame; a judge has no store."""
    if options.store is None:
        return None
    return "shot" if open_features(options.store).offsets is None else "frame"


def _spec_of(options: RerankOptions) -> EmbedderSpec:
    return open_features(options.store).spec


def _needs(options: RerankOptions) -> str:
    """The options of a method that say what it looks at."""
    return "--vlm VLM --videos DIR --shots TABLE --cache FILE" if options.judging else "--store STORE"


def _require_judge(fitted: Mapping[str, Any], given: Mapping[str, Any], model: Path) -> None:
    if fitted != given:
        raise SpecMismatchError(
            "the reranker was fitted with another judge",
            where=model,
            got=given,
            wanted=fitted,
            next_step="give the model, prompt, dtype and frames that it was fitted with, or fit another one: --qrels",
        )


def _require_encoder(fitted: EmbedderSpec, given: EmbedderSpec, model: Path, store: Path) -> None:
    try:
        fitted.require_same(given, where=str(store))
    except SpecMismatchError as error:
        raise SpecMismatchError(
            "the reranker was fitted on vectors of another encoder",
            where=store,
            got=error.got,
            wanted=error.wanted,
            next_step=f"give a store of the encoder that {model} was fitted with, or fit another one: --qrels",
        ) from error


def _require_sense(
    options: RerankOptions, fixed: Container[str], model: Path | None, output: Path | None, study: bool
) -> None:
    if "alpha" not in options.parameters:
        raise ConfigError(f"--method {options.method} has nothing to fit", next_step="leave out --qrels")
    if "alpha" in fixed:
        raise ConfigError("--alpha: it is fitted with --qrels", next_step="leave it out, or leave out --qrels")
    if model is None and output is None:
        raise ConfigError("nothing to write", next_step="say where the reranker goes: --model reranker/")
    if model is not None:
        require_place(model, RERANKER_TYPE, sign=FILE)
    if output is not None and not study:
        raise ConfigError(
            "-o with --qrels is for a study of judged topics",
            next_step="add --study; or fit with --model, and apply it to new topics in a second call",
        )


def _folds(topics: Sequence[str]) -> list[str]:
    """The edition of each topic, or the topic itself where all are of one edition."""
    editions = [edition_of(topic) for topic in topics]
    return editions if len(set(editions)) > 1 else list(topics)


def _settings(options: RerankOptions, fixed: Container[str]) -> list[dict[str, Any]]:
    """The parameters but for alpha to choose from."""
    given = dict(options.parameters)
    if "temperature" not in given or "temperature" in fixed:
        return [given]
    return [{**given, "temperature": temperature} for temperature in TEMPERATURES]


def _report(fit: Fit, options: RerankOptions, best: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    test = randomization_test(np.array([fit.out_of_fold, fit.baseline]))
    means = {name: float(getattr(fit, name).mean()) for name in ("baseline", "in_sample", "out_of_fold")}
    reporter.say(f"{options.method}, {len(fit.topics)} topics, mean xinfAP: list as it is {means['baseline']:.4f}")
    warmth = f", temperature {best['temperature']:g}" if "temperature" in best else ""
    reporter.say(
        f"  alpha {fit.alpha:g}{warmth} in sample {means['in_sample']:.4f}, out of fold {means['out_of_fold']:.4f}"
    )
    p = float(test.p_values[0, 1])
    reporter.say(f"  out of fold against the list as it is: {float(test.differences[0, 1]):+.4f}, p = {p:.4f}")
    if means["out_of_fold"] <= means["baseline"]:
        reporter.say("  this does not beat no reranking: use the list as it is")
    return {"method": options.method, "parameters": dict(best), "topics": len(fit.topics), **means, "p": p}


def _write_reranker(model: Path, best: Mapping[str, Any], options: RerankOptions, manifest: Manifest) -> None:
    manifest_path(model).unlink(missing_ok=True)  # a folder without one is not complete
    with atomic_write(model / FILE) as file:
        json.dump({"method": options.method, "parameters": dict(best), "depth": options.depth}, file, indent=2)
    write_manifest(model, manifest)


def _kind(manifest: Manifest, made: Path, model: Path | None) -> Manifest:
    """The manifest of the reranker, or of the list made in a study."""
    return manifest if made == model else replace(manifest, type="ranked-lists")
