"""`avs eval-retrieval`: captions against videos, by trained models or zero-shot, and the ranks of every query."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from avs.captions.didemo import RETRIEVAL_S, spans
from avs.captions.per_video import CaptionsPerVideo
from avs.captions.read import CaptionFile, read_caption_file
from avs.core.artifacts import Manifest, atomic_write, is_up_to_date, require_path, write_artefact
from avs.core.captions import CaptionSet
from avs.core.contents import content_fingerprint
from avs.core.errors import ConfigError
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.shots import read_shot_table
from avs.core.store import FeatureStore
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
from avs.models.clip_straight import Aggregation
from avs.pipeline.search.rank_plot import draw_ranks, require_png, video_lengths_s, write_rank_plot
from avs.pipeline.search.searcher import Searcher
from avs.pipeline.search.system import System, locations_of, model_system
from avs.pipeline.search.trained import TrainedModel
from avs.pipeline.search.zero_shot import CaptionedFrames, Spans, ZeroShot, open_zero_shot
from avs.pipeline.train.collections import CaptionedCollection, require_known_videos, video_table
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.data import FeatureTable
from avs.train.embed import similarities
from avs.video.find import video_id

CAPTIONS_AT_ONCE = 1024  # between two steps of the progress bar
PAIRED_CAPTIONS_AT_ONCE = 16  # the same for a model whose pairs of caption and video are passes of their own
MOST_PAIRS = 2_000_000  # that such a model scores unless told: 2.5 hours of one core with the sizes of ViT-B/32
RankingKind = tuple[
    CaptionProtocol | None, Ties
]  # protocol of video to text, None for text to video; and how ties count


class CaptionRetrieval:
    """Captions, the systems that rank videos for them, and the rankings that are wanted.

    Args:
        captions: the captions; the videos that they describe are searched.
        checkpoints: trained models.
        zero_shot: stores that are searched with their own encoders.
        searcher: the opened systems.
        seen: the stretches of the videos whose frames count in the zero-shot search; None: all.

    Raises:
        UnknownIdError: a store lacks videos that are described; a video has none of a model's features.
    """

    def __init__(
        self,
        captions: CaptionSet,
        checkpoints: Sequence[Checkpoint],
        zero_shot: Sequence[ZeroShot],
        searcher: Searcher,
        seen: Spans | None = None,
    ) -> None:
        self.captions, self.checkpoints, self.zero_shot, self.searcher = captions, checkpoints, zero_shot, searcher
        self.seen = seen
        stores = list({one.store.folder: one.store for one in zero_shot}.values())
        self.frames = CaptionedFrames(captions.name, captions.videos, stores, seen)
        if checkpoints:
            collection = CaptionedCollection(captions.name, captions, searcher.stores)
            for checkpoint in checkpoints:
                require_known_videos(collection, list(checkpoint.video_features), where=captions.name)

    @property
    def warnings(self) -> list[str]:
        """One for each model whose best epoch was chosen on videos that these captions describe."""
        videos = {name for video in self.captions.videos for name in (video, f"shot{video_id(video)}_1")}
        shared = {
            checkpoint.folder: len(videos.intersection(checkpoint.selected_on)) for checkpoint in self.checkpoints
        }
        return [
            f"warning: {folder} was selected on {count} of these {len(self.captions.videos)} videos, so its scores on "
            f"them say nothing about others"
            for folder, count in shared.items()
            if count
        ]

    def require_few_pairs(self, most: int) -> None:
        """Say how many pairs each model scores that reads captions and videos together.

        Raises:
            ConfigError: a model would score more than `most`.
        """
        pairs = len(self.captions) * len(self.captions.videos)
        sizes = f"{len(self.captions):,} captions and {len(self.captions.videos):,} videos"
        paired = [self.searcher.model(checkpoint) for checkpoint in self.checkpoints]
        names = [trained.name for trained in paired if trained.model.pairwise]
        if names and pairs > most:
            raise ConfigError(
                f"{', '.join(names)}: too many pairs of caption and video, each of which is a pass of its own",
                got=f"{pairs:,} pairs of {sizes}",
                wanted=f"at most {most:,}",
                next_step=f"score fewer captions (--captions-per-video first, --split), or all: --most-pairs {pairs}",
            )
        for name in names:
            self.searcher.reporter.say(f"{name}: {pairs:,} pairs of {sizes}, each in a pass of its own")

    def manifest(self, kinds: Sequence[RankingKind]) -> Manifest:
        """What decides the ranks of every query."""
        systems = {one.name: {"seed": one.pooling.seed, "model": one.store.spec.revision} for one in self.zero_shot}
        inputs = {one.name: content_fingerprint(one.store.manifest) for one in self.zero_shot}
        inputs |= {str(checkpoint.folder): checkpoint.fingerprint for checkpoint in self.checkpoints}
        config = {"systems": systems, "ways": kinds}
        if self.seen is not None:
            inputs["seen"] = _sha256(json.dumps(dict(self.seen)).encode())
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
            yield trained.name, iter([self._similarities(trained, texts, videos)])
        # a sentence that occurs twice is encoded once, so that its scores are the same to the last bit
        position = {text: place for place, text in enumerate(dict.fromkeys(captions.texts))}
        row_of = np.array([position[text] for text in captions.texts])
        encoded: dict[object, np.ndarray] = {}
        for one in self.zero_shot:
            if one.store.spec not in encoded:
                encoded[one.store.spec] = self._encode(one.store, list(position))
            matrices = self.frames.score_matrices(one, encoded[one.store.spec], searcher.reporter)
            yield one.name, (scores[row_of] for scores in matrices)

    def _similarities(self, trained: TrainedModel, texts: FeatureTable, videos: FeatureTable) -> np.ndarray:
        """(T, V) scores by a model; with progress, where every pair is a pass of its own."""
        device = self.searcher.device
        if not trained.model.pairwise:
            return similarities(trained.model, texts, videos, device=device)
        parts = []
        with self.searcher.reporter.stage(f"score with {trained.name}", len(texts), "captions") as stage:
            for first in range(0, len(texts), PAIRED_CAPTIONS_AT_ONCE):
                some = texts.select(np.arange(first, min(first + PAIRED_CAPTIONS_AT_ONCE, len(texts))))
                parts.append(similarities(trained.model, some, videos, device=device))
                stage.advance(len(some))
        return np.concatenate(parts)

    def _encode(self, store: FeatureStore, texts: Sequence[str]) -> np.ndarray:
        """(T, D) vectors of texts."""
        parts = []
        with self.searcher.reporter.stage(f"encode {store.spec.name}", len(texts), "captions") as stage:
            for first in range(0, len(texts), CAPTIONS_AT_ONCE):
                parts.append(self.searcher.encode(store.spec, texts[first : first + CAPTIONS_AT_ONCE]))
                stage.advance(len(parts[-1]))
        return np.concatenate(parts)


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
        captions_per_video: which captions of a video count.
        proposals: DiDeMo: only the frames of the described moments count, not those of the first 31 seconds.
        shots: shot table with the lengths of the videos, for the plot.
    """

    captions: Path
    captions_format: str | None
    split: str | None
    stores: Sequence[Path]
    checkpoints: Sequence[Path]
    zero_shot: bool
    weights: Sequence[str]
    word2vec: Path | None
    captions_per_video: CaptionsPerVideo = "all"
    proposals: bool = False
    shots: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalReport:
    """The scores of systems, and what was searched.

    Attributes:
        scores: name of a system -> its scores, one for each kind of ranking.
        captions: that were the queries.
        aggregations: name of a zero-shot system -> the paper's name of its aggregation.
    """

    scores: dict[str, list[RetrievalScores]]
    captions: CaptionSet
    aggregations: dict[str, str]


