"""Files of word vectors: word2vec's text and binary formats, and RUC's BigFile folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avs.core.artifacts import fingerprint_content, require_path
from avs.core.errors import DataError, FormatError, MissingDependencyError
from avs.core.ids import some

BIGFILE = ("shape.txt", "id.txt", "feature.bin")
MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """The vectors of some words.

    Attributes:
        path: file or folder they were read from.
        index: word -> row.
        vectors: (W, D) float32, possibly memory-mapped.
    """

    path: Path
    index: Mapping[str, int]
    vectors: np.ndarray

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def take(self, words: Sequence[str]) -> np.ndarray:
        """(W, D) float32 vectors of known words, in the order of `words`.

        Raises:
            DataError: vectors that are not finite; names the words.
        """
        taken = np.array(self.vectors[[self.index[word] for word in words]], dtype=np.float32)
        taken = taken.reshape(len(words), self.dim)
        broken = np.flatnonzero(~np.isfinite(taken).all(axis=1)).tolist()
        if broken:
            raise DataError("word vectors that are not finite", where=self.path, got=some([words[i] for i in broken]))
        return taken


def fingerprint_word_vectors(path: Path) -> str:
    """The fingerprint of a file or BigFile folder of word vectors, which does not depend on its location."""
    if not require_path(path, what="file of word vectors").is_dir():
        return fingerprint_content(path)
    parts = [fingerprint_content(require_path(path / name)) for name in BIGFILE]
    return f"sha256:{hashlib.sha256(' '.join(parts).encode()).hexdigest()}"


def open_word_vectors(path: str | Path) -> WordVectors:
    """The word vectors of a file (read whole) or of a BigFile folder (memory-mapped).

    A file is in word2vec's text or binary format, which its content shows; it may be compressed (.gz or .bz2).

    Raises:
        AvsError: there is no such file.
        FormatError: it is neither, or it is damaged.
        MissingDependencyError: gensim, which reads files, is not installed.
    """
    path = require_path(Path(path), what="file of word vectors")
    return _open_bigfile(path) if path.is_dir() else _open_file(path)


def _open_bigfile(folder: Path) -> WordVectors:
    absent = [name for name in BIGFILE if not (folder / name).is_file()]
    if absent:
        raise FormatError(
            "not a BigFile folder", where=folder, got=f"no {', '.join(absent)}", wanted=", ".join(BIGFILE)
        )
    shape = (folder / "shape.txt").read_text(encoding="utf-8").split()
    words = [word.decode("utf-8", "replace") for word in (folder / "id.txt").read_bytes().split()]
    size = (folder / "feature.bin").stat().st_size
    if len(shape) != 2 or not all(part.isdigit() for part in shape):
        raise FormatError(
            "not the shape of a matrix", where=folder / "shape.txt", got=" ".join(shape), wanted="ROWS DIM"
        )
    rows, dim = map(int, shape)
    if rows != len(words) or rows * dim * 4 != size or not size:
        raise FormatError(
            "the files of a BigFile folder do not fit together",
            where=folder,
            got=f"shape {rows} x {dim}, {len(words)} ids, {size} bytes of float32",
        )
    vectors = np.memmap(folder / "feature.bin", dtype="<f4", mode="r", shape=(rows, dim))
    return WordVectors(folder, dict(zip(words, range(rows), strict=True)), vectors)


def _open_file(path: Path) -> WordVectors:
    try:
        from gensim.models import KeyedVectors
    except ImportError as error:
        raise MissingDependencyError(
            "reading word2vec files needs gensim", where=path, next_step="pip install 'avs[word2vec]'"
        ) from error
    try:
        vectors = KeyedVectors.load_word2vec_format(str(path), binary=_is_binary(path), unicode_errors="replace")
    except (ValueError, EOFError, OSError) as error:
        raise FormatError(
            "not a readable file of word vectors",
            where=path,
            got=str(error),
            wanted="word2vec text or binary, whose first line is `WORDS DIM`",
            next_step="gensim writes both formats with KeyedVectors.save_word2vec_format",
        ) from error
    return WordVectors(path, vectors.key_to_index, vectors.vectors)


def _is_binary(path: Path) -> bool:
    """Whether the first word after the header `WORDS DIM` is followed by something else than numbers in text.

    Raises:
        ValueError: the file has no such header.
    """
    from gensim.utils import open as open_possibly_compressed

    with open_possibly_compressed(str(path), "rb") as file:
        header, row = file.readline(MAX_LINE_BYTES).split(), file.readline(MAX_LINE_BYTES).split()
    if len(header) != 2 or not all(part.isdigit() for part in header):
        raise ValueError(f"the first line begins {b' '.join(header)[:60]!r}")
    try:
        return not [float(number) for number in row[1:]]
    except ValueError:
        return True
