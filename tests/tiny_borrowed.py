"""Features as others write them: BigFiles, clip-retrieval's folders, npz files; and a shot table they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avs.core.shots import ShotTable, write_shot_table

IDS = ("shot1_1", "shot1_2", "shot1_3", "shot2.x_1")
"""Three shots of 2 s of video 1, and the only one of video 2.x."""
TABLE = ShotTable(IDS, [0, 2, 4, 0], [2, 4, 6, 2])
ROWS = np.random.default_rng(3).standard_normal((4, 3)).astype(np.float32)


def write_table(folder: Path) -> Path:
    write_shot_table(TABLE, folder / "shots.tsv")
    return folder / "shots.tsv"


def write_big(folder: Path, ids: Sequence[str], rows: np.ndarray, *, shape: str | None = None) -> Path:
    """The three files as RUC's tools write them, without ours."""
    folder.mkdir(parents=True)
    (folder / "feature.bin").write_bytes(rows.astype("<f4").tobytes())
    (folder / "id.txt").write_text(" ".join(ids))
    (folder / "shape.txt").write_text(shape or f"{len(rows)} {rows.shape[1]}")
    return folder


def write_clip_retrieval(folder: Path, shards: Sequence[np.ndarray]) -> Path:
    """The arrays of clip-retrieval, and metadata without content."""
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for number, rows in enumerate(shards):
        np.save(folder / f"img_emb/img_emb_{number}.npy", rows, allow_pickle=True)
        (folder / f"metadata/metadata_{number}.parquet").write_bytes(b"PAR1")
    return folder
