"""A change in the middle of a large file is noticed: a list, an input, a BigFile, a store that a search has read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store

from avs.core import artifacts, contents
from avs.core.artifacts import (
    Manifest,
    fingerprint_content,
    fingerprint_file,
    fingerprint_input,
    is_up_to_date,
    read_manifest,
    write_artefact,
)
from avs.core.bigfile import BigFile, write_bigfile
from avs.core.contents import hash_file
from avs.core.errors import ChangedInputsError
from avs.pipeline.verification import verify
from avs.ranking import blocks
from avs.ranking.blocks import BlockSource

TEXT = "a" * 100 + "b" * 100


@pytest.fixture(autouse=True)
def small_files_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "WHOLE_FILE_BYTES", 50)
    monkeypatch.setattr(artifacts, "EDGE_BYTES", 10)


def change_the_middle(path: Path, *, keep_time: bool = False) -> None:
    data, before = bytearray(path.read_bytes()), os.stat(path)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def made(path: Path, source: Path) -> Manifest:
    manifest = Manifest("ranked-lists", inputs={"list": fingerprint_input(source)}, paths={"list": source})
    if not path.exists():
        write_artefact(path, manifest, lambda beside: beside.write_text(TEXT) and None)
    return manifest


@pytest.mark.parametrize("changed", ["out.trec", "in.trec"])
def test_a_large_output_or_input_that_changed_in_the_middle_is_not_up_to_date(tmp_path: Path, changed: str) -> None:
    source, path = tmp_path / "in.trec", tmp_path / "out.trec"
    source.write_text(TEXT)
    assert is_up_to_date(path, made(path, source), force=False)
    change_the_middle(tmp_path / changed)
    with pytest.raises(ChangedInputsError, match="was modified after|changed: inputs.list"):
        is_up_to_date(path, made(path, source), force=False)


def test_a_large_file_is_read_again_only_when_its_size_or_time_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(contents, "hash_file", lambda path: read.append(path.name) or hash_file(path))
    for name in "ab":
        (tmp_path / name).write_text(TEXT)
    hashes = [fingerprint_content(tmp_path / name) for name in "aabab"]
    assert read == ["a", "b"] and set(hashes) == {hash_file(tmp_path / "a")}
    change_the_middle(tmp_path / "a")
    assert fingerprint_content(tmp_path / "a") == hash_file(tmp_path / "a") != hashes[0] and read == ["a", "b", "a"]
    (tmp_path / contents.SEEN).write_text('{"a": 1, "b": [1, 2]}')
    assert fingerprint_content(tmp_path / "b") == hashes[0]


def test_verify_reads_a_large_list_though_its_time_is_the_same(tmp_path: Path) -> None:
    source, path = tmp_path / "in.trec", tmp_path / "out.trec"
    source.write_text(TEXT)
    made(path, source)
    fingerprint_content(path)
    change_the_middle(path, keep_time=True)
    assert verify(path).problems == [f"{path}: out.trec was changed after it was written"]


def test_a_list_of_an_older_avs_is_up_to_date(tmp_path: Path) -> None:
    """It knows its large input, and itself, by their ends."""
    source, path = tmp_path / "in.trec", tmp_path / "out.trec"
    source.write_text(TEXT)
    manifest = made(path, source)
    old = Manifest("ranked-lists", inputs={"list": fingerprint_file(source)}, paths={"list": source})
    recorded = {**read_manifest(path), "inputs": dict(old.inputs), "output": fingerprint_file(path)}
    assert recorded["output"].startswith("sha256-edges:")
    path.with_name("out.trec.manifest.json").write_text(json.dumps({**recorded, "fingerprint": old.fingerprint}))
    assert is_up_to_date(path, manifest, force=False)
    assert "an older avs made it" in verify(path).notes[0]
    source.write_text(TEXT + "c")
    with pytest.raises(ChangedInputsError, match="inputs.list"):
        is_up_to_date(path, made(path, source), force=False)


def test_a_bigfile_that_changed_in_the_middle_is_another(tmp_path: Path) -> None:
    rows = np.ones((9, 4), dtype=np.float32)
    write_bigfile(tmp_path / "clip", [f"v{n}" for n in range(9)], [rows])
    before = BigFile(tmp_path / "clip").manifest["fingerprint"]
    assert BigFile(tmp_path / "clip").manifest["fingerprint"] == before
    change_the_middle(tmp_path / "clip/feature.bin")
    assert BigFile(tmp_path / "clip").manifest["fingerprint"] != before


def test_a_search_does_not_resume_on_a_store_that_was_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two stores differ in a row that is not at an end."""
    monkeypatch.setattr(blocks, "EDGE_BYTES", 10)
    rows = np.eye(9)
    other = np.where(np.arange(9)[:, None] == 4, -rows, rows)
    stores = [make_store(tmp_path / name, vectors) for name, vectors in (("a", rows), ("b", other), ("c", rows))]
    one, changed, same = [BlockSource({"x": store}).fingerprint for store in stores]
    assert one == same != changed
