from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disk import room_for, watch_renames

from avs.core import artifacts
from avs.core.artifacts import (
    Manifest,
    as_made_before,
    atomic_write,
    complete_folder,
    fingerprint_file,
    input_paths,
    is_up_to_date,
    read_manifest,
    recording,
    require_path,
    write_artefact,
    write_manifest,
)
from avs.core.errors import AvsError, ChangedInputsError, ConfigError, FormatError


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_missing_file_names_its_closest_sibling(tmp_path: Path) -> None:
    (tmp_path / "tv23.avs.txt").touch()
    with pytest.raises(AvsError) as caught:
        require_path(tmp_path / "tv32.avs.txt", what="topic file")
    assert str(caught.value) == (
        f"no such topic file\n  where:  {tmp_path}/tv32.avs.txt\n  next:   did you mean {tmp_path}/tv23.avs.txt?"
    )
    (tmp_path / "features/mini-clip/shot").mkdir(parents=True)
    with pytest.raises(AvsError, match=f"next:   did you mean {tmp_path}/features/mini-clip/shot\\?"):
        require_path(tmp_path / "features/mini-clp/shot")
    with pytest.raises(AvsError, match=f"got:    {tmp_path} holds features, tv23.avs.txt$"):
        require_path(tmp_path / "nothing")
    with pytest.raises(AvsError, match=f"got:    {tmp_path} holds features, tv23.avs.txt, and no nothing$"):
        require_path(tmp_path / "nothing/there")
    with pytest.raises(AvsError, match=f"got:    {tmp_path}/features/mini-clip/shot is empty$"):
        require_path(tmp_path / "features/mini-clip/shot/x")


def test_a_folder_above_artefacts_names_them(tmp_path: Path) -> None:
    for name in ("a.trec", "b.trec"):
        write_artefact(tmp_path / "lists" / name, Manifest("ranked-lists"), lambda path: path.write_text("x") and None)
    (tmp_path / "models/laff/best").mkdir(parents=True)
    write_manifest(tmp_path / "models/laff/best", Manifest("checkpoint"))
    for folder, meant in (("lists", "lists/a.trec, {0}/lists/b.trec"), ("models", "models/laff/best")):
        with pytest.raises(FormatError) as caught:
            read_manifest(tmp_path / folder)
        assert caught.value.what == "a folder above artefacts, and none itself"
        assert caught.value.next_step == f"did you mean {tmp_path}/{meant.format(tmp_path)}?"


def test_large_files_are_fingerprinted_by_their_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "WHOLE_FILE_BYTES", 10)
    monkeypatch.setattr(artifacts, "EDGE_BYTES", 3)
    path = tmp_path / "x"
    seen = set()
    for content in (b"0123456789ab", b"x123456789ab", b"0123456789ax", b"0123456789abc"):
        path.write_bytes(content)
        seen.add(fingerprint_file(path))
    assert len(seen) == 4
    assert all(print_.startswith("sha256-edges:") for print_ in seen)


def test_up_to_date_changed_and_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.trec"
    manifest = Manifest("ranked-lists", {"k": 10}, {"store": "sha256:1"})
    assert not is_up_to_date(path, manifest, force=False)
    path.write_text("list")
    with pytest.raises(ChangedInputsError, match="a file without a manifest is in the way"):
        is_up_to_date(path, manifest, force=False)
    write_manifest(path, manifest)
    assert is_up_to_date(path, manifest, force=False)
    other = Manifest("ranked-lists", {"k": 20}, {"store": "sha256:1"})
    with pytest.raises(ChangedInputsError) as caught:
        is_up_to_date(path, other, force=False)
    assert caught.value.got == "changed: config.k"
    assert not is_up_to_date(path, other, force=True)


