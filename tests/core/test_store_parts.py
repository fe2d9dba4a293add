"""Stores that several processes write: parts are whole or absent, and put together once, to the same bytes."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import room_for, watch_renames

from avs.core.artifacts import Manifest
from avs.core.contents import changed_files
from avs.core.errors import ChangedInputsError, ConfigError, FormatError, StoreError
from avs.core.leases import STALE_S, Owner
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.core.store_files import write_store_files
from avs.core.store_part import read_part, write_part
from avs.core.store_parts import SharedWriter, StoreParts, UnfinishedStore, discard_parts, part_path, require_no_writers
from avs.core.store_plan import WorkPlan, require_same_way
from avs.core.store_writer import FeatureWriter, ShotFeatures, part_of, stored

SPEC = EmbedderSpec("tiny", "sha256:1", 4, 8, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", False)
IDS = tuple(f"shot1_{n}" for n in range(1, 10))
PLAN = WorkPlan("table", 2, np.array([0, 2, 4, 7, 9]))
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "pts_s.npy", "offsets.npy")


def manifest(level: str = "frame", **changes: object) -> Manifest:
    made = Manifest("feature-store", {"level": level}, {"shots": "sha256:2"}, SPEC.to_json(), versions={"avs": "1"})
    return replace(made, **changes)


def features(row: int) -> ShotFeatures:
    """1 to 3 frames; shot 3 has none, and shot 6 has less than it should."""
    frames = 0 if row == 2 else 1 + row % 3
    vectors = np.random.default_rng(row).normal(size=(frames, 4))
    status, reason = {2: ("failed", "cut\toff"), 5: ("partial", "1 of 2")}.get(row, ("ok", ""))
    return ShotFeatures(IDS[row], vectors, np.arange(frames) / 2, status, reason)  # type: ignore[arg-type]


def write(parts: StoreParts, *jobs: int, plan: WorkPlan = PLAN) -> None:
    spec, dtype = parts.store.spec, np.dtype(parts.store.dtype)
    for job in jobs:
        first, end = plan.first[job : job + 2].tolist()
        parts.write(job, part_of(first, [stored(features(row), spec, dtype) for row in range(first, end)]))


@contextmanager
def joined(folder: Path, made: Manifest | None = None, plan: WorkPlan = PLAN) -> Iterator[StoreParts]:
    """The parts of the store in a folder, as a process that has just come sees them."""
    with Owner() as owner:
        yield SharedWriter(folder, made or manifest()).join(plan, owner)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The store that one process makes in memory."""
    writer = FeatureWriter(tmp_path / "whole", manifest())
    for row in range(len(IDS)):
        writer.add(features(row))
    return writer.commit(IDS).folder


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


