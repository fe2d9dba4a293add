"""The YAML behind `avs demo --rehearse`: which recipes are rehearsed, and what is small or stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from avs.core.config import load_config
from avs.core.errors import AvsError, did_you_mean
from avs.demo.planting import BLOCK
from avs.pipeline.rehearsal.stand_ins import STAND_INS
from avs.trecvid.editions import get_edition


class SearchedRecipe(BaseModel):
    """A collection that is searched.

    Attributes:
        shots: how many are rendered; each topic asks for one of BLOCK.
        editions: whose topics and judgments it has.
    """

    model_config = ConfigDict(extra="forbid")
    shots: int = Field(ge=BLOCK)
    editions: list[str] = Field(min_length=1)


class TrainingRecipe(BaseModel):
    """A training.

    Attributes:
        config: its recipe.

    Any other key is an option of its verb, such as `epochs`.
    """

    model_config = ConfigDict(extra="allow")
    config: Path

    @property
    def options(self) -> Mapping[str, Any]:
        """The options, by their long names."""
        return {key.replace("_", "-"): value for key, value in (self.model_extra or {}).items()}


class RehearsalRecipe(BaseModel):
    """A rehearsal. The recipes that it names are those of the real job.

    Attributes:
        names: a name in these recipes -> the name that takes its place, such as that of a small encoder.
        stand_ins: encoders of the features that get small networks with random weights.
        searched: collections that are searched.
        captioned_shots: size of each collection that a training reads.
        features: recipe of `avs extract-features`.
        training: output folder -> the training that writes it, in the order in which they run.
        models: trained models whose vectors of the searched collections are stores too.
        submissions: recipes of `avs make-submission`.
    """

    model_config = ConfigDict(extra="forbid")
    names: dict[str, str] = {}
    stand_ins: list[str] = []
    searched: dict[str, SearchedRecipe] = Field(min_length=1)
    captioned_shots: int = Field(ge=20, le=5000)
    features: Path
    training: dict[str, TrainingRecipe] = Field(min_length=1)
    models: list[str] = []
    submissions: list[Path] = Field(min_length=1)


def read_rehearsal(config: Path) -> RehearsalRecipe:
    """The rehearsal of a YAML file.

    Raises:
        ConfigError: keys or values that are not known, and files that are not there; all of them at once.
    """
    return load_config(config, RehearsalRecipe, check=_problems)


def _problems(recipe: RehearsalRecipe) -> Iterator[tuple[tuple[str, ...], str]]:
    for number, name in enumerate(recipe.stand_ins):
        if name not in STAND_INS:
            known = f"{did_you_mean(name, STAND_INS)}; there are {', '.join(STAND_INS)}"
            yield ("stand_ins", str(number)), f'nothing stands in for "{name}"{known}'
    for name, searched in recipe.searched.items():
        for number, edition in enumerate(searched.editions):
            try:
                found = get_edition(edition)
            except AvsError as error:
                yield ("searched", name, "editions", str(number)), error.what
                continue
            if "M" not in found.topics:
                yield ("searched", name, "editions", str(number)), f"{edition} has no topics of its own"
    for folder in (*recipe.training, *recipe.models):
        if not is_inside(Path(folder)):
            section = "training" if folder in recipe.training else "models"
            yield (section, folder), "must be a path below the folder of the rehearsal, such as models/laff"
    named: list[tuple[tuple[str, ...], Path]] = [(("features",), recipe.features)]
    named += [(("training", folder, "config"), one.config) for folder, one in recipe.training.items()]
    named += [(("submissions", str(number)), path) for number, path in enumerate(recipe.submissions)]
    yield from ((place, f"no such file: {path}") for place, path in named if not path.is_file())
    for place, path in named:
        if sum(other[0] == place[0] and one.name == path.name for other, one in named) > 1:
            yield place, f"another file of this section is called {path.name} too"


def is_inside(path: Path) -> bool:
    """Whether a path leads to something below the folder that it is relative to."""
    return not path.is_absolute() and ".." not in path.parts