@pytest.mark.parametrize("standing", [False, True])
def test_a_kill_while_a_file_is_written_leaves_nothing_that_blocks_the_next_try(tmp_path: Path, standing: bool) -> None:
    path, manifest = tmp_path / "x.trec", Manifest("ranked-lists", {"k": 10})
    if standing:
        write_artefact(path, Manifest("ranked-lists", {"k": 5}), lambda p: p.write_text("older") and None)

    def killed(p: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_artefact(path, manifest, killed)
    assert not is_up_to_date(path, manifest, force=False)
    write_artefact(path, manifest, lambda p: p.write_text("list") and None)
    assert is_up_to_date(path, manifest, force=False)
    assert path.read_text() == "list"


def test_a_manifest_says_what_made_it_and_survives_json(tmp_path: Path) -> None:
    manifest = Manifest("feature-store", {"mean": (0.5, 0.5)}, {}, {"dim": 4}, {"ok": 3})
    write_manifest(tmp_path, manifest)
    data = read_manifest(tmp_path)
    assert data["fingerprint"] == manifest.fingerprint
    assert data["counts"] == {"ok": 3}
    assert data["versions"]["python"]
    assert is_up_to_date(tmp_path, manifest, force=False), "a tuple in the config must equal the list JSON gives back"


def test_fingerprints_ignore_the_clock_and_the_counts() -> None:
    assert Manifest("t", seconds=1.0).fingerprint == Manifest("t", seconds=2.0, counts={"ok": 1}).fingerprint
    assert Manifest("t").fingerprint != Manifest("u").fingerprint


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FormatError, match="not a manifest of avs"):
        read_manifest(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"type": "t", "fingerprint": "f", "schema_version": 99}))
    with pytest.raises(FormatError, match="made by a newer avs"):
        read_manifest(tmp_path)


def test_inputs_are_found_when_artefact_or_both_have_moved_and_their_place_decides_nothing(tmp_path: Path) -> None:
    made = Manifest("t", inputs={"a": "1"}, paths={"a": tmp_path / "here/in/a.txt"})
    assert made.fingerprint == Manifest("t", inputs={"a": "1"}).fingerprint
    (tmp_path / "here/in").mkdir(parents=True)
    (tmp_path / "here/in/a.txt").touch()
    write_artefact(tmp_path / "here/out/x", made, lambda path: path.write_text("x") and None)
    shutil.copytree(tmp_path / "here/out", tmp_path / "some/where/else")
    assert input_paths(tmp_path / "some/where/else/x") == {"a": tmp_path / "here/in/a.txt"}
    (tmp_path / "here").rename(tmp_path / "moved")
    assert input_paths(tmp_path / "moved/out/x") == {"a": tmp_path / "moved/in/a.txt"}
    assert input_paths(tmp_path / "some/where/else/x") == {"a": tmp_path / "here/in/a.txt"}, "gone, and where it lay"


def test_an_artefact_of_older_fingerprints_stands_while_they_still_hold(tmp_path: Path) -> None:
    path, now = tmp_path / "x", Manifest("t", {"k": 1}, {"videos": "hash", "shots": "s"})
    write_artefact(
        path, Manifest("t", {"k": 1}, {"videos": "sizes", "shots": "s"}), lambda p: p.write_text("") and None
    )
    assert is_up_to_date(path, as_made_before(path, now, {"videos": "sizes"}), force=False)
    with pytest.raises(ChangedInputsError):
        is_up_to_date(path, as_made_before(path, now, {"videos": "other sizes"}), force=False)
    assert as_made_before(tmp_path / "none", now, {"videos": "sizes"}) == now


def test_a_file_changed_by_another_hand_is_not_up_to_date(tmp_path: Path) -> None:
    path, manifest = tmp_path / "x.trec", Manifest("ranked-lists", {"k": 1}, {})
    write_artefact(path, manifest, lambda file: file.write_text("made"))
    assert is_up_to_date(path, manifest, force=False)
    path.write_text("edited")
    with pytest.raises(ChangedInputsError, match="was modified after avs wrote it"):
        is_up_to_date(path, manifest, force=False)
    assert not is_up_to_date(path, manifest, force=True)


def test_a_manifest_records_the_command_that_its_caller_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert Manifest("x").command == ""  # as in a notebook, where nobody typed a command
    with recording("avs search --k 5"):
        assert Manifest("x").command == "avs search --k 5"
        with recording("avs eval run.xml"):
            assert Manifest("x").command == "avs eval run.xml"
        assert Manifest("x").command == "avs search --k 5"


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text)


def write_list(path: Path, text: str) -> None:
    write_artefact(path, Manifest("ranked-lists"), lambda beside: write_text(beside, text))


@pytest.mark.parametrize("write", [write_text, write_list])
def test_a_file_is_replaced_by_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None]
) -> None:
    write(tmp_path / "x", "old")
    (tmp_path / "kept").hardlink_to(tmp_path / "x")  # would change with the file if it were written in place
    named = watch_renames(monkeypatch)
    write(tmp_path / "x", "new")
    assert ((tmp_path / "x").read_text(), (tmp_path / "kept").read_text()) == ("new", "old")
    assert named[-1] == "x"


