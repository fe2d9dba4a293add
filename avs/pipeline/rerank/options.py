"""The options of `avs rerank`, and the checks that they fit the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avs.core.artifacts import Manifest, fingerprint_input
from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.pipeline.rerank.judge import JUDGE_OPTIONS, VideoJudging, open_judging
from avs.pipeline.rerank.model import ModelScoring, open_scoring
from avs.reranking.methods.reranker import RERANKERS, Need, Reranker, needing, takers
from avs.trecvid.list_class import class_of_sources
from avs.trecvid.trec import read_trec

OPTIONS_OF_NEED: Mapping[Need, tuple[str, ...]] = {
    "store": ("store",),
    "topics": ("query_mode", "narratives"),
    "encoder": ("weights",),
    "other topics": ("other_topics",),
    "judge": tuple(JUDGE_OPTIONS),
    "model": ("checkpoint", "weights", "word2vec"),
}
"""What a method needs -> the options that it takes for this; other methods refuse them."""


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """The list to rerank, how, and what to write; None and empty values were not given.

    Attributes:
        ranked: file of the list; an empty path where the lists are in memory.
        method: name of the reranker.
        fixed: name -> value of the parameters that the user gave: alpha, and the method's own.
        parameters: name -> value of all parameters, once checked.
        depth: number of shots to rerank; None: the method's default.
        topics: files of the list's topics.
        stores: feature stores of the shots; one, unless the method needs a model.
        other_topics: files of topics of other years.
        narratives, query_mode: what of a topic is encoded or judged.
        weights: current locations of the weights of the stores' encoders, one per store; empty: where they were.
        checkpoint: trained model.
        word2vec: current location of its word vectors.
        device: where to compute.
        k: number of shots per topic.
        judge: option -> value of the options of a judge.
        judging: the judge that they describe, once checked.
        scoring: the trained model with its stores, once checked.
        output: file of the reranked list.
        reranker: folder of the fitted reranker; it is written with judgments and read without.
        qrels, fit_on, study: what to fit on; see `past_qrels`.
        edition_files: YAMLs of past editions that avs does not know.
        force: whether outputs made from other inputs are replaced.
    """

    ranked: Path
    method: str
    fixed: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    topics: Sequence[Path] = ()
    stores: Sequence[Path] = ()
    other_topics: Sequence[Path] = ()
    narratives: Path | None = None
    query_mode: str | None = None
    weights: Sequence[str] = ()
    checkpoint: Path | None = None
    word2vec: Path | None = None
    device: str = "cpu"
    k: int = 1000
    judge: Mapping[str, Any] = field(default_factory=dict)
    judging: VideoJudging | None = None
    scoring: ModelScoring | None = None
    output: Path | None = None
    reranker: Path | None = None
    qrels: Sequence[Path] = ()
    fit_on: Sequence[str] | None = None
    edition_files: Sequence[Path] = ()
    study: bool = False
    force: bool = False

    @property
    def entry(self) -> Reranker:
        """The method's entry in the registry.

        Raises:
            ConfigError: there is no method of this name.
        """
        return RERANKERS.get(self.method)

    @property
    def store(self) -> Path | None:
        """The store whose vectors the method looks at; None, if it looks at none, or if a model reads the stores."""
        return self.stores[0] if self.stores and not self.needs("model") else None

    def needs(self, need: Need) -> bool:
        """Whether the method needs something."""
        return need in self.entry.needs

    def checked(self, *, topics_in_memory: bool = False) -> RerankOptions:
        """These options with all parameters, and with the opened judge or model.

        Args:
            topics_in_memory: the caller has the topics, so no files are needed.

        Raises:
            ConfigError: the method is unknown, takes other options, or lacks one that it needs.
            AvsError: see open_judging and open_scoring.
        """
        entry = self.entry
        if self.depth is not None and self.depth < 1:
            raise ConfigError("--depth must be at least 1", got=self.depth)
        if self.narratives and self.query_mode in (None, "query"):
            raise ConfigError("--narratives needs --query-mode narrative or both", next_step="add it")
        self._refuse_options_of_others()
        for need, value, option, wanted in (
            ("topics", self.topics or topics_in_memory, "--topics", "topic files of the list's topics"),
            ("other topics", self.other_topics, "--other-topics", "topic files of other years"),
            ("model", self.checkpoint, "--checkpoint", "a trained model"),
            ("store", self.stores, "--store", "a feature store (or BigFile) of the list's shots"),
        ):
            if need in entry.needs and not value:
                raise ConfigError(f"--method {self.method} needs {option}", wanted=wanted)
        if not self.needs("model") and max(len(self.stores), len(self.weights)) > 1:
            got = f"{len(self.stores)} --store, {len(self.weights)} --weights"
            raise ConfigError(f"--method {self.method} looks at one store", got=got, next_step="give one of each")
        return replace(
            self,
            parameters={**entry.defaults, **self.fixed},
            judging=open_judging(self.judge, device=self.device) if self.needs("judge") else None,
            scoring=self._open_scoring(),
        )

    def _open_scoring(self) -> ModelScoring | None:
        if not self.needs("model") or self.checkpoint is None:
            return None
        return open_scoring(
            self.checkpoint, self.stores, weights=self.weights, word2vec=self.word2vec, device=self.device
        )

    def best(self, ranked: RankedList) -> tuple[str, ...]:
        """The best shots of a list, which are reranked."""
        return ranked.shots[: self.depth or self.entry.depth]

    def config(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Method, parameters and depth, for manifests and for reranker.json."""
        return {"method": self.method, "parameters": dict(parameters), "depth": self.depth or self.entry.depth}

    def inputs(self) -> dict[str, Path]:
        """Name of an input, for manifests -> its path."""
        inputs = {"list": self.ranked} | ({"store": self.store} if self.store else {})
        if self.scoring:
            inputs |= {f"store {i}": store for i, store in enumerate(self.stores, start=1)}
            inputs |= {"checkpoint": self.scoring.checkpoint.folder}
        inputs |= {f"topics {i}": file for i, file in enumerate(self.topics, start=1)}
        inputs |= {f"other topics {i}": file for i, file in enumerate(self.other_topics, start=1)}
        inputs |= {f"edition {i}": file for i, file in enumerate(self.edition_files, start=1)}
        return inputs | ({"narratives": self.narratives} if self.narratives else {})

    def manifest(self, kind: str, config: Mapping[str, Any], reporter: Reporter, more: Mapping[str, Path]) -> Manifest:
        """What decides the content of an artefact made with these options, once checked.

        Args:
            kind: type of the artefact.
            config: further settings.
            more: further inputs.
        """
        paths = self.inputs() | dict(more)
        decisive = self.config(self.parameters) | {"query_mode": self.query_mode or "query", "k": self.k}
        inputs = {name: fingerprint_input(path) for name, path in paths.items()}
        if kind == "ranked-lists":
            decisive |= class_of_sources([self.ranked])
        if self.judging:
            shots = {shot for one in read_trec(self.ranked).lists.values() for shot in self.best(one)}
            decisive |= {"judge": self.judging.identity()}
            inputs |= {"pictures": self.judging.pictures_fingerprint(sorted(shots), reporter)}
        if self.scoring:
            decisive |= {"model": self.scoring.identity()}
        return Manifest(kind, decisive | dict(config), inputs, paths=paths)

    def _refuse_options_of_others(self) -> None:
        values = {
            "store": self.stores or None, "query_mode": self.query_mode, "narratives": self.narratives,
            "weights": self.weights or None, "other_topics": self.other_topics or None,
            "checkpoint": self.checkpoint, "word2vec": self.word2vec, **self.judge,
        }  # fmt: skip
        refused: dict[str, list[str]] = {}  # methods -> the options that only they take
        for name in self.fixed:
            if name not in self.entry.defaults:
                refused.setdefault(", ".join(takers(name)), []).append(option_name(name))
        for option in dict.fromkeys(option for options in OPTIONS_OF_NEED.values() for option in options):
            needs = [need for need, options in OPTIONS_OF_NEED.items() if option in options]
            if values.get(option) is not None and not any(map(self.needs, needs)):
                refused.setdefault(", ".join(needing(*needs)), []).append(option_name(option))
        if refused:
            parts = [
                f"{', '.join(options)} {'is' if len(options) == 1 else 'are'} for {methods}"
                for methods, options in refused.items()
            ]
            raise ConfigError("; ".join(parts), got=f"--method {self.method}", next_step="leave it out")


def option_name(name: str) -> str:
    """The option of a parameter, as it is typed."""
    return f"--{name.replace('_', '-')}"
