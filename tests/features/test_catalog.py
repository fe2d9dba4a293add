from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import ConfigError
from avs.features import catalog
from avs.features.weights import PACKAGE

FEATURES = Path(catalog.__file__).parent


def test_every_entry_has_the_file_of_its_family_and_a_note() -> None:
    for name, entry in catalog.read_catalog().items():
        assert (FEATURES / "families" / f"{entry.family.replace('-', '_')}.py").is_file(), name
        assert entry.notes, name
    assert catalog.get_entry("clip").notes == "Weights of your own."
    assert catalog.get_entry("ircsn").notes.startswith("ir-CSN-152")


def test_published_models_state_their_dims() -> None:
    dims = {name: entry.dim for name, entry in catalog.read_catalog().items()}
    expected = {"clip-vit-b32": 512, "clip-vit-l14-336": 768, "blip-itm-base-coco": 256, "blip2-itm-vit-g": 256}
    assert {name: dims[name] for name in expected} == expected
    for name, entry in catalog.read_catalog().items():
        published = entry.weights is not None and not entry.weights.startswith(PACKAGE)
        assert not published or (entry.dim and entry.image_size), name


def test_an_unknown_model_names_the_closest_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        catalog.get_entry("clip-vit-b23")
    assert caught.value.what == 'unknown model "clip-vit-b23"; did you mean "clip-vit-b32"?'
    assert caught.value.wanted == ", ".join(catalog.read_catalog())
