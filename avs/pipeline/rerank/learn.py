"""`avs rerank --qrels`: fit a reranker on past topics, and keep it in a folder: reranker.json and its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    complete_folder,
    is_up_to_date,
    manifest_path,
    require_place,
)
from avs.core.errors import ConfigError, typed
from avs.core.progress import Reporter
from avs.core.qrels import Qrels
from avs.core.ranking import RankedList, Run
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.rerank.apply import evidence_grid, read_inputs, write_lists
from avs.pipeline.rerank.fitted import FILE, RERANKER_TYPE, level_of, spec_of
from avs.pipeline.rerank.judge import JUDGE_OPTIONS
from avs.pipeline.rerank.options import RerankOptions
from avs.reranking.blend import reranked
from avs.reranking.fitting import Fit, fit_grid
from avs.trecvid.edition_file import read_editions
from avs.trecvid.editions import Edition
from avs.trecvid.judged_list import judged_topics
from avs.trecvid.list_class import class_of_sources
from avs.trecvid.past_topics import edition_of, past_qrels


@dataclass(frozen=True, slots=True, eq=False)
class FittedGrid:
    """A reranker fitted over a grid of settings.

    Attributes:
        fit: the best alpha and setting, and the measure of each topic.
        parameters: the best values of all parameters.
        lists: lists of the judged topics.
        held_out: (N,) evidence for each list, with the setting that is best on the other folds.
    """

    fit: Fit
    parameters: Mapping[str, Any]
    lists: Sequence[RankedList]
    held_out: Sequence[np.ndarray]


def fit_reranker(options: RerankOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fit a reranker on the judged topics of the list, report how good it is, and write it; returns a summary.

    It fits alpha, and the parameters of the method that have a grid, unless they are given.

    Args:
        options: checked.

    Raises:
        ConfigError: there is nothing to fit or to write, -o is given without --study, or an edition is unknown.
        DataError: the list has no judged topic, or its topics are of one fold.
    """
    start = perf_counter()
    _require_sense(options)
    described = read_editions(options.edition_files)
    judgments = past_qrels(options.qrels, fit_on=options.fit_on, submitted=(), study=options.study, described=described)
    run, topics = read_inputs(options)
    judged = judged_topics(run, judgments, options.ranked)
    settings = options.entry.settings(options.parameters, options.fixed)
    outputs = _outputs(options, judged, settings, reporter)
    outdated = [path for path, manifest in outputs.items() if not is_up_to_date(path, manifest, force=options.force)]
    if not outdated:
        for path in outputs:
            reporter.say(f"up to date: {path}")
        return {"up_to_date": True, "outputs": [str(path) for path in outputs]}
    past = Run({topic: run.lists[topic] for topic in judged}, run.tag)
    evidence = evidence_grid(options, past, topics, settings, reporter)
    best = _fit(list(past.lists.values()), evidence, settings, judgments, described)
    summary = _report(best, options, reporter)
    if options.reranker and options.reranker in outdated:
        _write_reranker(options.reranker, best, options, outputs[options.reranker])
        command = f"avs rerank LIST {_needed_words(options)} --reranker {typed(options.reranker)} -o OUT.trec"
        reporter.say(f"wrote {options.reranker}")
        reporter.suggest(command)
        summary["reranker"] = str(options.reranker)
    if options.output and options.output in outdated:
        lists = [
            reranked(*one, limit=options.k)
            for one in zip(best.lists, best.held_out, best.fit.alphas.tolist(), strict=True)
        ]
        summary |= write_lists(lists, options.output, outputs[options.output], since=start, reporter=reporter)
    return summary


def _require_sense(options: RerankOptions) -> None:
    if options.entry.alpha is None:
        raise ConfigError(f"--method {options.method} has nothing to fit", next_step="leave out --qrels")
    if "alpha" in options.fixed:
        raise ConfigError("--alpha is fitted with --qrels", next_step="leave it out, or leave out --qrels")
    if options.reranker is None and options.output is None:
        raise ConfigError("nothing to write", next_step="name the folder of the reranker: --reranker reranker/")
    if options.reranker is not None:
        require_place(options.reranker, RERANKER_TYPE, sign=FILE)
    if options.output is not None and not options.study:
        raise ConfigError(
            "-o with --qrels is for a study of judged topics",
            next_step="add --study; or fit with --reranker, and apply it to new topics in a second command",
        )


