"""Learning to rank by LambdaMART (Burges, 2010; LightGBM's lambdarank), boosted from the average.

The trees correct the average of the lists and do not replace it: their scores are added to the average, standardised
within the topic. So candidates that the coarse trees cannot tell apart keep the order of the average. How many trees
are kept is decided by the measure itself on topics held out, none being the average (see `selection`).

Rows to learn from are judged shots. Unjudged ones are left out, since not judged is not irrelevant. A judged shot of a
stratum of which one in r was judged stands for r shots, and is taken r times (a fraction is taken or not, so that the
number of rows of a stratum is right). lambdarank learns from pairs, and of two sampled strata a pair stands for r1 x r2
pairs; LightGBM's weights scale the gradient of a row only, and miss one of the two factors.

LightGBM refuses more than 10,000 rows a query: beyond that, all relevant rows stay, and of the others those with the
best average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.errors import ConfigError, DataError, FormatError
from avs.core.objective import Objective
from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import MAX_RESULTS
from avs.fusion.folds import Fold
from avs.fusion.fuser import Pools
from avs.fusion.ltr_features import feature_names, features, monotone_constraints, without_silent
from avs.fusion.normalize import Scale
from avs.fusion.order import best_first
from avs.fusion.pool import CandidatePool
from avs.fusion.selection import first_within_one_error

if TYPE_CHECKING:
    from lightgbm import Booster

MAX_ROWS = 10_000  # of a query, LightGBM's own limit in lambdarank


@dataclass(frozen=True, slots=True)
class LtrSettings:
    """Settings of LightGBM. Few topics ask for small trees, each seeing few of the many alike features.

    Attributes:
        trees: numbers of trees that cross-validation chooses from, ascending.
        truncation: ranks whose pairs are looked at; LightGBM's default of 30 ignores most of a list of 1,000.
    """

    trees: tuple[int, ...] = (0, 10, 25, 50, 100)
    learning_rate: float = 0.02
    leaves: int = 7
    rows_in_leaf: int = 100
    feature_share: float = 0.2
    query_share: float = 0.5
    l2: float = 5.0
    truncation: int = 1000

    def parameters(self, lists: Sequence[str], *, seed: int, threads: int) -> dict[str, Any]:
        """As LightGBM names them."""
        return {
            "objective": "lambdarank",
            "label_gain": [0, 1],
            "lambdarank_truncation_level": self.truncation,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_in_leaf,
            "feature_fraction": self.feature_share,
            "bagging_by_query": True,
            "bagging_fraction": self.query_share,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "monotone_constraints": monotone_constraints(lists),
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed,
            "num_threads": threads,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class Ltr:
    """A fitted model. A Fuser.

    Attributes:
        lists: that it was fitted on.
        trees: how many of the model's are used; 0: none helped, this is the average.
        model: LightGBM's text.
    """

    lists: tuple[str, ...]
    trees: int
    model: str = field(repr=False)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = self.stages(pool, [self.trees])[0]
        return fused

    def stages(self, pool: CandidatePool, trees: Sequence[int]) -> np.ndarray:
        """(len(trees), C) the fused scores with the first so many trees."""
        pool = pool.columns(self.lists)
        stages: np.ndarray = np.tile(standardised_average(pool), (len(trees), 1))
        seen = features(pool) if any(trees) else None
        for row, count in enumerate(trees):
            if count:
                stages[row] += self._booster.predict(seen, raw_score=True, num_iteration=count)
        return stages

    def require_model(self) -> None:
        """Check that the text is a model of these lists, with as many trees as are used.

        Raises:
            FormatError: it is not.
        """
        from lightgbm.basic import LightGBMError

        wanted = f"a model of LightGBM, {self.trees} trees or more over {len(feature_names(self.lists))} features"
        try:
            got = f"{self._booster.num_trees()} trees over {self._booster.num_feature()} features"
        except LightGBMError as error:
            raise FormatError("not a model", got=error, wanted=wanted) from error
        if self._booster.num_trees() < self.trees or self._booster.num_feature() != len(feature_names(self.lists)):
            raise FormatError("not the model of these lists", got=got, wanted=wanted)

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.model)

    def importances(self) -> Mapping[str, float]:
        """Feature -> its share of the gain of all trees used, the largest first; empty without trees."""
        if not self.trees:
            return {}
        gains = self._booster.feature_importance("gain", iteration=self.trees)
        shares = gains / (gains.sum() or 1.0)
        order = np.argsort(-shares, kind="stable")
        names = feature_names(self.lists)
        return {names[i]: float(shares[i]) for i in order}


def learn_to_rank(
    pools: Pools,
    objective: Objective,
    *,
    qrels: Qrels,
    folds: Sequence[Fold],
    settings: LtrSettings | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Ltr:
    """A model of as many trees as do best on held-out topics.

    Args:
        pools: of the topics to learn from, all over the same lists.
        qrels: their judgments.
        folds: of these topics, to choose the number of trees by; none: all trees are kept.

    Raises:
        ConfigError: no topic.
        DataError: no candidate is relevant in any topic; too many relevant rows in one.
    """
    if not pools:
        raise ConfigError("nothing to learn from", got="no topic")
    settings = settings or LtrSettings()
    lists = next(iter(pools.values())).lists
    rows = {name: _rows(pool.columns(lists), qrels.topics[name], seed) for name, pool in pools.items()}
    parameters = settings.parameters(lists, seed=seed, threads=threads)

    def fit(names: Sequence[str]) -> Ltr:
        booster = fit_booster([rows[name] for name in names], parameters, settings.trees[-1])
        return Ltr(lists, booster.num_trees(), booster.model_to_string())  # fewer, where no split is left

    values = []
    for fold in folds:
        fitted = fit(fold.train)
        values += [_staged(fitted, pools[name], objective, settings.trees) for name in fold.test]
    trees = settings.trees[first_within_one_error(np.array(values))] if values else settings.trees[-1]
    whole = fit(tuple(pools))
    return Ltr(lists, min(trees, whole.trees), whole.model)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is learned from of a topic: R rows of F features, label 0 or 1, and the average's score to start from."""

    topic: str
    features: np.ndarray
    labels: np.ndarray
    start: np.ndarray


