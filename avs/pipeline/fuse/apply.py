"""`avs fuse` without judgments: a combination, or a fuser that was fitted before, over lists on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from avs.core.artifacts import (
    Manifest,
    fingerprint_input,
    is_up_to_date,
    read_manifest,
    require_path,
    write_artefact,
)
from avs.core.errors import ConfigError, FormatError
from avs.core.list_files import fused_before, list_name, seconds_of_search
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import TopicSet
from avs.fusion.artefact import read_fuser
from avs.fusion.fuser import Pools, fuse
from avs.fusion.pool import DEFAULT_DEPTH, pool_runs, require_lists
from avs.pipeline.fuse.lists import name_lists, pools_of, read_lists
from avs.pipeline.fuse.options import RECOMPUTED, FusionOptions
from avs.trecvid.past_topics import refuse_leak
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import write_trec

FUSER_TYPE = "fuser"


def apply_fusion(options: FusionOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fuse with a combination, or with the fuser of a folder; returns a summary.

    Raises:
        ConfigError: options that do not fit together; a fuser that was fitted on the very topics.
    """
    start = perf_counter()
    if options.output is None:
        raise ConfigError("nothing to write", next_step="say where: -o lists/fused.trec; or give --qrels, to learn")
    options = own_output_left_out(options, reporter)
    fitted = read_fitted(options) if options.model else None
    if fitted is not None:
        options = _as_fitted(options, fitted, reporter)
    inputs = options.inputs() | ({"fuser": options.model} if options.model else {})
    how = options.how() if fitted is None else {**fitted["plan"], "learned_from": fitted["topics"]}
    manifest = list_manifest(options, how, inputs)
    if is_up_to_date(options.output, manifest, force=options.force, reporter=reporter):
        return {"path": str(options.output), "up_to_date": True}
    learned_from = fitted["topics"] if fitted else ()
    pools, own = read_pools(options, reporter, judged=learned_from)
    wanted = submitted_topics(options) or own
    refuse_leak(set(learned_from), wanted)
    if fitted is None:
        for file in fused_before(options.lists):
            reporter.say(f"warning: {file} is fused itself: what it was made of counts twice")
        fuser = options.plan().fuser(next(iter(pools.values())).lists)
    else:
        fuser = read_fuser(options.model)  # type: ignore[arg-type]  # there is one, where there is something fitted
    run = fuse(fuser, pools_of(pools, wanted, what="topics to fuse"), tag=options.output.stem, limit=options.k)
    return write_fused(run, options, manifest, since=start, reporter=reporter)


def read_fitted(options: FusionOptions) -> Mapping[str, Any]:
    """What the manifest of a fuser says of it: its plan, and the topics it was fitted on.

    Raises:
        AvsError: there is no such folder.
        FormatError: it holds no fuser.
        ConfigError: options that were decided when it was fitted.
    """
    folder = require_path(options.model, what="fuser")  # type: ignore[arg-type]
    manifest = read_manifest(folder)
    if manifest["type"] != FUSER_TYPE:
        raise FormatError("not a fuser", where=folder, got=manifest["type"])
    fitted: Mapping[str, Any] = manifest["config"]
    if not {"plan", "topics", "lists"} <= set(fitted):
        raise FormatError("not a fuser of this avs", where=folder, next_step="fit it again: --qrels")
    how = {
        "--normalize": options.normalization, "--missing": options.missing, "--weights": options.weights,
        "--family": options.families, "--step1": options.step_1, "--depth": options.depth,
    }  # fmt: skip
    given = [option for option, value in how.items() if value]
    if options.method not in (None, fitted["plan"]["method"]):
        given.append(f"--method {options.method}")
    if given:
        raise ConfigError(
            f"{', '.join(given)}: decided when the fuser was fitted",
            where=folder,
            got=f"a fuser of method {fitted['plan']['method']}",
            next_step="leave it out, or fit another one: --qrels",
        )
    return fitted


