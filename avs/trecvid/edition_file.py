"""An edition that avs does not know, described by the user in a YAML: what differs from an edition that it knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from avs.core.config import load_config
from avs.core.errors import ConfigError
from avs.trecvid.editions import Attribute, Edition, EditionCollection, edition_names, get_edition

COLLECTIONS = {edition.collection.name: edition.collection for edition in map(get_edition, edition_names())}


class CollectionForm(BaseModel):
    """A collection: its name, the digits of its video ids (0: not padded), and its first and last video."""

    model_config = ConfigDict(extra="forbid")
    name: str
    digits: int | None = None
    first_video: int | None = None
    last_video: int | None = None


class AttributeForm(BaseModel):
    """An attribute of runs: its values (none: any text), and whether it may be left out."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    values: list[str] | None = None
    optional: bool = False


class EditionForm(BaseModel):
    """The YAML.

    Attributes:
        id, year: such as tv26 and 2026; the year is in the run ids and in the address of the DTD.
        like: the edition whose rules hold for all that is not given here.
        topics: task (M main, P progress) -> first and last id.
        collection: name of a collection that avs knows, or a description of another.
        attributes: those of runs that are new or have other values than in `like`.
        scored_with: usual names of the qrels files.
        max_results: number of shots per topic that NIST takes.
    """

    model_config = ConfigDict(extra="forbid")
    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    year: int = Field(ge=2016, le=2099)
    like: str = "tv25"
    topics: dict[Literal["M", "P"], tuple[PositiveInt, PositiveInt]] = Field(min_length=1)
    collection: str | CollectionForm | None = None
    attributes: dict[str, AttributeForm] = {}
    scored_with: list[str] = []
    max_results: PositiveInt | None = None


def read_edition(file: Path) -> Edition:
    """The edition that a YAML describes.

    Raises:
        ConfigError: keys or values that are not those of `EditionForm`, an id that avs knows, an unknown `like` or
            collection, topics whose last id is before the first; all at once, each with its line.
    """
    form = load_config(file, EditionForm, check=_problems)
    like = get_edition(form.like)
    collection = like.collection
    if form.collection is not None:
        named = form.collection
        collection = COLLECTIONS[named] if isinstance(named, str) else EditionCollection(**named.model_dump())
    known = {attribute.name: attribute for attribute in like.attributes}
    for name, given in form.attributes.items():
        known[name] = Attribute(name, tuple(given.values) if given.values else None, not given.optional)
    return replace(
        like,
        id=form.id,
        year=form.year,
        topics={str(task): span for task, span in form.topics.items()},
        collection=collection,
        attributes=tuple(known.values()),
        scored_with=tuple(form.scored_with),
        max_results=form.max_results or like.max_results,
        file=Path(file),
    )


def read_editions(files: Sequence[Path]) -> list[Edition]:
    """The editions that several YAMLs describe.

    Raises:
        ConfigError: what read_edition refuses; two files describe editions of one id.
    """
    editions = [read_edition(file) for file in files]
    twice = [e for n, e in enumerate(editions) if e.id in {one.id for one in editions[:n]}]
    if twice:
        raise ConfigError(f'two files describe "{twice[0].id}"', where=twice[0].file, next_step="leave one out")
    return editions


def _problems(form: EditionForm) -> Iterator[tuple[tuple[str, ...], str]]:
    if form.id in edition_names():
        yield ("id",), f'avs knows "{form.id}" already: choose another id'
    if form.like not in edition_names():
        yield ("like",), f'unknown edition "{form.like}", must be one of {" ".join(edition_names())}'
    if isinstance(form.collection, str) and form.collection not in COLLECTIONS:
        yield ("collection",), f'unknown collection "{form.collection}", must be one of {" ".join(COLLECTIONS)}'
    for task, (first, last) in form.topics.items():
        if first > last:
            yield ("topics", task), f"the last topic {last} is before the first {first}"
