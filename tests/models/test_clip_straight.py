"""CLIP-straight: the aggregations, and the two readings of k centroids a video."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from avs.core.errors import ConfigError, DataError
from avs.models.clip_straight import AGGREGATIONS, Aggregation, aggregate, score_matrices

E1, E2 = np.eye(2)
KMEANS: tuple[Aggregation, ...] = ("kmeans_minrank", "kmeans_maxsim")


def of(frames: np.ndarray, how: Aggregation, **options: int) -> np.ndarray:
    """(K, D) aggregates of one video."""
    return aggregate([("v", np.asarray(frames, dtype=np.float32))], how, **options)[0]


def random_videos(count: int = 12, dim: int = 6) -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(f"v{i}", rng.normal(size=(rng.integers(2, 40), dim)).astype(np.float16)) for i in range(count)]


def test_identical_frames_are_their_own_aggregate() -> None:
    frame = np.array([3.0, -4.0, 12.0])
    frames = np.tile(frame, (7, 1))
    for how in AGGREGATIONS:
        np.testing.assert_allclose(of(frames, how), frame[None] / 13, rtol=1e-6)
    assert set(AGGREGATIONS) == set(get_args(Aggregation))


def test_the_mean_knows_neither_order_nor_doubling_and_the_single_frame_does() -> None:
    frames = np.random.default_rng(0).normal(size=(40, 5))
    mean = of(frames, "mean")
    np.testing.assert_allclose(of(frames[::-1], "mean"), mean, atol=1e-7)
    np.testing.assert_allclose(of(np.repeat(frames, 2, axis=0), "mean"), mean, atol=1e-7)
    single = of(frames, "single")
    assert np.abs(of(frames[::-1], "single") - single).max() > 0.1
    assert np.abs(of(np.repeat(frames, 2, axis=0), "single") - single).max() > 0.1


def test_the_single_frame_is_the_thirtieth_or_the_last() -> None:
    frames = np.eye(40)
    assert of(frames, "single")[0].argmax() == 29
    assert of(frames[:30], "single")[0].argmax() == 29
    assert of(frames[:12], "single")[0].argmax() == 11


def test_the_mean_is_of_frames_of_length_one() -> None:
    mean = of(np.stack([E1, 5 * E1, E1, 0.01 * E2]), "mean")
    np.testing.assert_allclose(mean[0], np.array([3, 1]) / np.sqrt(10), rtol=1e-6)
    (scores,) = score_matrices(2 * E1[None], mean[None], "mean")
    assert scores[0, 0] == pytest.approx(0.948683, abs=1e-6)


def t2v_ranks(matrix: np.ndarray) -> np.ndarray:
    """(T,) optimistic ranks of video i for text i."""
    return 1 + (matrix > matrix.diagonal()[:, None]).sum(axis=1)


def test_the_two_readings_of_k_centroids_differ() -> None:
    """Similarities of one query: the right video (.9, .1), another (.2, .95)."""
    cosines = np.array([[0.9, 0.1], [0.2, 0.95]])
    prototypes = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=2)  # (V, K, D), the query being e1
    by_centroid = list(score_matrices(E1[None], prototypes, "kmeans_minrank"))
    (by_best,) = score_matrices(E1[None], prototypes, "kmeans_maxsim")
    np.testing.assert_allclose([matrix[0] for matrix in by_centroid], cosines.T, rtol=1e-6)
    np.testing.assert_allclose(by_best, [[0.9, 0.95]], rtol=1e-6)
    assert min(1 + int((matrix[0] > matrix[0, 0]).sum()) for matrix in by_centroid) == 1
    assert 1 + int((by_best[0] > by_best[0, 0]).sum()) == 2


def test_one_centroid_is_the_mean() -> None:
    videos = random_videos()
    texts = np.random.default_rng(1).normal(size=(12, 6))
    mean = aggregate(videos, "mean")
    (wanted,) = score_matrices(texts, mean, "mean")
    for how in KMEANS:
        centroids = aggregate(videos, how, k=1)
        np.testing.assert_allclose(centroids, mean, atol=1e-6)
        (scores,) = score_matrices(texts, centroids, how)
        assert t2v_ranks(scores).tolist() == t2v_ranks(wanted).tolist()
        assert t2v_ranks(scores.T).tolist() == t2v_ranks(wanted.T).tolist()


def test_centroids_find_the_clusters() -> None:
    rng = np.random.default_rng(5)
    corners = np.eye(3)
    frames = np.repeat(corners, 10, axis=0) + 0.01 * rng.normal(size=(30, 3))
    found = of(frames, "kmeans_maxsim", k=3)
    assert sorted(found.argmax(axis=1).tolist()) == [0, 1, 2]
    np.testing.assert_allclose(found.max(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_centroids_depend_on_the_seed_and_on_no_other_video() -> None:
    videos = random_videos()
    together = aggregate(videos, "kmeans_maxsim", k=3, seed=7)
    np.testing.assert_array_equal(aggregate(videos[5:6], "kmeans_maxsim", k=3, seed=7)[0], together[5])
    np.testing.assert_array_equal(aggregate(videos, "kmeans_minrank", k=3, seed=7), together)
    assert not np.array_equal(aggregate(videos, "kmeans_maxsim", k=3, seed=8), together)


def test_fewer_different_frames_than_centroids_are_repeated() -> None:
    frames = np.stack([E2, E1, E2, E1, E1])
    np.testing.assert_array_equal(of(frames, "kmeans_minrank", k=4), [E2, E1, E2, E1])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 2)), r"^a video without frames\n  where:  v9$"),
        ([[1, 0], [0, 0]], r"^a vector is zero or not finite\n  where:  v9, row 1\n  got:    length 0.0$"),
        ([[1, np.nan]], r"^a vector is zero or not finite\n  where:  v9, row 0\n  got:    length nan$"),
        ([[1, 0], [-1, 0]], r"^a vector is zero or not finite\n  where:  v9, row 0\n  got:    length 0.0$"),
    ],
)
def test_what_has_no_direction_is_refused(frames: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        aggregate([("v9", np.array(frames, dtype=np.float32))], "mean")


def test_settings_and_texts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"got:    median, k=1\n  wanted: single, mean, kmeans_minrank, kmeans_max"):
        aggregate([], "median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="k=0"):
        aggregate([], "kmeans_maxsim", k=0)
    prototypes = np.ones((1, 1, 2), dtype=np.float32)
    with pytest.raises(DataError, match=r"got:    \(1, 3\)\n  wanted: \(T, 2\)"):
        next(score_matrices(np.ones((1, 3)), prototypes, "mean"))
    with pytest.raises(DataError, match="the texts, row 1"):
        next(score_matrices(np.array([[1.0, 0], [0, 0]]), prototypes, "mean"))
