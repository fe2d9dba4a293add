"""`avs eval-retrieval`: captions against videos, by trained models or zero-shot, and the ranks of every query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avs.captions.read import read_captions
from avs.core.artifacts import Manifest, atomic_write, is_up_to_date, write_artefact
from avs.core.captions import CaptionSet
from avs.core.contents import content_fingerprint
from avs.core.errors import ConfigError, Problems, UnknownIdError
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.embedder import require_text_side
from avs.metrics.text_to_video import (
    PROTOCOLS,
    TIES,
    CaptionProtocol,
    Ranking,
    RetrievalScores,
    Ties,
    best_of,
    rank_captions,
    rank_videos,
)
from avs.models.clip_straight import Aggregation, aggregate, score_matrices
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import System, locations_of, model_system
from avs.pipeline.train.collections import CaptionedCollection, require_known_videos, video_table
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.embed import similarities

CAPTIONS_AT_ONCE = 1024  # between two steps of the progress bar
RankingKind = tuple[
    CaptionProtocol | None, Ties
]  # protocol of video to text, None for text to video; and how ties count


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the frames of a video become what a caption is compared with, as CLIP-straight does.

    Attributes:
        method: one of models.clip_straight; the one row of a shot is its own mean.
        k: number of centroids, for k-means.
        seed: of k-means.
    """

    method: Aggregation = "mean"
    k: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShot:
    """A store searched with the encoder that made it."""

    store: FeatureStore
    pooling: Pooling

    @property
    def name(self) -> str:
        """features/mini-clip/frame gives `mini-clip-frame mean`, features/mini-clip/shot `mini-clip-shot`."""
        folder = self.store.folder.resolve()
        words = [f"{folder.parent.name}-{folder.name}"]
        if self.store.level == "frame":
            method = self.pooling.method
            words.append(f"{method} {self.pooling.k}" if method.startswith("kmeans") else method)
        return " ".join(words)


def open_zero_shot(stores: Iterable[Features], method: Aggregation | None, k: int | None, seed: int) -> list[ZeroShot]:
    """The zero-shot systems of stores.

    Args:
        method: for frame-level stores; None: "mean".
        k: for k-means alone.

    Raises:
        ConfigError: options that do not fit each other or the stores.
    """
    if (method or "mean").startswith("kmeans") != (k is not None):
        raise ConfigError("--k is the number of centroids of k-means", got=f"--aggregate {method or 'mean'}, --k {k}")
    systems = []
    for store in stores:
        require_text_side(store.spec, where=store.folder)
        assert isinstance(store, FeatureStore)  # only those have a text side
        if method and store.level == "shot":
            raise ConfigError("--aggregate is for frame-level stores", where=store.folder, got="a shot-level store")
        if store.spec.pooling == "queries":
            raise ConfigError(
                "CLIP-straight aggregates one vector per frame", where=store.folder, got='pooling "queries"'
            )
        systems.append(ZeroShot(store, Pooling(method or "mean", k or 1, seed)))
    return systems


