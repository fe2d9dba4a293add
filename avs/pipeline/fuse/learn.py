"""`avs fuse --qrels`: a fuser learned from judged topics, what it is worth on topics it has not seen, and its lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    fingerprint_input,
    is_up_to_date,
    manifest_path,
    require_place,
    write_artefact,
    write_manifest,
)
from avs.core.errors import ConfigError, DataError, Problems
from avs.core.list_files import fused_before
from avs.core.progress import Reporter
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.fusion.artefact import read_fuser, write_fuser
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import Fold, leave_one_out, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools, fuse
from avs.fusion.methods import Learning
from avs.fusion.methods.comb import Average
from avs.fusion.plan import FusionPlan
from avs.metrics.report import aligned
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.fuse.apply import (
    FUSER_TYPE,
    list_manifest,
    own_output_left_out,
    read_pools,
    submitted_topics,
    write_fused,
)
from avs.pipeline.fuse.lists import name_lists, pools_of
from avs.pipeline.fuse.options import RECOMPUTED, FusionOptions
from avs.trecvid.past_topics import edition_of, past_qrels, refuse_leak
from avs.trecvid.run_file import read_run
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
        ConfigError: options that do not fit together; an unknown edition or method; a leak.
        DataError: judged topics that the lists lack, or whose relevant shots they lack; one without a relevant shot.
    """
    start = perf_counter()
    options = own_output_left_out(options, reporter)
    plan = options.plan()
    _require_sense(options, how, plan)
    judged = past_qrels(how.qrels, fit_on=how.fit_on, submitted=_to_submit(options, how), study=how.study)
    outputs = _outputs(options, how, judged)
    ready = {
        path: is_up_to_date(path, manifest, force=options.force, reporter=reporter)
        for path, manifest in outputs.items()
    }
    if outputs and all(ready.values()):
        return {"up_to_date": True, "outputs": [str(path) for path in outputs]}
    pools, own = read_pools(options, reporter, judged=judged.ids)
    past = pools_of(pools, judged.ids, what="judged topics")
    _require_relevant_candidates(past, judged, reporter)
    _require_unseen(options, past)
    rest = _to_submit(options, how) or tuple(topic for topic in own if topic not in past)
    if options.output and not how.study and not rest:
        refuse_leak(past, own)
    learning = Learning(xinfap_objective(judged), judged, _sentences(options), seed=how.seed, threads=how.threads)
    learner = plan.learner(next(iter(pools.values())).lists, learning)

    made: dict[str, Any] = {"method": plan.name, "learned_from": len(past)}
    final = None
    if options.model or options.report or not how.study:
        final = _final(options, learner, past, outputs, ready, reporter)
        made |= {"model": str(options.model)} if options.model else {}
    lists: Mapping[str, np.ndarray] = {}
    if how.study or (options.report and not ready[options.report]):
        lists, worth = _study(options, how, past, learner, learning, final, outputs, reporter)
        made |= worth
    if options.output and not ready[options.output]:
        tag = options.output.stem
        if how.study:
            left = [topic for topic in own if topic not in lists]
            if left:
                reporter.say(f"warning: {len(left)} topics of the lists are not studied, and not in {options.output}")
            run = Run({t: past[t].ranking(scores, limit=options.k) for t, scores in lists.items()}, tag)
        else:
            assert final is not None  # fitted wherever this is no study
            run = fuse(final, pools_of(pools, rest, what="topics to fuse"), tag=tag, limit=options.k)
        made |= write_fused(run, options, outputs[options.output], since=start, reporter=reporter)
    elif options.model:
        reporter.say(f"next: avs fuse LISTS --model {options.model} -o lists/fused.trec")
    return made


def _require_sense(options: FusionOptions, how: LearningOptions, plan: FusionPlan) -> None:
    if not plan.learned:
        raise ConfigError(f"{plan.name} learns nothing", next_step="leave --qrels out, or choose ltr")
    if options.partial and plan.stacked:
        raise ConfigError("a learned --step1 takes lists over the same topics", got="--partial")
    if not (options.output or options.model or options.report or how.study):
        raise ConfigError("nothing to write", next_step="give --model DIR, -o LIST.trec, --report PAGE.html or --study")
    if how.study and options.topics and options.missing != RECOMPUTED:
        raise ConfigError("a study fuses the judged topics", got="--topics", next_step="choose them by --fit-on")
    if how.fit_on is not None and not how.fit_on:
        raise ConfigError("--fit-on names no edition", wanted="such as --fit-on tv19,tv20")
    if options.model:
        require_place(options.model, FUSER_TYPE, sign="fuser.json")


def _to_submit(options: FusionOptions, how: LearningOptions) -> tuple[str, ...]:
    """The topics named to be fused; in a study --topics has sentences only."""
    return () if how.study else submitted_topics(options)


