"""The YAML behind `avs make-submission`: searches, fusions, rerankings, and the prioritized runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

Options = dict[str, Any]
"""Options of a verb by their long names, with "-" or "_"; a list repeats an option, a mapping gives NAME=VALUE."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Paths = Annotated[list[Path], Field(min_length=1), BeforeValidator(_as_list)]


class FusionRecipe(BaseModel):
    """A fused list.

    Attributes:
        lists: names of the lists to fuse; a search means all its lists, `SEARCH/PATTERN` some of them.
        past: searches over past topics to learn from, whose lists have the same names; or folders of such lists.

    Any other key is an option of `avs fuse`.
    """

    model_config = ConfigDict(extra="allow")
    lists: Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)]
    past: Annotated[list[str], BeforeValidator(_as_list)] = []


class RerankRecipe(BaseModel):
    """A reranked list.

    Attributes:
        list_: name of the list to rerank.

    Any other key is an option of `avs rerank`.
    """

    model_config = ConfigDict(extra="allow")
    list_: str = Field(alias="list")


class RunRecipe(BaseModel):
    """A run of the submission.

    Attributes:
        list_: name of the list that it is made from.
        priority: 1 is judged first.

    Any other key is an option of `avs make-run`.
    """

    model_config = ConfigDict(extra="allow")
    list_: str = Field(alias="list")
    priority: int


class SubmissionRecipe(BaseModel):
    """All settings of a submission. Paths are relative to the working directory.

    Attributes:
        edition, edition_file, topics, shots, pid: of all runs, as `avs make-run` takes them.
        lists: name -> ranked lists that exist already.
        searches: name -> options of `avs search`.
        fusions, reranks: name -> what is made from other lists.
        runs: one per run file.

    Any other key is an option of `avs make-run` for all runs; a run may override it.
    """

    model_config = ConfigDict(extra="allow")
    edition: str
    edition_file: Path | None = Field(None, validation_alias=AliasChoices("edition_file", "edition-file"))
    topics: Paths
    shots: Path
    pid: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
    lists: dict[str, Path] = {}
    searches: dict[str, Options] = {}
    fusions: dict[str, FusionRecipe] = {}
    reranks: dict[str, RerankRecipe] = {}
    runs: list[RunRecipe] = Field(min_length=1)
