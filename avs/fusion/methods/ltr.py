"""Learning to rank by LambdaMART (Burges, 2010; LightGBM's lambdarank), boosted from a combination without learning.

The trees correct a combination of the lists, the start, and do not replace it: their scores are added to it,
standardised within the topic. Therefore candidates with the same tree scores keep its order. The measure itself, on
held-out topics, decides which combination that is (see `start`), and how many trees are kept; no tree means the start
(see `cross_validation`).

The rows to learn from are judged shots. Unjudged shots are left out, because not judged does not mean not relevant.
When one in r shots of a stratum was judged, a judged shot represents r shots and is repeated r times (fractions are
rounded at random, so that the number of rows of a stratum is right). lambdarank learns from pairs, and a pair of shots
of two sampled strata represents r1 x r2 pairs. LightGBM's weights scale the gradient of one row only, and miss one of
the two factors.

LightGBM refuses more than 10,000 rows per query. Beyond that, all relevant rows are kept, and of the others those with
the best scores of the start.
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
from avs.fusion.cross_validation import first_within_one_error
from avs.fusion.folds import Fold
from avs.fusion.fuser import Pools
from avs.fusion.lightgbm_text import require_whole
from avs.fusion.methods.ltr_features import BY_LIST, feature_names, features, monotone_constraints
from avs.fusion.methods.method import AVERAGE, METHODS, Learned, Learning, Method
from avs.fusion.methods.start import STARTS, choose_start
from avs.fusion.normalize import Scale
from avs.fusion.order import best_first
from avs.fusion.pool import CandidatePool

if TYPE_CHECKING:
    from lightgbm import Booster

START, TREES, BY_LISTS, BY_FEATURES = "starts from", "trees kept", "importance of lists", "importance of features"
ACROSS_LISTS = "(across lists)"
MAX_ROWS = 10_000  # per query; LightGBM's own limit in lambdarank


@dataclass(frozen=True, slots=True)
class LtrSettings:
    """Settings of LightGBM. Few topics need small trees, each of which sees few of the many similar features.

    Attributes:
        trees: the numbers of trees that cross-validation chooses from, ascending.
        truncation: number of top ranks whose pairs count; LightGBM's default of 30 ignores most of a list of 1,000.
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
        """The settings under LightGBM's names."""
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
        lists: names of the lists that it was fitted on.
        trees: number of the model's trees that are used; 0: no tree helped, and this is the start.
        model: LightGBM's text of the model.
        start: a name of STARTS, the combination that the trees correct.
    """

    lists: tuple[str, ...]
    trees: int
    model: str = field(repr=False)
    start: str = AVERAGE

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = self.stages(pool, [self.trees])[0]
        return fused

    def stages(self, pool: CandidatePool, trees: Sequence[int]) -> np.ndarray:
        """(len(trees), C) fused scores, with as many of the first trees as each number says."""
        pool = pool.columns(self.lists)
        stages: np.ndarray = np.tile(STARTS[self.start](pool), (len(trees), 1))
        inputs = features(pool) if any(trees) else None
        for row, count in enumerate(trees):
            if count:
                stages[row] += self._booster.predict(inputs, raw_score=True, num_iteration=count)
        return stages

    def require_model(self) -> None:
        """Check that the text is a model of these lists, with at least the trees that are used.

        Raises:
            FormatError: it is not.
        """
        from lightgbm.basic import LightGBMError

        wanted = f"a model of LightGBM, {self.trees} trees or more over {len(feature_names(self.lists))} features"
        try:
            require_whole(self.model)
            got = f"{self._booster.num_trees()} trees over {self._booster.num_feature()} features"
        except (LightGBMError, ValueError) as error:
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
    """A model with the start and the number of trees that do best on held-out topics.

    Args:
        pools: candidates of the topics to learn from, all over the same lists.
        qrels: their judgments.
        folds: folds of these topics, which choose the number of trees; without folds the start is the average, and all
            trees are kept.

    Raises:
        ConfigError: there is no topic.
        DataError: no candidate is relevant in any topic, or a topic has too many relevant rows.
    """
    if not pools:
        raise ConfigError("nothing to learn from", got="no topic")
    settings = settings or LtrSettings()
    lists = next(iter(pools.values())).lists
    start = choose_start(pools, objective) if folds else AVERAGE
    rows = {name: _rows(pool.columns(lists), qrels.topics[name], start, seed) for name, pool in pools.items()}
    parameters = settings.parameters(lists, seed=seed, threads=threads)

    def fit(names: Sequence[str]) -> Ltr:
        booster = fit_booster([rows[name] for name in names], parameters, settings.trees[-1])
        return Ltr(lists, booster.num_trees(), booster.model_to_string(), start)  # fewer trees, where no split is left

    values = []
    for fold in folds:
        fitted = fit(fold.train)
        values += [_staged(fitted, pools[name], objective, settings.trees) for name in fold.test]
    trees = settings.trees[first_within_one_error(np.array(values))] if values else settings.trees[-1]
    whole = fit(tuple(pools))
    return Ltr(lists, min(trees, whole.trees), whole.model, start)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The R rows of one topic that the model learns from.

    Attributes:
        topic: topic id.
        features: (R, F) float32.
        labels: (R,) int64, 0 or 1.
        start: (R,) float64 scores that boosting starts from.
    """

    topic: str
    features: np.ndarray
    labels: np.ndarray
    start: np.ndarray


