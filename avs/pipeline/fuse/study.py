"""A study of fusion on judged topics: every list, the average, and a learned method on topics it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from avs.core.objective import Objective
from avs.core.progress import Reporter
from avs.core.ranking import MAX_RESULTS
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import Fold
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.learning_curve import CurvePoint, curve_draws, curve_sizes, learning_curve
from avs.fusion.methods import AVERAGE, unlearned
from avs.fusion.methods.start import STARTS
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool
from avs.fusion.subset import Selection, forward_selection, prefix_values
from avs.metrics.significance import randomization_test, wins

Kind = Literal["list", "unlearned", "average", "subset", "learned"]
UNLEARNED = tuple(name for name in STARTS if name != AVERAGE)
"""What the learned method is compared with, beside the average."""
SUBSET = "average of best subset"


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSystem:
    """One row of the comparison.

    Attributes:
        kind: a single list ("list"); a fusion that learns nothing ("average", "unlearned"); or one that is only
            measured on topics it did not learn from ("subset", "learned").
        values: (T,) float64 measure, in the order of the study's topics.
    """

    name: str
    kind: Kind
    values: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired randomization test of two systems.

    Attributes:
        first, second: names of the systems.
        means: means of the first and of the second.
        p_value: two-sided p-value.
        wins, losses: numbers of topics on which the first is better, and worse.
        swaps, exact: see `significance.Randomization`.
    """

    first: str
    second: str
    means: tuple[float, float]
    p_value: float
    wins: int
    losses: int
    swaps: int
    exact: bool

    @property
    def difference(self) -> float:
        """Mean of the first minus mean of the second."""
        return self.means[0] - self.means[1]


@dataclass(frozen=True, slots=True, eq=False)
class SubsetStudy:
    """Greedy forward selection of the lists to average.

    Attributes:
        selection: the selection on all topics; its means are in sample.
        by_fold: fold -> the selection on its topics to learn from.
        means: (M,) float64 means out of fold: of the first 1, 2, ... M lists that each fold's own selection added.
    """

    selection: Selection
    by_fold: Mapping[str, Selection]
    means: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class FusionStudy:
    """All results that the report shows.

    Attributes:
        method: name of the learned method.
        scale: scale of the average and of the subset.
        topics: the T held-out topics.
        systems: single lists in the order of the pools, then the fusions, the learned one last.
        comparisons: learned against average, learned against best single list, average against best single list,
            subset against average, and learned against the best that learns nothing beside the average.
        lists: topic -> (C,) scores of the learned method, fitted without the topic.
        fusers: fold -> the fuser fitted without its topics.
        final: the fuser fitted on all topics, if there is one.
        curve: learning curve of the learned method; the last point comes from the folds themselves.
    """

    method: str
    scale: Scale
    seed: int
    topics: tuple[str, ...]
    folds: tuple[Fold, ...]
    systems: tuple[MeasuredSystem, ...]
    comparisons: tuple[Comparison, ...]
    lists: Mapping[str, np.ndarray]
    fusers: Mapping[str, Fuser]
    final: Fuser | None
    subset: SubsetStudy
    curve: tuple[CurvePoint, ...]

    def system(self, kind: Kind) -> MeasuredSystem:
        """The only system of its kind; of several the best one, which is known only in hindsight."""
        return _best(self.systems, kind)


def study_fusion(
    pools: Pools,
    learner: Learner,
    *,
    method: str,
    scale: Scale,
    objective: Objective,
    folds: Sequence[Fold],
    reporter: Reporter,
    seed: int = 0,
    final: Fuser | None = None,
) -> FusionStudy:
    """Measure everything on the same held-out topics. The learning curve has its last point only: see `with_curve`.

    Args:
        pools: candidates of the judged topics, all over the same lists.
        learner: the learner to study, as it would be fitted for a submission.
        method: its name, for display.
        scale: scale of the average and of the subset.
        objective: the measure.
        folds: folds that hold out each topic at most once.
        seed: random seed for the draws of the learning curve and for the randomization tests.
        final: the fuser fitted on all topics, to show beside those of the folds.

    Raises:
        AvsError: see the learner and the objective.
    """
    with reporter.stage(f"{method} out of fold", len(folds), "folds") as stage:
        by_topic = out_of_fold(_advancing(learner, stage.advance), pools, folds)
    held_out = {topic: pools[topic] for topic in by_topic}
    learned = [value(topic, pools[topic].shots, scores, objective) for topic, (_, scores) in by_topic.items()]
    subset, subset_values = _study_subset(
        pools, tuple(by_topic), objective, scale=scale, folds=folds, reporter=reporter
    )
    systems = (
        *_single_lists(held_out, objective),
        *(
            MeasuredSystem(name, "unlearned", _over_topics(unlearned(name, scale), held_out, objective))
            for name in UNLEARNED
        ),
        MeasuredSystem(AVERAGE, "average", _over_topics(unlearned(AVERAGE, scale), held_out, objective)),
        MeasuredSystem(SUBSET, "subset", subset_values),
        MeasuredSystem(method, "learned", np.array(learned)),
    )
    whole = CurvePoint(float(np.mean([len(fold.train) for fold in folds])), np.array([np.mean(learned)]))
    return FusionStudy(
        method=method,
        scale=scale,
        seed=seed,
        topics=tuple(by_topic),
        folds=tuple(folds),
        systems=systems,
        comparisons=_compare(systems, seed),
        lists={topic: scores for topic, (_, scores) in by_topic.items()},
        fusers={fold.name: by_topic[fold.test[0]][0] for fold in folds if fold.test},
        final=final,
        subset=subset,
        curve=(whole,),
    )


