"""A folder is opened only if its files have the hashes of its manifest; they are read again only if they must be."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store, without_hashes

from avs.core import contents
from avs.core.artifacts import Manifest, fingerprint_input, is_up_to_date
from avs.core.contents import changed_files, content_fingerprint, hash_file
from avs.core.errors import ChangedInputsError, FormatError, StoreError
from avs.core.store import FeatureStore

VECTORS = np.random.default_rng(0).normal(size=(12, 8))
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def rewrite(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        np.save(store / "vectors.npy", change(np.load(store / "vectors.npy")))

    return damage


def reverse_ids(store: Path) -> None:
    lines = (store / "ids.txt").read_text().splitlines(keepends=True)
    (store / "ids.txt").write_text("".join(reversed(lines)))


def flip_a_byte(store: Path) -> None:
    data = bytearray((store / "vectors.npy").read_bytes())
    data[-7] ^= 4
    (store / "vectors.npy").write_bytes(data)


def swap(store: Path) -> None:
    other = make_store(store.with_name("other"), UNIT[::-1] * [1, -1, 1, 1, 1, 1, 1, 1])
    shutil.copy2(other.folder / "vectors.npy", store / "vectors.npy")


def swap_with_what_was_seen(store: Path) -> None:
    swap(store)
    shutil.copy2(store.with_name("other") / contents.SEEN, store / contents.SEEN)


DAMAGE = {
    "a flipped bit": flip_a_byte,
    "reversed ids": reverse_ids,
    "reversed rows": rewrite(lambda rows: rows[::-1]),
    "zeroed rows": rewrite(lambda rows: rows * (np.arange(len(rows)) > 2)[:, None].astype(rows.dtype)),
    "scaled rows": rewrite(lambda rows: (rows * 30000).astype(rows.dtype)),
    "rows of another encoder": swap,
    "another store's sizes and times": swap_with_what_was_seen,
    "no problems": lambda store: (store / "problems.tsv").unlink(),
    "cut short": lambda store: os.truncate(store / "vectors.npy", 200),
}


@pytest.fixture(params=["shot", "frame"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    lengths = None if request.param == "shot" else np.array([3, 1, 2, 6])
    return make_store(tmp_path / "store", UNIT, lengths=lengths).folder


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_store_is_not_opened(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    with pytest.raises(StoreError, match="files are not as avs wrote them") as caught:
        FeatureStore(store)
    assert caught.value.where == store and "with --force" not in str(caught.value.got)
    assert "avs extract-features" in str(caught.value.next_step)


def test_a_changed_folder_is_neither_up_to_date_nor_an_input(store: Path) -> None:
    made = FeatureStore(store).manifest
    manifest = Manifest(**{key: made[key] for key in ("type", "config", "spec")})
    assert is_up_to_date(store, manifest, force=False) and fingerprint_input(store)
    flip_a_byte(store)
    with pytest.raises(ChangedInputsError, match="was modified after avs wrote it"):
        is_up_to_date(store, manifest, force=False)
    with pytest.raises(FormatError, match="vectors.npy was changed"):
        fingerprint_input(store)
    assert not is_up_to_date(store, manifest, force=True)


@pytest.mark.parametrize("damage", list(DAMAGE.values())[:6], ids=list(DAMAGE)[:6])
def test_damage_of_the_same_size_and_time_is_found_by_hashing_all(store: Path, damage: Callable[[Path], None]) -> None:
    times = {path: os.stat(path) for path in store.iterdir()}
    damage(store)
    for path, status in times.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    manifest = FeatureStore(store).manifest
    assert len(changed_files(store, manifest, hash_all=True)) == 1


def test_files_are_hashed_again_only_when_size_or_time_differ(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(contents, "hash_file", lambda path: hashed.append(path.name) or hash_file(path))
    FeatureStore(store)
    assert hashed == []
    os.utime(store / "vectors.npy")
    FeatureStore(store)
    FeatureStore(store)
    assert hashed == ["vectors.npy"]
    for path in shutil.copytree(store, store.with_name("copy"), copy_function=shutil.copyfile).iterdir():
        os.utime(path, (1, 1))
    hashed.clear()
    FeatureStore(store.with_name("copy"))
    once = len(hashed)
    FeatureStore(store.with_name("copy"))
    assert once == len(hashed) == len(list(store.glob("[!.]*"))) - 1


def test_what_was_seen_is_made_again_when_it_is_damaged_and_a_file_put_back_is_right(store: Path) -> None:
    for text in ("", "[1]", "[" * 100_000):
        (store / contents.SEEN).write_text(text)
        FeatureStore(store)
    kept = (store / "vectors.npy").read_bytes()
    flip_a_byte(store)
    with pytest.raises(StoreError):
        FeatureStore(store)
    (store / "vectors.npy").write_bytes(kept)
    FeatureStore(store)


def test_the_fingerprint_of_the_content_follows_the_content(tmp_path: Path) -> None:
    stores = [make_store(tmp_path / name, rows) for name, rows in (("a", UNIT), ("b", UNIT), ("c", UNIT[::-1]))]
    a, b, c = (content_fingerprint(store.manifest) for store in stores)
    assert a == b != c
    assert len({store.manifest["fingerprint"] for store in stores}) == 1
    before = FeatureStore(without_hashes(tmp_path / "a")).manifest
    assert content_fingerprint(before) == before["fingerprint"]


@pytest.mark.parametrize("lengths", [None, np.array([3, 1, 2, 6])], ids=["shot", "frame"])
def test_files_have_the_bytes_and_the_hashes_of_those_that_numpy_writes(
    tmp_path: Path, lengths: np.ndarray | None
) -> None:
    store = make_store(tmp_path / "store", UNIT, lengths=lengths)
    arrays = {"vectors.npy": UNIT.astype(np.float16)}
    if lengths is not None:
        arrays["offsets.npy"] = np.append(0, np.cumsum(lengths))
        arrays["pts_s.npy"] = np.concatenate([np.arange(count) / 2 for count in lengths])
    for name, array in arrays.items():
        np.save(tmp_path / "plain.npy", array)
        assert (tmp_path / "plain.npy").read_bytes() == (store.folder / name).read_bytes()
        assert store.manifest["files"][name] == hash_file(store.folder / name)


def test_what_is_written_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(contents, "hash_file", lambda path: hashed.append(path.name) or hash_file(path))
    make_store(tmp_path / "store", UNIT)
    assert hashed == []


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 24])
def test_a_file_longer_than_one_reading_is_hashed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(contents, "READ_BYTES", 8)
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(data)
    assert hash_file(tmp_path / "file") == f"sha256:{hashlib.sha256(data).hexdigest()}"
