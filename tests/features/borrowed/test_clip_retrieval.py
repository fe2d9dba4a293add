"""What clip-retrieval writes: arrays in shards, and names of their rows in parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_borrowed import IDS, ROWS, write_clip_retrieval

from avs.core.errors import FormatError, MissingDependencyError
from avs.features.borrowed import clip_retrieval
from avs.features.borrowed.clip_retrieval import read_clip_retrieval, read_column, row_name

PATHS = [f"/data/frames/{shot}.jpg" for shot in IDS]


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Name of a parquet file -> its column; it stands for pyarrow, which need not be there."""
    held = {"metadata_0.parquet": PATHS}
    monkeypatch.setattr(clip_retrieval, "read_column", lambda path, column: held[path.name])
    return held


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a/b/shot1_2.JPG", "shot1_2"),
        ("shot2.x_1", "shot2.x_1"),
        ("c:\\x\\y.png", "y"),
        ("shot2.x_1.jpeg", "shot2.x_1"),
    ],
)
def test_the_name_of_a_row_is_that_of_its_image(value: str, name: str) -> None:
    assert row_name(value) == name


def test_one_shard_of_halves_can_be_linked(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    rows = read_clip_retrieval(write_clip_retrieval(tmp_path, [ROWS.astype(np.float16)]))
    assert tuple(rows.names) == IDS and rows.dtype == np.float16
    assert rows.linkable is not None and rows.linkable.name == "vectors.npy"
    assert not rows.take(np.arange(4)).flags.owndata  # a view of the mapped file


@pytest.mark.parametrize("made", [np.asfortranarray, lambda rows: rows.astype(">f4"), lambda rows: rows.astype(float)])
def test_other_bytes_than_those_of_a_store_are_not_linked(
    tmp_path: Path, columns: dict[str, list[str]], made: Any
) -> None:
    rows = read_clip_retrieval(write_clip_retrieval(tmp_path, [made(ROWS)]))
    assert rows.linkable is None and np.array_equal(rows.take(np.arange(4)), ROWS)


def test_shards_follow_each_other_by_number(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    columns.update({f"metadata_{n}.parquet": [f"row{n}"] for n in range(11)})
    rows = read_clip_retrieval(write_clip_retrieval(tmp_path, [np.full((1, 3), n + 0.5) for n in range(11)]))
    assert rows.names == [f"row{n}" for n in range(11)] and rows.linkable is None
    assert rows.take(np.arange(11))[:, 0].tolist() == [n + 0.5 for n in range(11)]


def test_shards_that_do_not_fit_are_refused(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    folder = write_clip_retrieval(tmp_path, [ROWS, ROWS[:, :2]])
    columns["metadata_1.parquet"] = PATHS[:3]
    with pytest.raises(FormatError, match=r"rows of 2 dimensions: 3 \(img_emb_0.npy\), 2 \(img_emb_1.npy\)"):
        read_clip_retrieval(folder)
    np.save(folder / "img_emb/img_emb_1.npy", ROWS)
    with pytest.raises(FormatError, match="metadata_1.parquet: has 3 lines for the 4 rows"):
        read_clip_retrieval(folder)
    (folder / "metadata/metadata_1.parquet").unlink()
    (folder / "img_emb/img_emb_0.npy").unlink()
    with pytest.raises(FormatError) as caught:
        read_clip_retrieval(folder)
    assert "shard 0 lacks img_emb/img_emb_0.npy" in caught.value.what
    assert "shard 1 lacks metadata/metadata_1.parquet" in caught.value.what


def test_objects_and_short_files_are_refused(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    folder = write_clip_retrieval(tmp_path, [np.array([{"a": 1}], dtype=object)])
    with pytest.raises(FormatError, match="not an array of numbers"):
        read_clip_retrieval(folder)
    np.save(folder / "img_emb/img_emb_0.npy", ROWS)
    whole = (folder / "img_emb/img_emb_0.npy").read_bytes()
    (folder / "img_emb/img_emb_0.npy").write_bytes(whole[:-4])
    with pytest.raises(FormatError, match="not an array of numbers"):
        read_clip_retrieval(folder)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="needs pyarrow") as caught:
        read_clip_retrieval(write_clip_retrieval(tmp_path, [ROWS]))
    assert caught.value.next_step == "pip install 'avs[parquet]'"


def test_parquet_as_pyarrow_writes_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "metadata_0.parquet"
    parquet.write_table(pyarrow.table({"image_path": PATHS, "key": [1, 2, None, 4]}), path)
    assert read_column(path, "image_path") == PATHS
    with pytest.raises(FormatError, match='1 lines have no "key"') as caught:
        read_column(path, "key")
    assert caught.value.got == "lines 2"
    with pytest.raises(FormatError, match='no column "id"') as caught:
        read_column(path, "id")
    assert caught.value.got == "image_path, key"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match="not a parquet file"):
        read_column(path, "key")
