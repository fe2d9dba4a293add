"""The methods by name, and what is true of every one of them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_pools import fused_order, one_topic, random_pools, random_runs, shot_ids

from avs.core.errors import ConfigError
from avs.core.ranking import Run
from avs.fusion.fuser import fuse
from avs.fusion.methods import METHODS, Learning, learner, unlearned
from avs.fusion.methods.ltr import Ltr, LtrSettings
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import NORMALIZATIONS, Scale
from avs.fusion.pool import pool_runs
from avs.metrics.xinfap_objective import xinfap_objective

SMALL = LtrSettings(trees=(0, 3), rows_in_leaf=3)
SETTINGS = {"coordinate-ascent": {"restarts": 2}, "ltr": {"settings": SMALL}}
LEARNED = [name for name in METHODS if METHODS.get(name).fit]
UNLEARNED = [name for name in METHODS if METHODS.get(name).build and not METHODS.get(name).takes_weights]


@pytest.mark.parametrize("name", NORMALIZATIONS)
@pytest.mark.parametrize("method", UNLEARNED)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_alike_lists_are_fused_to_themselves(method: str, name: str, count: int) -> None:
    shots = shot_ids(40)
    scores = dict(zip(shots, np.random.default_rng(0).standard_normal(40).tolist(), strict=True))
    pool = one_topic({f"m{i}": scores for i in range(count)})
    wanted = sorted(shots, key=lambda s: scores[s], reverse=True)
    assert fused_order(pool, unlearned(method, Scale(name)).fuse(pool)) == wanted


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.2, 0, 7), (0, 0, 1)])
def test_weights_of_alike_lists_are_irrelevant(weights: tuple[float, ...]) -> None:
    scores = dict(zip(shot_ids(40), np.random.default_rng(0).standard_normal(40).tolist(), strict=True))
    pool = one_topic({f"m{i}": scores for i in range(3)})
    fused = Linear({f"m{i}": float(w) for i, w in enumerate(weights)}).fuse(pool)
    assert fused_order(pool, fused) == sorted(scores, key=lambda s: scores[s], reverse=True)


@pytest.mark.parametrize("method", [*UNLEARNED, *LEARNED])
def test_the_order_of_lists_and_topics_changes_no_bit(method: str) -> None:
    runs, qrels = random_runs(3, topics=6)
    other = {name: Run(dict(reversed(list(r.lists.items()))), r.tag) for name, r in reversed(list(runs.items()))}
    pools = pool_runs(runs)
    learning = Learning(xinfap_objective(qrels), qrels, {}, settings=SETTINGS)
    fuser = learner(method, Scale(), learning)(pools)
    first, second = fuse(fuser, pools, tag="x"), fuse(fuser, pool_runs(other), tag="x")
    assert sorted(first.topics) == sorted(second.topics)
    for topic in first.topics:
        assert first.lists[topic].shots == second.lists[topic].shots
        assert first.lists[topic].scores.tobytes() == second.lists[topic].scores.tobytes()


def test_learned_methods_are_told_what_they_learn_from() -> None:
    pools, qrels = random_pools(0, topics=6)
    learning = Learning(xinfap_objective(qrels), qrels, {}, settings=SETTINGS)
    assert isinstance(learner("coordinate-ascent", Scale(), learning)(pools), Linear)
    assert isinstance(learner("ltr", Scale(), learning)(pools), Ltr)
    assert learner("borda", Scale(), learning)(pools) == unlearned("borda", Scale())


def test_inner_folds_keep_the_same_sentence_together() -> None:
    _, qrels = random_pools(0)
    topics = [str(t) for t in range(1, 11)]
    learning = Learning(xinfap_objective(qrels), qrels, {"1": "a dog", "2": "a dog"})
    folds = learning.folds(topics)
    assert len(folds) == 5 and all(("1" in fold.test) == ("2" in fold.test) for fold in folds)
    for same in (["1"], ["1", "2"]):
        with pytest.raises(ConfigError, match="^learning takes two different topics or more\n"):
            learning.folds(same)
    assert len(learning.folds(["1", "2", "3"])) == 2


def test_unknown_methods_and_those_that_need_judgments() -> None:
    with pytest.raises(ConfigError) as error:
        unlearned("comb-mnz", Scale())
    assert str(error.value) == (
        'unknown method "comb-mnz"; did you mean "combmnz"?\n'
        "  wanted: average, combsum, combmnz, combmax, rrf, borda, weighted, coordinate-ascent, ltr"
    )
    with pytest.raises(ConfigError) as error:
        unlearned("ltr", Scale())
    assert str(error.value) == "ltr learns from judged topics\n  next:   give their judgments: --qrels"