def fit_booster(rows: Sequence[Rows], parameters: Mapping[str, Any], trees: int) -> Booster:
    """LightGBM's model of these topics, one a query.

    Raises:
        DataError: more rows in a topic than LightGBM takes; no relevant row at all.
    """
    import lightgbm

    for topic in rows:
        if len(topic.labels) > MAX_ROWS:
            raise DataError(
                "too many rows to learn to rank from",
                where=f"topic {topic.topic}",
                got=len(topic.labels),
                wanted=f"at most {MAX_ROWS}, LightGBM's limit for a query",
            )
    if not any(topic.labels.any() for topic in rows):
        raise DataError(
            "no candidate is relevant in any topic: there is nothing to learn from", got=f"{len(rows)} topics"
        )
    data = lightgbm.Dataset(
        np.concatenate([topic.features for topic in rows]),
        np.concatenate([topic.labels for topic in rows]),
        init_score=np.concatenate([topic.start for topic in rows]),
        group=[len(topic.labels) for topic in rows],
        params=dict(parameters),
    )
    return lightgbm.train(dict(parameters), data, num_boost_round=trees)


def standardised_average(pool: CandidatePool) -> np.ndarray:
    """(C,) the mean of the lists' z-scores, of mean 0 and standard deviation 1 over the candidates."""
    mean = without_silent(Scale("zscore")(pool)).mean(axis=1)
    standardised: np.ndarray = (mean - mean.mean()) / (mean.std() or 1.0)
    return standardised


def _rows(pool: CandidatePool, qrels: TopicQrels, seed: int) -> Rows:
    average = standardised_average(pool)
    positions, labels = training_rows(pool, qrels, average, rng=np.random.default_rng(seed))
    return Rows(pool.topic, features(pool)[positions], labels, average[positions])


def training_rows(
    pool: CandidatePool, qrels: TopicQrels, average: np.ndarray, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) positions of judged candidates, each as often as it stands for shots of its stratum, and (R,) labels."""
    at = {shot: row for row, shot in enumerate(pool.shots)}
    judged = qrels.judgments >= 0
    pooled = {int(s): int(np.count_nonzero(qrels.strata == s)) for s in np.unique(qrels.strata)}
    found_positions, found_labels = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for stratum, count in pooled.items():
        inside = np.flatnonzero(judged & (qrels.strata == stratum))
        copies = _copies(len(inside), count, rng)
        here = np.array([at.get(qrels.shots[i], -1) for i in inside], dtype=np.int64)
        kept = here >= 0
        found_positions.append(np.repeat(here[kept], copies[kept]))
        found_labels.append(np.repeat((qrels.judgments[inside] > 0)[kept].astype(np.int64), copies[kept]))
    positions, labels = np.concatenate(found_positions), np.concatenate(found_labels)
    if len(positions) > MAX_ROWS:
        best = np.lexsort((-average[positions], -labels))[:MAX_ROWS]  # the relevant, then by average
        kept = np.sort(np.union1d(best, np.flatnonzero(labels)))
        positions, labels = positions[kept], labels[kept]
    return positions, labels


def _copies(judged: int, pooled: int, rng: np.random.Generator) -> np.ndarray:
    """(judged,) how often each is taken: pooled / judged on average, `pooled` in all, the odd ones at random."""
    if not judged:
        return np.empty(0, np.int64)
    edges = np.floor(np.arange(judged + 1) * (pooled / judged) + 1e-9).astype(np.int64)
    return rng.permutation(np.diff(edges))


def _staged(ltr: Ltr, pool: CandidatePool, objective: Objective, trees: Sequence[int]) -> np.ndarray:
    """(len(trees),) the measure of the topic with the first so many trees."""
    pool = pool.columns(ltr.lists)
    scores = ltr.stages(pool, trees)
    return objective(pool.topic, pool.shots)(best_first(scores, MAX_RESULTS))