def test_the_manifest_of_a_file_is_there_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = watch_renames(monkeypatch)
    write_list(tmp_path / "x.trec", "list")
    assert named == [".x.trec.made", "x.trec.manifest.json", "x.trec"]


def test_the_manifest_of_a_folder_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = watch_renames(monkeypatch)
    write_text(tmp_path / "a.json", "{}")
    complete_folder(tmp_path, Manifest("fuser"))
    assert named == ["a.json", "manifest.json"]
    assert read_manifest(tmp_path)["files"] == {"a.json": fingerprint_file(tmp_path / "a.json")}


@pytest.mark.parametrize("write", [write_text, write_list])
def test_a_full_disk_names_the_file(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    path = tmp_path / "x"
    for text in ("x" * 5000, "x" * 5_000_000):  # fails when it is flushed, and when it is written
        with pytest.raises(OSError) as caught, room_for(4096):
            write(path, text)
        assert caught.value.filename == str(path) and caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_a_disk_with_no_room_for_the_manifest_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, room_for(100):
        write_list(tmp_path / "x", "list")
    assert caught.value.filename == str(tmp_path / "x.manifest.json")
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_of_numpy_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with pytest.raises(OSError) as caught, room_for(4096), atomic_write(path, "wb") as file:
        np.save(file, np.zeros(10_000))
    assert caught.value.filename == str(path) and "No space left on device? (10000 requested" in str(caught.value)


def test_errors_of_other_files_keep_their_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "x") as file:
        file.write((tmp_path / "y").read_text())
    assert caught.value.filename == str(tmp_path / "y")


def test_a_large_file_is_known_by_its_size_and_both_ends(tmp_path: Path) -> None:
    """Sparse files of more than 64 MiB: nothing between the first and the last MiB is read."""
    fingerprints = []
    for size, place in ((2**26, 0), (2**26 + 1, 0), (2**26 + 2, 0), (2**26 + 2, -1), (2**26 + 2, 2**25)):
        path = tmp_path / "x.mp4"
        with open(path, "wb") as file:
            file.truncate(size)
            file.seek(place if place >= 0 else size + place)
            file.write(b"a")
        fingerprints.append(fingerprint_file(path))
    whole, larger, longer, end, middle = fingerprints
    assert whole == f"sha256:{hashlib.sha256(b'a' + bytes(2**26 - 1)).hexdigest()}"
    assert larger.startswith("sha256-edges:") and len({larger, longer, end, middle}) == 4
    head, tail = b"a" + bytes(2**20 - 1), bytes(2**20)
    assert longer == "sha256-edges:" + hashlib.sha256(str(2**26 + 2).encode() + head + tail).hexdigest()


def test_the_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    one, other = Manifest("x", {"a": 1, "b": 2}), Manifest("x", {"b": 2, "a": 1})
    assert one.fingerprint == other.fingerprint


def test_a_manifest_has_the_versions_and_any_setting(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("x", {"folder": Path("a/b")}))
    manifest = read_manifest(tmp_path)
    assert {"python", "avs", "numpy"} <= set(manifest["versions"])
    assert manifest["config"] == {"folder": "a/b"}


def test_an_output_inside_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="the output would be inside a file"):
        is_up_to_date(tmp_path / "file" / "lists" / "x.trec", Manifest("ranked-lists"), force=False)


@pytest.mark.parametrize("name", ["x.trec", "lists/new/x.trec", "store/", "there.trec"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def read_only(dir: Path) -> None:  # noqa: A002
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    (tmp_path / "store").mkdir()
    monkeypatch.setattr(artifacts, "TemporaryFile", read_only)
    for force in (False, True):
        with pytest.raises(ConfigError) as caught:
            is_up_to_date(tmp_path / name, Manifest("ranked-lists"), force=force)
        folder = tmp_path / "store" if name == "store/" else tmp_path
        assert caught.value.what == "the output cannot be written"
        assert caught.value.got == f"{folder}: Read-only file system"


def test_what_is_up_to_date_need_not_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_artefact(tmp_path / "x", Manifest("list"), lambda path: path.write_text("x") and None)
    monkeypatch.setattr(artifacts, "TemporaryFile", None)
    assert is_up_to_date(tmp_path / "x", Manifest("list"), force=False)


def test_a_place_that_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    assert not is_up_to_date(tmp_path / "lists/x.trec", Manifest("list"), force=False)
    assert list(tmp_path.iterdir()) == []