def read_pools(
    options: FusionOptions, reporter: Reporter, *, judged: Sequence[str] = ()
) -> tuple[Pools, tuple[str, ...]]:
    """The candidates of all topics, with recomputed scores where that is asked for; and the topics that are no past.

    Args:
        judged: topics that are, or were, learned from.

    Raises:
        ConfigError, DataError, FormatError: as read_lists, pool_runs, open_rescorers and recompute.
    """
    topics_known = [*submitted_topics(options), *judged]
    runs, own = read_lists(options.lists, options.past, known=topics_known or None)
    pools = pool_runs(runs, depth=options.depth or DEFAULT_DEPTH, partial=options.partial)
    if options.missing != RECOMPUTED:
        return pools, own
    from avs.pipeline.fuse.rescore import open_rescorers, recompute  # imports torch

    files = [*options.topics, *options.past_topics]
    if options.past or options.partial or not files:
        raise ConfigError(
            "--missing recomputed takes the topics' sentences, and neither --past nor --partial",
            next_step="give the topic files of the lists: --topics, and --past-topics for those learned from",
        )
    sentences = read_topics(files, narratives=options.narratives)
    topics = TopicSet(sentences.get(topic) for topic in pools)
    by = open_rescorers(
        {list_name(file): file for file in options.lists},
        topics,
        stores=options.stores,
        checkpoints=options.checkpoints,
        device=options.device,
    )
    return recompute(pools, by, reporter=reporter), own


def submitted_topics(options: FusionOptions) -> tuple[str, ...]:
    """The topics named on the command line, to be fused; none when none were."""
    return read_topics(list(options.topics)).ids if options.topics else ()


def list_manifest(options: FusionOptions, how: Mapping[str, Any], inputs: Mapping[str, Path]) -> Manifest:
    """What decides a fused list."""
    config = {"k": options.k, "partial": options.partial, "fusion": dict(how)}
    return Manifest(
        "ranked-lists", config, {name: fingerprint_input(path) for name, path in inputs.items()}, paths=inputs
    )


def write_fused(
    run: Run, options: FusionOptions, manifest: Manifest, *, since: float, reporter: Reporter
) -> dict[str, Any]:
    """Write the fused list, with the time of the searches behind it, and say so."""
    path = options.output
    assert path is not None  # nobody fuses without an output
    results = sum(len(ranked) for ranked in run.lists.values())
    counts = {"lists": len(options.lists), "topics": len(run.lists), "results": results}
    seconds = perf_counter() - since
    before = seconds_of_search(options.lists)
    whole = replace(manifest, counts=counts, seconds=before + seconds if before else 0.0)
    write_artefact(path, whole, lambda file: write_trec(run, file))
    reporter.say(f"wrote {path}: {len(options.lists)} lists fused for {len(run.lists)} topics, {seconds:.1f} s")
    reporter.say(f"next: avs make-run {path} --topics TOPICS --edition EDITION ..., or avs rerank {path}")
    return {"path": str(path), **counts, "seconds": round(seconds, 3)}


def own_output_left_out(options: FusionOptions, reporter: Reporter) -> FusionOptions:
    """The options as `checked`, saying so where the output was among the lists."""
    checked = options.checked()
    if len(checked.lists) < len(options.lists):
        reporter.say(f"{options.output} is what is written: not one of the lists")
    return checked


def _as_fitted(options: FusionOptions, fitted: Mapping[str, Any], reporter: Reporter) -> FusionOptions:
    """The options with what was decided when the fuser was fitted: how, and of which lists.

    Raises:
        ConfigError: a list is missing.
    """
    by_name = name_lists(options.lists)
    require_lists(list(by_name), fitted["lists"])
    more = [name for name in by_name if name not in fitted["lists"]]
    if more:
        reporter.say(f"the fuser was fitted without {', '.join(more)}: left out")
    plan = fitted["plan"]
    missing = RECOMPUTED if plan.get(RECOMPUTED) else None
    return replace(options, depth=plan["depth"], missing=missing, lists=[by_name[name] for name in fitted["lists"]])