def evaluate_captions(
    inputs: RetrievalInputs,
    *,
    method: Aggregation | Literal["all"] | None,
    k: int | None,
    seed: int,
    kinds: Sequence[RankingKind],
    per_query: Path | None,
    device: str,
    force: bool,
    reporter: Reporter,
    recall_at: Sequence[int] = (),
    plot: Path | None = None,
    most_pairs: int = MOST_PAIRS,
) -> RetrievalReport:
    """Rank the videos for every caption, and the captions for every video, with every system.

    Args:
        method, k, seed: as of open_zero_shot.
        per_query: file to write the rank of every query to.
        force: replace the files when they were made from other inputs.
        recall_at: ranks to give the recall at, besides 1, 5 and 10.
        plot: PNG to draw the ranks over the lengths of the videos to.
        most_pairs: that a model may score which reads captions and videos together.

    Raises:
        ConfigError: options that do not fit together; two systems of one name; too many pairs.
        SpecMismatchError: the stores are not from the encoders that a model was trained with.
        ChangedInputsError: `per_query` or `plot` was made from other inputs, and `force` is off.
    """
    if plot is not None:
        _require_plot(plot, inputs, kinds)
    stores = [open_features(folder) for folder in inputs.stores]
    checkpoints = [read_checkpoint(folder) for folder in inputs.checkpoints]
    searched = stores if inputs.zero_shot or not checkpoints else []
    zero_shot = open_zero_shot(searched, method, k, seed)
    file = read_caption_file(
        inputs.captions, format=inputs.captions_format, split=inputs.split, per_video=inputs.captions_per_video
    )
    captions, seen = file.captions, _seen(inputs, file, zero_shot, reporter)
    systems = [*(model_system(one) for one in checkpoints), *(System(one.name, one.store) for one in zero_shot)]
    locations = locations_of(stores, inputs.weights, inputs.word2vec)
    searcher = Searcher(systems, stores, locations=locations, device=device, reporter=reporter)
    retrieval = CaptionRetrieval(captions, checkpoints, zero_shot, searcher, seen)
    for line in [*retrieval.warnings, *([file.remark] if file.remark else [])]:
        reporter.say(line)
    retrieval.require_few_pairs(most_pairs)
    outputs = _Outputs(retrieval.manifest(kinds), per_query, plot, force, reporter)
    if plot is not None:
        outputs.measure_videos(captions, inputs.shots, stores)
    reporter.say(f"{captions.name}: {len(captions)} captions of {len(captions.videos)} videos")
    rankings = retrieval.rankings(kinds)
    outputs.write(rankings, captions)
    scores = {name: [RetrievalScores.of(one, recall_at) for one in rows] for name, rows in rankings.items()}
    return RetrievalReport(scores, captions, {one.name: one.pooling.in_paper for one in zero_shot})


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


