"""What `avs fuse` is asked for, and what of it does not fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avs.core.errors import ConfigError
from avs.core.list_files import list_name
from avs.fusion.normalize import Scale
from avs.fusion.plan import FusionPlan
from avs.fusion.pool import DEFAULT_DEPTH
from avs.pipeline.fuse.lists import name_lists

RECOMPUTED = "recomputed"
MISSING = ("minimum", "absent", RECOMPUTED)


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """What is to be fused, how, and where to; None and empty where nothing was said.

    Attributes:
        lists: files, X.trec being called X; past: folders with lists of these names over other topics.
        method, normalization, missing, weights, families, step_1, depth: how to fuse.
        partial: a list may lack a topic.
        topics: files, the topics to fuse; past_topics: files of those learned from.
        stores, checkpoints, narratives, device: to recompute missing scores.
        output, model, report: files to write, and a folder (to read, where nothing is learned).
        k: shots a topic.
    """

    lists: Sequence[Path]
    output: Path | None
    past: Sequence[Path] = ()
    method: str | None = None
    normalization: str | None = None
    missing: str | None = None
    weights: Sequence[tuple[str, str]] = ()
    families: Sequence[tuple[str, str]] = ()
    step_1: str | None = None
    depth: int | None = None
    partial: bool = False
    topics: Sequence[Path] = ()
    past_topics: Sequence[Path] = ()
    stores: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    narratives: Path | None = None
    model: Path | None = None
    report: Path | None = None
    k: int = 1000
    device: str = "cpu"
    force: bool = False

    def plan(self) -> FusionPlan:
        """The method and its steps.

        Raises:
            ConfigError: names that are not known, options that do not fit together.
        """
        families: dict[str, list[str]] = {}
        for name, pattern in self.families:
            families.setdefault(name, []).append(pattern)
        weights = {name: _number(weight) for name, weight in self.weights}
        if len(weights) < len(self.weights):
            raise ConfigError("a list has two weights", got=", ".join(f"{n}={w}" for n, w in self.weights))
        if self.step_1 and not families:
            raise ConfigError("--step1 needs families of lists", next_step="--family 'laffs=laff*'")
        if self.missing is not None and self.missing not in MISSING:
            raise ConfigError(
                f'unknown policy "{self.missing}" for shots that a list does not hold', wanted=", ".join(MISSING)
            )
        scale = Scale(self.normalization or "minmax", _policy(self.missing))
        plan = FusionPlan(self.method or "average", scale, families, self.step_1 or "average", weights)
        if not plan.scaled and (self.normalization or self.missing == "absent"):
            raise ConfigError(f"{plan.name} takes neither --normalize nor --missing absent", next_step="leave them out")
        return plan

    def checked(self) -> FusionOptions:
        """These options without the output among the lists, where a pattern of names has caught it before.

        Raises:
            ConfigError: outputs that cannot be written, or inputs that nothing would look at.
        """
        name_lists(self.lists)
        outputs = [path for path in (self.output, self.model, self.report) if path is not None]
        if len({path.resolve() for path in outputs}) < len(outputs):
            raise ConfigError("two outputs of one name", got=", ".join(map(str, outputs)))
        if self.output and (self.output.is_dir() or len(self.output.stem.split()) != 1):
            raise ConfigError("-o is a file whose name is one word", got=self.output, wanted="such as lists/fused.trec")
        if self.report and self.report.suffix != ".html":
            raise ConfigError("--report is an HTML page, with JSON beside it", got=self.report, wanted="fusion.html")
        useless = {"--store": self.stores, "--checkpoint": self.checkpoints, "--narratives": self.narratives}
        given = [option for option, value in useless.items() if value]
        if given and self.missing != RECOMPUTED and self.model is None:
            raise ConfigError(f"{', '.join(given)}: for --missing recomputed", next_step="add it, or leave them out")
        own = self.output.resolve() if self.output else None
        return replace(self, lists=[file for file in self.lists if file.resolve() != own])

    def how(self) -> dict[str, Any]:
        """What decides a fuser, for manifests."""
        recomputed = {RECOMPUTED: True} if self.missing == RECOMPUTED else {}
        return {**self.plan().config, "depth": self.depth or DEFAULT_DEPTH, **recomputed}

    def inputs(self) -> dict[str, Path]:
        """Name of an input -> where it lies."""
        found = {f"list {list_name(file)}": file for file in self.lists}
        for i, folder in enumerate(self.past, start=1):
            there = [file for file in self.lists if (folder / file.name).is_file()]
            found |= {f"past list {i} {list_name(file)}": folder / file.name for file in there}
        if self.missing == RECOMPUTED:
            found |= {f"store {i}": folder for i, folder in enumerate(self.stores, start=1)}
            found |= {f"checkpoint {i}": folder for i, folder in enumerate(self.checkpoints, start=1)}
            found |= {"narratives": self.narratives} if self.narratives else {}
        found |= {f"topics {i}": file for i, file in enumerate(self.topics, start=1)}
        return found | {f"past topics {i}": file for i, file in enumerate(self.past_topics, start=1)}


def _policy(missing: str | None) -> str:
    """What is left to the scale: a score that cannot be recomputed is the list's least."""
    return "minimum" if missing in (None, RECOMPUTED) else missing


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ConfigError("a weight is a number", got=word, wanted="such as --weights clip=0.3") from None
