"""`avs search`: which lists are made, where they go, what decides their content, and the making of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avs.cluster.placement import ClusterRequest
from avs.cluster.ray_session import require_room
from avs.core.artifacts import Manifest, fingerprint_content, is_folder, is_up_to_date, write_artefact
from avs.core.contents import content_fingerprint
from avs.core.errors import ConfigError, typed
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import System, locations_of, model_system, store_system
from avs.pipeline.search.trained import selection_warning
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.trecvid.editions import Edition
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import write_trec


@dataclass(frozen=True, slots=True, eq=False)
class PlannedList:
    """A list that a search will write.

    Attributes:
        system: what ranks.
        path: file of the list.
        manifest: what decides its content.
    """

    system: System
    path: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search. Everything but the device decides what the lists hold."""

    k: int
    query_mode: str
    score_dtype: str
    frame_score: str | None
    device: str

    @property
    def config(self) -> dict[str, Any]:
        return {"k": self.k, "query_mode": self.query_mode, "score_dtype": self.score_dtype}


@dataclass(frozen=True, slots=True)
class SearchInputs:
    """What is searched, with what.

    Attributes:
        topics: topic files.
        stores: folders of feature stores.
        checkpoints: folders of trained models.
        zero_shot: also make the lists of the stores' own encoders, beside those of the models.
        narratives: file with a narrative for every topic.
        edition: the edition that the topics must belong to.
    """

    topics: Sequence[Path]
    stores: Sequence[Path]
    checkpoints: Sequence[Path] = ()
    zero_shot: bool = False
    narratives: Path | None = None
    edition: Edition | str | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Name of an input in the manifests -> file."""
        topics = {f"topics {number}": file for number, file in enumerate(self.topics, start=1)}
        return topics | ({"narratives": self.narratives} if self.narratives else {})


def search_into_lists(
    inputs: SearchInputs,
    output: str,
    settings: SearchSettings,
    *,
    weights: Sequence[str] = (),
    word2vec: Path | None = None,
    cluster: ClusterRequest | None = None,
    force: bool,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    """Write the list of every system, in one pass; those that are up to date stay.

    Args:
        output: a file, where there is one list; or a folder, which ends in "/" or exists.
        weights: current locations of the stores' encoders, one per store; empty: where they were.
        word2vec: current location of the models' word vectors.
        cluster: have actors of a Ray cluster search; the topics are encoded here.

    Returns:
        A summary of each list.

    Raises:
        ConfigError: options that do not fit together; what Searcher and plan_lists refuse.
        ChangedInputsError: a list was made from other inputs, and `force` is off.
    """
    topics = read_topics(list(inputs.topics), narratives=inputs.narratives, edition=inputs.edition)
    stores = [open_features(folder) for folder in inputs.stores]
    systems = open_systems(stores, inputs, settings.frame_score)
    searcher = Searcher(
        systems,
        stores,
        locations=locations_of(stores, weights, word2vec),
        device=settings.device if cluster is None else "cpu",
        dtype=settings.score_dtype,
        reporter=reporter,
    )
    plan = plan_lists(searcher, output, settings, inputs.files)
    for warning in selection_warnings(plan, inputs.topics):
        reporter.say(warning)
    missing = [one for one in plan if not is_up_to_date(one.path, one.manifest, force=force, reporter=reporter)]
    summaries: dict[Path, dict[str, Any]] = {one.path: {"path": str(one.path), "up_to_date": True} for one in plan}
    if missing:
        if cluster is not None:
            require_room(cluster)  # before encoders and models are loaded
        start = time.perf_counter()
        runs = searcher.search(
            topics,
            k=settings.k,
            query_mode=settings.query_mode,
            systems=[one.system.name for one in missing],
            state=_state(output, plan),
            cluster=cluster,
        )
        _state(output, plan).unlink(missing_ok=True)  # an earlier search without a cluster may have left one
        shots, seconds = len(searcher.source([one.system for one in missing])), time.perf_counter() - start
        for one in missing:
            summaries[one.path] = _write(one, runs[one.system.name], shots, seconds, reporter)
    return list(summaries.values())


def open_systems(stores: Sequence[Features], inputs: SearchInputs, frame_score: str | None) -> list[System]:
    """The trained models, and where there is none or `zero_shot` is on, the stores.

    Raises:
        ConfigError: a frame score without a zero-shot list; what store_system refuses.
    """
    checkpoints = [read_checkpoint(folder) for folder in inputs.checkpoints]
    zero_shot = inputs.zero_shot or not checkpoints
    if frame_score and not zero_shot:
        raise ConfigError("--frame-score is for the stores' own encoders", next_step="leave it out, or add --zero-shot")
    systems = [model_system(checkpoint) for checkpoint in checkpoints]
    return systems + ([store_system(store, frame_score=frame_score) for store in stores] if zero_shot else [])


def plan_lists(
    searcher: Searcher, output: str, settings: SearchSettings, files: Mapping[str, Path]
) -> list[PlannedList]:
    """The list of every system.

    Args:
        files: the topics and what else is searched with, by name.

    Raises:
        ConfigError: several lists and no folder to write them to; two lists of one name.
    """
    inputs = {name: fingerprint_content(path) for name, path in files.items()}
    plan = []
    for system in searcher.systems.values():
        if is_folder(output):
            path = Path(output) / f"{system.name}.trec"
        elif len(searcher.systems) == 1:
            path = Path(output)
        else:
            raise ConfigError(
                "several lists need a folder to be written to", got=f"-o {output}", next_step=f"use -o {typed(output)}/"
            )
        manifest = _manifest(system, searcher.stores, settings, inputs, files)
        plan.append(PlannedList(system, path, manifest))
    return plan


def _manifest(
    system: System,
    stores: Mapping[str, Features],
    settings: SearchSettings,
    inputs: Mapping[str, str],
    files: Mapping[str, Path],
) -> Manifest:
    source = system.source
    if isinstance(source, Checkpoint):
        read = {f"store {name}": stores[name] for name in source.video_features}
        fingerprints = {name: content_fingerprint(store.manifest) for name, store in read.items()}
        folders = {name: store.folder for name, store in read.items()}
        return Manifest(
            type="ranked-lists",
            config=settings.config,
            inputs={**inputs, **fingerprints, "checkpoint": source.fingerprint},
            paths={**files, **folders, "checkpoint": source.folder},
        )
    by_level = {} if source.offsets is None else {"frame_score": system.frame_score}
    return Manifest(
        type="ranked-lists",
        config={**settings.config, **by_level},
        inputs={**inputs, "store": content_fingerprint(source.manifest), "shots": source.fingerprint},
        spec=source.spec.to_json(),
        paths={**files, "store": source.folder, "shots": source.folder},
    )


def selection_warnings(plan: Sequence[PlannedList], topic_files: Sequence[Path]) -> list[str]:
    """A warning for each model whose best epoch was chosen on the very topics that are searched now."""
    return [
        warning
        for one in plan
        if isinstance(one.system.source, Checkpoint)
        for warning in selection_warning(one.system.source, topic_files)
    ]


def _state(output: str, plan: Sequence[PlannedList]) -> Path:
    """Where a long search keeps what it has found so far: beside its lists."""
    path = plan[0].path
    return path.with_name(f".{'search' if is_folder(output) else path.stem}.state.npz")


def _write(one: PlannedList, run: Run, shots: int, seconds: float, reporter: Reporter) -> dict[str, Any]:
    """Write a list and the manifest beside it, and say so."""
    run = Run(run.lists, one.path.stem)
    counts = {"topics": len(run.lists), "shots": shots, "results": sum(len(ranked) for ranked in run.lists.values())}
    manifest = replace(one.manifest, counts=counts, seconds=seconds)
    write_artefact(one.path, manifest, lambda path: write_trec(run, path))
    longest = max(len(ranked) for ranked in run.lists.values())
    reporter.say(f"wrote {one.path}: the best {longest} of {shots} shots for {len(run.lists)} topics, {seconds:.1f} s")
    source = one.system.source
    model = one.path.stem if isinstance(source, Checkpoint) else source.spec.name
    return {"path": str(one.path), "model": model, **counts, "seconds": round(seconds, 3)}
