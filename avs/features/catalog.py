"""The catalog of encoders: what a `--model` name stands for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from avs.core.config import load_config
from avs.core.errors import ConfigError, did_you_mean
from avs.features.families import families

CATALOG = Path(__file__).with_name("catalog.yaml")


class Entry(BaseModel):
    """One encoder of the catalog.

    Attributes:
        family: name of its family.
        weights: a Hub repository, or `package:` and a folder of the package; None: the user must name them.
        revision: branch, tag or commit on the Hub.
        dim, image_size: what its checkpoint must have; None: anything.
        backend: the only backend that has it, such as "lavis"; "": it is for transformers, or for avs itself.
        notes: one line for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    weights: str | None = None
    revision: str = "main"
    dim: int | None = None
    image_size: int | None = None
    backend: str = ""
    notes: str = ""


class Catalog(BaseModel):
    """All encoders by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, Entry]


@cache
def _entries() -> dict[str, Entry]:
    return load_config(CATALOG, Catalog).models


def read_catalog() -> dict[str, Entry]:
    """The entries of catalog.yaml by name, and one for every other family under its own name, which needs weights."""
    own = {name: Entry(family=name, notes="Weights of your own.") for name in families if name not in _entries()}
    return {**_entries(), **own}


def get_entry(model: str) -> Entry:
    """The catalog's entry for `model`.

    Raises:
        ConfigError: there is none; names the closest one and all of them.
    """
    models = read_catalog()
    if model not in models:
        raise ConfigError(
            f'unknown model "{model}"{did_you_mean(model, models)}',
            wanted=", ".join(models),
            next_step=f"for other weights of a family: --model {' or '.join(families)} --weights FOLDER_OR_HUB_NAME",
        )
    return models[model]
