from __future__ import annotations

import pytest

from avs.core.errors import ConfigError
from avs.fusion.normalize import Scale
from avs.fusion.plan import FusionPlan

FAMILIES = {"laffs": ("laff*",)}


@pytest.mark.parametrize(
    ("method", "families", "step_1", "weights", "what"),
    [
        ("average", FAMILIES, "weighted", {}, "weights by hand are for one step"),
        ("weighted", FAMILIES, "average", {"laff": 1.0}, "weights by hand are for one step"),
        ("weighted", {}, "average", {}, "--weight and --method weighted need each other"),
        ("average", {}, "average", {"laff": 1.0}, "--weight and --method weighted need each other"),
    ],
)
def test_weights_by_hand_go_with_one_step_of_their_method(
    method: str, families: dict[str, tuple[str, ...]], step_1: str, weights: dict[str, float], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        FusionPlan(method, Scale(), families, step_1, weights)


def test_a_plan_is_named_by_its_steps() -> None:
    assert FusionPlan("weighted", Scale(), {}, "average", {"laff": 1.0}).name == "weighted"
    assert FusionPlan("ltr", Scale(), FAMILIES, "average", {}).name == "average, then ltr"