def _study_subset(
    pools: Pools,
    topics: Sequence[str],
    objective: Objective,
    *,
    scale: Scale,
    folds: Sequence[Fold],
    reporter: Reporter,
) -> tuple[SubsetStudy, np.ndarray]:
    """The selections, and the (T,) measure of topics that the selection of their fold has not seen."""
    by_fold: dict[str, Selection] = {}
    by_size: dict[str, np.ndarray] = {}  # topic -> (M,) of the first 1, 2, ... M lists
    chosen: dict[str, float] = {}
    with reporter.stage("best subset", len(folds) + 1, "selections") as stage:
        for fold in folds:
            selection = forward_selection({topic: pools[topic] for topic in fold.train}, objective, scale=scale)
            measured = prefix_values(selection, {topic: pools[topic] for topic in fold.test}, objective)
            by_fold[fold.name] = selection
            by_size |= dict(zip(fold.test, measured, strict=True))
            chosen |= dict(zip(fold.test, measured[:, len(selection.lists) - 1].tolist(), strict=True))
            stage.advance()
        everything = forward_selection({topic: pools[topic] for topic in topics}, objective, scale=scale)
        stage.advance()
    means = np.mean([by_size[topic] for topic in topics], axis=0)
    return SubsetStudy(everything, by_fold, means), np.array([chosen[topic] for topic in topics])


def with_curve(
    study: FusionStudy, pools: Pools, learner: Learner, *, objective: Objective, reporter: Reporter
) -> FusionStudy:
    """The study with the points of the curve that learn from fewer topics than the folds have: dozens of fits."""
    sizes, draws = curve_sizes(study.folds), curve_draws(study.folds)
    fits = len(sizes) * draws * len(study.folds)
    with reporter.stage(f"{study.method} learning curve", fits, "fits") as stage:
        counted = _advancing(learner, stage.advance)
        points = learning_curve(counted, pools, objective, study.folds, sizes=sizes, draws=draws, seed=study.seed)
    return replace(study, curve=(*points, *study.curve))


def _advancing(learner: Learner, advance: Callable[[], None]) -> Learner:
    """The learner, which calls `advance` after each fit."""

    def fit(pools: Pools) -> Fuser:
        fuser = learner(pools)
        advance()
        return fuser

    return fit


def _over_topics(fuser: Fuser, pools: Pools, objective: Objective) -> np.ndarray:
    return np.array(list(values(fuser, pools, objective).values()))


def _single_lists(pools: Pools, objective: Objective) -> list[MeasuredSystem]:
    lists = next(iter(pools.values())).lists
    rows = [_list_values(pool.columns(lists), objective) for pool in pools.values()]
    columns = zip(*rows, strict=True)
    return [MeasuredSystem(name, "list", np.array(column)) for name, column in zip(lists, columns, strict=True)]


def _list_values(pool: CandidatePool, objective: Objective) -> list[float]:
    """The measure of each single list: of the shots it contains, not of those that only other lists contain."""
    measure = objective(pool.topic, pool.shots)
    list_values = []
    for column in range(len(pool.lists)):
        held = np.flatnonzero(pool.held[:, column])
        order = held[np.argsort(-pool.scores[held, column], kind="stable")][:MAX_RESULTS]
        list_values.append(float(measure(order)) if len(order) else 0.0)
    return list_values


def _best(systems: Sequence[MeasuredSystem], kind: Kind) -> MeasuredSystem:
    """The best system of a kind; of equal ones the first."""
    return max((system for system in systems if system.kind == kind), key=lambda system: system.mean)


def _compare(systems: Sequence[MeasuredSystem], seed: int) -> tuple[Comparison, ...]:
    kinds: tuple[Kind, ...] = ("learned", "average", "list", "subset", "unlearned")
    learned, average, best, subset, other = compared = [_best(systems, kind) for kind in kinds]
    measured = np.stack([system.values for system in compared])
    test, better = randomization_test(measured, seed=seed), wins(measured)

    def compare(first: MeasuredSystem, second: MeasuredSystem) -> Comparison:
        i, j = compared.index(first), compared.index(second)
        return Comparison(
            first.name,
            second.name,
            means=(first.mean, second.mean),
            p_value=float(test.p_values[i, j]),
            wins=int(better[i, j]),
            losses=int(better[j, i]),
            swaps=test.swaps,
            exact=test.exact,
        )

    pairs = ((learned, average), (learned, best), (average, best), (subset, average), (learned, other))
    return tuple(compare(first, second) for first, second in pairs)
