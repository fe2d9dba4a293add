"""Small files of word vectors, each in the layout of the tool that writes such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

VECTORS = {"red": [1.0, 0.0, 2.0], "dog": [0.0, 4.0, -1.0], "runs": [2.0, 2.0, 0.5], "the": [9.0, 9.0, 9.0]}


def write_word2vec(path: Path, *, binary: bool) -> Path:
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(3)
    vectors.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    vectors.save_word2vec_format(str(path), binary=binary)
    return path


def write_bigfile(folder: Path) -> Path:
    folder.mkdir()
    (folder / "shape.txt").write_text(f"{len(VECTORS)} 3", encoding="utf-8")
    (folder / "id.txt").write_text(" ".join(VECTORS), encoding="utf-8")
    (folder / "feature.bin").write_bytes(np.array(list(VECTORS.values()), dtype="<f4").tobytes())
    return folder
