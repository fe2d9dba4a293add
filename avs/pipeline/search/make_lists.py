"""Lists to be made by one search: which models and stores, where each list goes, what decides its content."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avs.core.artifacts import Manifest, fingerprint_file, write_artefact
from avs.core.errors import ConfigError
from avs.core.features import Features, by_feature_name
from avs.core.progress import Reporter
from avs.core.ranking import RankedList, Run
from avs.core.spec import EmbedderSpec
from avs.core.topic import TopicSet
from avs.features.embedder import load_embedder_for, require_text_side
from avs.models.scorer import ModelScorer
from avs.pipeline.search.names import model_name, store_name
from avs.pipeline.search.trained import Moved, TrainedModel, load_trained
from avs.search.blocks import BlockSource
from avs.search.cosine import CosineScorer
from avs.search.score import Scorer, search
from avs.train.checkpoint import Checkpoint
from avs.trecvid.trec import write_trec


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A list to be made.

    Attributes:
        made_by: a store, whose own encoder ranks it, or a checkpoint.
        path: of the list.
        manifest: what decides its content.
    """

    made_by: Features | Checkpoint
    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search; all but the device decides what comes out."""

    k: int
    query_mode: str
    score_dtype: str
    frame_score: str | None
    device: str

    @property
    def config(self) -> dict[str, Any]:
        return {"k": self.k, "query_mode": self.query_mode, "score_dtype": self.score_dtype}


def plan_zero_shot(
    stores: Sequence[Features], output: Path, settings: SearchSettings, files: Mapping[str, Path], *, alone: bool
) -> list[Planned]:
    """A list for each store.

    Args:
        files: the topics and what else is searched with, by name.

    Raises:
        ConfigError: a store without a text tower, or a frame score of a shot-level store.
    """
    plans, inputs = [], {name: fingerprint_file(path) for name, path in files.items()}
    for store in stores:
        require_text_side(store.spec, where=store.folder)
        if settings.frame_score and store.offsets is None:
            raise ConfigError("--frame-score is for frame-level stores", where=store.folder, got="a shot-level store")
        by_level = {} if store.offsets is None else {"frame_score": settings.frame_score or "max"}
        manifest = Manifest(
            type="ranked-lists",
            config={**settings.config, **by_level},
            inputs={**inputs, "store": store.manifest["fingerprint"], "shots": store.fingerprint},
            spec=store.spec.to_json(),
            paths={**files, "store": store.folder, "shots": store.folder},
        )
        path = list_path(output, store_name(store.folder), alone=alone)
        plans.append(Planned(store, path, manifest))
    return plans


def plan_checkpoints(
    checkpoints: Sequence[Checkpoint],
    stores: Mapping[str, Features],
    output: Path,
    settings: SearchSettings,
    files: Mapping[str, Path],
    *,
    alone: bool,
) -> list[Planned]:
    """A list for each checkpoint.

    Args:
        files: the topics and what else is searched with, by name.

    Raises:
        SpecMismatchError: the stores are not those of the encoders it was trained on.
    """
    plans, inputs = [], {name: fingerprint_file(path) for name, path in files.items()}
    for checkpoint in checkpoints:
        found = {name: store.spec for name, store in stores.items()}
        checkpoint.require_specs(found, where=", ".join(str(store.folder) for store in stores.values()))
        used = {f"store {name}": stores[name].manifest["fingerprint"] for name in checkpoint.video_features}
        manifest = Manifest(
            type="ranked-lists",
            config=settings.config,
            inputs={**inputs, **used, "checkpoint": checkpoint.fingerprint},
            paths={
                **files,
                **{f"store {name}": stores[name].folder for name in checkpoint.video_features},
                "checkpoint": checkpoint.folder,
            },
        )
        path = list_path(output, model_name(checkpoint.folder), alone=alone)
        plans.append(Planned(checkpoint, path, manifest))
    return plans


def require_different_paths(plans: Sequence[Planned]) -> None:
    """Check that no list would overwrite another.

    Raises:
        ConfigError: two would.
    """
    paths = [plan.path for plan in plans]
    if len(set(paths)) < len(paths):
        raise ConfigError("two lists would be written to the same file", got=max(paths, key=paths.count))


def list_path(output: Path, name: str, *, alone: bool) -> Path:
    """OUTPUT/NAME.trec, unless OUTPUT is the file of a single list."""
    if output.suffix and not output.is_dir():
        if alone:
            return output
        raise ConfigError("several lists need a folder to be written to", got=f"-o {output}")
    return output / f"{name}.trec"


def selected_on(plans: Sequence[Planned], topic_files: Sequence[Path]) -> list[str]:
    """A warning for each checkpoint whose best epoch was chosen on the very topics that are searched now."""
    files = {fingerprint_file(file): file for file in topic_files}
    warnings = []
    for plan in plans:
        if isinstance(plan.made_by, Checkpoint):
            file = files.get(plan.made_by.validation.get("topics_fingerprint", ""))
            if file is not None:
                warnings.append(
                    f"warning: {plan.name} was selected by xinfAP on {file}: what it scores on these topics says "
                    f"nothing about new ones"
                )
    return warnings


def make_lists(
    plans: Sequence[Planned],
    stores: Mapping[str, Features],
    topics: TopicSet,
    settings: SearchSettings,
    *,
    moved: Moved,
    state: Path,
    reporter: Reporter,
) -> list[dict[str, object]]:
    """Score everything planned in one pass over `stores` and write the lists; returns a summary of each.

    Args:
        stores: name -> store; a checkpoint finds its features by these names.
        moved: where encoders and word vectors lie now.
        state: file that keeps what was found so far.
    """
    start = time.perf_counter()
    queries = [topic.query(settings.query_mode) for topic in topics]
    read = stores_read(plans, stores)
    source = BlockSource(read, device=settings.device, dtype=settings.score_dtype)
    scorers = make_scorers(plans, read, topics, queries, settings, moved, reporter)
    found = search(scorers, topics.ids, source, k=settings.k, reporter=reporter, state=state)
    seconds = time.perf_counter() - start
    return [_write(plan, found[plan.name], len(source), seconds, reporter) for plan in plans]


def stores_read(plans: Sequence[Planned], stores: Mapping[str, Features]) -> dict[str, Features]:
    """Those of `stores` that some list needs: nothing else is read."""
    models = [plan.made_by for plan in plans if isinstance(plan.made_by, Checkpoint)]
    named = {name for model in models for name in model.video_features}
    own = [plan.made_by for plan in plans]
    return {name: store for name, store in stores.items() if name in named or any(store is one for one in own)}


def make_scorers(
    plans: Sequence[Planned],
    stores: Mapping[str, Features],
    topics: TopicSet,
    queries: Sequence[str],
    settings: SearchSettings,
    moved: Moved,
    reporter: Reporter,
) -> list[Scorer]:
    """What scores shots for each plan, in their order.

    Args:
        stores: name -> store, as the blocks that are scored name their features.
        queries: of the topics, as texts.
    """
    folders = [plan.made_by.folder for plan in plans if isinstance(plan.made_by, Checkpoint)]
    models = iter(load_trained(folders, moved=moved, device=settings.device))
    encoded: dict[EmbedderSpec, np.ndarray] = {}
    scorers: list[Scorer] = []
    for plan in plans:
        if isinstance(plan.made_by, Checkpoint):
            scorers.append(_model_scorer(plan.name, next(models), topics, queries, settings, reporter))
            continue
        spec = plan.made_by.spec
        if spec not in encoded:
            embedder = load_embedder_for(spec, weights=moved.encoders.get(spec.name), device=settings.device)
            encoded[spec] = embedder.encode_texts(queries)
        scorers.append(
            CosineScorer(
                plan.name,
                encoded[spec],
                topics=topics.ids,
                store=plan.made_by,
                feature=next(name for name, store in stores.items() if store is plan.made_by),
                query_spec=spec,  # load_embedder_for has compared it with the encoder's
                frame_score=plan.manifest.config.get("frame_score", "max"),
            )
        )
    return scorers


def _model_scorer(
    name: str,
    trained: TrainedModel,
    topics: TopicSet,
    queries: Sequence[str],
    settings: SearchSettings,
    reporter: Reporter,
) -> ModelScorer:
    for line in trained.unknown_words(queries, topics.ids):
        reporter.say(f"{name}: {line}")
    embedded = trained.embed(queries, topics.ids)  # before the model takes the dtype of the pass
    dtype = getattr(torch, settings.score_dtype)
    return ModelScorer(name, trained.model, embedded, device=settings.device, dtype=dtype)


def _write(
    plan: Planned, lists: Sequence[RankedList], shots: int, seconds: float, reporter: Reporter
) -> dict[str, object]:
    """Write a list and the manifest beside it, and say so."""
    run = Run({ranked.topic: ranked for ranked in lists}, plan.name)
    counts = {"topics": len(lists), "shots": shots, "results": sum(len(ranked) for ranked in lists)}
    manifest = replace(plan.manifest, counts=counts, seconds=seconds)
    write_artefact(plan.path, manifest, lambda path: write_trec(run, path))
    best = f"the best {len(lists[0])} of {shots} shots for {len(lists)} topics"
    reporter.say(f"wrote {plan.path}: {best}, {seconds:.1f} s")
    made_by = plan.made_by
    model = plan.name if isinstance(made_by, Checkpoint) else made_by.spec.name
    return {"path": str(plan.path), "model": model, **counts, "seconds": round(seconds, 3)}


def source_stores(stores: Sequence[Features], *, by_feature: bool) -> dict[str, Features]:
    """Name -> store: the feature's name where models look for it, otherwise the folder.

    Raises:
        ConfigError: two stores of one feature, where models look for it by name.
    """
    if not by_feature:
        return {str(store.folder): store for store in stores}
    return by_feature_name(stores)