def _require_relevant_candidates(past: Pools, judged: Qrels, reporter: Reporter) -> None:
    """Check that the lists and the judgments are about the same shots."""
    without = []
    for topic, pool in past.items():
        if judged.topics[topic].relevant.isdisjoint(pool.shots):
            without.append(topic)
    if len(without) == len(past):
        raise DataError(
            "no list holds a relevant shot of any judged topic",
            got=f"shots such as {next(iter(past.values())).shots[0]}",
            wanted=f"such as {judged.topics[without[0]].shots[0]}",
            next_step="give the judgments of the collection that was searched; both must number shots alike",
        )
    if without:
        reporter.say(f"warning: no list holds a relevant shot of {len(without)} topics: {', '.join(without[:5])}")


def _require_unseen(options: FusionOptions, past: Pools) -> None:
    """Check that no list was itself learned from the topics it is judged by here."""
    problems = Problems("lists that were learned from the judged topics themselves")
    files = [*options.lists, *(folder / file.name for folder in options.past for file in options.lists)]
    for file, seen in fused_before(files).items():
        both = [topic for topic in read_run(file, topics=past).topics if topic in seen and topic in past]
        if both:
            problems.add(file, f"topics {', '.join(both[:5])}: what it says of them is too good")
    problems.raise_if_any(ConfigError, next_step="leave them out, or make them out of fold: --study")


def _final(
    options: FusionOptions,
    learner: Learner,
    past: Pools,
    outputs: Mapping[Path, Manifest],
    ready: Mapping[Path, bool],
    reporter: Reporter,
) -> Fuser:
    """The fuser fitted on all past topics, kept where that is asked for."""
    if options.model and ready[options.model]:
        return read_fuser(options.model)
    with reporter.stage(f"fit {options.plan().name}", 1, "fit") as stage:
        final = learner(past)
        stage.advance()
    if options.model:
        manifest_path(options.model).unlink(missing_ok=True)  # a folder without one is not complete
        write_fuser(final, options.model)
        write_manifest(options.model, outputs[options.model])
        reporter.say(f"wrote {options.model}: {options.plan().name} fitted on {len(past)} topics")
    return final


def make_folds(topics: Sequence[str], count: int, *, seed: int, same: Mapping[str, str]) -> list[Fold]:
    """Leave one edition out; topics of a single edition in `count` folds.

    Raises:
        ConfigError: fewer topics than folds.
    """
    if len(topics) < 2:
        raise ConfigError("a study takes two judged topics or more", got=", ".join(topics))
    editions = {topic: edition_of(topic) for topic in topics}
    if len(set(editions.values())) > 1:
        return leave_one_out(editions, same=same)
    return topic_folds(topics, count, seed=seed, same=same)


def _outputs(options: FusionOptions, how: LearningOptions, judged: Qrels) -> dict[Path, Manifest]:
    """Path -> what decides it."""
    inputs = options.inputs() | {f"qrels {i}": file for i, file in enumerate(how.qrels, start=1)}
    fingerprints = {name: fingerprint_input(path) for name, path in inputs.items()}
    names = sorted(name_lists(options.lists))
    fitted = {"plan": options.how(), "topics": list(judged.ids), "lists": names, "seed": how.seed}
    studied = {**fitted, "partial": options.partial, "folds": how.folds}
    found: dict[Path, Manifest] = {}
    if options.model:
        found[options.model] = Manifest(FUSER_TYPE, {**fitted, "partial": options.partial}, fingerprints, paths=inputs)
    if options.report:
        found[options.report] = Manifest("fusion-report", studied, fingerprints, paths=inputs)
        found[options.report.with_suffix(".json")] = Manifest("fusion-study", studied, fingerprints, paths=inputs)
    if options.output:
        learned = {"study": studied} if how.study else {"learned_from": list(judged.ids), "seed": how.seed}
        found[options.output] = list_manifest(options, {**options.how(), **learned}, inputs)
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
    from avs.pipeline.fuse.report import report_data, report_lines, write_report
    from avs.pipeline.fuse.study import study_fusion

    study = study_fusion(
        past, learner, method=plan.name, scale=plan.scale, objective=learning.objective, folds=folds,
        reporter=reporter, seed=how.seed, final=final,
    )  # fmt: skip
    data, beside = report_data(study), options.report.with_suffix(".json")

    def write_data(path: Path) -> None:
        with atomic_write(path) as file:
            json.dump(data, file, indent=1)
            file.write("\n")

    write_artefact(beside, outputs[beside], write_data)
    write_artefact(options.report, outputs[options.report], lambda path: write_report(study, path))
    for line in report_lines(study):
        reporter.say(line)
    reporter.say(f"wrote {options.report}, and {beside}")
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
