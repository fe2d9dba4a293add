from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.artifacts import Manifest, fingerprint_file, write_artefact
from avs.core.errors import AvsError
from avs.pipeline.provenance import Trail
from avs.video.fingerprints import VIDEOS_FILE, fingerprint_videos, listing_fingerprint, write_videos


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a fused list of two lists, which come from one store of two videos."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for name in ("00001", "00002"):
        Path(f"videos/{name}.mp4").write_text(name)
    hashed = fingerprint_videos({n: Path(f"videos/{n}.mp4") for n in ("00001", "00002")}, Path("videos"))
    write_videos(hashed, Path(f"shots.{VIDEOS_FILE}"))
    make("shots.tsv", Manifest("shot-table", {}, {"videos": listing_fingerprint(hashed)}, paths={"videos": "videos"}))
    for name in ("a.trec", "b.trec"):
        make(name, of("ranked-lists", store="shots.tsv"))
    make("fused.trec", of("ranked-lists", **{"list a": "a.trec", "list b": "b.trec"}))
    make("run.xml", of("run", ranked="fused.trec"))
    return tmp_path


def make(name: str, manifest: Manifest, text: str = "") -> None:
    write_artefact(Path(name), manifest, lambda path: path.write_text(text or name) and None)


def of(type_: str, **files: str) -> Manifest:
    return Manifest(
        type_,
        {},
        {name: fingerprint_file(Path(f)) for name, f in files.items()},
        paths={k: Path(f) for k, f in files.items()},
    )


def tree() -> list[str]:
    return [line.split("  [")[0].rstrip() for line in Trail([Path("run.xml")]).lines()]


def test_a_run_leads_down_to_its_videos_and_what_is_shared_is_told_once(folder: Path) -> None:
    assert tree()[:-1] == [
        "run.xml",
        "  ranked: fused.trec  ✓",
        "    list a: a.trec  ✓",
        "      store: shots.tsv  ✓",
        "        videos: videos  ✓",
        f"          2 videos, 0.0 MB, {Trail([Path('shots.tsv')]).artefacts[folder / 'shots.tsv'].sources[0].recorded}",
        "    list b: b.trec  ✓",
    ]
    assert tree()[-1] == "      store: shots.tsv  ✓  (see above)"
    assert Trail([Path("run.xml")]).broken == []


def test_json_holds_every_artefact_once_with_the_hash_of_every_video(folder: Path) -> None:
    (folder / "out").mkdir()
    data = Trail([Path("run.xml")]).to_json(base=Path("out"))
    assert data["roots"] == {"../run.xml": fingerprint_file(Path("run.xml"))}
    assert list(data["artefacts"]) == ["../run.xml", "../fused.trec", "../a.trec", "../b.trec", "../shots.tsv"]
    source = data["artefacts"]["../shots.tsv"]["inputs"]["videos"]
    assert (source["path"], source["state"]) == ("../videos", "unchanged")
    first = {"video": "00001", "file": "00001.mp4", "bytes": 5, "state": "unchanged"}
    assert data["videos"][source["fingerprint"]][0] == {
        **first,
        "fingerprint": fingerprint_file(Path("videos/00001.mp4")),
    }


def test_what_changed_is_named_and_the_trail_ends_there(folder: Path) -> None:
    make("b.trec", of("ranked-lists", store="shots.tsv"), text="another")
    lines = tree()
    assert "    list b: b.trec  ✗ changed since" in lines
    assert lines[-1] == "    list b: b.trec  ✗ changed since"
    assert Trail([Path("run.xml")]).broken == ["fused.trec: list b b.trec ✗ changed since"]


def test_a_list_that_is_gone(folder: Path) -> None:
    Path("fused.trec").unlink()
    assert tree() == ["run.xml", "  ranked: fused.trec  ✗ gone"]


def test_videos_that_changed_or_are_gone_are_named(folder: Path) -> None:
    Path("videos/00001.mp4").write_text("99999")
    Path("videos/00002.mp4").unlink()
    lines = tree()
    assert "        videos: videos  ✗ changed since" in lines
    assert "          00001.mp4  ✗ changed since" in lines and "          00002.mp4  ✗ gone" in lines
    for file in Path("videos").iterdir():
        file.unlink()
    Path("videos").rmdir()
    assert "        videos: videos  ✗ gone" in tree()


def test_videos_are_not_read_when_not_asked_to_be(folder: Path) -> None:
    Path("videos/00001.mp4").write_text("99999")
    source = Trail([Path("run.xml")], check_videos=False).artefacts[folder / "shots.tsv"].sources[0]
    assert source.state == "not checked"
    assert [file.bytes for file, _ in source.videos] == [5, 5]


def test_an_artefact_that_did_not_record_where_its_inputs_lay(folder: Path) -> None:
    make("run.xml", Manifest("run", {}, {"ranked": "sha256:1"}))
    assert tree() == ["run.xml", "  ranked: sha256:1  ? no path recorded"]


def test_what_moves_together_keeps_its_trail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree()
    folder.rename(folder.with_name("moved"))
    monkeypatch.chdir(folder.with_name("moved"))
    assert tree() == before


def test_no_such_artefact(tmp_path: Path) -> None:
    with pytest.raises(AvsError, match="no such artefact"):
        Trail([tmp_path / "run.xml"])


def test_words_of_a_bigfile_need_not_be_ids(folder: Path) -> None:
    words = folder / "words"
    words.mkdir()
    (words / "id.txt").write_text("and/or")
    (words / "shape.txt").write_text("1 1")
    (words / "feature.bin").write_bytes(bytes(4))
    make("x.json", Manifest("training", {}, {"word2vec": "sha256:1"}, paths={"word2vec": words}))
    assert "word2vec: words  ✗ changed since" in "\n".join(Trail([Path("x.json")]).lines())


@pytest.mark.parametrize(("changed", "more"), [(5, []), (6, ["          ... and 1 more (--json lists all)"])])
def test_five_videos_that_changed_are_shown(folder: Path, changed: int, more: list[str]) -> None:
    videos = {f"0000{n}": Path(f"videos/0000{n}.mp4") for n in range(1, 9)}
    for number, path in videos.items():
        path.write_text(number * 50_000)
    hashed = fingerprint_videos(videos, Path("videos"))
    write_videos(hashed, Path(f"shots.{VIDEOS_FILE}"))
    make("shots.tsv", Manifest("shot-table", {}, {"videos": listing_fingerprint(hashed)}, paths={"videos": "videos"}))
    for path in list(videos.values())[:changed]:
        path.write_text("other")
    lines = list(Trail([Path("shots.tsv")]).lines())
    assert any(line.strip().startswith("8 videos, 2.0 MB, ") for line in lines)
    assert sum(".mp4  ✗ changed since" in line for line in lines) == 5
    assert [line.strip() for line in lines if "more (--json" in line] == [line.strip() for line in more]