class _Outputs:
    """The files to write, all of them checked before the ranking begins."""

    def __init__(
        self, manifest: Manifest, per_query: Path | None, plot: Path | None, force: bool, reporter: Reporter
    ) -> None:
        self.manifest, self.force, self.reporter = manifest, force, reporter
        self.per_query = per_query if per_query is not None and self._is_wanted(per_query, manifest) else None
        self.plot, self.plot_manifest, self.lengths_s = plot, manifest, np.zeros(0)

    def measure_videos(self, captions: CaptionSet, shots: Path | None, stores: Sequence[Features]) -> None:
        """Find the lengths that the plot shows; no plot is drawn if the same is there."""
        self.lengths_s = video_lengths_s(captions.videos, read_shot_table(shots) if shots else None, stores)
        inputs = {**self.manifest.inputs, "lengths": _sha256(self.lengths_s.tobytes())}
        self.plot_manifest = replace(self.manifest, type="rank-plot", inputs=inputs)
        if self.plot is not None and not self._is_wanted(self.plot, self.plot_manifest):
            self.plot = None

    def write(self, rankings: Mapping[str, Sequence[Ranking]], captions: CaptionSet) -> None:
        """Write what is wanted."""
        if self.per_query is not None:
            write_query_ranks(self.per_query, rankings, captions, self.manifest)
            self.reporter.say(f"wrote {self.per_query}")
        if self.plot is not None:
            forth = {name: next(r for r in rows if r.direction == "t2v") for name, rows in rankings.items()}
            write_rank_plot(self.plot, draw_ranks(forth, captions.video_of, self.lengths_s), self.plot_manifest)
            self.reporter.say(f"wrote {self.plot}")

    def _is_wanted(self, path: Path, manifest: Manifest) -> bool:
        return not is_up_to_date(path, manifest, force=self.force, reporter=self.reporter)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _require_plot(plot: Path, inputs: RetrievalInputs, kinds: Sequence[RankingKind]) -> None:
    require_png(plot)
    if all(protocol is not None for protocol, _ in kinds):
        raise ConfigError("--plot shows the ranks of captions, text to video", got="--directions v2t")
    if inputs.shots is not None:
        require_path(inputs.shots, what="shot table")


def _seen(
    inputs: RetrievalInputs, file: CaptionFile, zero_shot: Sequence[ZeroShot], reporter: Reporter
) -> Spans | None:
    """The stretches of videos that count: those of DiDeMo's protocol; None: all there is.

    Raises:
        ConfigError: proposals of another collection than DiDeMo, or for systems that have no times of frames.
    """
    paragraphs = file.format == "didemo" and inputs.captions_per_video == "paragraph"
    timed = [one for one in zero_shot if one.store.level == "frame"]
    if inputs.proposals and not (paragraphs and len(timed) == len(zero_shot) and not inputs.checkpoints):
        raise ConfigError(
            "--proposals is for paragraphs of DiDeMo, zero-shot in frame-level stores",
            got=f"captions in the format {file.format}, --captions-per-video {inputs.captions_per_video}, "
            f"{len(inputs.checkpoints)} checkpoints, {len(zero_shot) - len(timed)} shot-level stores",
            next_step="for a trained model or a shot-level store, extract features of shots that end where they should",
        )
    if not paragraphs or not timed:
        return None
    which = "the described moments" if inputs.proposals else f"the first {RETRIEVAL_S:g} s of a video"
    reporter.say(f"DiDeMo: frames within {which} count, in frame-level stores searched zero-shot")
    return spans(inputs.captions, file.captions.videos, proposals=inputs.proposals)
