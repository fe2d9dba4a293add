"""`avs fuse` without judgments: fuse lists on disk by a method that learns nothing, or by a fuser fitted before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from avs.core.artifacts import (
    Manifest,
    complete_folder,
    fingerprint_input,
    is_up_to_date,
    manifest_path,
    read_manifest,
    require_path,
    write_artefact,
)
from avs.core.errors import ConfigError, FormatError, typed
from avs.core.list_files import fused_before, seconds_of_search
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.fusion.artefact import read_fuser, write_fuser
from avs.fusion.fuser import Fuser, fuse
from avs.fusion.pool import require_lists
from avs.pipeline.fuse.options import RECOMPUTED, FusionOptions, name_lists
from avs.pipeline.fuse.pools import pools_of, read_pools, submitted_topics
from avs.trecvid.list_class import class_of_sources
from avs.trecvid.past_topics import refuse_leak
from avs.trecvid.trec import write_trec

FUSER_TYPE = "fuser"


def apply_fusion(options: FusionOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fuse by a method that learns nothing, or by the fuser of a folder; returns a summary.

    Raises:
        ConfigError: options do not fit together, or the fuser was fitted on topics that are fused.
        DataError, FormatError: see read_pools and read_fuser.
    """
    start = perf_counter()
    options = options.checked(reporter)
    output = options.output
    if output is None:
        raise ConfigError("nothing to write", next_step="name the list to write: -o lists/fused.trec; or give --qrels")
    fitted = read_fitted(options, options.fuser) if options.fuser else None
    if fitted:
        options = _as_fitted(options, fitted, reporter)
    inputs = options.inputs() | ({"fuser": options.fuser} if options.fuser else {})
    fusion = {**fitted["plan"], "learned_from": fitted["topics"]} if fitted else options.config()
    manifest = list_manifest(options, fusion, inputs)
    if is_up_to_date(output, manifest, force=options.force, reporter=reporter):
        return {"path": str(output), "up_to_date": True}
    learned_from = fitted["topics"] if fitted else ()
    pools, own = read_pools(options, reporter, judged=learned_from)
    topics = submitted_topics(options) or own
    refuse_leak(set(learned_from), topics)
    if options.fuser:
        fuser = read_fuser(options.fuser)
    else:
        for file in fused_before(options.lists):
            reporter.say(f"warning: {file} is itself a fused list: the lists it was made of count twice")
        fuser = options.plan().fuser(next(iter(pools.values())).lists)
    run = fuse(fuser, pools_of(pools, topics, what="topics to fuse"), tag=output.stem, limit=options.k)
    return write_fused(run, output, options, manifest, since=start, reporter=reporter)


def _is_config(fitted: object) -> bool:
    """Whether it is what the manifest of a fuser records: a plan, the lists, and the topics it was fitted on."""
    if not isinstance(fitted, Mapping) or not isinstance(fitted.get("plan"), Mapping):
        return False
    names = [fitted.get("topics"), fitted.get("lists")]
    plan = fitted["plan"]
    return (
        all(isinstance(some, list) and all(isinstance(one, str) for one in some) for some in names)
        and isinstance(plan.get("method"), str)
        and type(plan.get("depth")) is int
    )


def read_fitted(options: FusionOptions, fuser: Path) -> Mapping[str, Any]:
    """The config in the manifest of a fuser: its plan, its lists, and the topics it was fitted on.

    Raises:
        AvsError: there is no such folder.
        FormatError: the folder holds no fuser.
        ConfigError: an option was decided when the fuser was fitted.
    """
    folder = require_path(fuser, what="fuser")
    manifest = read_manifest(folder)
    if manifest["type"] != FUSER_TYPE:
        raise FormatError("not a fuser", where=folder, got=manifest["type"])
    fitted: Mapping[str, Any] = manifest.get("config", {})
    if not _is_config(fitted):
        raise FormatError("not a fuser of this avs", where=folder, next_step="fit it again: --qrels")
    decided = {
        "--normalize": options.normalization, "--missing": options.missing, "--weight": options.weights,
        "--rrf-k": options.rrf_k is not None,
        "--family": options.families, "--step1": options.step_1, "--depth": options.depth,
    }  # fmt: skip
    conflicting = [option for option, value in decided.items() if value]
    if options.method not in (None, fitted["plan"]["method"]):
        conflicting.append(f"--method {options.method}")
    if conflicting:
        raise ConfigError(
            f"{', '.join(conflicting)}: decided when the fuser was fitted",
            where=folder,
            got=f"a fuser of method {fitted['plan']['method']}",
            next_step="leave it out, or fit another fuser: --qrels",
        )
    return fitted


def write_fitted(fuser: Fuser, folder: Path, manifest: Manifest) -> None:
    """Write a fuser into a folder, and its manifest last: a folder without a manifest is not complete."""
    manifest_path(folder).unlink(missing_ok=True)
    write_fuser(fuser, folder)
    complete_folder(folder, manifest)


def list_manifest(options: FusionOptions, fusion: Mapping[str, Any], inputs: Mapping[str, Path]) -> Manifest:
    """What decides the content of a fused list."""
    config = {"k": options.k, "partial": options.partial, "fusion": dict(fusion), **class_of_sources(options.lists)}
    fingerprints = {name: fingerprint_input(path) for name, path in inputs.items()}
    return Manifest("ranked-lists", config, fingerprints, paths=inputs)


def write_fused(
    run: Run, output: Path, options: FusionOptions, manifest: Manifest, *, since: float, reporter: Reporter
) -> dict[str, Any]:
    """Write the fused list, with the time that searches and fusion took; returns a summary."""
    results = sum(len(ranked) for ranked in run.lists.values())
    counts = {"lists": len(options.lists), "topics": len(run.lists), "results": results}
    seconds, of_search = perf_counter() - since, seconds_of_search(options.lists)
    complete = replace(manifest, counts=counts, seconds=of_search + seconds if of_search else 0.0)
    write_artefact(output, complete, lambda file: write_trec(run, file))
    reporter.say(f"wrote {output}: {len(options.lists)} lists fused for {len(run.lists)} topics, {seconds:.1f} s")
    reporter.suggest(
        f"avs make-run {typed(output)} --topics TOPICS --edition EDITION ..., or avs rerank {typed(output)}"
    )
    return {"path": str(output), **counts, "seconds": round(seconds, 3)}


def _as_fitted(options: FusionOptions, fitted: Mapping[str, Any], reporter: Reporter) -> FusionOptions:
    """The options with all that was decided when the fuser was fitted: its settings and its lists.

    Raises:
        ConfigError: a list is missing.
    """
    by_name = name_lists(options.lists)
    require_lists(list(by_name), fitted["lists"])
    unknown = [name for name in by_name if name not in fitted["lists"]]
    if unknown:
        reporter.say(f"the fuser was fitted without {', '.join(unknown)}: left out")
    plan = fitted["plan"]
    missing = RECOMPUTED if plan.get(RECOMPUTED) else None
    return replace(options, depth=plan["depth"], missing=missing, lists=[by_name[name] for name in fitted["lists"]])