class CaptionRetrieval:
    """Captions, the systems that rank videos for them, and the rankings that are wanted.

    Args:
        captions: the captions; the videos that they describe are searched.
        checkpoints: trained models.
        zero_shot: stores that are searched with their own encoders.
        searcher: the opened systems.

    Raises:
        UnknownIdError: a store lacks videos that are described; a video has none of a model's features.
    """

    def __init__(
        self, captions: CaptionSet, checkpoints: Sequence[Checkpoint], zero_shot: Sequence[ZeroShot], searcher: Searcher
    ) -> None:
        self.captions, self.checkpoints, self.zero_shot, self.searcher = captions, checkpoints, zero_shot, searcher
        _require_videos(captions, [one.store for one in zero_shot])
        if checkpoints:
            collection = CaptionedCollection(captions.name, captions, searcher.stores)
            for checkpoint in checkpoints:
                require_known_videos(collection, list(checkpoint.video_features), where=captions.name)

    @property
    def warnings(self) -> list[str]:
        """One for each model whose best epoch was chosen on videos that these captions describe."""
        videos = {name for video in self.captions.videos for name in (video, f"shot{video}_1")}
        shared = {
            checkpoint.folder: len(videos.intersection(checkpoint.selected_on)) for checkpoint in self.checkpoints
        }
        return [
            f"warning: {folder} was selected on {count} of these {len(self.captions.videos)} videos, so its scores on "
            f"them say nothing about others"
            for folder, count in shared.items()
            if count
        ]

    def manifest(self, kinds: Sequence[RankingKind]) -> Manifest:
        """What decides the ranks of every query."""
        systems = {one.name: {"seed": one.pooling.seed, "model": one.store.spec.revision} for one in self.zero_shot}
        inputs = {one.name: content_fingerprint(one.store.manifest) for one in self.zero_shot}
        inputs |= {str(checkpoint.folder): checkpoint.fingerprint for checkpoint in self.checkpoints}
        config = {"systems": systems, "ways": kinds}
        return Manifest("query-ranks", config, {"captions": self.captions.fingerprint, **inputs})

    def rankings(self, kinds: Sequence[RankingKind]) -> dict[str, list[Ranking]]:
        """Name of a system -> a ranking of each kind. Of several score matrices, every query's best rank counts.

        Raises:
            DataError: a model knows no word of a caption.
        """
        return {
            name: [best_of(rankings) for rankings in zip(*by_matrix, strict=True)]
            for name, by_matrix in (
                (name, [[self._ranking(scores, *kind) for kind in kinds] for scores in matrices])
                for name, matrices in self._score_matrices()
            )
        }

    def _ranking(self, scores: np.ndarray, protocol: CaptionProtocol | None, ties: Ties) -> Ranking:
        if protocol is None:
            return rank_videos(scores, self.captions.video_of, ties=ties)
        return rank_captions(scores, self.captions.video_of, protocol=protocol, ties=ties)

    def _score_matrices(self) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
        """Every system with its (T, V) score matrices, each system only when it is asked for."""
        captions, searcher = self.captions, self.searcher
        for checkpoint in self.checkpoints:
            trained = searcher.model(checkpoint)
            texts = trained.read(captions.texts, captions.ids, noun="caption")
            collection = CaptionedCollection(captions.name, captions, searcher.stores)
            videos = video_table([collection], list(checkpoint.video_features))
            searcher.reporter.say(f"score {trained.name}")
            yield trained.name, iter([similarities(trained.model, texts, videos, device=searcher.device)])
        # a sentence that occurs twice is encoded once, so that its scores are the same to the last bit
        position = {text: place for place, text in enumerate(dict.fromkeys(captions.texts))}
        row_of = np.array([position[text] for text in captions.texts])
        encoded: dict[object, np.ndarray] = {}
        for one in self.zero_shot:
            if one.store.spec not in encoded:
                encoded[one.store.spec] = self._encode(one.store, list(position))
            yield one.name, (scores[row_of] for scores in self._zero_shot_scores(one, encoded[one.store.spec]))

    def _encode(self, store: FeatureStore, texts: Sequence[str]) -> np.ndarray:
        """(T, D) vectors of texts."""
        parts = []
        with self.searcher.reporter.stage(f"encode {store.spec.name}", len(texts), "captions") as stage:
            for first in range(0, len(texts), CAPTIONS_AT_ONCE):
                parts.append(self.searcher.encode(store.spec, texts[first : first + CAPTIONS_AT_ONCE]))
                stage.advance(len(parts[-1]))
        return np.concatenate(parts)

    def _zero_shot_scores(self, one: ZeroShot, texts: np.ndarray) -> Iterator[np.ndarray]:
        """The score matrices of texts and the captioned videos."""
        videos, pooling = self.captions.videos, one.pooling
        with self.searcher.reporter.stage(f"aggregate {one.name}", len(videos), "videos") as stage:

            def frames() -> Iterator[tuple[str, np.ndarray]]:
                for video in videos:
                    yield video, one.store.frames(video)
                    stage.advance()

            prototypes = aggregate(frames(), pooling.method, k=pooling.k, seed=pooling.seed)
        yield from score_matrices(texts, prototypes, pooling.method)


@dataclass(frozen=True, slots=True)
class RetrievalInputs:
    """What is evaluated, with what.

    Attributes:
        captions: caption file; captions_format and split as read_captions takes them.
        stores: folders of feature stores of the videos.
        checkpoints: folders of trained models.
        zero_shot: also search with the stores' own encoders, beside the models.
        weights: current locations of the stores' encoders, one per store; empty: where they were.
        word2vec: current location of the models' word vectors.
    """

    captions: Path
    captions_format: str | None
    split: str | None
    stores: Sequence[Path]
    checkpoints: Sequence[Path]
    zero_shot: bool
    weights: Sequence[str]
    word2vec: Path | None


