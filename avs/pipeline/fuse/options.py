"""The options of `avs fuse`, and the checks that they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avs.core.errors import ConfigError
from avs.core.list_files import list_name
from avs.core.named_values import named_values
from avs.core.progress import Reporter
from avs.fusion.methods import AVERAGE
from avs.fusion.normalize import RRF_K, Scale
from avs.fusion.plan import FusionPlan
from avs.fusion.pool import DEFAULT_DEPTH

RECOMPUTED = "recomputed"
MISSING = ("minimum", "absent", RECOMPUTED)


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """The lists to fuse, how to fuse them, and what to write; None and empty values were not given.

    Attributes:
        lists: files of the lists; lists/clip.trec is called clip.
        output: file of the fused list.
        past: folders with lists of the same names over past topics.
        method, normalization, missing, rrf_k, step_1, depth: how to fuse.
        weights: words LIST=WEIGHT.
        families: words NAME=PATTERN.
        partial: whether a list may lack a topic.
        topics: files of the topics to fuse.
        past_topics: files of the topics to learn from.
        stores, checkpoints, narratives, device: what recomputes missing scores.
        fuser: folder of the fuser; it is written with judgments and read without.
        report: HTML page to write.
        k: number of shots per topic.
        force: whether outputs made from other inputs are replaced.
        qrels: files of judgments to learn from.
        fit_on: editions to learn from; None: all judged topics.
        study: whether the topics are judged, so that each one is fused by a fuser that was fitted without it.
        folds: number of folds, when all topics are of one edition.
        seed: random seed for folds, restarts and LightGBM.
        threads: number of threads; the result of coordinate ascent does not depend on it.
    """

    lists: Sequence[Path]
    output: Path | None
    past: Sequence[Path] = ()
    method: str | None = None
    normalization: str | None = None
    missing: str | None = None
    rrf_k: float | None = None
    weights: Sequence[str] = ()
    families: Sequence[str] = ()
    step_1: str | None = None
    depth: int | None = None
    partial: bool = False
    topics: Sequence[Path] = ()
    past_topics: Sequence[Path] = ()
    stores: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    narratives: Path | None = None
    fuser: Path | None = None
    report: Path | None = None
    k: int = 1000
    device: str = "cpu"
    force: bool = False
    qrels: Sequence[Path] = ()
    fit_on: Sequence[str] | None = None
    study: bool = False
    folds: int = 5
    seed: int = 0
    threads: int = 1

    def plan(self) -> FusionPlan:
        """The method and its steps.

        Raises:
            ConfigError: a name is unknown, or options do not fit together.
        """
        families: dict[str, list[str]] = {}
        for name, pattern in named_values(self.families, "--family", "NAME=PATTERN"):
            families.setdefault(name, []).append(pattern)
        pairs = named_values(self.weights, "--weight", "LIST=W")
        weights = {name: _number(weight) for name, weight in pairs}
        if len(weights) < len(pairs):
            raise ConfigError("a list has two weights", got=", ".join(self.weights))
        if self.step_1 and not families:
            raise ConfigError("--step1 needs families of lists", next_step="--family 'laffs=laff*'")
        if self.missing is not None and self.missing not in MISSING:
            raise ConfigError(
                f'unknown policy "{self.missing}" for shots that a list does not contain', wanted=", ".join(MISSING)
            )
        k = RRF_K if self.rrf_k is None else self.rrf_k
        scale = Scale(self.normalization or "minmax", _policy(self.missing), k)
        plan = FusionPlan(self.method or AVERAGE, scale, families, self.step_1 or AVERAGE, weights)
        if not plan.scaled and (self.normalization or self.missing == "absent"):
            raise ConfigError(f"{plan.name} takes neither --normalize nor --missing absent", next_step="leave them out")
        if self.rrf_k is not None and not plan.takes_k:
            raise ConfigError(f"{plan.name} has no reciprocal ranks", got="--rrf-k", next_step="leave it out")
        return plan

    def checked(self, reporter: Reporter) -> FusionOptions:
        """These options without the output among the lists, where a pattern of names matched it too.

        Raises:
            ConfigError: an output cannot be written, or no step would read an input.
        """
        name_lists(self.lists)
        outputs = [path for path in (self.output, self.fuser, self.report) if path is not None]
        if len({path.resolve() for path in outputs}) < len(outputs):
            raise ConfigError("two outputs have the same name", got=", ".join(map(str, outputs)))
        if self.output and len(self.output.stem.split()) != 1:
            raise ConfigError(
                "-o must be a file whose name is one word", got=self.output, wanted="such as lists/fused.trec"
            )
        if self.report and self.report.suffix != ".html":
            raise ConfigError("--report must be an HTML page", got=self.report, wanted="such as fusion.html")
        sources = {"--store": self.stores, "--checkpoint": self.checkpoints, "--narratives": self.narratives}
        unread = [option for option, value in sources.items() if value]
        if unread and self.missing != RECOMPUTED and self.fuser is None:
            raise ConfigError(
                f"{', '.join(unread)}: only for --missing recomputed", next_step="add it, or leave them out"
            )
        output = self.output.resolve() if self.output else None
        lists = [file for file in self.lists if file.resolve() != output]
        if len(lists) < len(self.lists):
            reporter.say(f"{self.output} is the output: it is not fused")
        return replace(self, lists=lists)

    def config(self) -> dict[str, Any]:
        """The settings that decide a fuser, for manifests."""
        recomputed = {RECOMPUTED: True} if self.missing == RECOMPUTED else {}
        return {**self.plan().config, "depth": self.depth or DEFAULT_DEPTH, **recomputed}

    def inputs(self) -> dict[str, Path]:
        """Name of an input, for manifests -> its path."""
        inputs = {f"list {list_name(file)}": file for file in self.lists}
        for i, folder in enumerate(self.past, start=1):
            past = {list_name(file): folder / file.name for file in self.lists if (folder / file.name).is_file()}
            inputs |= {f"past list {i} {name}": file for name, file in past.items()}
        if self.missing == RECOMPUTED:
            inputs |= {f"store {i}": folder for i, folder in enumerate(self.stores, start=1)}
            inputs |= {f"checkpoint {i}": folder for i, folder in enumerate(self.checkpoints, start=1)}
            inputs |= {"narratives": self.narratives} if self.narratives else {}
        inputs |= {f"topics {i}": file for i, file in enumerate(self.topics, start=1)}
        return inputs | {f"past topics {i}": file for i, file in enumerate(self.past_topics, start=1)}


def name_lists(files: Sequence[Path]) -> dict[str, Path]:
    """Name -> file.

    Raises:
        ConfigError: two lists have the same name, or a file is a folder.
    """
    by_name: dict[str, Path] = {}
    for file in files:
        name = list_name(file)
        if file.is_dir():
            raise ConfigError("a folder, not a list", where=file, next_step=f"give its lists: {file}/*.trec")
        if name in by_name:
            raise ConfigError(f'two lists are called "{name}"', got=f"{by_name[name]} and {file}")
        by_name[name] = file
    return by_name


def _policy(missing: str | None) -> str:
    """The policy of the scale: a score that cannot be recomputed becomes the list's minimum."""
    return "minimum" if missing in (None, RECOMPUTED) else missing


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ConfigError("a weight is a number", got=word, wanted="such as --weight clip=0.3") from None