def _outputs(
    options: RerankOptions, judged: Sequence[str], settings: Sequence[Mapping[str, Any]], reporter: Reporter
) -> dict[Path, Manifest]:
    """Path of every output -> what decides its content."""
    config = {"topics": judged, "study": options.study, "grid": settings, "level": level_of(options)}
    qrels = {f"qrels {i}": file for i, file in enumerate(options.qrels, start=1)}
    manifest = options.manifest(RERANKER_TYPE, config, reporter, qrels)
    if options.store:
        manifest = replace(manifest, spec=spec_of(options.store).to_json())
    outputs = {options.reranker: manifest} if options.reranker else {}
    if options.output:
        used = {**manifest.config, **class_of_sources([options.ranked])}
        outputs[options.output] = replace(manifest, type="ranked-lists", config=used)
    return outputs


def _fit(
    lists: Sequence[RankedList],
    evidence: Sequence[np.ndarray],
    settings: Sequence[Mapping[str, Any]],
    judgments: Qrels,
    described: Sequence[Edition],
) -> FittedGrid:
    folds = _folds([one.topic for one in lists], described)
    fit = fit_grid(lists, evidence, xinfap_objective(judgments), folds=folds)
    held_out = [rows[setting] for rows, setting in zip(evidence, fit.settings, strict=True)]
    return FittedGrid(fit, {**settings[fit.setting], "alpha": fit.alpha}, lists, held_out)


def _folds(topics: Sequence[str], described: Sequence[Edition]) -> list[str]:
    """The edition of each topic; or the topic itself, when all are of one edition."""
    editions = [edition_of(topic, described) for topic in topics]
    return editions if len(set(editions)) > 1 else list(topics)


def _report(best: FittedGrid, options: RerankOptions, reporter: Reporter) -> dict[str, Any]:
    """Report the mean xinfAP of the list as it is, in sample and out of fold; returns a summary."""
    fit = best.fit
    test = randomization_test(np.array([fit.out_of_fold, fit.baseline]))
    means = {name: float(getattr(fit, name).mean()) for name in ("baseline", "in_sample", "out_of_fold")}
    reporter.say(f"{options.method}, {len(fit.topics)} topics, mean xinfAP: list as it is {means['baseline']:.4f}")
    fitted = [name for name, parameter in options.entry.parameters.items() if parameter.grid]
    chosen = ", ".join(f"{name} {best.parameters[name]}" for name in ("alpha", *fitted))
    reporter.say(f"  {chosen} in sample {means['in_sample']:.4f}, out of fold {means['out_of_fold']:.4f}")
    p = float(test.p_values[0, 1])
    reporter.say(f"  out of fold against the list as it is: {float(test.differences[0, 1]):+.4f}, p = {p:.4f}")
    if means["out_of_fold"] <= means["baseline"]:
        reporter.say("  reranking does not beat the list as it is: use the list as it is")
    return {"method": options.method, "parameters": dict(best.parameters), "topics": len(fit.topics), **means, "p": p}


def _needed_words(options: RerankOptions) -> str:
    """The options that the next command needs, as they are typed."""
    words = {
        "topics": "--topics TOPICS",
        "model": "--checkpoint CHECKPOINT",
        "store": "--store STORE",
        "other topics": "--other-topics TOPICS",
        "judge": " ".join(f"--{name} {form}" for name, form in JUDGE_OPTIONS.items() if form),
    }
    return " ".join(words[need] for need in options.entry.needs if need in words)


def _write_reranker(folder: Path, best: FittedGrid, options: RerankOptions, manifest: Manifest) -> None:
    manifest_path(folder).unlink(missing_ok=True)  # a folder without a manifest is not complete
    with atomic_write(folder / FILE) as file:
        json.dump(options.config(best.parameters), file, indent=2)
    complete_folder(folder, manifest)
