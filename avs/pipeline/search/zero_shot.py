"""Captions against videos, zero-shot: the encoder of a store for the texts, CLIP-straight for the frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.captions import CaptionSet
from avs.core.errors import Problems, UnknownIdError
from avs.core.progress import Reporter
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder_for
from avs.models.clip_straight import Aggregation, aggregate, score_matrices

CAPTIONS_AT_ONCE = 1024  # between two steps of the progress bar


@dataclass(frozen=True, slots=True)
class RetrievalSystem:
    """Something that scores captions against videos.

    Attributes:
        name: in the table.
        matrices: the (T, V) scores of the captions and of their videos; of several, every query's best rank counts.
    """

    name: str
    matrices: Iterator[np.ndarray]


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """A store searched with the encoder that made it.

    Attributes:
        store: of either level.
        weights: where its encoder lies now; None: where it lay.
        how: aggregation of the rows of a shot; the one row of a shot is its own mean.
        k, seed: of k-means.
    """

    store: FeatureStore
    weights: str | None
    how: Aggregation
    k: int
    seed: int

    @property
    def name(self) -> str:
        """features/mini-clip/frame gives `mini-clip-frame mean`, features/mini-clip/shot `mini-clip-shot`."""
        folder = self.store.folder.resolve()
        words = [f"{folder.parent.name}-{folder.name}"]
        if self.store.level == "frame":
            words.append(f"{self.how} {self.k}" if self.how.startswith("kmeans") else self.how)
        return " ".join(words)


def require_videos(captions: CaptionSet, stores: Sequence[FeatureStore]) -> None:
    """Check that every store has every video that is described.

    Raises:
        UnknownIdError: naming every video that a store lacks.
    """
    problems = Problems(f"videos of {captions.name} without features")
    for store in stores:
        there = set(store.ids)
        failed = {problem.shot: f" ({problem.reason})" for problem in store.problems if problem.status == "failed"}
        for video in captions.videos:
            if video not in there:
                problems.add(video, f"not in {store.folder}{failed.get(video, '')}")
    problems.raise_if_any(
        UnknownIdError, next_step="extract their features, or take the captions of the store's videos (--split)"
    )


def zero_shot_systems(
    plans: Sequence[ZeroShot], captions: CaptionSet, *, device: str, reporter: Reporter
) -> Iterator[RetrievalSystem]:
    """The stores scored one after another, each only when its matrices are asked for.

    A sentence that stands twice is encoded once, so that its scores are the same to the last bit.

    Args:
        device: of the encoders.

    Raises:
        As load_embedder_for and models.clip_straight.aggregate.
    """
    position = {text: place for place, text in enumerate(dict.fromkeys(captions.texts))}
    row_of = np.array([position[text] for text in captions.texts])
    encoded: dict[EmbedderSpec, np.ndarray] = {}
    for plan in plans:
        if plan.store.spec not in encoded:
            encoded[plan.store.spec] = _encode(plan, list(position), device, reporter)
        texts = encoded[plan.store.spec]
        yield RetrievalSystem(plan.name, (scores[row_of] for scores in _scores(plan, texts, captions.videos, reporter)))


def _encode(plan: ZeroShot, texts: Sequence[str], device: str, reporter: Reporter) -> np.ndarray:
    """(T, D) vectors of texts."""
    embedder = load_embedder_for(plan.store.spec, weights=plan.weights, device=device)
    parts = []
    with reporter.stage(f"encode {plan.store.spec.name}", len(texts), "captions") as stage:
        for first in range(0, len(texts), CAPTIONS_AT_ONCE):
            parts.append(embedder.encode_texts(texts[first : first + CAPTIONS_AT_ONCE]))
            stage.advance(len(parts[-1]))
    return np.concatenate(parts)


def _scores(plan: ZeroShot, texts: np.ndarray, videos: Sequence[str], reporter: Reporter) -> Iterator[np.ndarray]:
    """The score matrices of texts and videos, in the order of `videos`."""
    with reporter.stage(f"aggregate {plan.name}", len(videos), "videos") as stage:

        def frames() -> Iterator[tuple[str, np.ndarray]]:
            for video in videos:
                yield video, plan.store.frames(video)
                stage.advance()

        prototypes = aggregate(frames(), plan.how, k=plan.k, seed=plan.seed)
    yield from score_matrices(texts, prototypes, plan.how)
