"""Borrowed features in RUC's BigFile: feature.bin, id.txt and shape.txt."""

from __future__ import annotations

import sys
from pathlib import Path

from avs.core.bigfile import FILES, BigFile
from avs.core.store import RAW_VECTORS
from avs.features.borrowed.rows import ArrayShard, BorrowedRows, LinkableFile


def read_bigfile(folder: Path) -> BorrowedRows:
    """The rows of a BigFile in the order of the file; frames of a video need not stand together.

    Raises:
        StoreError, FormatError: as BigFile.
    """
    file = BigFile(folder)
    rows, dim = file.vectors.shape
    linkable = LinkableFile(folder / "feature.bin", RAW_VECTORS) if sys.byteorder == "little" else None
    return BorrowedRows(
        folder=folder,
        names=file.ids,
        shards=[ArrayShard(file.vectors)],
        dim=dim,
        source_dtype="float32",
        files={name: folder / name for name in FILES},
        linkable=linkable,
    )
