"""Borrowed features as clip-retrieval's `clip inference` writes them.

    img_emb/img_emb_<n>.npy           (N, D) float16, a row per image
    metadata/metadata_<n>.parquet     a line per row; the column image_path has the image's file

The name of a row is the file's, without folder and the ending of an image. Reading parquet needs pyarrow.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np

from avs.core.errors import FormatError, MissingDependencyError, Problems
from avs.core.ids import natural_key, some
from avs.core.store import UNREADABLE
from avs.features.borrowed.rows import ArrayShard, BorrowedRows, LinkableFile, require_one_shape

ID_COLUMN = "image_path"
IMAGE = re.compile(r"\.(?:jpe?g|png|webp|bmp|gif|tiff?)$", re.IGNORECASE)


def read_clip_retrieval(folder: Path, *, id_column: str = ID_COLUMN) -> BorrowedRows:
    """The rows of all shards, in the order of their numbers.

    Args:
        id_column: column of the parquet files that names the rows; a path gives its file's name.

    Raises:
        FormatError: shards without their other half, of other dims or lengths, without the column, or unreadable.
        MissingDependencyError: pyarrow is not installed.
    """
    embeddings = _numbered(folder / "img_emb", "img_emb_", ".npy")
    tables = _numbered(folder / "metadata", "metadata_", ".parquet")
    problems = Problems(f"shards of {folder}")
    for number in sorted(embeddings.keys() ^ tables.keys(), key=natural_key):
        lacking = f"metadata/metadata_{number}.parquet" if number in embeddings else f"img_emb/img_emb_{number}.npy"
        problems.add(folder, f"shard {number} lacks {lacking}")
    problems.raise_if_any(FormatError)
    numbers = sorted(embeddings, key=natural_key)
    arrays = [open_npy(embeddings[number]) for number in numbers]
    shapes = {embeddings[n].name: (array.shape, array.dtype.name) for n, array in zip(numbers, arrays, strict=True)}
    dim, dtype = require_one_shape(shapes, where=folder / "img_emb")
    names: list[str] = []
    for number, array in zip(numbers, arrays, strict=True):
        column = read_column(tables[number], id_column)
        if len(column) != len(array):
            problems.add(tables[number], f"has {len(column)} lines for the {len(array)} rows of {embeddings[number]}")
        names += [row_name(value) for value in column]
    problems.raise_if_any(FormatError)
    only = embeddings[numbers[0]]
    linkable = LinkableFile(only, "vectors.npy") if len(numbers) == 1 and dtype in ("float16", "float32") else None
    if not all(array.flags.c_contiguous and array.dtype.isnative for array in arrays):
        linkable = None
    files = {path.name: path for number in numbers for path in (embeddings[number], tables[number])}
    shards = [ArrayShard(array) for array in arrays]
    return BorrowedRows(folder, names, shards, dim, dtype, files, linkable=linkable)


def row_name(value: str) -> str:
    """The name of a row, of what a column says of it.

    >>> row_name("frames/shot00001_2_15.jpg")
    'shot00001_2_15'
    """
    return IMAGE.sub("", PurePosixPath(value.replace("\\", "/")).name)


def open_npy(path: Path) -> np.ndarray:
    """The memory-mapped array of an .npy file.

    Raises:
        FormatError: it is none, is cut short, or holds Python objects, which are never unpickled.
    """
    try:
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        return array
    except UNREADABLE as error:
        raise FormatError(
            "not an array of numbers", where=path, got=f"{type(error).__name__}: {error}", wanted="(N, D) numbers"
        ) from error


def read_column(path: Path, column: str) -> list[str]:
    """A column of a parquet file as text.

    Raises:
        FormatError: no parquet file, no such column, or lines without a value.
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingDependencyError(
            "reading parquet files needs pyarrow", where=path, next_step="pip install 'avs[parquet]'"
        ) from error
    try:
        known = parquet.read_schema(path).names
        values = parquet.read_table(path, columns=[column])[column].to_pylist() if column in known else None
    except (ArrowException, OSError) as error:
        raise FormatError("not a parquet file", where=path, got=error) from error
    if values is None:
        raise FormatError(
            f'no column "{column}"',
            where=path,
            got=some(known, shown=10),
            next_step="name the column with the ids: --id-column NAME",
        )
    empty = [str(line) for line, value in enumerate(values) if value is None]
    if empty:
        raise FormatError(f'{len(empty)} lines have no "{column}"', where=path, got=f"lines {some(empty)}")
    return [str(value) for value in values]


def _numbered(folder: Path, start: str, ending: str) -> dict[str, Path]:
    """Number of a shard -> its file."""
    paths = folder.glob(f"{start}*{ending}")
    return {path.name.removeprefix(start).removesuffix(ending): path for path in paths}
