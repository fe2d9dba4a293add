"""`avs fuse --qrels`: learn a fuser from judged topics, measure it on topics it has not seen, and fuse with it."""

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
    require_place,
    write_artefact,
)
from avs.core.errors import ConfigError, DataError, Problems, typed
from avs.core.ids import some
from avs.core.list_files import fused_before
from avs.core.progress import Reporter
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.fusion.artefact import FILE, read_fuser
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import Fold, leave_one_out, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools, fuse
from avs.fusion.methods import AVERAGE, Learning, unlearned
from avs.fusion.methods.start import STARTS
from avs.fusion.plan import FusionPlan
from avs.metrics.report import aligned
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.fuse.apply import FUSER_TYPE, list_manifest, write_fitted, write_fused
from avs.pipeline.fuse.options import RECOMPUTED, FusionOptions, name_lists
from avs.pipeline.fuse.pools import pools_of, read_pools, submitted_topics
from avs.pipeline.fuse.study import FusionStudy, study_fusion, with_curve
from avs.trecvid.edition_file import read_editions
from avs.trecvid.editions import Edition
from avs.trecvid.past_topics import edition_of, past_qrels, refuse_leak
from avs.trecvid.run_file import read_run
from avs.trecvid.topics import read_topics


@dataclass(frozen=True, slots=True)
class FusionTask:
    """A call of `avs fuse --qrels`: what it reads, what it fits, and what it has to write.

    Attributes:
        options: the options of the call.
        plan: method and steps.
        outputs: path -> manifest, of everything the call was asked to write.
        outdated: those of the outputs that are not up to date.
        pools: candidates of all topics of the lists.
        judged: candidates of the topics to learn from.
        new: the topics to fuse, when this is no study.
        own: the topics that are in no --past folder.
        learning: objective, judgments and seed.
        learner: fits the plan's fuser.
    """

    options: FusionOptions
    plan: FusionPlan
    outputs: Mapping[Path, Manifest]
    outdated: frozenset[Path]
    pools: Pools
    judged: Pools
    new: tuple[str, ...]
    own: tuple[str, ...]
    learning: Learning
    learner: Learner

    def must_write(self, path: Path | None) -> bool:
        return path in self.outdated


