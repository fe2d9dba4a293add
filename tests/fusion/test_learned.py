from __future__ import annotations

import pytest
from tiny_study import NAMES, NASTY, OBJECTIVE, POOLS, QRELS, two_steps

from avs.fusion.learned import learned_tables
from avs.fusion.methods.ltr import ACROSS_LISTS, BY_FEATURES, BY_LISTS, START, TREES, Ltr, LtrSettings, learn_to_rank
from avs.fusion.methods.weighted import Linear


def test_weights_of_every_fold_and_of_the_final_fuser() -> None:
    fusers = {"a": Linear({"x": 3, "y": 1}), "b": Linear({"x": 0.5, "y": 0.5})}
    (part,) = learned_tables(fusers, Linear({"x": 0.2, "y": 0.8}))
    assert (part.title, part.final) == ("weight", {"x": 0.2, "y": 0.8})
    first, second = part.rows()
    assert (first.name, first.values, first.mean, first.least, first.most) == ("x", (0.75, 0.5), 0.625, 0.5, 0.75)
    assert (second.name, second.mean) == ("y", 0.375)


def test_both_steps_show_what_they_learned() -> None:
    parts = learned_tables({"a": two_steps(POOLS)}, None)
    assert [part.title for part in parts] == ["step 1, laffs: weight", "step 2: weight"]
    assert parts[1].by_fold == {"a": {"laffs": 0.5, "clip": 0.25, NASTY: 0.25}}


def test_importances_are_shares_by_list_and_by_feature() -> None:
    settings = LtrSettings(trees=(0, 5), rows_in_leaf=5, learning_rate=0.1)
    fitted = learn_to_rank(POOLS, OBJECTIVE, qrels=QRELS, folds=[], settings=settings)
    none = Ltr(fitted.lists, 0, fitted.model)
    start, trees, lists, kinds = learned_tables({"a": fitted, "b": none}, None)
    assert (trees.title, trees.by_fold) == (TREES, {"a": {TREES: 5.0}, "b": {TREES: 0.0}})
    assert (start.title, start.by_fold) == (START, {"a": {"average": 1.0}, "b": {"average": 1.0}})
    assert (lists.title, kinds.title) == (BY_LISTS, BY_FEATURES)
    assert list(lists.by_fold) == list(kinds.by_fold) == ["a"]  # without trees there is nothing to share out
    assert set(lists.by_fold["a"]) == {*NAMES, ACROSS_LISTS}
    assert sum(lists.by_fold["a"].values()) == pytest.approx(1)
    assert sum(kinds.by_fold["a"].values()) == pytest.approx(1)
    of_laff = sum(share for name, share in fitted.importances().items() if name.startswith("laff "))
    assert lists.by_fold["a"]["laff"] == pytest.approx(of_laff)
    across = sum(share for name, share in kinds.by_fold["a"].items() if name.endswith(ACROSS_LISTS))
    assert lists.by_fold["a"][ACROSS_LISTS] == pytest.approx(across)


def test_a_fuser_that_was_fitted_on_all_topics_alone_has_no_folds() -> None:
    (part,) = learned_tables({}, Linear({"x": 0.2, "y": 0.8}))
    assert [(row.name, row.values, row.mean, row.least, row.most) for row in part.rows()] == [
        ("x", (), 0.0, 0.0, 0.0),
        ("y", (), 0.0, 0.0, 0.0),
    ]