@pytest.mark.parametrize("jobs", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_parts_in_any_order_are_the_store(tmp_path: Path, whole: Path, jobs: list[int]) -> None:
    with joined(tmp_path / "store") as parts:
        assert not parts.done().any()
        for job in jobs:
            write(parts, job)
        store = parts.finish(IDS, seconds=3.0)
    assert isinstance(store, FeatureStore) and same(whole, store.folder)
    made = FeatureStore(whole).manifest
    assert {name: made[name] for name in ("files", "counts", "fingerprint")} == {
        name: store.manifest[name] for name in ("files", "counts", "fingerprint")
    }
    assert store.manifest["counts"] == {"ok": 7, "partial": 1, "failed": 1} and store.manifest["seconds"] == 3.0
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([*FILES, ".seen.json", "manifest.json"])


def test_a_shot_level_store_has_no_frames(tmp_path: Path) -> None:
    with joined(tmp_path, replace(manifest("shot"), config={"level": "shot"})) as parts:
        for job, (first, end) in enumerate([(0, 2), (2, 4), (4, 7), (7, 9)]):
            rows = [ShotFeatures(IDS[row], np.full((1, 4), row + 1.0), np.zeros(1)) for row in range(first, end)]
            parts.write(job, part_of(first, [stored(one, SPEC, np.dtype("float16")) for one in rows]))
        store = parts.finish(IDS)
    assert isinstance(store, FeatureStore) and store.vectors[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert not (tmp_path / "offsets.npy").exists()


def test_a_process_that_comes_later_sees_what_is_done_and_finishes_it(tmp_path: Path, whole: Path) -> None:
    with joined(tmp_path / "store") as parts:
        write(parts, 0, 2)
    with pytest.raises(StoreError, match="the store is not complete"):
        FeatureStore(tmp_path / "store")
    with joined(tmp_path / "store") as parts:
        assert parts.done().tolist() == [True, False, True, False]
        write(parts, 1, 3)
        parts.finish(IDS)
    assert same(whole, tmp_path / "store")


def test_what_others_have_is_said(tmp_path: Path) -> None:
    with joined(tmp_path) as one, joined(tmp_path) as other:
        write(one, 0)
        assert other.leases.claim("000001") and other.leases.claim("000002") and one.leases.claim("000003")
        found = one.finish(IDS)
        assert isinstance(found, UnfinishedStore) and (found.done, found.jobs) == (1, 4)
        assert str(found).startswith(f"{tmp_path}: 3 of 4 jobs are with process {os.getpid()} on")
        assert "the last one puts the store together" in str(found)
        write(other, 1, 2, 3)
        assert other.leases.claim("assembly")
        found = one.finish(IDS)
        assert isinstance(found, UnfinishedStore) and "puts the store together" in str(found)
        assert not (tmp_path / "manifest.json").exists()


def test_of_two_that_finish_one_puts_it_together_and_both_have_it(tmp_path: Path, whole: Path) -> None:
    with joined(tmp_path / "store") as one, joined(tmp_path / "store") as other:
        write(one, 0, 1)
        write(other, 2, 3)
        assert isinstance(one.finish(IDS), FeatureStore)
        assert isinstance(other.finish(IDS), FeatureStore)
        write(other, 1)  # it was asleep: the store is there, and stays as it is
    assert same(whole, tmp_path / "store") and not (tmp_path / "store/parts").exists()


def test_a_part_that_is_there_stays_when_one_that_was_asleep_writes_it_again(tmp_path: Path) -> None:
    with joined(tmp_path) as awake, joined(tmp_path) as asleep:
        write(awake, 0)
        path = part_path(awake.folder, 0)
        before = path.stat()
        write(asleep, 0)
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert len(list(awake.folder.glob(".*.part*"))) == 0


@pytest.mark.parametrize("done", [True, False])
def test_one_that_was_asleep_while_another_took_over(tmp_path: Path, whole: Path, done: bool) -> None:
    with joined(tmp_path / "store") as asleep, joined(tmp_path / "store") as awake:
        write(asleep, 0, 1, 2, 3)

        def sleep_on(path: Path) -> None:
            path.write_text("of the sleeper")
            owner = asleep.folder / "owners" / asleep.leases.owner
            time_s = owner.stat().st_mtime - STALE_S - 1
            os.utime(owner, (time_s, time_s))
            assert isinstance(awake.finish(IDS), FeatureStore) if done else awake.leases.claim("assembly")

        late = replace(asleep, store=replace(asleep.store, extra_files={"late.txt": sleep_on}))
        store = late.finish(IDS)
        if not done:
            assert isinstance(store, UnfinishedStore) and "puts the store together" in str(store)
            assert not (tmp_path / "store/vectors.npy").exists()
            awake._assemble(IDS, 0.0)
    assert same(whole, tmp_path / "store") and not (tmp_path / "store/late.txt").exists()


def test_parts_that_somebody_removed_are_an_error(tmp_path: Path) -> None:
    with joined(tmp_path) as parts:
        write(parts, 0)
        discard_parts(tmp_path)
        for use in (lambda: write(parts, 1), lambda: parts.finish(IDS)):
            with pytest.raises(StoreError, match="the parts of the store are gone") as caught:
                use()
            assert "run the same command again" in str(caught.value.next_step)
    assert not (tmp_path / "parts").exists() and not list(tmp_path.glob(".parts*"))


def flip(place: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return damage


DAMAGE = {
    "a byte of the vectors": flip(-60),
    "a byte of the counts": flip(-1),
    "a byte of the hash": flip(3),
    "a byte of the header": flip(70),
    "its end": lambda path: os.truncate(path, path.stat().st_size - 8),
    "all but the header": lambda path: os.truncate(path, 80),
    "all of it": lambda path: os.truncate(path, 0),
    "its place": lambda path: path.write_bytes(path.with_name("000000.part").read_bytes()) and None,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_parts_are_named_and_removed_and_nothing_is_committed(tmp_path: Path, whole: Path, what: str) -> None:
    store = tmp_path / "store"
    with joined(store) as parts:
        write(parts, 0, 1, 2, 3)
        bad = [part_path(parts.folder, job) for job in (1, 3)]
        for path in bad:
            DAMAGE[what](path)
        with pytest.raises(StoreError) as caught:
            parts.finish(IDS)
    assert all(str(path) in str(caught.value) and not path.exists() for path in bad), "all of them at once"
    assert "000000.part" not in str(caught.value) and "run the same command again" in str(caught.value)
    assert not any((store / name).exists() for name in (*FILES, "manifest.json"))
    with joined(store) as parts:
        assert parts.done().tolist() == [True, False, True, False]
        assert parts.leases.claim("000001")
        write(parts, 1, 3)
        parts.finish(IDS)
    assert same(whole, store)


def test_a_part_of_another_store_is_damage(tmp_path: Path) -> None:
    other = replace(manifest(), inputs={"shots": "sha256:2", "videos": "others"})
    with joined(tmp_path / "a") as a, joined(tmp_path / "b", other) as b:
        write(a, 0, 1, 2, 3)
        write(b, 0, 1, 2, 3)
        os.replace(part_path(b.folder, 1), part_path(a.folder, 1))
        with pytest.raises(StoreError, match="the part of another job or store"):
            a.finish(IDS)


DIFFERENT: dict[str, tuple[Manifest, WorkPlan, list[str]]] = {
    "another batch size": (
        manifest(),
        replace(PLAN, batch_size=8, first=np.array([0, 9])),
        ["another batch size", "got:    batch size 8\n", "wanted: batch size 2\n", "--batch-size 2"],
    ),
    "another version": (
        manifest(versions={"avs": "2"}),
        PLAN,
        ["different versions", "got:    avs 2\n", "wanted: avs 1\n", "avs==1"],
    ),
    "another table": (
        manifest(inputs={"shots": "sha256:3"}),
        replace(PLAN, table="other"),
        ["other inputs or settings", "got:    inputs.shots sha256:3", "wanted: inputs.shots sha256:2", "9 (other)"],
    ),
    "another setting": (
        manifest(config={"level": "frame", "interval_s": 1.0}),
        PLAN,
        ["other inputs or settings", "got:    config.interval_s 1.0\n", "wanted: config.interval_s None\n"],
    ),
    "another cut": (manifest(), replace(PLAN, first=np.array([0, 4, 9])), ["other inputs or settings", "cut"]),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_process_that_does_not_fit_is_refused_with_both_values(tmp_path: Path, case: str) -> None:
    made, plan, said = DIFFERENT[case]
    with joined(tmp_path) as parts:
        write(parts, 0)
    with pytest.raises(ChangedInputsError) as caught, joined(tmp_path, made, plan):
        pass
    assert all(words in str(caught.value) for words in said), str(caught.value)
    assert "--force" in str(caught.value) and part_path(tmp_path / "parts", 0).exists()
    moved = {**SPEC.to_json(), "weights": "/elsewhere"}
    with joined(tmp_path, replace(manifest(), spec=moved)) as parts:  # where the weights lie does not matter
        assert parts.done()[0]


def test_batch_size_and_versions_are_checked_before_all_else(tmp_path: Path) -> None:
    require_same_way(tmp_path / "parts", 64, {"avs": "9"})
    with joined(tmp_path):
        require_same_way(tmp_path / "parts", 2, {"avs": "1", "python": "3"})
        with pytest.raises(ChangedInputsError, match="--batch-size 2"):
            require_same_way(tmp_path / "parts", 64, {"avs": "1"})
        with pytest.raises(ChangedInputsError, match="different versions"):
            require_same_way(tmp_path / "parts", 2, {"avs": "9"})


@pytest.mark.parametrize("text", [None, "{", "[]", json.dumps({"type": "feature-store", "fingerprint": "x"})])
def test_parts_of_an_older_avs_are_refused(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/000000.npz").touch()
    if text is not None:
        (tmp_path / "parts/manifest.json").write_text(text)
    with pytest.raises(ChangedInputsError, match="another avs began") as caught, joined(tmp_path):
        pass
    assert "--force" in str(caught.value.next_step)


def test_a_part_is_whole_or_absent_on_a_full_disk(tmp_path: Path, whole: Path) -> None:
    with joined(tmp_path / "store") as parts:
        with pytest.raises(OSError) as caught, room_for(100):
            write(parts, 0)
        assert caught.value.filename == str(part_path(parts.folder, 0)) and not parts.done().any()
        assert {path.name for path in parts.folder.iterdir()} == {"manifest.json", "owners", "leases"}
        write(parts, 0, 1, 2, 3)
        with pytest.raises(OSError) as caught, room_for(200):
            parts.finish(IDS)
        assert caught.value.filename.endswith(".npy")
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"parts"}
    with joined(tmp_path / "store") as parts:
        parts.finish(IDS)
    assert same(whole, tmp_path / "store")


@pytest.mark.parametrize("name", ["vectors.npy", "pts_s.npy", "ids.txt", "manifest.json"])
def test_a_disk_that_fills_up_while_the_store_is_put_together(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target)

    with joined(tmp_path / "store") as parts:
        write(parts, 0, 1, 2, 3)
        with monkeypatch.context() as patch, pytest.raises(OSError):
            patch.setattr(os, "replace", full)
            parts.finish(IDS)
    with pytest.raises(StoreError, match="the store is not complete"):
        FeatureStore(tmp_path / "store")
    with joined(tmp_path / "store") as parts:
        assert isinstance(parts.finish(IDS), FeatureStore)
    assert same(whole, tmp_path / "store")


def test_files_are_synced_and_the_manifest_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with joined(tmp_path) as parts:
        named = watch_renames(monkeypatch)
        write(parts, 0, 1, 2, 3)
        parts.finish(IDS)
    assert named[:4] == [f"00000{job}.part" for job in range(4)]
    assert sorted(named[4:9]) == sorted(named[9:14]) == sorted(FILES) and named[14:] == ["manifest.json"]


def test_a_store_of_failures_only_is_an_error(tmp_path: Path) -> None:
    plan = replace(PLAN, first=np.array([0, 1]))
    with joined(tmp_path, plan=plan) as parts:
        lost = ShotFeatures(IDS[0], np.zeros((0, 4)), np.zeros(0), "failed", "cannot decode")
        parts.write(0, part_of(0, [stored(lost, SPEC, np.dtype("float16"))]))
        with pytest.raises(StoreError, match="all 1 shots failed") as caught:
            parts.finish(IDS[:1])
    assert caught.value.got == "cannot decode"


def test_a_part_of_another_job_is_not_written(tmp_path: Path) -> None:
    with joined(tmp_path) as parts, pytest.raises(StoreError, match="not that of its job"):
        parts.write(1, part_of(0, [stored(features(row), SPEC, np.dtype("float16")) for row in range(2)]))


def test_a_file_system_that_is_not_fit_for_leases_is_good_enough_for_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(file: Path, mode: str = "r", **options: object) -> object:
        return open(file, mode.replace("x", "w"), **options)  # type: ignore[call-overload]

    monkeypatch.setattr("avs.core.leases.open", opened, raising=False)
    with Owner() as owner:
        with pytest.raises(ConfigError, match="does not let processes share the work") as caught:
            SharedWriter(tmp_path, manifest()).join(PLAN, owner)
        assert "--shard" in str(caught.value.next_step)
        parts = SharedWriter(tmp_path, manifest()).join(PLAN, owner, leased=False)
        write(parts, 0)
        assert "left for other shards" in str(parts.finish(IDS))


def test_a_part_whose_size_is_not_that_of_its_header_is_damage(tmp_path: Path) -> None:
    part = part_of(0, [stored(features(row), SPEC, np.dtype("float16")) for row in range(2)])
    write_part(tmp_path / "000000.part", part, by="me")
    with pytest.raises(FormatError, match="its size is not that of its header"):
        read_part(tmp_path / "000000.part", dtype=np.dtype("float16"), dim=5)


def test_parts_that_do_not_follow_each_other_are_not_put_together(tmp_path: Path) -> None:
    parts = [part_of(row, [stored(features(row), SPEC, np.dtype("float16"))]) for row in (0, 3)]  # of one frame each
    size: dict[str, Any] = {"level": "frame", "dtype": np.dtype("float16"), "shape": (2, 4), "kept": 2}
    with pytest.raises(StoreError, match="do not follow each other"):
        write_store_files(tmp_path, parts, IDS[:2], **size)
    with pytest.raises(StoreError, match="not those of the parts"):
        write_store_files(tmp_path, parts[:1], IDS[:2], **size)
    assert list(tmp_path.iterdir()) == []


def test_two_that_begin_at_once_share_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def slower(source: Path, target: Path) -> None:
        if not target.exists():
            monkeypatch.setattr(os, "rename", rename)
            with joined(tmp_path) as faster:
                write(faster, 0)
        rename(source, target)

    monkeypatch.setattr(os, "rename", slower)
    with joined(tmp_path) as parts:
        assert parts.done().tolist() == [True, False, False, False]
    assert not list(tmp_path.glob(".parts*"))


def test_extra_files_belong_to_the_store(tmp_path: Path) -> None:
    with Owner() as owner:
        writer = SharedWriter(
            tmp_path, manifest(), extra_files={"videos.tsv": lambda path: path.write_text("v") and None}
        )
        parts = writer.join(PLAN, owner)
        write(parts, 0, 1, 2, 3)
        assert not (tmp_path / "videos.tsv").exists()
        store = parts.finish(IDS)
    assert isinstance(store, FeatureStore) and "videos.tsv" in store.manifest["files"]


def test_a_telling_file_is_written_last_and_decides_nothing(tmp_path: Path, whole: Path) -> None:
    beside: list[set[str]] = []

    def tell(path: Path) -> None:
        beside.append({file.name for file in path.parent.iterdir()})
        path.write_text("it took a day")

    with Owner() as owner:
        extra = {"videos.tsv": lambda path: path.write_text("v") and None}
        writer = SharedWriter(tmp_path / "store", manifest(), extra_files=extra, telling_files={"told.json": tell})
        parts = writer.join(PLAN, owner)
        write(parts, 0, 1, 2, 3)
        store = parts.finish(IDS)
    assert isinstance(store, FeatureStore) and same(whole, store.folder)
    assert beside == [{*FILES, "videos.tsv"}]
    assert (store.folder / "told.json").read_text() == "it took a day"
    assert set(store.manifest["files"]) == {*FILES, "videos.tsv"}
    (store.folder / "told.json").write_text("it took a week")
    assert FeatureStore(store.folder).ids == store.ids
    assert changed_files(store.folder, store.manifest, hash_all=True) == {}


def test_writers_are_in_the_way_of_a_new_store(tmp_path: Path) -> None:
    require_no_writers(tmp_path)
    with joined(tmp_path), pytest.raises(StoreError, match="another process is writing here") as caught:
        require_no_writers(tmp_path)
    assert caught.value.got == f"process {os.getpid()} on {os.uname()[1]}"
    require_no_writers(tmp_path)


def test_what_a_kill_left_of_removed_parts_goes_with_the_next_store(tmp_path: Path) -> None:
    (tmp_path / ".parts-old-1234/leases").mkdir(parents=True)
    with joined(tmp_path) as parts:
        write(parts, 0, 1, 2, 3)
        parts.finish(IDS)
    assert not list(tmp_path.glob(".parts*"))


def peak_bytes(folder: Path, jobs: int) -> int:
    """The most memory that assembling `jobs` parts of 64 shots takes at once."""
    plan = WorkPlan("table", 64, np.arange(jobs + 1) * 64)
    ids = [f"shot1_{n}" for n in range(1, jobs * 64 + 1)]
    with joined(folder, plan=plan) as parts:
        for job in range(jobs):
            rows = [ShotFeatures(shot, np.ones((4, 4)), np.zeros(4)) for shot in ids[job * 64 : job * 64 + 64]]
            parts.write(job, part_of(job * 64, [stored(one, SPEC, np.dtype("float16")) for one in rows]))
        with ExitStack() as stack:
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
            parts._write_files(folder, ids)
            return tracemalloc.get_traced_memory()[1]


def test_memory_does_not_grow_with_the_number_of_shots(tmp_path: Path) -> None:
    peak_bytes(tmp_path / "first", 2)  # imports
    small, large = peak_bytes(tmp_path / "small", 4), peak_bytes(tmp_path / "large", 64)
    assert large < small + 60 * 64 * 8, f"{small} bytes for 256 shots, {large} for 4096"
