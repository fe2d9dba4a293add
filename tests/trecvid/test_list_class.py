"""The class of a list in a file: what the file and its manifest say, and the one that claims least."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store

from avs.cli.main import main
from avs.core.artifacts import Manifest, manifest_path, write_artefact
from avs.core.ranking import RankedList, Run
from avs.trecvid.list_class import class_of_list, class_of_sources, tag_with_class
from avs.trecvid.run_file import read_run
from avs.trecvid.trec import write_trec


def said(file: Path) -> str | None:
    return class_of_list(file, read_run(file))


def written(file: Path, tag: str, config: dict | None = None, *, kind: str = "ranked-lists") -> Path:
    run = Run({"661": RankedList.from_scores("661", ["shot00001_1"], [1.0])}, tag)
    if config is None:
        write_trec(run, file)
    else:
        write_artefact(file, Manifest(kind, config), lambda path: write_trec(run, path))
    return file


@pytest.mark.parametrize(
    ("tag", "config", "used"),
    [
        ("theirs", None, None), ("R_served", None, "R"), ("M_x", None, "M"), ("F_M_C_D_TEAM.24_1", None, "F"),
        ("X_served", None, None), ("R_", None, None), ("one-shot", {}, "F"), ("fused", {"class": "M"}, "M"),
        ("R_served", {}, "R"), ("F_served", {"class": "R"}, "R"), ("one-shot", {"class": "I"}, "R"),
    ],
)  # fmt: skip
def test_the_tag_and_the_manifest(tmp_path: Path, tag: str, config: dict | None, used: str | None) -> None:
    assert said(written(tmp_path / "a.trec", tag, config)) == used


def test_a_tag_is_read_as_it_was_written(tmp_path: Path) -> None:
    for used in "FMR":
        assert said(written(tmp_path / f"{used}.trec", tag_with_class("served", used))) == used


def test_a_manifest_of_another_file_says_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "a.trec", "one-shot", {})
    written(file, "theirs")  # the manifest stays
    assert said(file) is None
    assert said(written(tmp_path / "b.trec", "theirs", {}, kind="run")) is None
    manifest_path(file).write_text("{}", encoding="utf-8")
    assert said(file) is None
    file = written(tmp_path / "c.trec", "one-shot", {})
    manifest = json.loads(manifest_path(file).read_text(encoding="utf-8"))
    manifest_path(file).write_text(json.dumps({**manifest, "output": ""}), encoding="utf-8")
    assert said(file) is None


@pytest.mark.parametrize(("attribute", "used"), [('class="R"', "R"), ('class="F"', "F"), ('class="I"', "R"), ("", "F")])
def test_the_attribute_of_a_run_file(tmp_path: Path, attribute: str, used: str) -> None:
    item = '<item seqNum="1" shotId="shot00001_1"/>'
    file = tmp_path / "F_served.xml"
    file.write_text(
        f'<videoAdhocSearchResults><videoAdhocSearchRunResult {attribute}><videoAdhocSearchTopicResult tNum="661">'
        f"{item}</videoAdhocSearchTopicResult></videoAdhocSearchRunResult></videoAdhocSearchResults>",
        encoding="utf-8",
    )
    assert said(file) == used  # without the attribute, its name is all there is


def test_lists_made_of_others_keep_what_these_say(tmp_path: Path) -> None:
    clean, helped = written(tmp_path / "a.trec", "a", {}), written(tmp_path / "b.trec", "R_b")
    foreign, missing = written(tmp_path / "c.trec", "c"), tmp_path / "d.trec"
    assert class_of_sources([clean, clean]) == class_of_sources([]) == class_of_sources([missing, clean]) == {}
    assert class_of_sources([clean, helped, foreign]) == {"class": "R"}
    assert class_of_sources([clean, foreign]) == {"class": "unknown"}
    assert said(written(tmp_path / "e.trec", "e", {"class": "unknown"})) is None


@pytest.mark.parametrize("verb", ["fuse", "rerank"])
def test_a_verb_does_not_make_a_helped_list_automatic(tmp_path: Path, verb: str) -> None:
    manual, plain = written(tmp_path / "a.trec", "a", {"class": "M"}), written(tmp_path / "b.trec", "b", {})
    store = make_store(tmp_path / "one" / "shot", np.eye(4)).folder
    options = {
        "fuse": [str(plain), "--method", "average"],
        "rerank": ["--method", "near-duplicates", "--store", str(store)],
    }
    assert main([verb, str(manual), *options[verb], "-o", str(tmp_path / "c.trec"), "--quiet"]) == 0
    assert said(tmp_path / "c.trec") == "M"
