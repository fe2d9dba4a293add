"""Stores searched with the encoders that made them, as CLIP-straight does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avs.core.errors import ConfigError, Problems, UnknownIdError
from avs.core.features import Features
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.embedder import require_text_side
from avs.models.clip_straight import Aggregation, aggregate, score_matrices
from avs.pipeline.train.collections import positions
from avs.video.find import video_id

Spans = Mapping[str, Sequence[tuple[float, float]]]  # video id -> stretches [start_s, end_s)


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

    @property
    def in_paper(self) -> str:
        """The paper's name: A_s, A_avg, A_2; "A_2 (maxsim)" is what its authors' notebook does instead of A_2."""
        named = {"single": "A_s", "mean": "A_avg", "kmeans_minrank": f"A_{self.k}"}
        return named.get(self.method, f"A_{self.k} (maxsim)")


STUDY = (  # of the paper, with the notebook's variant of k-means beside the paper's, which has the same centroids
    Pooling("single"),
    Pooling("mean"),
    *(Pooling(method, k) for k in range(2, 11) for method in ("kmeans_minrank", "kmeans_maxsim")),
)


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


def open_zero_shot(
    stores: Iterable[Features], method: Aggregation | Literal["all"] | None, k: int | None, seed: int
) -> list[ZeroShot]:
    """The zero-shot systems of stores.

    Args:
        method: for frame-level stores; None: "mean"; "all": every one of STUDY.
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
        if method == "all":
            systems += [ZeroShot(store, Pooling(one.method, one.k, seed)) for one in STUDY]
        else:
            systems.append(ZeroShot(store, Pooling(method or "mean", k or 1, seed)))
    return systems


class CaptionedFrames:
    """The frames of captioned videos, in the stores of zero-shot systems.

    Args:
        name: of the captions.
        videos: as the captions name them; a store may have `shot<video>_1` instead.
        stores: of the systems.
        seen: the stretches of each video that count, in frame-level stores; None: all.

    Raises:
        UnknownIdError: a store lacks videos, or has no frame of a video that counts; all of them at once.
    """

    def __init__(self, name: str, videos: Sequence[str], stores: Sequence[FeatureStore], seen: Spans | None) -> None:
        self._videos, self._seen = videos, seen
        self._prototypes: tuple[object, np.ndarray] | None = None
        problems = Problems(f"videos of {name} without features")
        for store in stores:
            reasons = {problem.shot: f" ({problem.reason})" for problem in store.problems if problem.status == "failed"}
            for video, place in zip(videos, positions(store, videos).tolist(), strict=True):
                if place < 0:
                    reason = reasons.get(video) or reasons.get(f"shot{video_id(video)}_1", "")
                    problems.add(video, f"not in {store.folder}{reason}")
                elif not len(self._frames(store, video, place)):
                    stretches = ", ".join(f"{start:g} to {end:g} s" for start, end in (seen or {})[video])
                    problems.add(video, f"no frame within {stretches} in {store.folder}")
        problems.raise_if_any(
            UnknownIdError, next_step="extract their features, or take the captions of the store's videos (--split)"
        )

    def score_matrices(self, one: ZeroShot, texts: np.ndarray, reporter: Reporter) -> Iterator[np.ndarray]:
        """The score matrices of (T, D) texts and the videos, as `models.clip_straight` gives them."""
        yield from score_matrices(texts, self._aggregated(one, reporter), one.pooling.method)

    def _aggregated(self, one: ZeroShot, reporter: Reporter) -> np.ndarray:
        """(V, K, D) prototypes. The last are kept: both ways to rank by k centroids need the same."""
        pooling = one.pooling
        kind = "kmeans" if pooling.method.startswith("kmeans") else pooling.method
        key = (one.store.folder, kind, pooling.k, pooling.seed)
        if self._prototypes is None or self._prototypes[0] != key:
            with reporter.stage(f"aggregate {one.name}", len(self._videos), "videos") as stage:

                def frames() -> Iterator[tuple[str, np.ndarray]]:
                    places = positions(one.store, self._videos).tolist()
                    for video, place in zip(self._videos, places, strict=True):
                        yield video, self._frames(one.store, video, place)
                        stage.advance()

                found = aggregate(frames(), pooling.method, k=pooling.k, seed=pooling.seed)
            self._prototypes = (key, found)
        return self._prototypes[1]

    def _frames(self, store: FeatureStore, video: str, place: int) -> np.ndarray:
        """(F, D) frames of a video that count, in time order; the one row of a shot-level store counts always."""
        if store.offsets is None or store.pts_s is None:
            return store.vectors[place : place + 1]
        rows = slice(int(store.offsets[place]), int(store.offsets[place + 1]))
        if self._seen is None:
            return store.vectors[rows]
        times_s = store.pts_s[rows]
        counts = np.any([(start <= times_s) & (times_s < end) for start, end in self._seen[video]], axis=0)
        frames: np.ndarray = store.vectors[rows][counts]
        return frames
