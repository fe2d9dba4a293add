"""`avs fuse --qrels`: a fuser learned from judged topics, what it is worth on topics it has not seen, and its lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, fingerprint_input, is_up_to_date, write_artefact, write_manifest
from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.fusion.artefact import write_fuser
from avs.fusion.comb import Average
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import Fold, leave_one_out, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools, fuse
from avs.fusion.methods import Learning
from avs.metrics.report import aligned
from avs.metrics.significance import randomization_test
from avs.pipeline.fusing import (
    FUSER_TYPE,
    FusionOptions,
    list_manifest,
    read_pools,
    submitted_topics,
    write_fused,
)
from avs.pipeline.fusion_lists import pools_of
from avs.pipeline.objective import xinfap_objective
from avs.pipeline.past_topics import edition_of, past_qrels, refuse_leak
from avs.trecvid.topics import read_topics


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """What to learn from.

    Attributes:
        qrels: files of judgments.
        fit_on: editions; None: all judged topics.
        study: the topics are judged: lists come from fusers that did not see them.
        folds: of topics, where they are of one edition.
        seed: of folds, starts and LightGBM.
        threads: the result does not depend on it.
    """

    qrels: Sequence[Path]
    fit_on: Sequence[str] | None
    study: bool
    folds: int
    seed: int
    threads: int


def learn_fusion(options: FusionOptions, how: LearningOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fit, keep, study and apply, as far as outputs are asked for; returns a summary.

    Raises:
        ConfigError: nothing to write; an unknown edition or method; a leak.
        DataError: judged topics that the lists lack; a topic without a relevant shot.
    """
    start = perf_counter()
    plan = options.plan()
    if not (options.output or options.model or options.report or how.study):
        raise ConfigError("nothing to write", next_step="give --model DIR, -o LIST.trec, --report PAGE.html or --study")
    judged = past_qrels(how.qrels, fit_on=how.fit_on, submitted=submitted_topics(options), study=how.study)
    outputs = _outputs(options, how, judged)
    if outputs and all(is_up_to_date(path, manifest, force=options.force) for path, manifest in outputs.items()):
        for path in outputs:
            reporter.say(f"up to date: {path}")
        return {"up_to_date": True, "outputs": [str(path) for path in outputs]}
    pools = read_pools(options, reporter, judged=judged.ids)
    past = pools_of(pools, judged.ids, what="judged topics")
    rest = submitted_topics(options) or tuple(topic for topic in pools if topic not in past)
    if options.output and not how.study and not rest:
        refuse_leak(past, tuple(pools))
    learning = Learning(xinfap_objective(judged), judged, _sentences(options), seed=how.seed, threads=how.threads)
    learner = plan.learner(next(iter(pools.values())).lists, learning)

    made: dict[str, Any] = {"method": plan.name, "learned_from": len(past)}
    final = None
    if options.model or (options.output and not how.study):
        with reporter.stage(f"fit {plan.name}", 1, "fit") as stage:
            final = learner(past)
            stage.advance()
    if options.model and final:
        write_fuser(final, options.model)
        write_manifest(options.model, outputs[options.model])
        reporter.say(f"wrote {options.model}: {plan.name} fitted on {len(past)} topics")
        made["model"] = str(options.model)
    lists: Mapping[str, np.ndarray] = {}
    if how.study or options.report:
        lists, worth = _study(options, how, past, learner, learning, final, outputs, reporter)
        made |= worth
    if options.output:
        run = (
            Run({t: past[t].ranking(scores, limit=options.k) for t, scores in lists.items()}, options.output.stem)
            if how.study
            else fuse(
                _there(final), pools_of(pools, rest, what="topics to fuse"), tag=options.output.stem, limit=options.k
            )
        )
        made |= write_fused(run, options, outputs[options.output], since=start, reporter=reporter)
    elif options.model:
        reporter.say(f"next: avs fuse LISTS --model {options.model} -o lists/fused.trec")
    return made


