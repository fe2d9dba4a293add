"""BigFile folders: rows in the order asked for, never copied whole, and refused when the files do not fit."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store

from avs.core.bigfile import BigFile, write_bigfile
from avs.core.errors import DataError, FormatError, StoreError, UnknownIdError
from avs.core.features import open_features
from avs.core.store import FeatureStore

ROWS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
IDS = ["shot9_2", "a,b.c", "shot9_10", "x", "é"]


def by_hand(folder: Path, ids: str, rows: np.ndarray, shape: str) -> Path:
    """The three files as RUC's tools write them, without ours."""
    folder.mkdir(parents=True)
    (folder / "feature.bin").write_bytes(rows.astype("<f4").tobytes())
    (folder / "id.txt").write_text(ids, encoding="utf-8")
    (folder / "shape.txt").write_text(shape)
    return folder


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_in_blocks_and_any_order(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((rng.integers(1, 50), rng.integers(1, 9))).astype(np.float32)
    ids = [f"v{i}" for i in rng.permutation(len(rows))]
    cuts = np.sort(rng.integers(0, len(rows) + 1, 3))
    file = write_bigfile(tmp_path / "f", ids, np.split(rows, cuts))
    asked = rng.integers(0, len(rows), 20)
    assert np.array_equal(file.vectors, rows) and list(file.ids) == ids
    assert np.array_equal(file.rows([ids[i] for i in asked]), rows[asked])


@pytest.mark.parametrize("between", [" ", "\n", "\r\n"])
def test_what_other_tools_wrote_is_mapped(tmp_path: Path, between: str) -> None:
    file = BigFile(by_hand(tmp_path / "clip", between.join(IDS) + between, ROWS, "5 3\n"))
    assert file.ids == tuple(IDS) and len(file) == 5 and isinstance(file.vectors, np.memmap)
    assert np.array_equal(file.rows(["x", "shot9_2", "x"]), ROWS[[3, 0, 3]])
    assert (file.spec.name, file.spec.revision, file.spec.dim, file.level) == ("clip", "bigfile", 3, "shot")
    with pytest.raises(UnknownIdError, match="1 of 2 ids are not in the BigFile"):
        file.rows(["x", "y"])


@pytest.mark.parametrize(
    ("ids", "shape", "said"),
    [
        ("a b", "3 3", "got:    2 ids, 36 bytes"),
        ("a b c", "3 4", "wanted: 3 ids, 48 bytes"),
        ("a b c", "3", "not the shape of a BigFile"),
        ("a b a", "3 3", "ids occur twice"),
        ("a ../../etc/passwd c\0", "3 3", "2 ids hold a path separator or a control character"),
        ("a b\\c d", "3 3", "got:    'b\\\\c'"),
        ("a b c", "3 ²", "not the shape of a BigFile"),
        ("a b c", "3 " + "9" * 5000, "not the shape of a BigFile"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, ids: str, shape: str, said: str) -> None:
    with pytest.raises((StoreError, FormatError)) as caught:
        BigFile(by_hand(tmp_path / "f", ids, ROWS[:3], shape))
    assert said in str(caught.value)


def test_frames_of_a_video_stand_together_in_order(tmp_path: Path) -> None:
    file = BigFile(by_hand(tmp_path / "f", "s_1_0 s_1_15 s_1_100 s_2_0 s_2_3", ROWS, "5 3"), level="frame")
    assert file.ids == ("s_1", "s_2") and file.offsets is not None and file.offsets.tolist() == [0, 3, 5]
    assert isinstance(file.vectors, np.memmap)
    with pytest.raises(StoreError, match="several rows a video"):
        file.rows(["s_1"])


@pytest.mark.parametrize("blocks", [1, 4096])
def test_frames_in_any_order_are_put_by_video_and_number(
    tmp_path: Path, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avs.core.bigfile.BLOCK_ROWS", blocks)
    file = BigFile(by_hand(tmp_path / "f", "t_1 s_10 t_0 s_2 s_9", ROWS, "5 3"), level="frame")
    assert file.ids == ("t", "s") and file.offsets is not None and file.offsets.tolist() == [0, 2, 5]
    assert np.array_equal(file.vectors, ROWS[[2, 0, 3, 4, 1]])


def test_a_full_disk_of_temporary_files_is_named(tmp_path: Path) -> None:
    big = by_hand(tmp_path / "f", " ".join(f"s_{i}" for i in range(5000)[::-1]), np.ones((5000, 64)), "5000 64")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, limit[1]))
    try:
        with pytest.raises(OSError, match="wanted 1280000 bytes for the frames in order"):
            BigFile(big, level="frame")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("s_0 t_0 s_1 t_00 t_2", "frames occur twice"),
        ("s_0 s_1 s_2 t t_1", "1 ids are not frame ids"),
        ("s_0 _1 s_2 t_ t_1", "2 ids are not frame ids"),
    ],
)
def test_ids_that_name_no_frame_or_one_twice_are_refused(tmp_path: Path, ids: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        BigFile(by_hand(tmp_path / "f", ids, ROWS, "5 3"), level="frame")


def test_what_cannot_be_written_is_refused_and_leaves_nothing_to_read(tmp_path: Path) -> None:
    for ids in (["a", "a"], ["a b", "c"], ["", "c"]):
        with pytest.raises(FormatError, match="ids of a BigFile are words, each once"):
            write_bigfile(tmp_path / "f", ids, [ROWS[:2]])
    with pytest.raises(DataError, match="the rows do not fit the ids"):
        write_bigfile(tmp_path / "f", ["a", "b"], [ROWS[:3]])
    with pytest.raises(StoreError, match="not a BigFile"):
        BigFile(tmp_path / "f")


def test_open_features_takes_what_lies_there(tmp_path: Path) -> None:
    make_store(tmp_path / "store", ROWS)
    by_hand(tmp_path / "clip" / "frame", "s_0 s_1 t_0 t_1 t_2", ROWS, "5 3")
    assert isinstance(open_features(tmp_path / "store"), FeatureStore)
    opened = open_features(tmp_path / "clip" / "frame")
    assert isinstance(opened, BigFile) and opened.level == "frame" and opened.spec.name == "clip"
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError):
        open_features(tmp_path / "empty")


@pytest.mark.parametrize("name", ["id.txt", "shape.txt"])
def test_text_that_is_not_utf8_names_its_file(tmp_path: Path, name: str) -> None:
    folder = by_hand(tmp_path / "f", "a b c", ROWS[:3], "3 3")
    (folder / name).write_bytes("3 3 é".encode("latin-1"))
    with pytest.raises(FormatError, match="not a text in UTF-8") as caught:
        BigFile(folder)
    assert caught.value.where == f"{folder / name}:1" and caught.value.got == "byte 0xe9"


def test_a_folder_above_stores_names_them(tmp_path: Path) -> None:
    for level in ("frame", "shot"):
        make_store(tmp_path / "features/clip" / level, ROWS, lengths=np.array([5]) if level == "frame" else None)
    for above in ("features", "features/clip"):
        with pytest.raises(StoreError, match="a folder above feature stores, not a store") as caught:
            open_features(tmp_path / above)
        meant = f"{tmp_path}/features/clip/frame, {tmp_path}/features/clip/shot"
        assert caught.value.next_step == f"did you mean {meant}?"