def learn_fusion(options: FusionOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fit a fuser, and write it, study it and fuse with it, as far as outputs are asked for; returns a summary.

    Raises:
        ConfigError: options do not fit together, an edition or method is unknown, or topics would leak.
        DataError: the lists lack judged topics or all their relevant shots, or a topic has no relevant shot.
    """
    start = perf_counter()
    options = options.checked(reporter)
    plan = options.plan()
    _require_sense(options, plan)
    described = read_editions(options.edition_files)
    judgments = past_qrels(
        options.qrels, fit_on=options.fit_on, submitted=_to_submit(options), study=options.study, described=described
    )
    outputs = _outputs(options, judgments)
    outdated = {
        path
        for path, manifest in outputs.items()
        if not is_up_to_date(path, manifest, force=options.force, reporter=reporter)
    }
    if outputs and not outdated:
        return {"up_to_date": True, "outputs": [str(path) for path in outputs]}
    task = _read(options, plan, judgments, outputs, frozenset(outdated), reporter)
    summary: dict[str, Any] = {"method": plan.name, "learned_from": len(task.judged)}
    final = None
    if options.fuser or options.report or not options.study:
        final = _fit(task, reporter)
    if options.fuser:
        summary["fuser"] = str(options.fuser)
    scores_by_topic: Mapping[str, np.ndarray] = {}
    study = _study(task, final, reporter) if task.must_write(options.report) else None
    if study:
        scores_by_topic = study.lists
    elif options.study:
        scores_by_topic, worth = _worth(task, reporter)
        summary |= worth
    if options.output and task.must_write(options.output):
        run = _fused(task, options.output.stem, final, scores_by_topic, reporter)
        summary |= write_fused(run, options.output, options, outputs[options.output], since=start, reporter=reporter)
    elif options.fuser:
        reporter.suggest(f"avs fuse LISTS --fuser {typed(options.fuser)} -o lists/fused.trec")
    if study and options.report:
        summary |= _write_report(task, options.report, study, reporter)
    return summary


def make_folds(
    topics: Sequence[str], count: int, *, seed: int, same: Mapping[str, str], described: Sequence[Edition] = ()
) -> list[Fold]:
    """Folds that leave one edition out; or `count` folds, when all topics are of one edition.

    Args:
        described: editions that avs does not know.

    Raises:
        ConfigError: there are fewer topics than folds.
    """
    if len(topics) < 2:
        raise ConfigError("a study needs two judged topics or more", got=", ".join(topics))
    editions = {topic: edition_of(topic, described) for topic in topics}
    if len(set(editions.values())) > 1:
        return leave_one_out(editions, same=same)
    return topic_folds(topics, count, seed=seed, same=same)


def _require_sense(options: FusionOptions, plan: FusionPlan) -> None:
    if not plan.learned:
        raise ConfigError(f"{plan.name} learns nothing", next_step="leave --qrels out, or choose a method that learns")
    if options.partial and plan.stacked:
        raise ConfigError("a learned --step1 needs lists over the same topics", got="--partial")
    if not (options.output or options.fuser or options.report or options.study):
        raise ConfigError("nothing to write", next_step="give --fuser DIR, -o LIST.trec, --report PAGE.html or --study")
    if options.study and options.topics and options.missing != RECOMPUTED:
        raise ConfigError("a study fuses the judged topics", got="--topics", next_step="choose them by --fit-on")
    if options.fuser:
        require_place(options.fuser, FUSER_TYPE, sign=FILE)


def _to_submit(options: FusionOptions) -> tuple[str, ...]:
    """The topics of --topics, which are to be fused; in a study --topics only gives sentences."""
    return () if options.study else submitted_topics(options)


def _outputs(options: FusionOptions, judgments: Qrels) -> dict[Path, Manifest]:
    """Path of every output -> what decides its content."""
    inputs = options.inputs() | {f"qrels {i}": file for i, file in enumerate(options.qrels, start=1)}
    fingerprints = {name: fingerprint_input(path) for name, path in inputs.items()}
    names, topics = sorted(name_lists(options.lists)), list(judgments.ids)
    fitted = {"plan": options.config(), "topics": topics, "lists": names, "seed": options.seed}
    studied = {**fitted, "partial": options.partial, "folds": options.folds}
    outputs: dict[Path, Manifest] = {}
    if options.fuser:
        fuser_config = {**fitted, "partial": options.partial}
        outputs[options.fuser] = Manifest(FUSER_TYPE, fuser_config, fingerprints, paths=inputs)
    if options.report:
        outputs[options.report] = Manifest("fusion-report", studied, fingerprints, paths=inputs)
        outputs[options.report.with_suffix(".json")] = Manifest("fusion-study", studied, fingerprints, paths=inputs)
    if options.output:
        learned = {"study": studied} if options.study else {"learned_from": topics, "seed": options.seed}
        outputs[options.output] = list_manifest(options, {**options.config(), **learned}, inputs)
    return outputs


def _read(
    options: FusionOptions,
    plan: FusionPlan,
    judgments: Qrels,
    outputs: Mapping[Path, Manifest],
    outdated: frozenset[Path],
    reporter: Reporter,
) -> FusionTask:
    """The lists, with the checks that they and the judgments fit together."""
    pools, own = read_pools(options, reporter, judged=judgments.ids)
    judged = pools_of(pools, judgments.ids, what="judged topics")
    _require_relevant_candidates(judged, judgments, reporter)
    _require_unseen(options, judged)
    new = _to_submit(options) or tuple(topic for topic in own if topic not in judged)
    if options.output and not options.study and not new:
        refuse_leak(judged, own)
    sentences = _sentences(options)
    learning = Learning(xinfap_objective(judgments), judgments, sentences, seed=options.seed, threads=options.threads)
    learner = plan.learner(next(iter(pools.values())).lists, learning)
    return FusionTask(options, plan, outputs, outdated, pools, judged, new, own, learning, learner)


def _require_relevant_candidates(judged: Pools, judgments: Qrels, reporter: Reporter) -> None:
    """Check that the lists and the judgments are about the same shots."""
    without = [topic for topic, pool in judged.items() if judgments.topics[topic].relevant.isdisjoint(pool.shots)]
    if len(without) == len(judged):
        raise DataError(
            "no list contains a relevant shot of any judged topic",
            got=f"shots such as {next(iter(judged.values())).shots[0]}",
            wanted=f"such as {judgments.topics[without[0]].shots[0]}",
            next_step="give the judgments of the collection that was searched; both must number shots alike",
        )
    if without:
        reporter.say(f"warning: no list contains a relevant shot of {len(without)} topics: {some(without)}")


def _require_unseen(options: FusionOptions, judged: Pools) -> None:
    """Check that no list was itself learned from the topics it is judged by here."""
    problems = Problems("lists that were learned from the judged topics themselves")
    files = [*options.lists, *(folder / file.name for folder in options.past for file in options.lists)]
    for file, learned_from in fused_before(files).items():
        both = [t for t in read_run(file, topics=judged).topics if t in learned_from and t in judged]
        if both:
            problems.add(file, f"topics {some(both)}: its scores for them are too good")
    problems.raise_if_any(ConfigError, next_step="leave them out, or make them out of fold: --study")


def _sentences(options: FusionOptions) -> dict[str, str]:
    """Past topic -> its sentence, for the topics of --past-topics."""
    topics = read_topics(list(options.past_topics)) if options.past_topics else ()
    return {topic.id: topic.text.casefold().strip() for topic in topics}


def _fit(task: FusionTask, reporter: Reporter) -> Fuser:
    """The fuser fitted on all judged topics; it is written to --fuser, or read from there if it is up to date."""
    folder = task.options.fuser
    if folder and not task.must_write(folder):
        return read_fuser(folder)
    with reporter.stage(f"fit {task.plan.name}", 1, "fit") as stage:
        fuser = task.learner(task.judged)
        stage.advance()
    if folder:
        write_fitted(fuser, folder, task.outputs[folder])
        reporter.say(f"wrote {folder}: {task.plan.name} fitted on {len(task.judged)} topics")
    return fuser


def _folds(task: FusionTask) -> list[Fold]:
    return make_folds(
        tuple(task.judged),
        task.options.folds,
        seed=task.options.seed,
        same=task.learning.same,
        described=read_editions(task.options.edition_files),
    )


def _study(task: FusionTask, final: Fuser | None, reporter: Reporter) -> FusionStudy:
    """The study of the report, still without its learning curve; its tables are said."""
    from avs.pipeline.fuse.report import report_lines

    study = study_fusion(
        task.judged, task.learner, method=task.plan.name, scale=task.plan.scale, objective=task.learning.objective,
        folds=_folds(task), reporter=reporter, seed=task.options.seed, final=final,
    )  # fmt: skip
    for line in report_lines(study):
        reporter.say(line)
    return study


def _write_report(task: FusionTask, page_file: Path, study: FusionStudy, reporter: Reporter) -> dict[str, Any]:
    """Draw the learning curve, which takes most of the time of a study, and write the page and its data."""
    from avs.pipeline.fuse.page import write_page
    from avs.pipeline.fuse.report import curve_lines, report_data

    whole = with_curve(study, task.judged, task.learner, objective=task.learning.objective, reporter=reporter)
    data, json_file = report_data(whole), page_file.with_suffix(".json")

    def write_data(path: Path) -> None:
        with atomic_write(path) as file:
            json.dump(data, file, indent=1)
            file.write("\n")

    write_artefact(json_file, task.outputs[json_file], write_data)
    write_artefact(page_file, task.outputs[page_file], lambda path: write_page(whole, path))
    for line in curve_lines(whole):
        reporter.say(line)
    reporter.say(f"wrote {page_file}, and {json_file}")
    return {"report": str(page_file), "study": data}


def _worth(task: FusionTask, reporter: Reporter) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    """Topic -> (C,) scores of the fuser that was fitted without it; and xinfAP of these and of what learns nothing.

    The p-value is that of the difference between the learned method and the average.
    """
    name, objective, folds = task.plan.name, task.learning.objective, _folds(task)
    with reporter.stage(f"{name} out of fold", len(folds), "folds") as stage:
        by_fuser = out_of_fold(task.learner, task.judged, folds)
        stage.advance(len(folds))
    lists = {topic: scores for topic, (_, scores) in by_fuser.items()}
    by_topic = {other: values(unlearned(other, task.plan.scale), task.judged, objective) for other in STARTS}
    by_topic[name] = {t: value(t, task.judged[t].shots, scores, objective) for t, scores in lists.items()}
    rows = np.array([[measured[topic] for topic in lists] for measured in by_topic.values()])
    p_values = randomization_test(rows, seed=task.learning.seed).p_values[-1]
    means = dict(zip(by_topic, rows.mean(axis=1).tolist(), strict=True))
    p_of = dict(zip(by_topic, p_values.tolist(), strict=True))
    table = aligned([["", "xinfAP"], *([method, f"{mean:.4f}"] for method, mean in means.items())])
    reporter.say(f"{len(lists)} topics, each fused by a fuser that did not see it (p = {p_of[AVERAGE]:.3f}):\n{table}")
    best = max(STARTS, key=lambda other: means[other])
    if means[best] > means[name]:
        reporter.say(f"{best}, which learns nothing, is above {name} (p = {p_of[best]:.3f})")
    return lists, {"xinfAP": means, "p_value": p_of[AVERAGE], "by_topic": by_topic}


def _fused(
    task: FusionTask, tag: str, final: Fuser | None, scores_by_topic: Mapping[str, np.ndarray], reporter: Reporter
) -> Run:
    """The fused lists: of the judged topics in a study, otherwise of the new topics."""
    if not task.options.study:
        assert final is not None  # fitted whenever this is no study
        pools = pools_of(task.pools, task.new, what="topics to fuse")
        return fuse(final, pools, tag=tag, limit=task.options.k)
    missing = [topic for topic in task.own if topic not in scores_by_topic]
    if missing:
        reporter.say(
            f"warning: {len(missing)} topics of the lists are not in the study, and not in {task.options.output}"
        )
    limit = task.options.k
    return Run({t: task.judged[t].ranking(scores, limit=limit) for t, scores in scores_by_topic.items()}, tag)
