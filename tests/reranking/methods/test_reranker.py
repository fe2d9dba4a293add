"""The registry of rerankers: defaults, the settings that are fitted, and the words of the help."""

from __future__ import annotations

import pytest

from avs.core.errors import ConfigError
from avs.reranking.methods import RERANKERS, Parameter, Reranker
from avs.reranking.methods.reranker import all_parameters, depths_help, needing, rerankers_help, takers


def test_defaults_begin_with_alpha_unless_nothing_is_blended() -> None:
    assert list(RERANKERS.get("k-reciprocal").defaults.items()) == [("alpha", 0.3), ("k1", 20), ("k2", 6)]
    assert RERANKERS.get("near-duplicates").defaults == {"policy": "group", "threshold": 0.95}
    assert RERANKERS.get("clip").defaults == {"alpha": 0.6}  # the paper's lambda is .4, of the other term
    assert RERANKERS.get("dual-softmax").defaults == {"alpha": 0.5, "temperature": 0.05}
    grid = RERANKERS.get("dual-softmax").parameters["temperature"].grid
    assert grid == (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    with pytest.raises(ConfigError, match='unknown method "clipp"; did you mean "clip"?'):
        RERANKERS.get("clipp")


def test_settings_are_all_combinations_of_what_is_not_given() -> None:
    two = {"a": Parameter(1, "a", grid=(1, 2)), "b": Parameter("x", "b", grid=("x", "y")), "c": Parameter(0.5, "c")}
    reranker = Reranker(help="", evidence=lambda material: [], parameters=two)
    settings = reranker.settings(reranker.defaults, fixed={})
    assert [(one["a"], one["b"]) for one in settings] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert all(one["alpha"] == 0.5 and one["c"] == 0.5 for one in settings)
    fixed = {"a": 7}
    assert [one["a"] for one in reranker.settings(reranker.defaults | fixed, fixed)] == [7, 7]
    assert len(reranker.settings(reranker.defaults, fixed={"a": 1, "b": "x"})) == 1


def test_the_help_says_which_reranker_takes_what() -> None:
    assert takers("temperature") == ["dual-softmax"] and "near-duplicates" not in takers("alpha")
    assert needing("encoder") == ["clip", "dual-softmax"] and needing("judge") == ["judge"]
    assert all_parameters()["k1"].help == "k-reciprocal: number of nearest neighbours"
    assert "alpha" not in all_parameters()
    assert depths_help() == "1000, for judge 100"
    assert rerankers_help().startswith("clip: cosine of the topic with the best frame; dual-softmax: ")