def make_folds(topics: Sequence[str], count: int, *, seed: int, same: Mapping[str, str]) -> list[Fold]:
    """Leave one edition out; topics of a single edition in `count` folds.

    Raises:
        ConfigError: fewer topics than folds.
    """
    editions = {topic: edition_of(topic) for topic in topics}
    if len(set(editions.values())) > 1:
        return leave_one_out(editions, same=same)
    return topic_folds(topics, count, seed=seed, same=same)


def _outputs(options: FusionOptions, how: LearningOptions, judged: Qrels) -> dict[Path, Manifest]:
    """Path -> what decides it."""
    inputs = options.inputs() | {f"qrels {i}": file for i, file in enumerate(how.qrels, start=1)}
    fingerprints = {name: fingerprint_input(path) for name, path in inputs.items()}
    config = {"plan": options.how(), "topics": list(judged.ids), "seed": how.seed}
    folds = {**config, "folds": how.folds, "study": how.study}
    found: dict[Path, Manifest] = {}
    if options.model:
        found[options.model] = Manifest(FUSER_TYPE, config, fingerprints, paths=inputs)
    if options.report:
        found[options.report] = Manifest("fusion-report", folds, fingerprints, paths=inputs)
    if options.output:
        found[options.output] = list_manifest(options, folds if how.study else config, inputs)
    return found


def _sentences(options: FusionOptions) -> dict[str, str]:
    """Past topic -> its sentence, as far as topic files were given."""
    topics = read_topics(list(options.past_topics)) if options.past_topics else ()
    return {topic.id: topic.text.casefold().strip() for topic in topics}


def _study(
    options: FusionOptions,
    how: LearningOptions,
    past: Pools,
    learner: Learner,
    learning: Learning,
    final: Fuser | None,
    outputs: Mapping[Path, Manifest],
    reporter: Reporter,
) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    """Topic -> scores of the fuser that was fitted without it, and what that is worth."""
    plan = options.plan()
    folds = make_folds(tuple(past), how.folds, seed=how.seed, same=learning.same)
    if options.report is None:
        with reporter.stage(f"{plan.name} out of fold", len(folds), "folds") as stage:
            found = out_of_fold(learner, past, folds)
            stage.advance(len(folds))
        lists = {topic: scores for topic, (_, scores) in found.items()}
        return lists, _worth(past, lists, options, learning, reporter)
    from avs.pipeline.fusion_report import report_data, report_lines, write_report
    from avs.pipeline.fusion_study import study_fusion

    study = study_fusion(
        past, learner, method=plan.name, scale=plan.scale, objective=learning.objective, folds=folds,
        reporter=reporter, seed=how.seed, final=final,
    )  # fmt: skip
    data = report_data(study)
    with atomic_write(options.report.with_suffix(".json")) as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    write_artefact(options.report, outputs[options.report], lambda path: write_report(study, path))
    for line in report_lines(study):
        reporter.say(line)
    reporter.say(f"wrote {options.report}, and {options.report.with_suffix('.json')}")
    return study.lists, {"report": str(options.report), "study": data}


def _worth(
    past: Pools, lists: Mapping[str, np.ndarray], options: FusionOptions, learning: Learning, reporter: Reporter
) -> dict[str, Any]:
    """Mean xinfAP of the average and of the learned method out of fold, with the p-value of their difference."""
    plan = options.plan()
    average = values(Average(plan.scale), past, learning.objective)
    learned = {t: value(t, past[t].shots, scores, learning.objective) for t, scores in lists.items()}
    rows = np.array([[average[topic] for topic in learned], list(learned.values())])
    p_value = float(randomization_test(rows, seed=learning.seed).p_values[0, 1])
    means = {"average": float(rows[0].mean()), plan.name: float(rows[1].mean())}
    table = aligned([["", "xinfAP"], *([name, f"{mean:.4f}"] for name, mean in means.items())])
    reporter.say(f"{len(learned)} topics, each fused by a fuser that did not see it (p = {p_value:.3f}):\n{table}")
    return {"xinfAP": means, "p_value": p_value, "by_topic": {"average": average, plan.name: learned}}


def _there(fuser: Fuser | None) -> Fuser:
    assert fuser is not None  # fitted wherever lists are asked for outside a study
    return fuser
