"""Systems opened once and asked any number of times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avs.cluster.placement import ClusterRequest
from avs.cluster.search import search_on_cluster
from avs.core.errors import ConfigError, UnknownIdError, did_you_mean, typed
from avs.core.features import Features, open_features
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.ranking import MAX_RESULTS, RankedList, Run
from avs.core.spec import EmbedderSpec
from avs.core.topic import Topic, TopicSet
from avs.features.embedder import TextEmbedder, load_embedder_for
from avs.features.text import TextFeature
from avs.models.scorer import ModelScorer, PackedModel
from avs.pipeline.search.scattered import opening_of
from avs.pipeline.search.system import Locations, System, model_system, named_stores, open_source, store_system
from avs.pipeline.search.trained import Tower, TrainedModel, load_trained
from avs.ranking.blocks import DTYPES, BlockSource
from avs.ranking.cosine import CosineScorer
from avs.ranking.score import Scorer, search
from avs.train.checkpoint import Checkpoint

SENTENCE = "query"  # id of the topic that a bare sentence becomes


class Searcher:
    """Systems over the stores of one collection: any questions, any of the systems, any of the shots.

    Encoders and models are loaded when they are first needed, and kept. A Searcher answers one question at a time.

    Args:
        systems: what ranks; names differ.
        stores: the stores of the systems, and those where trained models find their features.
        locations: of weights and word vectors that moved.
        device: "cpu", "cuda" or "cuda:N".
        dtype: "float32" or the coarser "bfloat16", of the products with the shots.
        reporter: of progress, and of words that a model does not know.

    Raises:
        ConfigError: no system; two systems have the same name; two stores hold the feature that a trained model reads.
        SpecMismatchError: the stores are not from the encoders that a model was trained with.
    """

    def __init__(
        self,
        systems: Iterable[System],
        stores: Sequence[Features],
        *,
        locations: Locations | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        reporter: Reporter | None = None,
    ) -> None:
        self.systems: dict[str, System] = {}
        for system in systems:
            if system.name in self.systems:
                raise ConfigError(
                    f'two systems are called "{system.name}"',
                    got=f"{self.systems[system.name].source.folder} and {system.source.folder}",
                    next_step="give one of the folders another name, or use them one at a time",
                )
            self.systems[system.name] = system
        if not self.systems:
            raise ConfigError("there is nothing to search with", wanted="a feature store or a trained model")
        self.stores = named_stores(stores, list(self.systems.values()))
        for system in self.systems.values():
            if isinstance(system.source, Checkpoint):
                specs = {name: store.spec for name, store in self.stores.items()}
                system.source.require_specs(
                    specs, where=some([store.folder for store in stores], shown=8) or "no stores"
                )
        if dtype not in DTYPES:
            raise ConfigError("unknown dtype of scores", got=dtype, wanted=", ".join(DTYPES))
        self.locations, self.device, self.dtype = locations or Locations({}), device, dtype
        self.reporter = reporter or Reporter()
        self._sources: dict[frozenset[str], BlockSource] = {}
        self._encoders: dict[EmbedderSpec, TextEmbedder] = {}
        self._towers: dict[Tower, TextFeature] = {}
        self._models: dict[str, TrainedModel] = {}
        self._packed: dict[str, PackedModel] = {}

    @classmethod
    def open(
        cls,
        systems: Sequence[Path | str],
        *,
        stores: Sequence[Path | str] = (),
        frame_score: str | None = None,
        locations: Locations | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        reporter: Reporter | None = None,
    ) -> Searcher:
        """The Searcher of folders.

        Args:
            systems: folders of feature stores, each searched with its own encoder, and of trained models.
            stores: more stores, in which the trained models find their features.
            frame_score: "max" (default) or "mean", of frame-level stores among `systems`.

        Raises:
            AvsError: there is no such folder; what open_features, read_checkpoint, store_system and Searcher refuse.
        """
        sources = [open_source(Path(folder)) for folder in systems]
        opened = [source for source in sources if not isinstance(source, Checkpoint)]
        chosen = [
            model_system(source)
            if isinstance(source, Checkpoint)
            else store_system(source, frame_score=None if source.offsets is None else frame_score)
            for source in sources
        ]
        opened += [open_features(Path(folder)) for folder in stores]
        return cls(chosen, opened, locations=locations, device=device, dtype=dtype, reporter=reporter)

    def __repr__(self) -> str:
        return f"Searcher({', '.join(self.systems)}; {', '.join(self.stores)})"

    def search(
        self,
        question: TopicSet | str,
        *,
        k: int = MAX_RESULTS,
        query_mode: str = "query",
        systems: Collection[str] | None = None,
        shots: Collection[str] | None = None,
        state: Path | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        cluster: ClusterRequest | None = None,
    ) -> dict[str, Run]:
        """The `k` best shots per system and topic, in one pass over the stores that the systems need.

        Args:
            question: topics, or one sentence, which becomes a topic with the id "query".
            query_mode: search with the "query", the "narrative" or "both".
            systems: names of the systems to ask; None: all.
            shots: ids to choose from; None: all.
            state: file that keeps what was found so far, so that a killed search resumes.
            cancelled: asked after every block; when it says yes, SearchCancelled is raised.
            cluster: have actors of a Ray cluster do it, which takes all shots, and neither `state` nor `cancelled`.

        Returns:
            Name of a system -> its run.

        Raises:
            ConfigError: an unknown system, or `k` below 1.
            UnknownIdError: a shot that no store holds.
            DataError: a topic without a narrative where one is needed, or of which a model knows no word.
        """
        topics = as_topics(question)
        chosen = self._chosen(systems)
        source = self.source(chosen, shots)
        if shots is not None and len(source) < len(set(shots)):
            missing = sorted(set(shots) - set(source.ids))
            raise UnknownIdError("shots that no store holds", got=some(missing))
        if cluster is not None:
            lists = self._on_cluster(cluster, chosen, topics, query_mode, source, k)
        else:
            scorers = self._scorers(chosen, topics, query_mode)
            lists = search(
                scorers, topics.ids, source, k=k, reporter=self.reporter, state=state, cancelled=cancelled
            )  # fmt: skip
        return {name: _run(name, ranked) for name, ranked in lists.items()}

    def scores(
        self,
        question: TopicSet | str,
        shots: Sequence[str],
        *,
        query_mode: str = "query",
        systems: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The scores of given shots, whether or not they would be in a list.

        Args:
            shots: S ids.

        Returns:
            Name of a system -> (T, S) float64, NaN where the system cannot score a shot.
        """
        topics = as_topics(question)
        chosen = self._chosen(systems)
        source = self.source(chosen, shots)
        column = {shot: place for place, shot in enumerate(shots)}
        columns = np.array([column[shot] for shot in source.ids], dtype=np.int64)
        scorers = self._scorers(chosen, topics, query_mode)
        scores = {scorer.name: np.full((len(topics), len(shots)), np.nan) for scorer in scorers}
        with self.reporter.stage(f"score with {len(scorers)} systems", len(source), "shots") as stage:
            for block in source.blocks():
                here = columns[block.first : block.first + block.count]
                for scorer in scorers:
                    values, present = scorer.score(block)
                    scored = here if present is None else here[present]
                    scores[scorer.name][:, scored] = values.float().cpu().numpy()
                stage.advance(block.count)
        return scores

    def source(self, systems: Sequence[System], shots: Collection[str] | None = None) -> BlockSource:
        """The stores that `systems` read, in blocks. That of all shots is kept for the next question."""
        names = frozenset(name for system in systems for name in self.features_of(system))
        stores = {name: store for name, store in self.stores.items() if name in names}
        if shots is not None:
            return BlockSource(stores, device=self.device, dtype=self.dtype, shots=shots)
        if names not in self._sources:
            self._warn_of_other_collections(stores)
            self._sources[names] = BlockSource(stores, device=self.device, dtype=self.dtype)
        return self._sources[names]

    def _warn_of_other_collections(self, stores: Mapping[str, Features]) -> None:
        """Say so if stores have no shot in common: a list of one is not comparable with a list of the other."""
        first, *others = stores.values()
        for other in others:
            if other.ids != first.ids and set(first.ids).isdisjoint(other.ids):
                self.reporter.say(
                    f"warning: {first.folder} and {other.folder} have no shot in common: are they of one collection?"
                )

    def model(self, checkpoint: Checkpoint) -> TrainedModel:
        """The trained model of a checkpoint. Models that read the same text tower share it."""
        key = str(checkpoint.folder)
        if key not in self._models:
            self._models[key] = load_trained(
                checkpoint, locations=self.locations, device=self.device, towers=self._towers
            )
        return self._models[key]

    def encoder(self, spec: EmbedderSpec) -> TextEmbedder:
        """The encoder of `spec`, loaded when it is first needed."""
        if spec not in self._encoders:
            weights = self.locations.encoders.get(spec.name)
            self._encoders[spec] = load_embedder_for(spec, weights=weights, device=self.device)
        return self._encoders[spec]

    def encode(self, spec: EmbedderSpec, texts: Sequence[str]) -> np.ndarray:
        """(T, D) float32 vectors of texts by the encoder of `spec`."""
        return self.encoder(spec).encode_texts(texts)

    def _chosen(self, names: Collection[str] | None) -> list[System]:
        for name in names or ():
            if name not in self.systems:
                raise ConfigError(
                    f'unknown system "{name}"{did_you_mean(name, self.systems)}', wanted=some(self.systems, shown=8)
                )
        return [system for name, system in self.systems.items() if names is None or name in names]

    def features_of(self, system: System) -> Mapping[str, Features]:
        """The stores that a system reads, by name."""
        if isinstance(system.source, Checkpoint):
            return {name: self.stores[name] for name in system.source.video_features}
        return {name: store for name, store in self.stores.items() if store is system.source}

    def _on_cluster(
        self,
        request: ClusterRequest,
        systems: Sequence[System],
        topics: TopicSet,
        query_mode: str,
        source: BlockSource,
        k: int,
    ) -> dict[str, list[RankedList]]:
        """What search gives, found by the actors of a cluster."""
        asked = self._asked(systems, topics, query_mode)
        stores = {name: self.stores[name] for name in source.features}
        read = {system.name: tuple(self.features_of(system)) for system in systems}
        opening = opening_of(stores, asked, read, topics.ids, self.dtype)
        return search_on_cluster(
            opening, list(asked), topics.ids, source.ids,
            k=k, request=request, threads=torch.get_num_threads(), reporter=self.reporter,
        )  # fmt: skip

    def _asked(
        self, systems: Sequence[System], topics: TopicSet, query_mode: str
    ) -> dict[str, tuple[System, Tensor | np.ndarray]]:
        """Name of a system -> the system, and the topics as it compares them with shots."""
        queries = [topic.query(query_mode) for topic in topics]
        encoded: dict[EmbedderSpec, np.ndarray] = {}
        asked: dict[str, tuple[System, Tensor | np.ndarray]] = {}
        for system in systems:
            if isinstance(system.source, Checkpoint):
                asked[system.name] = system, self._embedded(system.name, system.source, topics, queries)
                continue
            spec = system.source.spec
            if spec not in encoded:
                encoded[spec] = self.encode(spec, queries)
            asked[system.name] = system, encoded[spec]
        return asked

    def _scorers(self, systems: Sequence[System], topics: TopicSet, query_mode: str) -> list[Scorer]:
        scorers: list[Scorer] = []
        for system, queries in self._asked(systems, topics, query_mode).values():
            if isinstance(queries, Tensor):
                assert isinstance(system.source, Checkpoint)
                scorers.append(ModelScorer(system.name, self.packed(system.name, system.source), queries))
                continue
            store = system.source
            assert not isinstance(store, Checkpoint)
            scorers.append(
                CosineScorer(
                    system.name,
                    queries,
                    topics=topics.ids,
                    store=store,
                    feature=next(iter(self.features_of(system))),
                    query_spec=store.spec,  # load_embedder_for has compared it with the encoder's
                    frame_score=system.frame_score,
                )
            )
        return scorers

    def model_scorer(
        self, name: str, checkpoint: Checkpoint, topics: TopicSet, queries: Sequence[str], *, quiet: bool = False
    ) -> ModelScorer:
        """The scorer of a trained model for the texts of topics.

        Args:
            quiet: do not report the words that the model does not know.

        Raises:
            ConfigError: the model reads every text together with every video.
            DataError: of some texts it knows no word.
        """
        embedded = self._embedded(name, checkpoint, topics, queries, quiet=quiet)
        return ModelScorer(name, self.packed(name, checkpoint), embedded)

    def _embedded(
        self, name: str, checkpoint: Checkpoint, topics: TopicSet, queries: Sequence[str], *, quiet: bool = False
    ) -> Tensor:
        """(T, E) embeddings of the topics by a trained model."""
        trained = self.model(checkpoint)
        if trained.model.pairwise:
            self._refuse_pairs(checkpoint)
        for line in [] if quiet else trained.unknown_words(queries, topics.ids):
            self.reporter.say(f"{name}: {line}")
        return trained.embed(queries, topics.ids)

    def packed(self, name: str, checkpoint: Checkpoint) -> PackedModel:
        """The trained model, prepared for searching.

        Raises:
            ConfigError: the model reads every text together with every video.
        """
        if self.model(checkpoint).model.pairwise:
            self._refuse_pairs(checkpoint)
        if name not in self._packed:
            model = self.model(checkpoint).model
            self._packed[name] = PackedModel(model, device=self.device, dtype=getattr(torch, self.dtype))
        return self._packed[name]

    def _refuse_pairs(self, checkpoint: Checkpoint) -> None:
        """Say what to do with a model that scores text and video together.

        Raises:
            ConfigError: always.
        """
        stores = " ".join(f"--store {typed(self.stores[name].folder)}" for name in checkpoint.video_features)
        model = f"--checkpoint {typed(checkpoint.folder)} {stores}"
        raise ConfigError(
            "the model reads every text together with every video, so it cannot search a collection",
            where=checkpoint.folder,
            next_step=f"search with another model, then rerank its list with this one: avs rerank LIST --method model "
            f"{model} --topics TOPICS --alpha 0 -o OUT.trec; or score captioned videos: avs eval-retrieval {model} "
            "--captions CAPTIONS",
        )


def as_topics(question: TopicSet | str) -> TopicSet:
    """Topics as they are; a sentence as the only topic."""
    return TopicSet([Topic(SENTENCE, question)]) if isinstance(question, str) else question


def _run(name: str, lists: Sequence[RankedList]) -> Run:
    return Run({ranked.topic: ranked for ranked in lists}, name)