def evaluate_captions(
    inputs: RetrievalInputs,
    *,
    method: Aggregation | None,
    k: int | None,
    seed: int,
    kinds: Sequence[RankingKind],
    per_query: Path | None,
    device: str,
    force: bool,
    reporter: Reporter,
) -> tuple[dict[str, list[RetrievalScores]], CaptionSet]:
    """Name of a system -> its scores, a ranking of each kind; and the captions.

    Args:
        method, k, seed: as of open_zero_shot.
        per_query: file to write the rank of every query to.
        force: replace the file when it was made from other inputs.

    Raises:
        ConfigError: options that do not fit together; two systems of one name.
        SpecMismatchError: the stores are not from the encoders that a model was trained with.
        ChangedInputsError: `per_query` was made from other inputs, and `force` is off.
    """
    stores = [open_features(folder) for folder in inputs.stores]
    checkpoints = [read_checkpoint(folder) for folder in inputs.checkpoints]
    searched = stores if inputs.zero_shot or not checkpoints else []
    zero_shot = open_zero_shot(searched, method, k, seed)
    captions = read_captions(inputs.captions, format=inputs.captions_format, split=inputs.split)
    systems = [*(model_system(one) for one in checkpoints), *(System(one.name, one.store) for one in zero_shot)]
    locations = locations_of(stores, inputs.weights, inputs.word2vec)
    searcher = Searcher(systems, stores, locations=locations, device=device, reporter=reporter)
    retrieval = CaptionRetrieval(captions, checkpoints, zero_shot, searcher)
    for warning in retrieval.warnings:
        reporter.say(warning)
    manifest = retrieval.manifest(kinds)
    write = per_query is not None and not is_up_to_date(per_query, manifest, force=force, reporter=reporter)
    reporter.say(f"{captions.name}: {len(captions)} captions of {len(captions.videos)} videos")
    rankings = retrieval.rankings(kinds)
    if per_query is not None and write:
        write_query_ranks(per_query, rankings, captions, manifest)
        reporter.say(f"wrote {per_query}")
    return {name: [RetrievalScores.of(one) for one in of_system] for name, of_system in rankings.items()}, captions


def ranking_kinds(directions: str, protocol: str, ties: str) -> list[RankingKind]:
    """The rankings to make of a score matrix, in the order of the table; "both" is both of each."""
    text_to_video: list[CaptionProtocol | None] = [None] if directions != "v2t" else []
    video_to_text = [p for p in PROTOCOLS if protocol in (p, "both")] if directions != "t2v" else []
    return [(p, t) for p in (*text_to_video, *video_to_text) for t in TIES if ties in (t, "both")]


def write_query_ranks(
    path: Path, rankings: Mapping[str, Sequence[Ranking]], captions: CaptionSet, manifest: Manifest
) -> None:
    """A line for every system, ranking and query: the id of the caption or of the video, its rank and AP."""

    def write(target: Path) -> None:
        with atomic_write(target) as file:
            file.write("system\tdirection\tprotocol\tties\tquery\trank\taverage_precision\n")
            for system, of_system in rankings.items():
                for ranking in of_system:
                    ids = captions.ids if ranking.direction == "t2v" else captions.videos
                    kind = f"{system}\t{ranking.direction}\t{ranking.protocol or '-'}\t{ranking.ties}"
                    rows = zip(ranking.queries.tolist(), ranking.ranks.tolist(), ranking.average_precision, strict=True)
                    file.writelines(f"{kind}\t{ids[query]}\t{rank}\t{ap:.6f}\n" for query, rank, ap in rows)

    write_artefact(path, manifest, write)


def _require_videos(captions: CaptionSet, stores: Sequence[FeatureStore]) -> None:
    """Check that every store has every video that is described.

    Raises:
        UnknownIdError: naming every video that a store lacks.
    """
    problems = Problems(f"videos of {captions.name} without features")
    for store in stores:
        ids = set(store.ids)
        reasons = {problem.shot: f" ({problem.reason})" for problem in store.problems if problem.status == "failed"}
        for video in captions.videos:
            if video not in ids:
                problems.add(video, f"not in {store.folder}{reasons.get(video, '')}")
    problems.raise_if_any(
        UnknownIdError, next_step="extract their features, or take the captions of the store's videos (--split)"
    )
