"""Options of `avs rerank` that fit the method, and the refusal of those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.core.ranking import RankedList
from avs.pipeline.rerank.options import RerankOptions

STORE, TOPICS = (Path("store"),), (Path("topics.txt"),)


LIST = RankedList("1", tuple(f"shot00001_{n}" for n in range(1, 1202)), -np.arange(1201.0))


def options(method: str, fixed: dict[str, Any] | None = None, **more: Any) -> RerankOptions:
    return RerankOptions(Path("list.trec"), method, fixed or {}, **more)


def refusal(asked: RerankOptions) -> str:
    with pytest.raises(ConfigError) as error:
        asked.checked()
    return str(error.value)


def test_defaults_are_filled_in_and_what_is_given_stays() -> None:
    checked = options("k-reciprocal", {"k1": 5}, stores=STORE).checked()
    assert checked.parameters == {"alpha": 0.3, "k1": 5, "k2": 6} and checked.fixed == {"k1": 5}
    assert len(checked.best(LIST)) == 1000 and checked.judging is None
    assert len(options("k-reciprocal", stores=STORE, depth=7).checked().best(LIST)) == 7


def test_options_of_other_methods_are_refused_together() -> None:
    asked = options(
        "k-reciprocal", {"temperature": 0.1, "policy": "group"}, stores=STORE, weights=("w",), other_topics=TOPICS,
        judge={"batch_size": 4, "vlm": "v"},
    )  # fmt: skip
    assert refusal(asked) == (
        "--temperature, --other-topics are for dual-softmax; --policy is for near-duplicates; "
        "--weights is for clip, dual-softmax, model; --vlm, --batch-size are for judge\n"
        "  got:    --method k-reciprocal\n"
        "  next:   leave it out"
    )


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("clip", {"topics": TOPICS}, "--method clip needs --store\n"),
        ("clip", {"stores": STORE}, "--method clip needs --topics\n"),
        ("dual-softmax", {"stores": STORE, "topics": TOPICS}, "--method dual-softmax needs --other-topics\n"),
        ("near-duplicates", {}, "--method near-duplicates needs --store\n"),
        ("judge", {}, "--method judge needs --topics\n"),
        (
            "judge",
            {"topics": TOPICS, "judge": {"vlm": "v"}},
            "--method judge needs --videos DIR, --shots TABLE, --cache",
        ),
        ("clip", {"stores": STORE, "topics": TOPICS, "depth": 0}, "--depth must be at least 1\n"),
    ],
)
def test_what_a_method_needs_is_named(method: str, more: dict[str, Any], message: str) -> None:
    assert refusal(options(method, **more)).startswith(message)


def test_inputs_are_all_files_that_are_read() -> None:
    inputs = options("clip", stores=STORE, topics=TOPICS, other_topics=(Path("o"),), narratives=Path("n")).inputs()
    assert list(inputs) == ["list", "store", "topics 1", "other topics 1", "narratives"]
