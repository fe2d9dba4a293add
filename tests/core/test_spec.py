from __future__ import annotations

from dataclasses import replace

import pytest

from avs.core.errors import SpecMismatchError
from avs.core.spec import EmbedderSpec

WRITTEN_BEFORE = {
    "name": "clip-vit-b32", "revision": "abc", "dim": 4, "image_size": 8, "mean": (0.5,), "std": (0.5,),
    "resize": "square", "interpolation": "bicubic", "activation": "gelu", "pooling": "projection", "normalised": True,
    "weights": "somewhere",
}  # fmt: skip


def test_a_store_made_before_specs_grew_has_the_same_spec() -> None:
    """Its fingerprint is of these fields, so nothing may be added to them where nothing is said."""
    spec = EmbedderSpec.from_json(WRITTEN_BEFORE)
    assert spec.to_json() == WRITTEN_BEFORE
    assert (spec.trained, spec.layer, spec.crops, spec.clip_frames, spec.clip_interval_s) == ("", "", "", 0, 0.0)


@pytest.mark.parametrize("field", [{"layer": "22"}, {"crops": "ten"}, {"clip_frames": 32}, {"clip_interval_s": 0.1}])
def test_what_decides_numbers_is_written_and_compared(field: dict[str, object]) -> None:
    spec = EmbedderSpec.from_json(WRITTEN_BEFORE)
    other = replace(spec, **field)  # type: ignore[arg-type]
    assert EmbedderSpec.from_json(other.to_json()) == other != spec
    with pytest.raises(SpecMismatchError, match=next(iter(field))):
        spec.require_same(other, where="here")
    spec.require_same(replace(spec, weights="elsewhere"), where="here")
