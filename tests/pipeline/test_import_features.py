"""Stores of features that others computed: linked where the bytes allow, whole or absent, and refused with reasons."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_borrowed import IDS, ROWS, write_big, write_clip_retrieval, write_table
from tiny_checkpoints import make_clip
from tiny_stores import make_store, without_hashes

from avs.core.errors import (
    AvsError,
    ChangedInputsError,
    ConfigError,
    DataError,
    FormatError,
    SpecMismatchError,
    StoreError,
)
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.borrowed import clip_retrieval
from avs.features.borrowed.placing import FrameNumbers
from avs.pipeline import import_features as module
from avs.pipeline.import_features import BorrowedModel, FeatureSources, import_features
from avs.pipeline.provenance import Trail
from avs.pipeline.verification import verify

UNIT = (ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)).astype(np.float32)
FRAMES = [f"{shot}_{n}" for shot in IDS for n in (0, 10)]
FRAME_ROWS = np.random.default_rng(5).standard_normal((8, 3)).astype(np.float32)


@pytest.fixture
def sources(tmp_path: Path) -> FeatureSources:
    """A BigFile in the order of its shot table."""
    return FeatureSources(write_big(tmp_path / "wsl", IDS, ROWS), write_table(tmp_path))


def make(sources: FeatureSources, out: Path, **options: Any) -> dict[str, Any]:
    return import_features(sources, out, reporter=Reporter(), **options)


def refused(sources: FeatureSources, out: Path, cls: type[AvsError], **options: Any) -> AvsError:
    """The error of an import that writes nothing."""
    before = sorted(out.iterdir()) if out.is_dir() else None
    with pytest.raises(cls) as caught:
        make(sources, out, **options)
    assert (sorted(out.iterdir()) if out.is_dir() else None) == before
    return caught.value


def test_a_bigfile_in_order_is_linked_and_is_a_store_like_any_other(tmp_path: Path, sources: FeatureSources) -> None:
    out = tmp_path / "features/wsl/shot"
    summary = make(sources, out)
    assert summary["linked"] and (summary["ok"], summary["failed"]) == (4, 0)
    assert (out / "vectors.bin").samefile(sources.folder / "feature.bin") and not (out / "vectors.npy").exists()
    store = FeatureStore(out)
    assert store.ids == IDS and np.array_equal(store.vectors, ROWS) and isinstance(store.vectors, np.memmap)
    assert (store.spec.name, store.spec.revision, store.spec.dim, store.spec.normalised) == (
        "wsl", "borrowed", 3, False,
    )  # fmt: skip
    found = verify(out)
    assert (found.problems, found.notes, found.files) == ([], [], 3)
    assert Trail([out]).broken == []
    assert "up_to_date" in make(sources, out)


def test_a_change_of_the_linked_file_is_noticed(tmp_path: Path, sources: FeatureSources) -> None:
    out = tmp_path / "store"
    make(sources, out)
    (sources.folder / "feature.bin").write_bytes((ROWS * 2).tobytes())
    with pytest.raises(StoreError, match="files are not as avs wrote them") as caught:
        FeatureStore(out)
    assert caught.value.got == "vectors.bin was changed after it was written"
    (out / "vectors.bin").write_bytes(b"\0" * 13)
    with pytest.raises(StoreError, match="not rows of the store") as caught:
        FeatureStore(without_hashes(out))
    assert caught.value.got == "13 bytes"


def test_rows_in_another_order_are_copied_into_that_of_the_table(tmp_path: Path, sources: FeatureSources) -> None:
    folder = write_big(tmp_path / "other", [*IDS[:3], "2.x"][::-1], ROWS[::-1])
    made, asked = tmp_path / "a", tmp_path / "b"
    assert not make(replace(sources, folder=folder), made)["linked"]
    assert not make(sources, asked, copy=True)["linked"]
    for one in (made, asked):
        store = FeatureStore(one)
        assert store.ids == IDS and np.array_equal(store.vectors, ROWS) and (one / "vectors.npy").is_file()


def test_where_no_link_can_be_made_rows_are_copied_and_that_is_said(
    tmp_path: Path, sources: FeatureSources, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    summary = import_features(sources, tmp_path / "store", reporter=Reporter(quiet=False))
    assert not summary["linked"] and np.array_equal(FeatureStore(tmp_path / "store").vectors, ROWS)
    assert "the rows were copied: a link cannot be made here (Invalid cross-device link)" in capsys.readouterr().err


def test_frames_get_their_seconds(tmp_path: Path, sources: FeatureSources) -> None:
    order = np.random.default_rng(1).permutation(8)
    folder = write_big(tmp_path / "frame/wsl", [FRAMES[n] for n in order], FRAME_ROWS[order])
    frames = replace(sources, folder=folder, level="frame", numbers=FrameNumbers(10))
    make(frames, tmp_path / "store")
    store = FeatureStore(tmp_path / "store")
    assert store.spec.name == "wsl" and store.offsets is not None and store.offsets.tolist() == [0, 2, 4, 6, 8]
    assert np.array_equal(store.vectors, FRAME_ROWS)
    assert store.pts_s is not None and store.pts_s.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    linked = write_big(tmp_path / "frame/in_order", FRAMES, FRAME_ROWS)
    assert make(replace(frames, folder=linked), tmp_path / "linked")["linked"]
    assert np.array_equal(FeatureStore(tmp_path / "linked").frames("shot1_2"), FRAME_ROWS[2:4])
    assert refused(replace(frames, numbers=None), tmp_path / "new", ConfigError).next_step.startswith("--fps N")  # type: ignore[union-attr]
    assert "--fps is not needed" in refused(replace(sources, numbers=FrameNumbers(1)), tmp_path / "n", ConfigError).what
    assert "positive" in refused(replace(frames, numbers=FrameNumbers(0)), tmp_path / "n", ConfigError).what


def test_many_shots_are_written_in_blocks(
    tmp_path: Path, sources: FeatureSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOTS_AT_ONCE", 3)
    kept = [FRAMES[n] for n in (5, 6, 1, 0, 7)]  # shot1_2 has none
    folder = write_big(tmp_path / "f", kept, FRAME_ROWS[[5, 6, 1, 0, 7]])
    frames = replace(sources, folder=folder, level="frame", numbers=FrameNumbers(10))
    assert "1 of 4 shots have no features: shot1_2" in refused(frames, tmp_path / "store", FormatError).what
    assert make(frames, tmp_path / "store", allow_missing=True)["failed"] == 1
    store = FeatureStore(tmp_path / "store")
    assert store.ids == ("shot1_1", "shot1_3", "shot2.x_1") and np.array_equal(
        store.vectors, FRAME_ROWS[[0, 1, 5, 6, 7]]
    )
    assert store.pts_s is not None and store.pts_s.tolist() == [0, 1, 5, 0, 1]
    assert [(p.shot, p.status, p.reason) for p in store.problems] == [("shot1_2", "failed", module.NO_FEATURES)]
    assert verify(tmp_path / "store").problems == []


def test_clip_retrieval_is_linked_and_has_unit_length(
    tmp_path: Path, sources: FeatureSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_retrieval, "read_column", lambda path, column: [f"{shot}.png" for shot in IDS])
    folder = write_clip_retrieval(tmp_path / "out", [UNIT.astype(np.float16)])
    named = replace(sources, folder=folder, model=BorrowedModel("mine", "v1", 224))
    assert make(named, tmp_path / "store")["linked"]
    store = FeatureStore(tmp_path / "store")
    assert (tmp_path / "store/vectors.npy").samefile(folder / "img_emb/img_emb_0.npy")
    assert store.vectors.dtype == np.float16 and store.spec.normalised
    assert (store.spec.name, store.spec.revision, store.spec.image_size) == ("mine", "v1", 224)
    assert verify(tmp_path / "store").problems == []


def test_files_of_many_videos_are_one_input(tmp_path: Path, sources: FeatureSources) -> None:
    folder = tmp_path / "npz"
    folder.mkdir()
    for video, rows in (("1", UNIT[:3]), ("2.x", UNIT[3:])):
        np.savez(folder / f"{video}.npz", f=rows)
    npz = replace(sources, folder=folder)
    make(npz, tmp_path / "few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRACED_FILES", 1)
        make(npz, tmp_path / "many")
        inputs = FeatureStore(tmp_path / "many").manifest["inputs"]
        assert sorted(inputs) == ["features", "shots"]
        np.savez(folder / "2.x.npz", f=UNIT[:1])
        assert "inputs.features" in str(refused(npz, tmp_path / "many", ChangedInputsError).got)
    assert sorted(FeatureStore(tmp_path / "few").manifest["inputs"]) == ["1.npz", "2.x.npz", "shots"]
    assert [line.split()[1] for line in Trail([tmp_path / "few"]).broken] == ["2.x.npz"]


def test_the_encoder_of_the_catalog_must_fit(tmp_path: Path, sources: FeatureSources) -> None:
    weights = str(make_clip(tmp_path / "clip", dim=3))
    asked = BorrowedModel(catalog_name="clip", weights=weights)
    unit = replace(sources, folder=write_big(tmp_path / "unit", IDS, UNIT), model=asked)
    make(unit, tmp_path / "store")
    spec = FeatureStore(tmp_path / "store").spec
    assert (spec.name, spec.normalised, spec.dim) == ("clip", True, 3) and len(spec.revision) > 20
    error = refused(replace(sources, model=asked), tmp_path / "new", SpecMismatchError)
    assert error.got == "4 of 4 rows have another length"
    wide = write_big(tmp_path / "wide", IDS, np.hstack([UNIT, UNIT]))
    assert "rows of 6 numbers" in str(refused(replace(unit, folder=wide), tmp_path / "new", SpecMismatchError).got)
    for more in ({"name": "x"}, {"revision": "x"}, {"image_size": 224}):
        assert "--as takes" in refused(replace(unit, model=replace(asked, **more)), tmp_path / "n", ConfigError).what
    alone = refused(replace(unit, model=BorrowedModel(weights=weights)), tmp_path / "n", ConfigError)
    assert alone.next_step == "add --as NAME"
    taken = refused(replace(unit, model=BorrowedModel("clip-vit-b32")), tmp_path / "n", ConfigError)
    assert taken.next_step is not None and "--as clip-vit-b32" in taken.next_step


@pytest.mark.parametrize(
    ("spoil", "cls", "said"),
    [
        (lambda f: (f / "id.txt").write_text("shot1_1 shot9_1 shot1_3 shot2.x_1"), FormatError, "shot9_1"),
        (lambda f: (f / "feature.bin").write_bytes(ROWS.tobytes()[:-4]), StoreError, "44 bytes"),
        (lambda f: (f / "shape.txt").write_text("5 3"), StoreError, "do not fit together"),
        (lambda f: (f / "feature.bin").write_bytes((ROWS * [[1], [1], [0], [1]]).astype("f4").tobytes()), DataError,
         "1 of 4 rows are all zero: shot1_3"),
        (lambda f: (f / "feature.bin").write_bytes((ROWS * np.float32("nan")).tobytes()), DataError,
         "4 of 4 rows are not finite"),
        (lambda f: (f / "a.npz").write_bytes(b""), ConfigError, "several formats"),
        (lambda f: (f / "feature.bin").unlink(), FormatError, "no features that can be imported"),
    ],
)  # fmt: skip
def test_bad_folders_are_refused_before_anything_is_written(
    tmp_path: Path, sources: FeatureSources, spoil: Callable[[Path], object], cls: type[AvsError], said: str
) -> None:
    spoil(sources.folder)
    assert said in str(refused(sources, tmp_path / "store", cls))


def test_a_store_is_no_input_and_lies_apart_from_it(tmp_path: Path, sources: FeatureSources) -> None:
    make_store(tmp_path / "store", ROWS)
    error = refused(replace(sources, folder=tmp_path / "store"), tmp_path / "new", ConfigError)
    assert "a feature store of avs already" in error.what
    for out in (sources.folder, sources.folder / "store", tmp_path):
        assert "must lie apart" in refused(sources, out, ConfigError).what
    assert "a file" in str(refused(replace(sources, folder=sources.shots), tmp_path / "new", ConfigError).got)
    assert "no format" in refused(replace(sources, format="lmdb"), tmp_path / "new", ConfigError).what
    assert "clip-retrieval" in str(refused(replace(sources, format="clip-retrieval"), tmp_path / "n", FormatError))
    assert "--array is for" in refused(replace(sources, array="f"), tmp_path / "new", ConfigError).what
    assert "--id-column is for" in refused(replace(sources, id_column="k"), tmp_path / "new", ConfigError).what


def test_what_lies_in_the_way_stays_unless_it_is_a_store_and_force(tmp_path: Path, sources: FeatureSources) -> None:
    other = replace(sources, folder=write_big(tmp_path / "other", IDS, UNIT))
    out = tmp_path / "store"
    make(sources, out)
    assert "made before from other inputs" in refused(other, out, ChangedInputsError).what
    assert not make(other, out, force=True, copy=True)["linked"]
    assert np.array_equal(FeatureStore(out).vectors, UNIT) and not (out / "vectors.bin").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    assert "something else" in refused(sources, tmp_path / "mine", ConfigError, force=True).what


def test_after_an_interruption_the_same_command_makes_the_store(
    tmp_path: Path, sources: FeatureSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "store"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "complete_folder", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(sources, out)
    with pytest.raises(StoreError, match="not complete"):
        FeatureStore(out)
    make(sources, out)
    assert np.array_equal(FeatureStore(out).vectors, ROWS)
