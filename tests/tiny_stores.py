"""Small feature stores, made through the writer as extraction does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from avs.core.artifacts import Manifest, read_manifest
from avs.core.contents import hash_files
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.core.store_writer import FeatureWriter, ShotFeatures

SPEC = EmbedderSpec("tiny", "sha256:1", 8, 8, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", True)


def shot_ids(count: int) -> list[str]:
    """Ids whose order as strings is not the table's: shot00001_10 comes before shot00001_9."""
    return [f"shot{1 + i // 25:05d}_{1 + i % 25}" for i in range(count)]


def make_store(
    folder: Path,
    vectors: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    dtype: str = "float16",
    spec: EmbedderSpec = SPEC,
) -> FeatureStore:
    """A store of (N, D) rows, one a shot, or at frame level with `lengths[i]` rows for shot i.

    Its rows need not have length 1, whatever the spec says.
    """
    spec = replace(spec, dim=vectors.shape[1])
    level = "shot" if lengths is None else "frame"
    counts = np.ones(len(vectors), dtype=int) if lengths is None else lengths
    ids, ends = shot_ids(len(counts)), np.cumsum(counts)
    writer = FeatureWriter(folder, Manifest("feature-store", {"level": level}, {}, spec.to_json()), dtype=dtype)
    writer.spec = replace(spec, normalised=False)  # the manifest keeps what `spec` says
    for shot, count, end in zip(ids, counts, ends, strict=True):
        writer.add(ShotFeatures(shot, vectors[end - count : end], np.arange(count) / 2))
    return writer.commit(ids)


def with_hashes(folder: Path) -> Path:
    """The folder with the hashes that avs would have recorded of its files as they are now."""
    manifest = {**read_manifest(folder), "files": hash_files(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def without_hashes(folder: Path) -> Path:
    """The folder as an avs without hashes would have left it, whatever its files are."""
    manifest = {key: value for key, value in read_manifest(folder).items() if key != "files"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
