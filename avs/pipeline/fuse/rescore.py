"""The true scores of candidates that a list does not contain, from the system that made the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import read_manifest
from avs.core.errors import ConfigError, DataError, Problems
from avs.core.features import Features, open_features
from avs.core.list_files import store_name
from avs.core.progress import Reporter
from avs.core.topic import TopicSet
from avs.fusion.pool import CandidatePool
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import System, model_system, store_system
from avs.train.checkpoint import read_checkpoint

AGREE = 1e-3  # of a list's spread; float32 sums of other block sizes differ by far less


@dataclass(frozen=True, slots=True, eq=False)
class Rescorers:
    """The systems that made the lists.

    Attributes:
        systems: name of a list -> the system that made it.
        configs: name of a list -> how it was searched, as its manifest records.
        stores: the stores of the systems.
        topics: the topics of the lists.
        device: where to score.
    """

    systems: Mapping[str, System]
    configs: Mapping[str, Mapping[str, Any]]
    stores: Sequence[Features]
    topics: TopicSet
    device: str


def open_rescorers(
    lists: Mapping[str, Path],
    topics: TopicSet,
    *,
    stores: Sequence[Path],
    checkpoints: Sequence[Path],
    device: str,
) -> Rescorers:
    """Find the system that made each list among stores and checkpoints, by its name, as `avs search` names lists.

    Args:
        lists: name -> file, with the manifest that the search left beside it.

    Raises:
        ConfigError: no store or checkpoint makes a list of some name.
        FormatError: a list without a manifest.
    """
    configs = {name: _search_config(path) for name, path in lists.items()}
    opened = [open_features(folder) for folder in stores]
    systems = {system.name: system for system in map(model_system, map(read_checkpoint, checkpoints))}
    for store in opened:
        name = store_name(store.folder)
        if name in lists:
            systems[name] = store_system(store, frame_score=configs[name].get("frame_score"))
    missing = [name for name in lists if name not in systems]
    if missing:
        raise ConfigError(
            f"no store or checkpoint makes {', '.join(missing)}",
            got=", ".join(systems) or "none",
            wanted="for every list the --store or --checkpoint that `avs search` made it from",
        )
    return Rescorers({name: systems[name] for name in lists}, configs, opened, topics, device)


def recompute(pools: Mapping[str, CandidatePool], by: Rescorers, *, reporter: Reporter) -> dict[str, CandidatePool]:
    """The pools with true scores wherever a system can give one. The others are counted, and the reporter says so.

    Only the rows of candidates are read.

    Raises:
        DataError: a recomputed score differs from the one in the list: another system made the list.
    """
    shots = sorted({shot for pool in pools.values() for shot in pool.shots})
    position = {shot: place for place, shot in enumerate(shots)}
    columns = {topic: [position[shot] for shot in pool.shots] for topic, pool in pools.items()}
    topic_row = {topic: row for row, topic in enumerate(by.topics.ids)}
    scores = {topic: np.full_like(pool.scores, np.nan) for topic, pool in pools.items()}
    for name, values in _scores(by, shots, reporter).items():
        for topic, pool in pools.items():
            scores[topic][:, pool.lists.index(name)] = values[topic_row[topic], columns[topic]]
    _require_same(pools, scores)
    recomputed = {topic: pool.recomputed(scores[topic]) for topic, pool in pools.items()}
    unknown = sum(int(np.isnan(pool.scores).sum()) for pool in recomputed.values())
    if unknown:
        reporter.say(
            f"warning: {unknown} scores cannot be recomputed, because the shots have no features; they get the minimum "
            f"of their list"
        )
    return recomputed


def _search_config(path: Path) -> Mapping[str, Any]:
    config: Mapping[str, Any] = read_manifest(path)["config"]
    lacking = [key for key in ("query_mode", "score_dtype") if key not in config]
    if lacking:
        raise ConfigError("not a list of `avs search`", where=path, got=f"its manifest has no {', '.join(lacking)}")
    return config


def _scores(by: Rescorers, shots: Sequence[str], reporter: Reporter) -> dict[str, np.ndarray]:
    """Name of a list -> (T, S) scores; lists that were searched alike share a pass."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, config in by.configs.items():
        alike.setdefault((config["query_mode"], config["score_dtype"]), []).append(name)
    scores: dict[str, np.ndarray] = {}
    for (query_mode, dtype), names in alike.items():
        systems = [by.systems[name] for name in names]
        searcher = Searcher(systems, by.stores, device=by.device, dtype=dtype, reporter=reporter)
        scores |= searcher.scores(by.topics, shots, query_mode=query_mode)
    return scores


def _require_same(pools: Mapping[str, CandidatePool], scores: Mapping[str, np.ndarray]) -> None:
    problems = Problems("the given stores and checkpoints do not make these lists")
    for column, name in enumerate(next(iter(pools.values())).lists):
        for topic, pool in pools.items():
            held = pool.held[:, column]
            listed, again = pool.scores[held, column], scores[topic][held, column]
            apart = np.abs(listed - again) > AGREE * (np.ptp(listed) + np.abs(listed).max())
            if apart.any() or np.isnan(again).any():
                row = int(np.flatnonzero(apart | np.isnan(again))[0])
                shot = pool.shots[int(np.flatnonzero(held)[row])]
                problems.add(
                    name, f"topic {topic}: {shot} scores {listed[row]:.6g} in the list and {again[row]:.6g} now"
                )
                break
    problems.raise_if_any(
        DataError, next_step="give the topics, stores and checkpoints the lists were made with, or --missing minimum"
    )
