from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disk import room_for, watch_renames
from tiny_stores import without_hashes

from avs.core.artifacts import Manifest
from avs.core.errors import DataError, FormatError, SpecMismatchError, StoreError, UnknownIdError
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore, Problem
from avs.core.store_writer import FeatureWriter, ShotFeatures

SPEC = EmbedderSpec("tiny", "sha256:1", 4, 8, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", False)


def manifest(level: str = "shot", **config: object) -> Manifest:
    return Manifest("feature-store", {"level": level, **config}, {"shots": "sha256:2"}, SPEC.to_json())


def features(shot: str, frames: int = 1, seed: int = 0) -> ShotFeatures:
    vectors = np.random.default_rng([seed, len(shot), int(shot[-1])]).normal(size=(frames, 4))
    return ShotFeatures(shot, vectors, np.arange(frames) / 2)


def failed(shot: str) -> ShotFeatures:
    return ShotFeatures(shot, np.zeros((0, 4)), np.zeros(0), "failed", "cannot decode")


ORDER = ["shot1_1", "shot1_2", "shot1_3"]


def test_rows_come_in_the_order_asked_for_whatever_order_they_were_added_in(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest(), dtype="float32")
    for shot in reversed(ORDER):
        writer.add(features(shot))
    store = writer.commit(ORDER)
    assert store.ids == tuple(ORDER)
    for shot in ORDER:
        np.testing.assert_allclose(store.rows([shot])[0], features(shot).vectors[0], rtol=1e-6)
    np.testing.assert_array_equal(store.rows(["shot1_3", "shot1_1"]), store.vectors[[2, 0]])


def test_frame_level(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest("frame"))
    for shot, frames in zip(ORDER, (2, 1, 3), strict=True):
        writer.add(features(shot, frames))
    store = writer.commit(ORDER)
    assert store.offsets is not None and store.offsets.tolist() == [0, 2, 3, 6]
    assert store.frames("shot1_3").shape == (3, 4)
    assert store.pts_s is not None and store.pts_s.tolist() == [0, 0.5, 0, 0, 0.5, 1.0]
    with pytest.raises(StoreError, match="several rows per shot"):
        store.rows(["shot1_1"])


def test_failed_shots_have_a_reason_and_no_vector(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(features("shot1_1"))
    writer.add(failed("shot1_2"))
    writer.add(ShotFeatures("shot1_3", np.ones((1, 4)), np.zeros(1), "partial", "3/8 frames"))
    store = writer.commit(ORDER)
    assert store.ids == ("shot1_1", "shot1_3")
    assert store.problems == [
        Problem("shot1_2", "failed", "cannot decode"),
        Problem("shot1_3", "partial", "3/8 frames"),
    ]
    assert store.manifest["counts"] == {"ok": 1, "partial": 1, "failed": 1}
    with pytest.raises(UnknownIdError) as caught:
        store.rows(["shot1_1", "shot1_2", "shot9_9"])
    assert str(caught.value) == (
        f"2 of 3 shots have no vector in the store\n  where:  {tmp_path}\n"
        "  got:    shot1_2 (failed: cannot decode), shot9_9"
    )


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[np.nan, 0, 0, 1]], "features that are not finite in float16"),
        ([[1e6, 0, 0, 1]], "features that are not finite in float16"),
        ([[0, 0, 0, 0]], "a feature vector is all zero"),
        ([[1, 2, 3]], "a vector of the wrong dimension"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_unusable_vectors_are_refused(tmp_path: Path, vectors: list[list[float]], message: str) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    with pytest.raises(DataError, match=message):
        writer.add(ShotFeatures("shot1_1", np.array(vectors, dtype=np.float32), np.zeros(1)))


@pytest.mark.parametrize(("dtype", "kept", "refused"), [("float16", 0.999, 0.99), ("float32", 1.00001, 0.999)])
def test_rows_have_length_1_where_the_spec_says_so(tmp_path: Path, dtype: str, kept: float, refused: float) -> None:
    unit = np.array([[0.6, 0.0, 0.8, 0.0], [0.5, 0.5, 0.5, -0.5]])
    writer = FeatureWriter(
        tmp_path, replace(manifest("frame"), spec=replace(SPEC, normalised=True).to_json()), dtype=dtype
    )
    writer.add(ShotFeatures("shot1_1", unit * kept, np.arange(2)))
    with pytest.raises(DataError) as caught:
        writer.add(ShotFeatures("shot1_2", unit * [[1], [refused]], np.arange(2)))
    assert "not the length 1" in str(caught.value) and "where:  shot1_2" in str(caught.value)
    assert f"got:    length {refused}" in str(caught.value)
    assert writer.commit(["shot1_1"]).vectors.shape == (2, 4)


def test_a_shot_has_a_time_for_every_vector(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="times and vectors differ in number"):
        FeatureWriter(tmp_path, manifest()).add(ShotFeatures("shot1_1", np.ones((2, 4)), np.zeros(1)))


def test_a_shot_cannot_be_added_twice(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(features("shot1_1"))
    with pytest.raises(DataError, match="a shot was extracted twice"):
        writer.add(features("shot1_1"))


def test_a_store_of_failures_only_is_an_error(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(failed("shot1_1"))
    with pytest.raises(StoreError, match="all 1 shots failed"):
        writer.commit(["shot1_1"])


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(features("shot1_1"))
    writer.commit(["shot1_1"])
    (tmp_path / "ids.txt").write_text("shot1_1\nshot1_2\n")
    with pytest.raises(StoreError, match="do not fit together"):
        FeatureStore(without_hashes(tmp_path))


def save(name: str, array: object) -> Callable[[Path], None]:
    return lambda store: np.save(store / name, np.array(array), allow_pickle=True)


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda store: (store / name).write_bytes(data) and None


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda store: os.truncate(store / name, size)


def say(**changes: object) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        manifest = json.loads((store / "manifest.json").read_text())
        (store / "manifest.json").write_text(json.dumps({**manifest, **changes}))

    return change


FAULTS = {
    "ids not UTF-8": (write("ids.txt", b"shot1_1\xff\n"), "ids.txt", "not a text in UTF-8"),
    "ids that are paths": (write("ids.txt", b"../../etc/passwd\nshot1_2\n"), "ids.txt", "1 ids of the store are not"),
    "vectors cut short": (cut("vectors.npy", 140), "vectors.npy", "140 bytes"),
    "header cut short": (cut("vectors.npy", 60), "vectors.npy", "60 bytes"),
    "no header": (write("vectors.npy", b"\x93NUMPY\x01\x00\x05\x00{'a'("), "vectors.npy", "15 bytes"),
    "no bytes": (cut("vectors.npy", 0), "vectors.npy", "0 bytes"),
    "no vectors": (lambda store: (store / "vectors.npy").unlink(), "vectors.npy", "no such file"),
    "objects": (save("vectors.npy", [[{}] * 4] * 2), "vectors.npy", "Python objects"),
    "whole numbers": (save("vectors.npy", [[1] * 4] * 2), "vectors.npy", "int64"),
    "an archive": (write("vectors.npy", b"PK\x03\x04" + bytes(96)), "vectors.npy", "100 bytes"),
    "offsets go back": (save("offsets.npy", [0, 3, 2]), "", "do not fit together"),
    "no offsets": (save("offsets.npy", np.zeros(0, int)), "", "do not fit together"),
    "times are missing": (save("pts_s.npy", [0.0]), "", "do not fit together"),
    "no spec": (say(spec=None), "manifest.json", "does not say what made the store"),
    "another spec": (say(spec={"name": "x"}), "manifest.json", "KeyError"),
    "no level": (say(config={}), "manifest.json", "KeyError: 'level'"),
    "another level": (say(config={"level": "film"}), "manifest.json", "got:    film"),
    "no manifest": (write("manifest.json", b"[]"), "manifest.json", "not a manifest of avs"),
    "nested manifest": (write("manifest.json", b"[" * 100_000), "manifest.json", "not a manifest of avs"),
    "manifest not UTF-8": (write("manifest.json", b"\xff\xfe{}"), "manifest.json", "not a manifest of avs"),
    "schema of words": (say(schema_version="two"), "manifest.json", "not a manifest of avs"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_named_with_the_next_step(tmp_path: Path, fault: str) -> None:
    damage, name, said = FAULTS[fault]
    writer = FeatureWriter(tmp_path, manifest("frame"))
    for shot in ORDER[:2]:
        writer.add(features(shot, 1))
    without_hashes(writer.commit(ORDER[:2]).folder)
    damage(tmp_path)
    with pytest.raises((StoreError, FormatError)) as caught:
        FeatureStore(tmp_path)
    assert str(caught.value.where).startswith(str(tmp_path / name)) and said in str(caught.value)
    assert "--force" in str(caught.value.next_step)


@pytest.mark.parametrize("text", [b"shot1_2\n", b"shot1_2\tfailed\n", b"shot1_2\tlost\tno\n", b"shot1_2\tfailed\t\xff"])
def test_problems_that_cannot_be_read_are_named(tmp_path: Path, text: bytes) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(features("shot1_1"))
    writer.commit(["shot1_1"])
    (tmp_path / "problems.tsv").write_bytes(text)
    with pytest.raises((StoreError, FormatError), match="problems.tsv"):
        FeatureStore(without_hashes(tmp_path)).rows(["shot1_2"])


def test_a_shot_that_occurs_twice_is_not_looked_up(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    for shot in ORDER:
        writer.add(features(shot))
    writer.commit(ORDER)
    (tmp_path / "ids.txt").write_text("shot1_1\nshot1_2\nshot1_1\n")
    with pytest.raises(StoreError, match="shots occur twice in the store"):
        FeatureStore(without_hashes(tmp_path)).rows(["shot1_2"])


def test_a_reason_of_several_lines_and_columns_is_one_row(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest())
    writer.add(features("shot1_1"))
    writer.add(ShotFeatures("shot1_2", np.zeros((0, 4)), np.zeros(0), "failed", "cannot\tdecode\nthis"))
    assert writer.commit(ORDER[:2]).problems == [Problem("shot1_2", "failed", "cannot decode this")]


def test_a_shot_that_was_not_added_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path / "store", manifest())
    writer.add(features("shot1_1"))
    with pytest.raises(StoreError, match="2 shots were not extracted"):
        writer.commit(ORDER)
    assert not (tmp_path / "store").exists()


def test_files_are_synced_and_the_manifest_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FeatureWriter(tmp_path, manifest("frame"))
    writer.add(features("shot1_1", 2))
    named = watch_renames(monkeypatch)
    writer.commit(["shot1_1"])
    assert named == ["vectors.npy", "pts_s.npy", "offsets.npy", "problems.tsv", "ids.txt", "manifest.json"]


def test_a_full_disk_names_the_matrix(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, manifest("frame"), dtype="float32")
    for shot in ORDER:
        writer.add(features(shot, 200))
    with pytest.raises(OSError) as caught, room_for(6000):
        writer.commit(ORDER)
    assert caught.value.filename == str(tmp_path / "vectors.npy")
    with pytest.raises(StoreError, match="the store is not complete"):
        FeatureStore(tmp_path)


def test_a_store_larger_than_what_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avs.core.store_writer.SHOTS_AT_ONCE", 2)
    for name, order in (("whole", ORDER), ("reversed", ORDER[::-1])):
        writer = FeatureWriter(tmp_path / name, manifest("frame"))
        for shot in order:
            writer.add(failed(shot) if shot == "shot1_2" else features(shot, int(shot[-1])))
        writer.commit(ORDER)
    store = FeatureStore(tmp_path / "whole")
    assert store.offsets is not None and store.offsets.tolist() == [0, 1, 4] and store.ids == ("shot1_1", "shot1_3")
    for name in ("vectors.npy", "ids.txt", "pts_s.npy", "offsets.npy", "problems.tsv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "reversed" / name).read_bytes()


def test_specs_compare_by_what_decides_the_numbers() -> None:
    moved = EmbedderSpec.from_json({**SPEC.to_json(), "weights": "/elsewhere"})
    moved.require_same(SPEC, where="store")
    other = EmbedderSpec.from_json({**SPEC.to_json(), "revision": "sha256:9", "activation": "quick_gelu"})
    with pytest.raises(SpecMismatchError) as caught:
        SPEC.require_same(other, where="features/x")
    assert caught.value.what == "the encoder does not match the store: revision, activation differ"