def fit_booster(rows: Sequence[TrainingRows], parameters: Mapping[str, Any], trees: int) -> Booster:
    """LightGBM's model of these topics; each topic is a query.

    Raises:
        DataError: a topic has more rows than LightGBM takes, or no row is relevant.
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


def _rows(pool: CandidatePool, qrels: TopicQrels, start: str, seed: int) -> TrainingRows:
    scores = STARTS[start](pool)
    positions, labels = training_rows(pool, qrels, scores, rng=np.random.default_rng(seed))
    return TrainingRows(pool.topic, features(pool)[positions], labels, scores[positions])


def training_rows(
    pool: CandidatePool, qrels: TopicQrels, scores: np.ndarray, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) positions of judged candidates, each repeated for the shots that it represents, and (R,) labels 0 or 1.

    Args:
        scores: (C,) of the start, by which rows beyond the limit are left out.
    """
    position = {shot: row for row, shot in enumerate(pool.shots)}
    judged = qrels.judgments >= 0
    pooled = {int(s): int(np.count_nonzero(qrels.strata == s)) for s in np.unique(qrels.strata)}
    stratum_positions, stratum_labels = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for stratum, count in pooled.items():
        inside = np.flatnonzero(judged & (qrels.strata == stratum))
        copies = _copies(len(inside), count, rng)
        candidates = np.array([position.get(qrels.shots[i], -1) for i in inside], dtype=np.int64)
        kept = candidates >= 0
        stratum_positions.append(np.repeat(candidates[kept], copies[kept]))
        stratum_labels.append(np.repeat((qrels.judgments[inside] > 0)[kept].astype(np.int64), copies[kept]))
    positions, labels = np.concatenate(stratum_positions), np.concatenate(stratum_labels)
    if len(positions) > MAX_ROWS:
        best = np.lexsort((-scores[positions], -labels))[:MAX_ROWS]  # the relevant rows, then the best of the start
        kept = np.sort(np.union1d(best, np.flatnonzero(labels)))
        positions, labels = positions[kept], labels[kept]
    return positions, labels


def _copies(judged: int, pooled: int, rng: np.random.Generator) -> np.ndarray:
    """(judged,) copies of each judged shot: pooled / judged on average, `pooled` in total, rounded at random."""
    if not judged:
        return np.empty(0, np.int64)
    edges = np.floor(np.arange(judged + 1) * (pooled / judged) + 1e-9).astype(np.int64)
    return rng.permutation(np.diff(edges))


def _staged(ltr: Ltr, pool: CandidatePool, objective: Objective, trees: Sequence[int]) -> np.ndarray:
    """(len(trees),) the measure of the topic, with as many of the first trees as each number says."""
    pool = pool.columns(ltr.lists)
    scores = ltr.stages(pool, trees)
    return objective(pool.topic, pool.shots)(best_first(scores, MAX_RESULTS))


def _fit(pools: Pools, scale: Scale, learning: Learning, *, settings: LtrSettings | None = None) -> Ltr:
    return learn_to_rank(
        pools,
        learning.objective,
        qrels=learning.qrels,
        folds=learning.folds(tuple(pools)),
        settings=settings,
        seed=learning.seed,
        threads=learning.threads,
    )


def _from_json(data: Mapping[str, Any]) -> Ltr:
    ltr = Ltr(tuple(data["lists"]), int(data["trees"]), data["model"], data.get("start", AVERAGE))
    if ltr.start not in STARTS:
        raise FormatError("an unknown start of learning to rank", got=ltr.start, wanted=", ".join(STARTS))
    ltr.require_model()
    return ltr


def _learned(fuser: Ltr) -> list[Learned]:
    """The start, the number of trees, and the shares of their gain by list and by kind of feature.

    The feature `laff zscore` belongs to the list laff and is of the kind zscore.
    """
    note = "Chosen within each fold on topics held out once more; 0 trees are the start itself."
    tables = [
        Learned(what=START, values={fuser.start: 1.0}, note="1 where the trees correct this combination."),
        Learned(what=TREES, values={TREES: float(fuser.trees)}, note=note),
    ]
    if not fuser.trees:
        return tables
    lists = dict.fromkeys((*fuser.lists, ACROSS_LISTS), 0.0)
    kinds: dict[str, float] = {}
    for name, share in fuser.importances().items():
        source, _, kind = name.rpartition(" ")
        if not source or kind not in BY_LIST:
            source, kind = ACROSS_LISTS, f"{name} {ACROSS_LISTS}"
        lists[source] += share
        kinds[kind] = kinds.get(kind, 0.0) + share
    axis = "share of the gain of all trees kept"
    importances = {BY_LISTS: lists, BY_FEATURES: kinds}
    return tables + [Learned(what=what, values=values, axis=axis) for what, values in importances.items()]


METHODS.register("ltr")(
    Method(
        help="LambdaMART, boosted from an unlearned combination",
        fuser=Ltr,
        kind="ltr",
        to_json=lambda fuser: {
            "lists": list(fuser.lists),
            "start": fuser.start,
            "trees": fuser.trees,
            "model": fuser.model,
        },  # fmt: skip
        from_json=_from_json,
        fit=_fit,
        uses_scale=False,
        text_field="model",
        learned=_learned,
    )
)
