from __future__ import annotations

import pytest

from avs.core.errors import ConfigError
from avs.core.registry import Registry


def test_an_unknown_name_says_the_closest_and_all_known() -> None:
    registry: Registry[int] = Registry("fuser")
    registry.register("rrf")(1)
    registry.register("borda")(2)
    assert registry.get("borda") == 2
    with pytest.raises(ConfigError) as caught:
        registry.get("rff")
    assert str(caught.value) == 'unknown fuser "rff"; did you mean "rrf"?\n  wanted: rrf, borda'
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("rrf")(3)
