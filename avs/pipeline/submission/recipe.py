"""The YAML behind `avs make-submission`: searches, fusions, rerankings, and the prioritized runs they end in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Options = dict[str, Any]
"""Options of a verb by their long names, "-" or "_" between words; a list repeats one, a mapping gives NAME=VALUE."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Paths = Annotated[list[Path], Field(min_length=1), BeforeValidator(_listed)]


class Fusion(BaseModel):
    """A fused list.

    Attributes:
        lists: names of what is fused; a search stands for all its lists, `SEARCH/PATTERN` for some.
        past: searches with lists of the same names over past topics, to learn from; or folders with such lists.

    Everything else is an option of `avs fuse`.
    """

    model_config = ConfigDict(extra="allow")
    lists: Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)]
    past: Annotated[list[str], BeforeValidator(_listed)] = []


class Rerank(BaseModel):
    """A reranked list.

    Attributes:
        list_: name of what is reranked.

    Everything else is an option of `avs rerank`.
    """

    model_config = ConfigDict(extra="allow")
    list_: str = Field(alias="list")


class PlannedRun(BaseModel):
    """A run to be submitted.

    Attributes:
        list_: name of the list it is made of.
        priority: 1 is judged first.

    Everything else is an option of `avs make-run`.
    """

    model_config = ConfigDict(extra="allow")
    list_: str = Field(alias="list")
    priority: int


class SubmissionRecipe(BaseModel):
    """Everything that decides what a submission holds. Paths are as seen from where the command is typed.

    Attributes:
        edition, topics, shots, pid: of all runs, as `avs make-run` takes them.
        lists: name -> ranked lists that lie there already.
        searches: name -> options of `avs search`.
        fusions, reranks: name -> what is made of other lists.
        runs: of NIST's run files.

    Everything else at the top is an option of `avs make-run` for all runs, which a run may have otherwise.
    """

    model_config = ConfigDict(extra="allow")
    edition: str
    topics: Paths
    shots: Path
    pid: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
    lists: dict[str, Path] = {}
    searches: dict[str, Options] = {}
    fusions: dict[str, Fusion] = {}
    reranks: dict[str, Rerank] = {}
    runs: list[PlannedRun] = Field(min_length=1)
