"""The catalog of encoders: what a `--model` name stands for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from avs.core.config import load_config
from avs.core.errors import ConfigError, did_you_mean

CATALOG = Path(__file__).with_name("catalog.yaml")


class Entry(BaseModel):
    """One encoder of the catalog.

    Attributes:
        family: the module of avs.features that reads its towers.
        weights: a Hub repository, or `package:` and a folder of the package; None when the user must say.
        revision: branch, tag or commit on the Hub.
        dim, image_size: what its checkpoint must give; None when any will do.
        notes: one line for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    weights: str | None = None
    revision: str = "main"
    dim: int | None = None
    image_size: int | None = None
    notes: str = ""


class Catalog(BaseModel):
    """All encoders, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, Entry]


@cache
def read_catalog() -> dict[str, Entry]:
    """The entries of catalog.yaml by name, in its order."""
    return load_config(CATALOG, Catalog).models


def get_entry(model: str) -> Entry:
    """The catalog's entry for `model`.

    Raises:
        ConfigError: there is none; says the closest and all known names.
    """
    models = read_catalog()
    if model not in models:
        raise ConfigError(
            f'unknown model "{model}"{did_you_mean(model, models)}',
            wanted=", ".join(models),
            next_step="for other weights of a known family: --model clip --weights FOLDER_OR_HUB_NAME (or blip, blip2)",
        )
    return models[model]
