"""The vectors of a shot's frames or clips to the rows that a store has of it.

The vector of a frame or clip has length 1, or, if the spec says so, the length that the tower gives it. The vector of a
shot is the mean of unit vectors, scaled to length 1 again, or what a trained model makes of its frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from avs.core.errors import DataError
from avs.core.store_parts import SharedWriter
from avs.core.store_writer import ShotFeatures
from avs.features.batches import Outcome
from avs.features.levels import farthest_apart

ShotVectors = Callable[[Sequence[np.ndarray]], np.ndarray]


def shot_vector(frames: np.ndarray) -> np.ndarray:
    """(D,) unit-length mean of (F, D) unit-length vectors; zero when they cancel."""
    mean = frames.mean(axis=0)
    length = float(np.linalg.norm(mean))
    vector: np.ndarray = mean / length if length > 0 else mean
    return vector


def mean_vectors(shots: Sequence[np.ndarray]) -> np.ndarray:
    """(S, D) shot_vector of each of S shots."""
    return np.stack([shot_vector(frames) for frames in shots])


def unit_features(
    store: SharedWriter, outcomes: Sequence[Outcome], batches: Sequence[np.ndarray], shot_vectors: ShotVectors
) -> list[ShotFeatures]:
    """Features of a unit's shots for one store.

    Args:
        outcomes: of the shots, in order.
        batches: vectors of their frames or clips.
        shot_vectors: gives the (S, D) vectors of S shots from the (F, D) vectors of each one's frames or clips.

    Raises:
        DataError: there are not as many vectors as frames or clips.
    """
    vectors = np.concatenate(batches) if batches else np.empty((0, store.spec.dim), dtype=np.float32)
    ends = np.cumsum([len(outcome.pts_s) for outcome in outcomes])
    if len(vectors) != ends[-1]:
        raise DataError(
            "frames and vectors differ in number",
            where=f"{outcomes[0].shot} to {outcomes[-1].shot}",
            got=f"{len(vectors)} vectors",
            wanted=f"{ends[-1]} of {store.spec.name}",
        )
    frames = np.split(vectors, ends[:-1])
    found = _of_frames(outcomes, frames) if store.level == "frame" else _of_shots(outcomes, frames, shot_vectors)
    if store.keep:
        found = [_kept(one, store.keep) for one in found]
    return [replace(one, tally=outcome.tally) for one, outcome in zip(found, outcomes, strict=True)]


def _kept(shot: ShotFeatures, count: int) -> ShotFeatures:
    """The rows of a shot that are farthest apart; of vectors that cannot be compared all, which are refused later."""
    if not np.linalg.norm(shot.vectors, axis=1).all():
        return shot
    places = farthest_apart(shot.vectors, count)
    return replace(shot, vectors=shot.vectors[places], pts_s=shot.pts_s[places])


def _of_frames(outcomes: Sequence[Outcome], frames: Sequence[np.ndarray]) -> list[ShotFeatures]:
    """Features at frame level from the vectors of each shot's frames or clips: (F, D), or (F, Q, D) with Q a frame."""
    return [
        ShotFeatures(
            outcome.shot,
            vectors.reshape(-1, vectors.shape[-1]),
            np.repeat(outcome.pts_s, vectors.shape[1] if vectors.ndim == 3 else 1),
            outcome.status,
            outcome.reason,
        )
        for outcome, vectors in zip(outcomes, frames, strict=True)
    ]


def _of_shots(
    outcomes: Sequence[Outcome], frames: Sequence[np.ndarray], shot_vectors: ShotVectors
) -> list[ShotFeatures]:
    """Features at shot level. All shots of the unit go together, so that a run that goes on computes the same bits."""
    seen = [vectors for vectors in frames if len(vectors)]
    rows = iter(shot_vectors(seen) if seen else ())
    return [
        ShotFeatures(
            outcome.shot, next(rows)[None], outcome.pts_s[[0, -1]].mean(keepdims=True), outcome.status, outcome.reason
        )
        if len(vectors)
        else ShotFeatures(outcome.shot, vectors, outcome.pts_s, outcome.status, outcome.reason)
        for outcome, vectors in zip(outcomes, frames, strict=True)
    ]
