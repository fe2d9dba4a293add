"""`avs info PATH --verify` finds what is wrong with each kind of artefact, hashed or from before there were hashes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_stores import SPEC, make_store, with_hashes, without_hashes

from avs.cli.main import main
from avs.core.artifacts import Manifest, fingerprint_input
from avs.core.bigfile import write_bigfile
from avs.core.shots import ShotTable, write_shot_table
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.pipeline.verification import NO_HASH, verify

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "made_before"
KINDS = {
    "features/mini-clip/shot": "vectors.npy",
    "features/mini-clip/frame": "offsets.npy",
    "models/laff/best": "model.safetensors",
    "models/laff": "best/checkpoint.json",
    "fusers/ltr": "ltr-1.txt",
    "fusers/coordinate-ascent": "fuser.json",
    "rerankers/k": "reranker.json",
    "lists/laff.trec": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artefacts of an avs without hashes."""
    shutil.copytree(GOLDEN, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def hashed(path: Path) -> None:
    for manifest in [path / "manifest.json", *path.glob("best/manifest.json")]:
        if manifest.is_file():
            with_hashes(manifest.parent)


@pytest.mark.parametrize("kind", KINDS)
def test_good_artefacts_pass_and_older_ones_say_that_they_have_no_hash(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert main(["info", kind, "--verify"]) == 0
    assert (NO_HASH in capsys.readouterr().out) == (not kind.endswith(".trec"))
    hashed(Path(kind))
    assert main(["info", kind, "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) | {"notes": []} == {"ok": True, "problems": [], "notes": []}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_though_size_and_time_are_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    hashed(Path(kind))
    file = Path(kind, KINDS[kind]) if KINDS[kind] else Path(kind)
    status, data = os.stat(file), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert main(["info", kind, "--verify"]) == 1
    printed = capsys.readouterr()
    assert f"{file.name} was changed after it was written" in printed.out
    assert "not as avs wrote it: 1 problem" in printed.err and "--force" in printed.err


VECTORS = np.random.default_rng(0).normal(size=(6, 8))
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def with_rows(change: Callable[[np.ndarray], None]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        rows = np.load(store / "vectors.npy")
        change(rows)
        np.save(store / "vectors.npy", rows)

    return damage


def set_row(value: float) -> Callable[[Path], None]:
    return with_rows(lambda rows: rows.__setitem__(2, value))


STORES = {
    "not finite": (set_row(np.nan), "1 of 6 rows are not finite: shot00001_3 (row 2)"),
    "zero": (set_row(0), "1 of 6 rows are all zero: shot00001_3 (row 2)"),
    "longer": (with_rows(lambda rows: rows.__imul__(1.01)), "6 of 6 rows are not of length 1"),
    "twice": (
        lambda store: (store / "ids.txt").write_text("shot00001_1 " * 2 + "shot2_1 shot2_2 shot2_3 shot2_4"),
        "1 ids occur twice: shot00001_1",
    ),
    "a path": (
        lambda store: (store / "ids.txt").write_text((store / "ids.txt").read_text().replace("shot00001_2", "../a")),
        "1 ids of the store are not shot ids",
    ),
    "counts": (
        lambda store: (store / "problems.tsv").write_text("shot00001_1\tpartial\tcut\n"),
        "the counts are {'ok': 5, 'partial': 1, 'failed': 0}, but the manifest has {'ok': 6",
    ),
    "failed": (
        lambda store: (store / "problems.tsv").write_text("shot00001_1\tfailed\tcut\n"),
        "1 shots failed and have vectors: shot00001_1",
    ),
    "no problem": (lambda store: (store / "problems.tsv").write_text("shot00001_1\n"), "not problems of shots"),
}


@pytest.mark.parametrize("case", STORES)
def test_what_a_store_holds_is_checked(tmp_path: Path, case: str) -> None:
    damage, said = STORES[case]
    store = make_store(tmp_path / "store", UNIT).folder
    assert verify(store).problems == []
    damage(store)
    assert any(said in problem for problem in verify(without_hashes(store)).problems)


def test_a_bigfile_is_read(tmp_path: Path) -> None:
    write_bigfile(tmp_path / "b", ["a", "b"], [np.array([[1.0, 2], [np.inf, 0]])])
    assert verify(tmp_path / "b").problems == [f"{tmp_path / 'b'}: 1 of 2 rows are not finite: b (row 1)"]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_search_and_provenance_refuse_what_was_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = with_hashes(Path("collection/one"))
    with_hashes(Path("models/laff/best"))
    systems = ["--store", "collection/one", "--store", "collection/two", "--store", "collection/film"]
    search = ["search", "--topics", "topics.txt", *systems, "--checkpoint", "models/laff", "-o", "new/"]
    assert main(search) == 0
    assert main(["info", "new/laff.trec", "--provenance"]) == 0
    assert "store one: collection/one  ✓" in capsys.readouterr().out
    rows = np.load(store / "vectors.npy")
    np.save(store / "vectors.npy", rows[::-1])
    assert main(search) == 2
    assert "vectors.npy was changed after it was written" in capsys.readouterr().err
    assert main(["info", "new/laff.trec", "--provenance"]) == 0
    assert "store one: collection/one  ✗ changed since" in capsys.readouterr().out
    with_hashes(store)  # the store was made again, with the same settings and another result
    assert main(search) == 2
    assert "made before from other inputs or settings" in capsys.readouterr().err
    np.save(store / "vectors.npy", rows)
    with_hashes(store)
    assert main(search) == 0
    weights = load_file("models/laff/best/model.safetensors")
    first = max(weights, key=lambda name: weights[name].size)
    weights[first] = weights[first] + 1
    save_file(weights, "models/laff/best/model.safetensors")
    assert main(search) == 2
    assert "model.safetensors was changed after it was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fusers/ltr", ["fuse", "lists/laff.trec", "lists/dual.trec", "--fuser", "fusers/ltr", "-o", "x.trec"]),
        ("rerankers/k", ["rerank", "lists/laff.trec", "--reranker", "rerankers/k", "-o", "x.trec"]),
    ],
)
def test_a_changed_fuser_or_reranker_is_not_applied(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str, words: list[str]
) -> None:
    file = with_hashes(Path(kind)) / KINDS[kind]
    file.write_text(file.read_text().replace("1", "2", 1))
    assert main(words) == 2
    assert f"{file.name} was changed after it was written" in capsys.readouterr().err


def test_shots_that_failed_and_have_vectors_are_told_in_order(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", np.eye(8, 4) + 0.1)
    (store.folder / "problems.tsv").write_text("".join(f"{shot}\tfailed\tgone\n" for shot in reversed(store.ids)))
    without_hashes(store.folder)
    said = [line for line in verify(store.folder).problems if "have vectors" in line]
    assert said == [f"{store.folder}: 8 shots failed and have vectors: {', '.join(sorted(store.ids)[:5])} and 3 more"]


def of_table(folder: Path) -> tuple[Path, Path]:
    """A store of five shots of a table, of which the second failed and the fourth is partial; and the table."""
    shots = [f"shot00001_{n}" for n in range(1, 6)]
    table = ShotTable(shots, range(5), range(1, 6))
    write_shot_table(table, folder / "shots.tsv")
    inputs, paths = {"shots": fingerprint_input(folder / "shots.tsv")}, {"shots": folder / "shots.tsv"}
    writer = FeatureWriter(
        folder / "store", Manifest("feature-store", {"level": "shot"}, inputs, SPEC.to_json(), paths=paths)
    )
    for row, shot in enumerate(shots):
        status, reason = {1: ("failed", "lost"), 3: ("partial", "cut")}.get(row, ("ok", ""))
        writer.add(ShotFeatures(shot, UNIT[row : row + 1 - (row == 1)], np.zeros(int(row != 1)), status, reason))
    return writer.commit(shots).folder, folder / "shots.tsv"


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        text = (store / name).read_text()
        assert old in text
        (store / name).write_text(text.replace(old, new))

    return change


TABLES = {
    "lacking": (edit("problems.tsv", "shot00001_2\t", "shot00001_3\t"), "1 shots of the table are not there", "_2"),
    "unknown": (edit("ids.txt", "shot00001_3", "shot00001_9"), "1 shots are not in the table: ", "shot00001_9"),
    "order": (
        edit("ids.txt", "shot00001_3\nshot00001_4", "shot00001_4\nshot00001_3"),
        "1 shots come after later ones of the table: ",
        "shot00001_3",
    ),
    "twice": (edit("ids.txt", "shot00001_5", "shot00001_4"), "1 ids occur twice: ", "shot00001_4"),
    "problem": (edit("problems.tsv", "shot00001_2", "shot00007_2"), "1 shots with problems are not in", "shot00007_2"),
    "partial": (edit("problems.tsv", "failed", "partial"), "1 shots are partial and not there: ", "shot00001_2"),
    "problems": (
        edit("problems.tsv", "shot00001_4", "shot00001_2"),
        "1 shots have several problems: ",
        "shot00001_2",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_every_shot_of_the_table_is_there_once_and_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    damage, said, which = TABLES[case]
    store, _ = of_table(tmp_path)
    assert main(["info", str(store), "--verify"]) == 0 and "note" not in capsys.readouterr().out
    damage(store)
    with_hashes(store)
    assert main(["info", str(store), "--verify"]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if said in line)
    assert which in line


def test_everything_that_is_wrong_with_a_store_is_told_at_once(tmp_path: Path) -> None:
    store, _ = of_table(tmp_path)
    for case in ("lacking", "order"):
        TABLES[case][0](store)
    set_row(np.nan)(store)
    problems = verify(with_hashes(store)).problems
    said = ("of the table are not there", "come after later ones", "rows are not finite", "failed and have vectors")
    assert all(any(words in problem for problem in problems) for words in said), problems


def test_a_table_that_is_gone_or_changed_cannot_be_compared_with(tmp_path: Path) -> None:
    store, table = of_table(tmp_path)
    table.write_text(table.read_text().replace("5.0", "5.5"))
    found = verify(store)
    assert not found.problems and "was changed since" in found.notes[0] and "was not checked" in found.notes[0]
    table.unlink()
    assert "is not there" in verify(store).notes[0]
    assert "was not recorded" in verify(make_store(tmp_path / "other", UNIT).folder).notes[0]
