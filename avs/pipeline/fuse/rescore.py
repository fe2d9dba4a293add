"""The true scores of candidates that a list does not hold, by what made the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avs.core.artifacts import read_manifest
from avs.core.columns import row_positions
from avs.core.errors import ConfigError, DataError, Problems
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.topic import TopicSet
from avs.fusion.pool import CandidatePool
from avs.pipeline.search.make_lists import (
    Planned,
    SearchSettings,
    make_scorers,
    plan_checkpoints,
    plan_zero_shot,
    source_stores,
    stores_read,
)
from avs.pipeline.search.names import store_name
from avs.pipeline.search.trained import Moved
from avs.search.blocks import BlockSource
from avs.train.checkpoint import read_checkpoint

AGREE = 1e-3  # of a list's spread; float32 sums of other block sizes differ by far less


@dataclass(frozen=True, slots=True, eq=False)
class Rescorers:
    """What made the lists, to ask it again.

    Attributes:
        plans: the lists as a search would make them, by name.
        stores: feature name -> store.
        topics: of the lists.
        settings: name of a list -> how it was searched.
        device: where to score.
    """

    plans: Mapping[str, Planned]
    stores: Mapping[str, Features]
    topics: TopicSet
    settings: Mapping[str, SearchSettings]
    device: str


def open_rescorers(
    lists: Mapping[str, Path],
    topics: TopicSet,
    *,
    stores: Sequence[Path],
    checkpoints: Sequence[Path],
    device: str,
) -> Rescorers:
    """Find what made each list among stores and checkpoints, by its name, as `avs search` names lists.

    Args:
        lists: name -> file, with the manifest that the search left beside it.

    Raises:
        ConfigError: nothing given makes a list of some name.
        FormatError: a list without a manifest.
    """
    settings = {name: _settings(path, device) for name, path in lists.items()}
    opened = [open_features(folder) for folder in stores]
    models = [read_checkpoint(folder) for folder in checkpoints]
    named = source_stores(opened, by_feature=bool(models))
    folder, any_settings = next(iter(lists.values())).parent, next(iter(settings.values()))
    plans = plan_checkpoints(models, named, folder, any_settings, {}, alone=False)
    known = [store for store in opened if store_name(store.folder) in lists]
    plans += [
        plan for store in known for plan in plan_zero_shot([store], folder, _of_store(store, settings), {}, alone=False)
    ]
    by_name = {plan.name: plan for plan in plans if plan.name in lists}
    missing = [name for name in lists if name not in by_name]
    if missing:
        raise ConfigError(
            f"no store or checkpoint makes {', '.join(missing)}",
            got=", ".join(plan.name for plan in plans) or "none",
            wanted="for every list the --store or --checkpoint that `avs search` made it from",
        )
    return Rescorers(by_name, named, topics, settings, device)


def recompute(pools: Mapping[str, CandidatePool], by: Rescorers, *, reporter: Reporter) -> dict[str, CandidatePool]:
    """The pools with true scores wherever a list can give one; what it cannot score is counted and said.

    Only the rows of candidates are read.

    Raises:
        DataError: a recomputed score of a shot that a list holds is not the one in the list: something else made it.
    """
    wanted = sorted({shot for pool in pools.values() for shot in pool.shots})
    scores = {topic: np.full_like(pool.scores, np.nan) for topic, pool in pools.items()}
    for mode in dict.fromkeys((s.query_mode, s.score_dtype) for s in by.settings.values()):
        names = [name for name, s in by.settings.items() if (s.query_mode, s.score_dtype) == mode]
        _score(pools, scores, by, names, wanted, reporter)
    _require_same(pools, scores, by)
    made = {topic: pool.recomputed(scores[topic]) for topic, pool in pools.items()}
    unknown = sum(int(np.isnan(pool.scores).sum()) for pool in made.values())
    if unknown:
        reporter.say(f"warning: {unknown} scores cannot be recomputed, the shot having no features: the list's least")
    return made


def _settings(path: Path, device: str) -> SearchSettings:
    config = read_manifest(path)["config"]
    try:
        return SearchSettings(
            config["k"], config["query_mode"], config["score_dtype"], config.get("frame_score"), device
        )
    except KeyError as error:
        raise ConfigError("not a list of `avs search`", where=path, got=f"its manifest has no {error}") from error


def _of_store(store: Features, settings: Mapping[str, SearchSettings]) -> SearchSettings:
    return settings[store_name(store.folder)]


def _score(
    pools: Mapping[str, CandidatePool],
    scores: Mapping[str, np.ndarray],
    by: Rescorers,
    names: Sequence[str],
    wanted: Sequence[str],
    reporter: Reporter,
) -> None:
    """Fill the columns of `names`, whose lists were searched alike."""
    settings = by.settings[names[0]]
    plans = [by.plans[name] for name in names]
    stores = stores_read(plans, by.stores)
    queries = [topic.query(settings.query_mode) for topic in by.topics]
    scorers = make_scorers(plans, stores, by.topics, queries, settings, Moved({}), reporter)
    some = {name: _Candidates(store, wanted) for name, store in stores.items()}
    source = BlockSource(some, device=by.device, dtype=settings.score_dtype)
    place = {shot: row for row, shot in enumerate(source.ids)}
    rows = {t: np.array([place.get(shot, -1) for shot in pool.shots]) for t, pool in pools.items()}
    at = {topic: row for row, topic in enumerate(by.topics.ids)}
    with reporter.stage(f"recompute {len(names)} lists", len(source), "shots") as stage:
        for block in source.blocks():
            for scorer in scorers:
                found, present = scorer.score(block)
                full = np.full((len(by.topics), block.count), np.nan)
                full[:, slice(None) if present is None else present] = found.float().cpu().numpy()
                for topic, pool in pools.items():
                    inside = (rows[topic] >= block.first) & (rows[topic] < block.first + block.count)
                    column = pool.lists.index(scorer.name)
                    scores[topic][inside, column] = full[at[topic], rows[topic][inside] - block.first]
            stage.advance(block.count)


class _Candidates:
    """Those rows of a store that candidates have, read into memory. Rows of a BlockSource."""

    def __init__(self, store: Features, wanted: Sequence[str]) -> None:
        position = {shot: row for row, shot in enumerate(store.ids)}
        there = sorted(position[shot] for shot in wanted if shot in position)
        self.ids = tuple(store.ids[row] for row in there)
        self.offsets: np.ndarray | None = None
        rows = np.array(there, dtype=np.int64)
        if store.offsets is not None:
            rows, lengths = row_positions(store.offsets, rows)
            self.offsets = np.concatenate([[0], np.cumsum(lengths)])
        self.vectors = np.asarray(store.vectors[rows])


def _require_same(pools: Mapping[str, CandidatePool], scores: Mapping[str, np.ndarray], by: Rescorers) -> None:
    problems = Problems("lists that what was given does not make")
    for column, name in enumerate(next(iter(pools.values())).lists):
        for topic, pool in pools.items():
            held = pool.held[:, column]
            there, again = pool.scores[held, column], scores[topic][held, column]
            apart = np.abs(there - again) > AGREE * (np.ptp(there) + np.abs(there).max())
            if apart.any() or np.isnan(again).any():
                row = int(np.flatnonzero(apart | np.isnan(again))[0])
                shot = pool.shots[int(np.flatnonzero(held)[row])]
                problems.add(name, f"topic {topic}: {shot} scores {there[row]:.6g} there and {again[row]:.6g} now")
                break
    problems.raise_if_any(
        DataError, next_step="give the topics, stores and checkpoints the lists were made with, or --missing minimum"
    )
