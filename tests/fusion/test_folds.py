from __future__ import annotations

import pytest

from avs.core.errors import ConfigError
from avs.fusion.folds import Fold, leave_one_out, topic_folds

TOPICS = [str(t) for t in range(501, 531)]


@pytest.mark.parametrize("count", [2, 5, 29])
@pytest.mark.parametrize("seed", range(3))
def test_each_topic_is_held_out_once_and_never_learned_from_then(count: int, seed: int) -> None:
    same = {"501": "a dog", "517": "a dog", "530": "a dog"}
    folds = topic_folds(TOPICS, min(count, 28), seed=seed, same=same)
    assert sorted(topic for fold in folds for topic in fold.test) == TOPICS
    for fold in folds:
        assert sorted((*fold.train, *fold.test)) == TOPICS
        assert len({topic in fold.test for topic in same}) == 1
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 3  # by one, but for the three that stand together


def test_folds_depend_on_the_seed_and_not_on_the_order_of_topics() -> None:
    first = topic_folds(TOPICS, 5, seed=0)
    assert first == topic_folds(TOPICS, 5, seed=0) != topic_folds(TOPICS, 5, seed=1)
    assert [set(f.test) for f in topic_folds(TOPICS[::-1], 5, seed=0)] == [set(f.test) for f in first]


def test_leaving_one_edition_out() -> None:
    groups = {"611": "tv19", "641": "tv20", "612": "tv19", "591": "progress"}
    assert leave_one_out(groups) == [
        Fold("tv19", ("641", "591"), ("611", "612")),
        Fold("tv20", ("611", "612", "591"), ("641",)),
        Fold("progress", ("611", "641", "612"), ("591",)),
    ]


def test_a_sentence_that_returns_in_another_edition_is_not_learned_from_when_it_is_held_out() -> None:
    groups = {"611": "tv19", "641": "tv20", "642": "tv20"}
    folds = leave_one_out(groups, same={"611": "a dog", "641": "a dog", "642": "a cat"})
    assert folds == [Fold("tv19", ("642",), ("611",)), Fold("tv20", (), ("641", "642"))]


@pytest.mark.parametrize(("groups", "got"), [({}, "no topic"), ({"1": "tv19", "2": "tv19"}, "tv19")])
def test_one_group_cannot_be_left_out(groups: dict[str, str], got: str) -> None:
    with pytest.raises(ConfigError) as error:
        leave_one_out(groups)
    assert str(error.value) == f"leave-one-out needs two groups of topics\n  got:    {got}"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_folds(count: int) -> None:
    with pytest.raises(ConfigError) as error:
        topic_folds(["1", "2", "3"], count, seed=0, same={"1": "a", "2": "a"})
    assert str(error.value) == (
        f"wrong number of folds\n  got:    {count}\n  wanted: 2..2, the number of different topics"
    )
