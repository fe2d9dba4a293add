"""CLIP-straight (Portillo-Quintero, Ortiz-Bayliss, Terashima-Marin, MCPR 2021): frames to a vector, and no training.

The vectors of a video's frames are aggregated. The score is the cosine with the vector of the text:

    single           A_s: frame 30, about one second in at 30 frames a second
    mean             A_avg: the mean of the frames, which the authors chose
    kmeans_minrank   A_k as the paper evaluates it: ranking i orders the videos by their centroid i, and every query
                     keeps the best of its k ranks. The numbers of the centroids are arbitrary, and the best rank is
                     known only with the answer: use it to compare with the paper
    kmeans_maxsim    A_k as in the authors' notebook: the score of a video is that of its best centroid. This is one
                     ranking, which a search can use

Frames, aggregates and texts are scaled to length 1 first. The paper takes all frames of a video; a store contains the
frames of its sampling policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from avs.core.errors import ConfigError, DataError

Aggregation = Literal["single", "mean", "kmeans_minrank", "kmeans_maxsim"]
AGGREGATIONS: tuple[Aggregation, ...] = ("single", "mean", "kmeans_minrank", "kmeans_maxsim")
SINGLE_FRAME = 29  # column 30 of the paper, which counts from 1


def aggregate(videos: Iterable[tuple[str, np.ndarray]], how: Aggregation, *, k: int = 1, seed: int = 0) -> np.ndarray:
    """(V, K, D) float32 vectors of length 1: one per video, or its K = k centroids with k-means.

    The paper leaves two cases open. Here "single" takes the last frame of a video that has fewer than 30, and a video
    with fewer than k different frames has these as its centroids, repeated.

    Args:
        videos: id and (F, D) frames of each video, in time order.
        how: one of AGGREGATIONS.
        k: number of centroids per video; the paper tries 2 to 10.
        seed: random seed for k-means. It is set again for every video, so centroids do not depend on other videos.

    Raises:
        ConfigError: no such aggregation, or k below 1.
        DataError: a video without frames, or a frame or an aggregate whose length is 0 or not finite; names the video.
    """
    if how not in AGGREGATIONS or k < 1:
        raise ConfigError("no such aggregation", got=f"{how}, k={k}", wanted=f"{', '.join(AGGREGATIONS)}; k from 1")
    prototypes = []
    for video, frames in videos:
        if not len(frames):
            raise DataError("a video without frames", where=video)
        unit = _unit(frames.astype(np.float64), where=video)
        if how == "single":
            chosen = unit[[min(SINGLE_FRAME, len(unit) - 1)]]
        elif how == "mean":
            chosen = unit.mean(axis=0, keepdims=True)
        else:
            chosen = _centroids(unit, k, seed)
        prototypes.append(_unit(chosen, where=video).astype(np.float32))
    return np.stack(prototypes)


def score_matrices(texts: np.ndarray, prototypes: np.ndarray, how: Aggregation) -> Iterator[np.ndarray]:
    """(T, V) float32 cosines of texts and videos: one matrix, or K for "kmeans_minrank", whose best ranks count.

    Transposed, a matrix ranks texts for each video.

    Args:
        texts: (T, D).
        prototypes: (V, K, D) vectors from `aggregate`.
        how: the aggregation they come from.

    Raises:
        DataError: a text whose vector has length 0, is not finite, or has another dimension than the videos.
    """
    if texts.ndim != 2 or texts.shape[1] != prototypes.shape[2]:
        raise DataError("texts and videos of different spaces", got=texts.shape, wanted=f"(T, {prototypes.shape[2]})")
    queries = _unit(texts.astype(np.float32), where="the texts")
    products = (queries @ prototypes[:, i].T for i in range(prototypes.shape[1]))  # (T, D) @ (D, V) -> (T, V)
    if how == "kmeans_minrank":
        yield from products
        return
    best = next(products)
    for scores in products:
        np.maximum(best, scores, out=best)
    yield best


def _centroids(frames: np.ndarray, k: int, seed: int) -> np.ndarray:
    """(k, D) k-means centroids of (F, D) frames; the different frames, repeated, where there are fewer than k."""
    first_seen = np.sort(np.unique(frames, axis=0, return_index=True)[1])
    if len(first_seen) <= k:
        return frames[np.resize(first_seen, k)]
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # too few frames per video to share: with more threads it takes 50 times longer
        centroids: np.ndarray = KMeans(k, n_init=10, random_state=seed).fit(frames).cluster_centers_
    return centroids


def _unit(vectors: np.ndarray, *, where: str) -> np.ndarray:
    """(N, D) vectors of length 1."""
    lengths = np.linalg.norm(vectors, axis=1)
    for row in np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))[:1].tolist():
        raise DataError("a vector is zero or not finite", where=f"{where}, row {row}", got=f"length {lengths[row]}")
    unit: np.ndarray = vectors / lengths[:, None]
    return unit
