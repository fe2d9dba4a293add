"""`avs fuse` without judgments: a combination, or a fuser that was fitted before, over lists on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import TopicSet
from avs.fusion.artefact import read_fuser
from avs.fusion.fuser import Pools, fuse
from avs.fusion.normalize import Scale
from avs.fusion.pool import DEFAULT_DEPTH, pool_runs
from avs.pipeline.fusion_lists import list_name, pools_of, read_lists, seconds_of_search
from avs.pipeline.fusion_plan import FusionPlan
from avs.pipeline.past_topics import refuse_leak
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import write_trec

RECOMPUTED = "recomputed"
FUSER_TYPE = "fuser"


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """What is to be fused, how, and where to; None and empty where nothing was said.

    Attributes:
        lists: files, X.trec being called X; past: folders with lists of these names over other topics.
        method, normalization, missing, weights, families, step_1, depth: how to fuse.
        partial: a list may lack a topic.
        topics: files, the topics to fuse; past_topics: files of those learned from.
        stores, checkpoints, narratives, device: to recompute missing scores.
        output, model, report: files to write, and a folder (to read, where nothing is learned).
        k: shots a topic.
    """

    lists: Sequence[Path]
    output: Path | None
    past: Sequence[Path] = ()
    method: str | None = None
    normalization: str | None = None
    missing: str | None = None
    weights: Sequence[tuple[str, str]] = ()
    families: Sequence[tuple[str, str]] = ()
    step_1: str | None = None
    depth: int | None = None
    partial: bool = False
    topics: Sequence[Path] = ()
    past_topics: Sequence[Path] = ()
    stores: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    narratives: Path | None = None
    model: Path | None = None
    report: Path | None = None
    k: int = 1000
    device: str = "cpu"
    force: bool = False

    def plan(self) -> FusionPlan:
        """The method and its steps.

        Raises:
            ConfigError: names that are not known, options that do not fit together.
        """
        families: dict[str, list[str]] = {}
        for name, pattern in self.families:
            families.setdefault(name, []).append(pattern)
        if self.step_1 and not families:
            raise ConfigError("--step1 needs families of lists", next_step="--family 'laffs=laff*'")
        scale = Scale(self.normalization or "minmax", _policy(self.missing))
        weights = {name: _number(weight) for name, weight in self.weights}
        return FusionPlan(self.method or "average", scale, families, self.step_1 or "average", weights)

    def how(self) -> dict[str, Any]:
        """What decides a fuser, for manifests."""
        recomputed = {RECOMPUTED: True} if self.missing == RECOMPUTED else {}
        return {**self.plan().config, "depth": self.depth or DEFAULT_DEPTH, **recomputed}

    def inputs(self) -> dict[str, Path]:
        """Name of an input -> where it lies."""
        found = {f"list {list_name(file)}": file for file in self.lists}
        for i, folder in enumerate(self.past, start=1):
            there = [file for file in self.lists if (folder / file.name).is_file()]
            found |= {f"past list {i} {list_name(file)}": folder / file.name for file in there}
        if self.missing == RECOMPUTED:
            found |= {f"store {i}": folder for i, folder in enumerate(self.stores, start=1)}
            found |= {f"checkpoint {i}": folder for i, folder in enumerate(self.checkpoints, start=1)}
        found |= {f"topics {i}": file for i, file in enumerate(self.topics, start=1)}
        return found | {f"past topics {i}": file for i, file in enumerate(self.past_topics, start=1)}


def apply_fusion(options: FusionOptions, *, study: bool, reporter: Reporter) -> dict[str, Any]:
    """Fuse with a combination, or with the fuser of a folder; returns a summary.

    Raises:
        ConfigError: options that do not fit together; a fuser that was fitted on the very topics (unless `study`).
    """
    start = perf_counter()
    if options.output is None:
        raise ConfigError("nothing to write", next_step="say where: -o lists/fused.trec; or give --qrels, to learn")
    fitted = read_fitted(options) if options.model else None
    options = options if fitted is None else _as_fitted(options, fitted)
    inputs = options.inputs() | ({"fuser": options.model} if options.model else {})
    manifest = list_manifest(options, options.how() if fitted is None else fitted["plan"], inputs)
    if is_up_to_date(options.output, manifest, force=options.force):
        reporter.say(f"up to date: {options.output}")
        return {"path": str(options.output), "up_to_date": True}
    pools = read_pools(options, reporter)
    wanted = submitted_topics(options) or tuple(pools)
    if fitted is None:
        fuser = options.plan().fuser(next(iter(pools.values())).lists)
    else:
        fuser = read_fuser(options.model)  # type: ignore[arg-type]  # there is one, where there is something fitted
        if not study:
            refuse_leak(set(fitted["topics"]), wanted)
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


def read_pools(options: FusionOptions, reporter: Reporter, *, judged: Sequence[str] = ()) -> Pools:
    """The candidates of all topics of the lists, with recomputed scores where that is asked for.

    Args:
        judged: topics that are learned from.

    Raises:
        ConfigError, DataError, FormatError: as read_lists, pool_runs, open_rescorers and recompute.
    """
    known = [*submitted_topics(options), *judged]
    runs = read_lists(options.lists, options.past, known=known or None)
    pools = pool_runs(runs, depth=options.depth or DEFAULT_DEPTH, partial=options.partial)
    if options.missing != RECOMPUTED:
        return pools
    from avs.pipeline.rescoring import open_rescorers, recompute  # imports torch

    if options.past or options.partial or not options.topics:
        raise ConfigError(
            "--missing recomputed takes --topics, and neither --past nor --partial",
            next_step="give the topic files of the lists: --topics, and --past-topics for those learned from",
        )
    sentences = read_topics([*options.topics, *options.past_topics], narratives=options.narratives)
    topics = TopicSet(sentences.get(topic) for topic in pools)
    by = open_rescorers(
        {list_name(file): file for file in options.lists},
        topics,
        stores=options.stores,
        checkpoints=options.checkpoints,
        device=options.device,
    )
    return recompute(pools, by, reporter=reporter)


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
    whole = replace(manifest, counts=counts, seconds=seconds_of_search(options.lists) + seconds)
    write_artefact(path, whole, lambda file: write_trec(run, file))
    reporter.say(f"wrote {path}: {len(options.lists)} lists fused for {len(run.lists)} topics, {seconds:.1f} s")
    reporter.say(f"next: avs make-run --ranked {path} --topics TOPICS --edition EDITION ..., or avs rerank {path}")
    return {"path": str(path), **counts, "seconds": round(seconds, 3)}


def _as_fitted(options: FusionOptions, fitted: Mapping[str, Any]) -> FusionOptions:
    """The options with what was decided when the fuser was fitted."""
    plan = fitted["plan"]
    return replace(options, depth=plan["depth"], missing=RECOMPUTED if plan.get(RECOMPUTED) else None)


def _policy(missing: str | None) -> str:
    """What is left to the scale: a score that cannot be recomputed is the list's least."""
    return "minimum" if missing in (None, RECOMPUTED) else missing


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ConfigError("a weight is a number", got=word, wanted="such as --weights clip=0.3") from None
