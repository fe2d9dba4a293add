"""`avs fuse` as a user runs it, on small lists written for the purpose."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.fusion.cross_validation import values
from avs.fusion.fuser import Pools
from avs.fusion.methods import METHODS, Learned, Learning, Method
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool
from avs.trecvid.trec import read_trec, write_trec

TV19 = [str(topic) for topic in range(611, 617)]
TV20 = [str(topic) for topic in range(641, 647)]
NEW = ["731", "732"]
SHOTS = [f"shot{1 + i // 10:05d}_{1 + i % 10}" for i in range(60)]
NOISE = {"good": 0.4, "fair": 1.0, "poor": 3.0}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lists/{good,fair,poor}.trec over two past editions and new topics; qrels of each past edition."""
    root = tmp_path_factory.mktemp("fuse")
    rng = np.random.default_rng(5)
    relevant = {topic: rng.permutation(60)[:12] for topic in [*TV19, *TV20, *NEW]}
    for name, noise in NOISE.items():
        lists = {}
        for topic, some in relevant.items():
            scores = rng.normal(size=60) * noise
            scores[some] += 1
            lists[topic] = RankedList.from_scores(topic, SHOTS, scores, limit=50)
        write_trec(Run(lists, name), root / f"lists/{name}.trec")
        write_trec(Run({t: lists[t] for t in NEW}, name), root / f"new/{name}.trec")
        write_trec(Run({t: lists[t] for t in [*TV19, *TV20]}, name), root / f"past/{name}.trec")
    for edition, topics in (("tv19", TV19), ("tv20", TV20)):
        rows = [f"1{t} 0 {shot} 1 {int(i in relevant[t])}\n" for t in topics for i, shot in enumerate(SHOTS)]
        (root / f"qrels.{edition}").write_text("".join(rows), encoding="utf-8")
    (root / "past.txt").write_text("".join(f"{t}  sentence {t}\n" for t in [*TV19, *TV20]), encoding="utf-8")
    (root / "new.txt").write_text("731  one\n732  two\n", encoding="utf-8")
    return root


def lists(work: Path, folder: str = "lists", names: tuple[str, ...] = tuple(NOISE)) -> list[str]:
    return [str(work / folder / f"{name}.trec") for name in names]


def qrels(work: Path) -> list[str]:
    return ["--qrels", str(work / "qrels.tv19"), "--qrels", str(work / "qrels.tv20")]


def failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["fuse", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return err


def test_average_in_any_order_and_what_made_it(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuse", *lists(work), "-o", str(tmp_path / "a.trec"), "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["lists"], summary["topics"]) == (3, 14)
    assert f"wrote {tmp_path / 'a.trec'}: 3 lists fused for 14 topics" in err
    assert f"next: avs make-run {tmp_path / 'a.trec'}" in err
    run = read_trec(tmp_path / "a.trec")
    assert run.tag == "a" and len(run.topics) == 14
    manifest = json.loads((tmp_path / "a.trec.manifest.json").read_text())
    assert manifest["type"] == "ranked-lists"
    assert manifest["config"]["fusion"] == {
        "method": "average", "normalization": "minmax", "missing": "minimum", "depth": 2000,
    }  # fmt: skip
    assert set(manifest["inputs"]) == {"list good", "list fair", "list poor"}
    assert manifest["seconds"] == 0  # nobody knows how long the searches took, so make-run asks for --elapsed
    assert main(["fuse", *lists(work)[::-1], "-o", str(tmp_path / "b.trec"), "--quiet"]) == 0
    other = read_trec(tmp_path / "b.trec")
    for topic, ranked in run.lists.items():
        assert ranked.shots == other.lists[topic].shots and (ranked.scores == other.lists[topic].scores).all()
    capsys.readouterr()
    assert main(["fuse", *lists(work), "-o", str(tmp_path / "a.trec")]) == 0
    assert capsys.readouterr().err == f"up to date: {tmp_path / 'a.trec'}\n"
    assert "made before from other inputs or settings" in failure(
        [*lists(work), "--method", "rrf", "-o", str(tmp_path / "a.trec")], capsys
    )


def test_weights_by_hand(work: Path, tmp_path: Path) -> None:
    words = ["--method", "weighted", "--weight", "good=1", "--weight", "poor=0", "--weight", "fair=0"]
    words += ["-o", str(tmp_path / "w.trec")]
    assert main(["fuse", *lists(work), *words, "--quiet"]) == 0
    alone, fused = read_trec(work / "lists/good.trec"), read_trec(tmp_path / "w.trec")
    for topic, ranked in alone.lists.items():
        assert fused.lists[topic].shots[: len(ranked) - 1] == ranked.shots[:-1]
        assert set(ranked.shots[-1:]) < set(fused.lists[topic].shots)  # it ties with those that no list weighs


def test_k_of_reciprocal_ranks(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """k decides between two high ranks and one at the top; equal weights over reciprocal ranks are RRF."""
    absent = ["--normalize", "reciprocal-rank", "--missing", "absent", "--method", "combsum"]
    found = {}
    for name, words in {
        "usual": ["--method", "rrf"], "60": ["--method", "rrf", "--rrf-k", "60"],
        "1": ["--method", "rrf", "--rrf-k", "1"], "sum": [*absent, "--rrf-k", "1"],
    }.items():  # fmt: skip
        assert main(["fuse", *lists(work), *words, "-o", str(tmp_path / f"{name}.trec"), "--quiet"]) == 0
        found[name] = read_trec(tmp_path / f"{name}.trec").lists[TV19[0]]
    assert found["60"].shots == found["usual"].shots and (found["60"].scores == found["usual"].scores).all()
    assert found["1"].shots != found["60"].shots
    assert found["sum"].shots == found["1"].shots
    words = [*lists(work), "--method", "rrf", "-o", str(tmp_path / "usual.trec")]
    assert "changed: config.fusion" in failure([*words, "--rrf-k", "1"], capsys)
    for other in (["--method", "borda"], ["--normalize", "rank"]):
        assert "--rrf-k" in failure([*lists(work), *other, "--rrf-k", "1", "-o", str(tmp_path / "x.trec")], capsys)


def test_two_steps_that_learn_nothing(work: Path, tmp_path: Path) -> None:
    """Step 1 makes one list of two; step 2 fuses it with the third, each counting once."""
    two = lists(work, names=("fair", "poor"))
    assert main(["fuse", *two, "--method", "combmnz", "-o", str(tmp_path / "both.trec"), "--quiet"]) == 0
    by_hand = [str(tmp_path / "both.trec"), *lists(work, names=("good",)), "-o", str(tmp_path / "hand.trec")]
    assert main(["fuse", *by_hand, "--quiet"]) == 0
    steps = ["--family", "both=[fp]*", "--family", "alone=good", "--step1", "combmnz", "-o", str(tmp_path / "two.trec")]
    assert main(["fuse", *lists(work), *steps, "--quiet"]) == 0
    for topic, ranked in read_trec(tmp_path / "hand.trec").lists.items():
        found = read_trec(tmp_path / "two.trec").lists[topic]
        assert found.shots == ranked.shots
        np.testing.assert_allclose(found.scores, ranked.scores)


@pytest.mark.parametrize("method", ["ltr", "coordinate-ascent"])
def test_learn_from_the_past_and_fuse_the_new(work: Path, tmp_path: Path, method: str) -> None:
    model, out = tmp_path / "fuser", tmp_path / "new.trec"
    learn = ["--method", method, "--past", str(work / "past"), *qrels(work), "--fit-on", "tv19,tv20", "--threads", "1"]
    assert main(["fuse", *lists(work, "new"), *learn, "--fuser", str(model), "-o", str(out), "--quiet"]) == 0
    assert read_trec(out).topics == ("731", "732")
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["type"] == "fuser" and manifest["config"]["topics"] == [*TV19, *TV20]
    again = tmp_path / "again.trec"
    assert main(["fuse", *lists(work, "new")[::-1], "--fuser", str(model), "-o", str(again), "--quiet"]) == 0
    for topic in NEW:
        assert read_trec(again).lists[topic].shots == read_trec(out).lists[topic].shots
        assert (read_trec(again).lists[topic].scores == read_trec(out).lists[topic].scores).all()


def test_an_edition_that_avs_does_not_know_is_learned_from(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The topics of tv20 as if they were of tv26, which a file describes."""
    (tmp_path / "tv26.yaml").write_text("id: tv26\nyear: 2026\ntopics: {M: [771, 790]}\n")
    for name in NOISE:
        text = re.sub("^64(.)", r"77\1", (work / f"past/{name}.trec").read_text(), flags=re.MULTILINE)
        (tmp_path / f"{name}.trec").write_text(text)
    text = re.sub("^164", "177", (work / "qrels.tv20").read_text(), flags=re.MULTILINE)
    (tmp_path / "qrels.tv26").write_text(text)
    judged = ["--qrels", str(work / "qrels.tv19"), "--qrels", str(tmp_path / "qrels.tv26")]
    words = [*(str(tmp_path / f"{name}.trec") for name in NOISE), "--method", "coordinate-ascent", *judged]
    page, of_file = tmp_path / "study.html", ["--edition-file", str(tmp_path / "tv26.yaml")]
    assert main(["fuse", *words, *of_file, "--study", "--report", str(page), "--quiet"]) == 0
    folds = json.loads(page.with_suffix(".json").read_text())["folds"]
    assert {fold["name"]: fold["test"] for fold in folds} == {"tv19": TV19, "tv26": [f"77{i}" for i in range(1, 7)]}
    fit = [*words, "--fit-on", "tv26", "--fuser", str(tmp_path / "fuser")]
    assert "give it wherever --edition or --fit-on is: --edition-file" in failure(fit, capsys)
    assert main(["fuse", *fit, *of_file, "--quiet"]) == 0
    manifest = json.loads((tmp_path / "fuser/manifest.json").read_text())
    assert manifest["config"]["topics"] == [f"77{i}" for i in range(1, 7)] and "edition 1" in manifest["inputs"]
    assert "--edition-file: only for learning" in failure([*lists(work), *of_file, "-o", "x.trec"], capsys)


def test_a_study_holds_editions_out_and_reports(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, out = tmp_path / "report.html", tmp_path / "oof.trec"
    how = ["--family", "two=[gf]*", "--method", "coordinate-ascent", *qrels(work), "--threads", "1", "--study"]
    where = ["--past-topics", str(work / "past.txt"), "--report", str(page), "-o", str(out)]
    assert main(["fuse", *lists(work, "past"), *how, *where, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["method"] == "average, then coordinate-ascent" and summary["learned_from"] == 12
    assert set(read_trec(out).topics) == {*TV19, *TV20}
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    data = page.with_suffix(".json").read_text()
    assert json.loads(data) == summary["study"] and data.endswith("}\n")


def test_the_list_and_the_table_of_a_study_come_before_its_learning_curve(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avs.pipeline.fuse.learn.with_curve", stopped)
    page, out = tmp_path / "report.html", tmp_path / "oof.trec"
    words = ["--method", "coordinate-ascent", "--qrels", str(work / "qrels.tv19"), "--study", "--folds", "3"]
    assert main(["fuse", *lists(work), *words, "--report", str(page), "-o", str(out)]) != 0
    assert set(read_trec(out).topics) == set(TV19) and not page.exists()
    assert re.search(r"^coordinate-ascent +0\.\d{4}", capsys.readouterr().err, re.MULTILINE)


def test_a_study_without_a_report_prints_what_it_is_worth(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ltr", "--qrels", str(work / "qrels.tv19"), "--study", "--folds", "3", "--threads", "1", "--json"]
    assert main(["fuse", *lists(work), *words]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert set(found["xinfAP"]) == {"average", "rrf", "combmnz", "borda", "ltr"} and 0 <= found["p_value"] <= 1
    assert found["xinfAP"]["ltr"] == pytest.approx(np.mean(list(found["by_topic"]["ltr"].values())))
    assert "6 topics, each fused by a fuser that did not see it (p = " in err


def test_a_list_needs_its_past_in_one_folder(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "some").mkdir()
    for name, folder in (("good", "more"), ("fair", "more"), ("poor", "some")):
        (tmp_path / folder / f"{name}.trec").write_bytes((work / f"past/{name}.trec").read_bytes())
    folders = [word for folder in ("more", "some") for word in ("--past", str(tmp_path / folder))]
    learn = ["--ltr", *qrels(work), "--fuser", str(tmp_path / "m"), "--quiet"]
    assert main(["fuse", *lists(work, "new"), *folders, *learn]) == 0
    assert failure([*lists(work, "new"), *folders[:2], *learn, "--force"], capsys) == (
        "avs fuse: past lists: 1 problem\n"
        f"  poor: no poor.trec in {tmp_path / 'more'}; past lists have the same names\n"
    )


def test_leaks_are_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "fuser"
    leak = (
        "avs fuse: leakage: it would learn from the judgments of topics that are submitted\n"
        "  got:    topics 611, 612, 613, 614, 615 and 1 more\n"
        "  next:   learn from other editions (--fit-on); or add --study, if this is a study of judged topics\n"
    )
    learn = ["--ltr", "--qrels", str(work / "qrels.tv19"), "--threads", "1", "--quiet"]
    topics = tmp_path / "tv19.txt"
    topics.write_text("".join(f"{t}  x\n" for t in TV19), encoding="utf-8")
    assert failure([*lists(work), *learn, "--topics", str(topics), "-o", str(tmp_path / "x.trec")], capsys) == leak
    assert main(["fuse", *lists(work), *learn, "--fuser", str(model)]) == 0
    apply = [*lists(work, "past"), "--fuser", str(model), "-o", str(tmp_path / "y.trec"), "--quiet"]
    assert failure(apply, capsys) == leak
    assert failure([*apply, "--study"], capsys).startswith("avs fuse: --study: only for learning")
    prefixed = tmp_path / "prefixed"
    prefixed.mkdir()
    for name in NOISE:
        lines = (work / f"past/{name}.trec").read_text().splitlines()
        (prefixed / f"{name}.trec").write_text("".join(f"1{line}\n" for line in lines))
    apply = [*(str(prefixed / f"{name}.trec") for name in NOISE), *apply[3:]]
    assert failure(apply, capsys) == leak
    assert failure([*lists(work, "past"), *learn, *qrels(work)[2:], "-o", str(tmp_path / "z.trec")], capsys).startswith(
        "avs fuse: leakage: "
    )


def test_options_that_do_not_fit(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.trec")]
    assert failure([*lists(work), "--method", "avrage", *out], capsys) == (
        'avs fuse: unknown method "avrage"; did you mean "average"?\n'
        "  wanted: average, combsum, combmnz, combmax, rrf, borda, weighted, coordinate-ascent, ltr\n"
    )
    assert failure([*lists(work), "--normalize", "minimax", *out], capsys).startswith(
        'avs fuse: unknown normalization "minimax"; did you mean "minmax"?\n'
    )
    assert failure([*lists(work), "--ltr", *out], capsys) == (
        "avs fuse: ltr learns from judged topics\n  next:   give their judgments: --qrels\n"
    )
    assert failure(lists(work), capsys) == (
        "avs fuse: nothing to write\n  next:   name the list to write: -o lists/fused.trec; or give --qrels\n"
    )
    assert failure([*lists(work), "--fit-on", "tv19", *out], capsys) == (
        "avs fuse: --fit-on: only for learning\n  next:   give judgments to learn from: --qrels\n"
    )
    assert "--ltr is short for --method ltr" in failure([*lists(work), "--ltr", "--method", "rrf", *out], capsys)
    assert "--weight and --method weighted need each other" in failure(
        [*lists(work), "--weight", "good=1", *out], capsys
    )
    assert 'no list is called "goood"; did you mean "good"?' in failure(
        [*lists(work), "--method", "weighted", "--weight", "goood=1", *out], capsys
    )
    assert 'a pattern that matches no list: "laff*"' in failure(
        [*lists(work), "--ltr", *qrels(work), "--family", "laffs=laff*", "--fuser", str(tmp_path / "m")], capsys
    )
    assert failure([*lists(work), "--ltr", *qrels(work), "--fit-on", "tv199", "--fuser", "m"], capsys).startswith(
        'avs fuse: unknown edition "tv199"\n  wanted: tv16, '
    )
    assert failure([*lists(work), "--ltr", *qrels(work), "--fit-on", "tv21", "--fuser", "m"], capsys).startswith(
        "avs fuse: no topic of tv21 is judged\n"
    )


def test_lists_that_cannot_be_fused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.trec")]
    mixed = [*lists(work, names=("good",)), *lists(work, "new", names=("fair",))]
    assert failure([*mixed, *out], capsys) == (
        "avs fuse: lists that cannot be fused: 1 problem\n"
        "  fair: has no shots for topics 611, 612, 613, 614, 615 and 7 more, which other lists have\n"
        "  next:   leave these lists out, or make them again; --partial accepts lists that lack topics\n"
    )
    flat = tmp_path / "flat.trec"
    flat.write_text("731 0 shot00001_1 1 0.5 flat\n731 0 shot00001_2 2 0.5 flat\n", encoding="utf-8")
    assert "flat: all scores are equal for topic 731, so that there is no order" in failure([str(flat), *out], capsys)
    nan = tmp_path / "nan.trec"
    nan.write_text("731 0 shot00001_1 1 nan x\n", encoding="utf-8")
    assert 'nan.trec:1: the score "nan" is not a finite number' in failure([str(nan), *out], capsys)
    twice = tmp_path / "twice.trec"
    twice.write_text("731 0 shot00001_1 1 0.5 x\n731 0 shot00001_1 2 0.4 x\n", encoding="utf-8")
    assert "shot00001_1 is repeated for topic 731" in failure([str(twice), *out], capsys)
    assert 'two lists are called "good"' in failure([*lists(work), *lists(work, "new"), *out], capsys)
    nothing = tmp_path / "nothing.qrels"
    nothing.write_text("".join(f"1{t} 0 {SHOTS[0]} 1 0\n" for t in TV19), encoding="utf-8")
    assert "topic 611: no shot is judged relevant: nothing can be learned from it" in failure(
        [*lists(work), "--ltr", "--qrels", str(nothing), "--fuser", str(tmp_path / "m")], capsys
    )
    assert failure([*lists(work, "new"), "--ltr", *qrels(work), "--fuser", str(tmp_path / "m")], capsys).startswith(
        "avs fuse: judged topics that the lists do not have\n  got:    topics 611, 612, 613, 614, 615 and 7 more\n"
    )


def test_a_fuser_says_which_list_is_missing(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "fuser"
    assert main(["fuse", *lists(work), "--ltr", *qrels(work), "--fuser", str(model), "--threads", "1", "--quiet"]) == 0
    some = lists(work, "new", names=("good", "poor"))
    assert failure([*some, "--fuser", str(model), "-o", str(tmp_path / "x.trec")], capsys) == (
        "avs fuse: the fuser needs lists that are missing\n"
        "  got:    lists good, poor\n"
        "  wanted: fair\n"
        "  next:   give the lists under the names they had when it was fitted; lists/clip.trec is called clip\n"
    )
    words = [*lists(work, "new"), "--fuser", str(model), "--normalize", "rank", "-o", str(tmp_path / "x.trec")]
    assert "--normalize: decided when the fuser was fitted" in failure(words, capsys)
    assert "no such fuser" in failure([*some, "--fuser", str(tmp_path / "fsuer"), "-o", "x.trec"], capsys)


def test_nothing_that_stands_is_lost(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, learn = tmp_path / "mine.trec", ["--ltr", *qrels(work), "--threads", "1"]
    mine.write_text("precious")
    assert "a file without a manifest is in the way" in failure(
        [*lists(work, "past"), *learn, "--study", "--fuser", str(tmp_path / "new"), "-o", str(mine)], capsys
    )
    assert mine.read_text() == "precious"
    store = tmp_path / "store"
    store.mkdir()
    (store / "manifest.json").write_text('{"type": "feature-store", "fingerprint": "x"}')
    error = failure([*lists(work, "past"), *learn, "--fuser", str(store), "--force"], capsys)
    assert error.startswith("avs fuse: something else is where the fuser should go\n")
    same = ["--fuser", str(tmp_path / "a"), "-o", str(tmp_path / "a")]
    assert "two outputs have the same name" in failure([*lists(work, "past"), *learn, "--study", *same], capsys)


def test_a_fuser_whose_writing_is_cut_short_is_not_complete(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "fuser"
    learn = [*lists(work), "--ltr", "--qrels", str(work / "qrels.tv19"), "--threads", "1", "--fuser", str(model)]
    assert main(["fuse", *learn, "--quiet"]) == 0

    def cut(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("avs.fusion.artefact.json.dump", cut)
        assert main(["fuse", *learn, "--seed", "1", "--force", "--quiet"]) != 0
    assert "no manifest" in failure(
        [*lists(work, "new"), "--fuser", str(model), "-o", str(tmp_path / "x.trec")], capsys
    )


def test_the_output_is_not_one_of_the_lists_and_a_learned_list_is_known(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = tmp_path / "lists", tmp_path / "fuser"
    folder.mkdir()
    for name in NOISE:
        (folder / f"{name}.trec").write_bytes((work / f"past/{name}.trec").read_bytes())
    out = folder / "fused.trec"
    assert main(["fuse", *map(str, sorted(folder.glob("*.trec"))), "-o", str(out)]) == 0
    capsys.readouterr()
    assert main(["fuse", *map(str, sorted(folder.glob("*.trec"))), "-o", str(out)]) == 0
    assert capsys.readouterr().err == f"{out} is the output: it is not fused\nup to date: {out}\n"
    learn = ["--method", "coordinate-ascent", "--qrels", str(work / "qrels.tv19"), "--fuser", str(model), "--quiet"]
    tv20 = tmp_path / "learned.trec"
    assert main(["fuse", *lists(work), *learn, "-o", str(tv20)]) == 0
    judged = ["--ltr", "--qrels", str(work / "qrels.tv20"), "--threads", "1", "--quiet", "--partial"]
    both = [str(tv20), *lists(work, names=("poor",))]
    assert main(["fuse", *both, *judged, "--fuser", str(tmp_path / "honest")]) == 0  # tv20 was not learned from
    manifest = tmp_path / "learned.trec.manifest.json"
    told = json.loads(manifest.read_text())
    assert told["config"]["fusion"]["learned_from"] == TV19
    told["config"]["fusion"]["learned_from"] = TV20
    manifest.write_text(json.dumps(told))
    assert failure([*both, *judged, "--fuser", str(tmp_path / "leaky")], capsys).startswith(
        "avs fuse: lists that were learned from the judged topics themselves: 1 problem\n"
        f"  {tv20}: topics 641, 642, 643, 644, 645 and 1 more: its scores for them are too good\n"
    )


def test_only_topics_of_the_lists_themselves_are_fused(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.trec"
    learn = ["--ltr", "--past", str(work / "past"), "--qrels", str(work / "qrels.tv19"), "--threads", "1", "--quiet"]
    assert main(["fuse", *lists(work, "new"), *learn, "-o", str(out)]) == 0
    assert read_trec(out).topics == ("731", "732")  # not the unjudged ones of the past


def test_judgments_of_other_shots(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "qrels"
    other.write_text((work / "qrels.tv19").read_text().replace("shot0", "shot9"), encoding="utf-8")
    words = ["--method", "coordinate-ascent", "--qrels", str(other), "--study"]
    assert failure([*lists(work), *words], capsys).startswith(
        "avs fuse: no list contains a relevant shot of any judged topic\n  got:    shots such as shot0"
    )


def test_lists_that_a_fuser_does_not_know_are_left_out(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "fuser"
    two = lists(work, names=("good", "poor"))
    assert main(["fuse", *two, "--ltr", *qrels(work), "--fuser", str(model), "--threads", "1", "--quiet"]) == 0
    out = [str(tmp_path / name) for name in ("two.trec", "three.trec")]
    assert main(["fuse", *lists(work, "new", names=("good", "poor")), "--fuser", str(model), "-o", out[0]]) == 0
    capsys.readouterr()
    assert main(["fuse", *lists(work, "new"), "--fuser", str(model), "-o", out[1]]) == 0
    assert "the fuser was fitted without fair: left out\n" in capsys.readouterr().err
    first, second = (read_trec(Path(path)) for path in out)
    assert all(first.lists[t].shots == second.lists[t].shots for t in NEW)


def test_options_that_nothing_would_look_at(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.trec")]
    assert "--store: only for --missing recomputed" in failure([*lists(work), "--store", "s", *out], capsys)
    scale = ["--method", "rrf", "--normalize", "rank"]
    assert "rrf takes neither --normalize" in failure([*lists(work), *scale, *out], capsys)
    weights = ["--method", "weighted", "--weight", "good=1"]
    assert "lists without a weight: fair, poor" in failure([*lists(work), *weights, *out], capsys)
    assert "a list has two weights" in failure([*lists(work), *weights, "--weight", "good=2", *out], capsys)
    learn = [*qrels(work), "--study"]
    assert "average learns nothing" in failure([*lists(work), *learn], capsys)
    assert "a study fuses the judged topics" in failure(
        [*lists(work), *learn, "--ltr", "--topics", str(work / "new.txt")], capsys
    )
    assert "--fit-on names no edition" in failure([*lists(work), *learn, "--ltr", "--fit-on", ","], capsys)
    assert "--report must be an HTML page" in failure([*lists(work), *learn, "--ltr", "--report", "x.json"], capsys)
    assert "-o must be a file whose name is one word" in failure(
        [*lists(work), "-o", str(tmp_path / "my run.trec")], capsys
    )
    assert "a folder, not a list" in failure([str(work / "lists"), *out], capsys)


def test_a_scale_that_changes_a_step_is_not_up_to_date(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*lists(work), "--family", "two=[gf]*", "--method", "rrf", "-o", str(tmp_path / "x.trec"), "--quiet"]
    assert main(["fuse", *words]) == 0
    assert "config.fusion" in failure([*words, "--normalize", "zscore"], capsys)


def test_former_options_and_folders_are_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure([*lists(work), "--model", "fuser"], capsys) == (
        "avs fuse: --model is no longer an option of avs fuse\n  next:   use --fuser\n"
    )
    assert failure([*lists(work), "--weights=good=1"], capsys) == (
        "avs fuse: --weights is no longer an option of avs fuse\n  next:   use --weight LIST=W\n"
    )
    assert failure([*lists(work), "-o", f"{tmp_path}/"], capsys) == (
        "avs fuse: -o is a folder, and this command writes one file\n"
        f"  got:    {tmp_path}/\n  next:   name the file: -o {tmp_path / 'fused.trec'}\n"
    )


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(METHODS, "_items", dict(METHODS._items))
    monkeypatch.delitem(sys.modules, "avs.cli.fuse", raising=False)


@dataclass(frozen=True)
class BestRank:
    """A classic toy: the best rank in any list."""

    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        return -np.where(pool.ranks > 0, pool.ranks, 10**6).min(axis=1).astype(np.float64)


def register_best_rank() -> None:
    METHODS.register("best-rank")(
        Method(
            help="best rank in any list", fuser=BestRank, kind="best-rank", uses_scale=False,
            from_json=lambda data: BestRank(), build=lambda scale, weights: BestRank(),
        )
    )  # fmt: skip


@dataclass(frozen=True)
class OneList:
    """A learned toy: the list that is best on the past topics."""

    name: str

    @property
    def lists(self) -> tuple[str, ...]:
        return (self.name,)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        return np.nan_to_num(pool.columns(self.lists).scores[:, 0], nan=-1e9)


def fit_one_list(pools: Pools, scale: Scale, learning: Learning) -> OneList:
    fusers = [OneList(name) for name in next(iter(pools.values())).lists]
    return max(fusers, key=lambda fuser: np.mean(list(values(fuser, pools, learning.objective).values())))


def register_one_list() -> None:
    METHODS.register("one-list")(
        Method(
            help="best single list", fuser=OneList, kind="one-list", fit=fit_one_list, text_field="name",
            to_json=lambda fuser: {"name": fuser.name}, from_json=lambda data: OneList(data["name"]),
            learned=lambda fuser: [Learned(what="the list chosen", values={fuser.name: 1.0}, axis="share of folds")],
        )
    )  # fmt: skip


def test_a_method_from_outside_fuses(
    work: Path, tmp_path: Path, registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    register_best_rank()
    out = tmp_path / "x.trec"
    assert main(["fuse", *lists(work), "--method", "best-rank", "-o", str(out), "--quiet"]) == 0
    best = {read_trec(work / f"lists/{name}.trec").lists["611"].shots[0] for name in NOISE}
    assert set(read_trec(out).lists["611"].shots[: len(best)]) == best
    steps = ["--family", "two=[gf]*", "--step1", "best-rank", "-o", str(tmp_path / "steps.trec"), "--quiet"]
    assert main(["fuse", *lists(work), *steps]) == 0
    assert "ltr, best-rank" in failure([*lists(work), "--method", "avrage", "-o", str(out)], capsys)
    assert "best-rank takes neither --normalize" in failure(
        [*lists(work), "--method", "best-rank", "--normalize", "rank", "-o", str(out)], capsys
    )
    assert main(["fuse", "--help"]) == 0
    assert "best-rank" in capsys.readouterr().out


def test_a_learned_method_from_outside_is_fitted_kept_read_and_reported(
    work: Path, tmp_path: Path, registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    register_one_list()
    fuser, out, again = tmp_path / "fuser", tmp_path / "new.trec", tmp_path / "again.trec"
    learn = ["--method", "one-list", "--past", str(work / "past"), *qrels(work)]
    assert main(["fuse", *lists(work, "new"), *learn, "--fuser", str(fuser), "-o", str(out), "--quiet"]) == 0
    assert read_trec(out).lists["731"].shots[:49] == read_trec(work / "new/good.trec").lists["731"].shots[:49]
    assert json.loads((fuser / "fuser.json").read_text()) == {"type": "one-list", "name": "one-list-1.txt"}
    assert (fuser / "one-list-1.txt").read_text() == "good"
    assert main(["fuse", *lists(work, "new"), "--fuser", str(fuser), "-o", str(again), "--quiet"]) == 0
    assert all((read_trec(again).lists[t].scores == read_trec(out).lists[t].scores).all() for t in NEW)
    page = tmp_path / "report.html"
    study = ["--method", "one-list", *qrels(work), "--study", "--report", str(page)]
    assert main(["fuse", *lists(work, "past"), *study]) == 0
    assert "The list chosen" in page.read_text(encoding="utf-8")
    (table,) = json.loads(page.with_suffix(".json").read_text())["learned"]
    assert table["what"] == "the list chosen" and set(table["folds"]["tv19"]) == {"good"}
    assert "the list chosen" in capsys.readouterr().err


def test_a_list_that_is_itself_fused_is_told(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fused = tmp_path / "fused.trec"
    assert main(["fuse", *lists(work, names=("good", "fair")), "-o", str(fused)]) == 0
    assert "itself a fused list" not in capsys.readouterr().err
    assert main(["fuse", str(fused), *lists(work, names=("poor",)), "-o", str(tmp_path / "again.trec")]) == 0
    warning = f"warning: {fused} is itself a fused list: the lists it was made of count twice"
    assert warning in capsys.readouterr().err


def test_a_fuser_is_told_with_its_topics(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn = [
        "--method",
        "coordinate-ascent",
        "--past",
        str(work / "past"),
        *qrels(work),
        "--fuser",
        str(tmp_path / "f"),
    ]
    assert main(["fuse", *lists(work, "new"), *learn, "-o", str(tmp_path / "new.trec")]) == 0
    assert f"wrote {tmp_path / 'f'}: coordinate-ascent fitted on 12 topics" in capsys.readouterr().err
