"""Features of shots on their way to a store: they are checked, stored as they will be, and kept as parts.

FeatureWriter is for stores that fit in memory, such as those of tests and of features that something else computed.
Extraction writes through avs.core.store_parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest, complete_folder
from avs.core.errors import DataError, StoreError
from avs.core.ids import some
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore, Status, length_tolerance, off_unit_length
from avs.core.store_files import all_failed, finished_manifest, write_store_files
from avs.core.store_part import StorePart, make_part
from avs.core.store_parts import SharedWriter

SHOTS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class ShotFeatures:
    """The features of one shot.

    Attributes:
        shot: its id.
        vectors: (F, D) float, a row per frame or clip; F = 1 at shot level, F = 0 when the shot failed.
        pts_s: (F,) seconds of the rows; at shot level one value, the middle.
        status, reason: "ok"; or "partial" or "failed", and why.
        tally: what else is counted; the manifest's counts have the sums.
    """

    shot: str
    vectors: np.ndarray
    pts_s: np.ndarray
    status: Status = "ok"
    reason: str = ""
    tally: Mapping[str, int] = field(default_factory=dict)


def stored(features: ShotFeatures, spec: EmbedderSpec, dtype: np.dtype[Any]) -> ShotFeatures:
    """The features as a store keeps them: (F, D) vectors in its dtype, and a reason of one line.

    Raises:
        DataError: a vector of the wrong dimension, not finite, all zero, or not of length 1 where the spec says so;
            a status that does not fit.
    """
    vectors = features.vectors
    if (features.status == "failed") != (len(vectors) == 0) or (features.status == "ok") != (not features.reason):
        raise DataError(
            "status, reason and vectors do not fit together",
            where=features.shot,
            got=(features.status, features.reason, vectors.shape),
        )
    if len(features.pts_s) != len(vectors):
        raise DataError(
            "times and vectors differ in number", where=features.shot, got=(len(features.pts_s), len(vectors))
        )
    if len(vectors) and vectors.shape[1:] != (spec.dim,):
        raise DataError("a vector of the wrong dimension", where=features.shot, got=vectors.shape, wanted=spec.dim)
    kept = vectors.astype(dtype).reshape(-1, spec.dim)
    if not np.isfinite(kept).all():
        raise DataError(
            f"features that are not finite in {dtype}",
            where=features.shot,
            got=f"largest magnitude {np.abs(vectors).max()}",
            next_step="check the weights, or use --compute-dtype float32 and --store-dtype float32",
        )
    if not kept.any(axis=1).all():
        raise DataError("a feature vector is all zero", where=features.shot)
    if spec.normalised and (off := off_unit_length(kept)).any():
        lengths = np.linalg.norm(kept[off].astype(np.float32), axis=1)
        raise DataError(
            "a feature vector has not the length 1 that the spec of its encoder says",
            where=features.shot,
            got=f"length {lengths[0]:.6g}" + (f", and {len(lengths) - 1} more" if len(lengths) > 1 else ""),
            wanted=f"1, to {length_tolerance(dtype):g}",
            next_step="divide the vectors by their lengths in the encoder's family, or say normalised=False there",
        )
    reason = features.reason.replace("\n", " ").replace("\t", " ")
    return replace(features, vectors=kept, pts_s=np.asarray(features.pts_s, dtype=np.float64), reason=reason)


def part_of(first: int, features: Sequence[ShotFeatures]) -> StorePart:
    """The part of consecutive shots, as stored() gives them, of which the first is row `first` of the table."""
    return make_part(
        first,
        [len(one.vectors) for one in features],
        np.concatenate([one.vectors for one in features]),
        np.concatenate([one.pts_s for one in features]),
        [(place, one.status, one.reason) for place, one in enumerate(features) if one.status != "ok"],
        _total(features),
    )


def _total(features: Sequence[ShotFeatures]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in features:
        total.update(one.tally)  # a sum of counters would drop what was counted 0 times
    return total


class FeatureWriter:
    """Collects features of shots in memory, in any order, and commits them as a FeatureStore.

    Args:
        folder: where the store is written. Nothing is written before the commit.
        manifest: config (with "level"), inputs and spec that decide the content.
        dtype: of the stored vectors.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, dtype: str = "float16") -> None:
        writer = SharedWriter(Path(folder), manifest, dtype)
        self.folder, self.manifest, self.dtype = writer.folder, manifest, np.dtype(dtype)
        self.spec, self.level = writer.spec, writer.level
        self._features: dict[str, ShotFeatures] = {}

    def add(self, features: ShotFeatures) -> None:
        """Add one shot.

        Raises:
            DataError: it was added before; or as stored().
        """
        if features.shot in self._features:
            raise DataError("a shot was extracted twice", where=features.shot)
        self._features[features.shot] = stored(features, self.spec, self.dtype)

    def commit(self, order: Sequence[str], *, seconds: float = 0.0) -> FeatureStore:
        """Write the shots in `order`, then the manifest, and open the store.

        Raises:
            StoreError: a shot of `order` was never added, or all of them failed.
        """
        missing = [shot for shot in order if shot not in self._features]
        if missing:
            raise StoreError(f"{len(missing)} shots were not extracted", where=self.folder, got=some(missing))
        lengths = [len(self._features[shot].vectors) for shot in order]
        if not any(lengths):
            raise all_failed((part.header for part in self._parts(order)), where=self.folder)
        written = write_store_files(
            self.folder,
            self._parts(order),
            order,
            level=self.level,
            dtype=self.dtype,
            shape=(sum(lengths), self.spec.dim),
            kept=sum(length > 0 for length in lengths),
        )
        complete_folder(self.folder, finished_manifest(self.manifest, written, seconds), written.hashes)
        return FeatureStore(self.folder)

    def _parts(self, order: Sequence[str]) -> Iterator[StorePart]:
        for first in range(0, len(order), SHOTS_AT_ONCE):
            yield part_of(first, [self._features[shot] for shot in order[first : first + SHOTS_AT_ONCE]])
