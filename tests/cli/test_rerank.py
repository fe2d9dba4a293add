"""`avs rerank` as a user runs it, on a small store of a tiny checkpoint."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store, shot_ids, without_hashes

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder, read_spec
from avs.reranking.blend import reranked
from avs.reranking.material import Material
from avs.reranking.methods import RERANKERS, Parameter, Reranker
from avs.reranking.methods.dual_softmax import TEMPERATURES
from avs.trecvid.trec import read_trec, write_trec

TOPICS = {"661": "a red circle", "662": "two people dance", "663": "a red car", "664": "a dog"}
SHOTS = shot_ids(30)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame-level store, topics of tv21 and of tv23, a list over each, qrels of the first."""
    root = tmp_path_factory.mktemp("rerank")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, spec.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    make_store(root / "store", vectors, lengths=np.full(30, 2), spec=spec)
    for name, topics in (("tv21", TOPICS), ("tv23", {"731": "a red circle", "732": "a cat"})):
        (root / f"{name}.txt").write_text("".join(f"{t}  {text}\n" for t, text in topics.items()), encoding="utf-8")
        lists = {t: RankedList.from_scores(t, SHOTS, rng.normal(size=30)) for t in topics}
        write_trec(Run(lists, name), root / f"{name}.trec")
    rows = [f"1{t} 0 {shot} 1 {int(rng.random() < 0.3)}\n" for t in TOPICS for shot in SHOTS]
    (root / "qrels").write_text("".join(rows), encoding="utf-8")
    return root


def words(work: Path, *more: str, name: str = "tv21") -> list[str]:
    return [str(work / f"{name}.trec"), "--topics", str(work / f"{name}.txt"), "--store", str(work / "store"), *more]


def failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["rerank", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return err


def test_clip_reranks_the_best_and_leaves_the_rest(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "x.trec"
    call = ["rerank", *words(work, "--method", "clip", "--depth", "10", "--alpha", "0.25", "-o", str(made), "--json")]
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["results"] == 120
    before, after, store = read_trec(work / "tv21.trec"), read_trec(made), FeatureStore(work / "store")
    embedder = load_embedder("clip", weights=work / "weights")
    for topic, text in TOPICS.items():
        old, new = before.lists[topic], after.lists[topic]
        assert new.shots[10:] == old.shots[10:] and set(new.shots) == set(old.shots)
        query = embedder.encode_texts([text])[0]
        best = np.array([(store.frames(shot).astype(np.float32) @ query).max() for shot in old.shots[:10]])
        s, e = ((v - v.min()) / (v.max() - v.min()) for v in (old.scores[:10], best))
        wanted = RankedList.from_scores(topic, old.shots[:10], 0.25 * s + 0.75 * e)
        assert new.shots[:10] == wanted.shots
        np.testing.assert_allclose(new.scores[:10], wanted.scores, atol=1e-3)
    assert main(call) == 0
    assert "up to date" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["dual-softmax", "k-reciprocal", "near-duplicates"])
def test_every_method_orders_the_same_shots(method: str, work: Path, tmp_path: Path) -> None:
    more = ["--other-topics", str(work / "tv23.txt")] if method == "dual-softmax" else []
    more += ["--threshold", "0.45", "--policy", "demote"] if method == "near-duplicates" else []
    assert main(["rerank", *words(work, "--method", method, *more, "-o", str(tmp_path / "x.trec"))]) == 0
    before, after = read_trec(work / "tv21.trec"), read_trec(tmp_path / "x.trec")
    assert {t: set(one.shots) for t, one in after.lists.items()} == {t: set(o.shots) for t, o in before.lists.items()}
    assert any(after.lists[t].shots != before.lists[t].shots for t in TOPICS)


def test_fitted_on_past_topics_and_applied_to_new_ones(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, made = str(tmp_path / "reranker"), str(tmp_path / "x.trec")
    fit = words(work, "--method", "clip", "--qrels", str(work / "qrels"), "--reranker", model)
    assert main(["rerank", *fit, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["in_sample"] >= found["baseline"] and "out of fold against the list as it is" in err
    assert f"next: avs rerank LIST --store STORE --topics TOPICS --reranker {model} -o OUT.trec\n" in err
    assert ("reranking does not beat the list as it is" in err) == (found["out_of_fold"] <= found["baseline"])
    assert main(["rerank", *fit]) == 0
    assert "up to date" in capsys.readouterr().err
    assert main(["rerank", *words(work, "--reranker", model, "-o", made, name="tv23")]) == 0
    plain = tmp_path / "plain.trec"
    alpha = str(found["parameters"]["alpha"])
    assert main(["rerank", *words(work, "--method", "clip", "--alpha", alpha, "-o", str(plain), name="tv23")]) == 0
    same, other = read_trec(Path(made)), read_trec(plain)
    assert all(same.lists[t].shots == other.lists[t].shots for t in ("731", "732"))
    assert "leakage: it would learn from the judgments of topics" in failure(
        words(work, "--reranker", model, "-o", str(tmp_path / "y.trec")), capsys
    )
    assert "--study: only for learning" in failure(
        words(work, "--reranker", model, "--study", "-o", str(tmp_path / "y.trec"), name="tv23"), capsys
    )
    err = failure(words(work, "--reranker", model, "--alpha", "0.5", "-o", made, name="tv23"), capsys)
    assert "--alpha: decided when the reranker was fitted" in err


def test_the_temperature_is_fitted_unless_it_is_given(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, others = tmp_path / "reranker", ["--other-topics", str(work / "tv23.txt")]
    fit = words(work, "--method", "dual-softmax", *others, "--qrels", str(work / "qrels"), "--reranker", str(model))
    in_sample = {}
    for temperature in TEMPERATURES:
        assert main(["rerank", *fit, "--temperature", str(temperature), "--json", "--force"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["parameters"]["temperature"] == temperature
        in_sample[temperature] = found["in_sample"]
    assert main(["rerank", *fit, "--json", "--force"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["in_sample"] == pytest.approx(max(in_sample.values()))
    assert found["in_sample"] == pytest.approx(in_sample[found["parameters"]["temperature"]])
    assert json.loads((model / "reranker.json").read_text())["parameters"] == found["parameters"]


def test_a_reranker_is_for_the_encoder_and_the_query_mode_it_was_fitted_with(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, other = tmp_path / "reranker", tmp_path / "other"
    assert (
        main(["rerank", *words(work, "--method", "clip", "--qrels", str(work / "qrels"), "--reranker", str(model))])
        == 0
    )
    spec = replace(FeatureStore(work / "store").spec, name="other")
    make_store(other, np.ones((30, spec.dim)), spec=spec)
    apply = words(work, "--reranker", str(model), "-o", str(tmp_path / "x.trec"), name="tv23")
    of_other = [str(other) if word == str(work / "store") else word for word in apply]
    assert failure(of_other, capsys) == (
        "avs rerank: the reranker was fitted on vectors of another encoder\n"
        f"  where:  {other}\n  got:    name=other\n  wanted: name={FeatureStore(work / 'store').spec.name}\n"
        f"  next:   give a store of the encoder that {model} was fitted with, or fit another one: --qrels\n"
    )
    assert failure([*apply, "--query-mode", "both"], capsys) == (
        "avs rerank: --query-mode both: the reranker was fitted with another one\n"
        f"  where:  {model}\n  wanted: query\n  next:   leave it out, or fit another reranker: --qrels\n"
    )


def test_what_does_not_fit_is_named(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = ["-o", str(tmp_path / "x.trec")]
    assert failure(words(work, "--method", "clipp", *to), capsys) == (
        'avs rerank: unknown method "clipp"; did you mean "clip"?\n'
        "  wanted: clip, dual-softmax, k-reciprocal, near-duplicates, judge, model\n"
    )
    assert failure(words(work, "--method", "clip", "--k1", "3", "--policy", "group", *to), capsys) == (
        "avs rerank: --k1 is for k-reciprocal; --policy is for near-duplicates\n"
        "  got:    --method clip\n  next:   leave it out\n"
    )
    assert failure(words(work, "--method", "clip", "--depth", "0", *to), capsys) == (
        "avs rerank: --depth must be at least 1\n  got:    0\n"
    )
    assert failure(words(work, "--method", "dual-softmax", *to), capsys) == (
        "avs rerank: --method dual-softmax needs --other-topics\n  wanted: topic files of other years\n"
    )
    assert "--alpha must be in 0..1" in failure(words(work, "--method", "clip", "--alpha", "2", *to), capsys)
    assert "-o is missing" in failure(words(work, "--method", "clip"), capsys)
    assert "--method is missing" in failure(words(work, *to), capsys)
    fit = ["--qrels", str(work / "qrels"), "--reranker", str(tmp_path)]
    assert failure(words(work, "--method", "clip", "--alpha", "0.5", *fit), capsys) == (
        "avs rerank: --alpha is fitted with --qrels\n  next:   leave it out, or leave out --qrels\n"
    )
    assert "near-duplicates has nothing to fit" in failure(words(work, "--method", "near-duplicates", *fit), capsys)
    assert not (tmp_path / "x.trec").exists()


def test_lists_topics_and_store_must_fit_together(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.trec"
    lists = {t: RankedList(t, (SHOTS[0], "shot99999_1", "shot99999_2"), np.array([3.0, 2, 1])) for t in TOPICS}
    write_trec(Run(lists, "foreign"), foreign)
    given = [*words(work, "--method", "clip", "-o", str(tmp_path / "x.trec"))[1:]]
    err = failure([str(foreign), *given], capsys)
    assert "2 of 3 candidates have no vector in" in err
    assert "shot99999_1: not in the store" in err and "shot99999_2: not in the store" in err
    one = {t: lists[t] for t in ("661", "662", "663")} | {"700": RankedList("700", (SHOTS[0],), np.array([1.0]))}
    write_trec(Run(one, "one"), foreign)
    err = failure([str(foreign), *given], capsys)
    assert "topic 700: has a list, but is in no topic file" in err and "topic 664: has no list" in err
    foreign.write_text("661 0 shot00001_1 1 nan x\n", encoding="utf-8")
    assert 'the score "nan" is not a finite number' in failure([str(foreign), *given], capsys)


def test_what_stands_is_not_lost_and_judgments_are_of_these_shots(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, store = tmp_path / "mine.trec", tmp_path / "store"
    mine.write_text("precious")
    fit = words(work, "--method", "clip", "--qrels", str(work / "qrels"))
    assert "a file without a manifest is in the way" in failure(
        [*fit, "--study", "--reranker", str(tmp_path / "new"), "-o", str(mine)], capsys
    )
    assert mine.read_text() == "precious"
    store.mkdir()
    (store / "manifest.json").write_text('{"type": "feature-store", "fingerprint": "x"}')
    assert "something else is where the reranker should go" in failure(
        [*fit, "--reranker", str(store), "--force"], capsys
    )
    other = tmp_path / "qrels"
    other.write_text((work / "qrels").read_text().replace("shot0", "shot9"))
    wrong = words(work, "--method", "clip", "--qrels", str(other), "--reranker", str(tmp_path / "m"))
    assert "the list contains no relevant shot of any judged topic" in failure(wrong, capsys)
    more = (work / "qrels").read_text() + "1680 0 shot00001_1 1 1\n"
    other.write_text(more)
    assert "judged topics that the list does not have" in failure(wrong, capsys)


def test_what_ties_keeps_the_order_of_the_list() -> None:
    one = RankedList("1", tuple("abcdef"), np.array([9.0, 8, 7, 6, 1 + 1e-16, 1]))
    assert reranked(one, np.zeros(4), 0.0).shots == tuple("abcdef")
    assert reranked(one, np.array([0.0, 0, 1, 1]), 0.0).shots == tuple("cdabef")
    close = RankedList("1", tuple("abcd"), np.array([0, -1e-17, -2e-17, -1.0]))
    assert reranked(close, np.array([0.0, 1, 2, 3]), 1.0).shots == tuple("abcd")
    again = reranked(one, np.zeros(4), 0.5)
    assert RankedList.from_scores("1", again.shots[::-1], again.scores[::-1]).shots == again.shots  # as it is read


def test_a_list_is_not_replaced_by_its_own_reranking_and_a_damaged_reranker_is_refused(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "l.trec"
    copy.write_bytes((work / "tv21.trec").read_bytes())
    own = [str(copy) if word == str(work / "tv21.trec") else word for word in words(work, "--method", "clip")]
    assert "the output is the list itself" in failure([*own, "-o", str(copy), "--force"], capsys)
    model = tmp_path / "reranker"
    fit = words(work, "--method", "clip", "--qrels", str(work / "qrels"), "--reranker", str(model))
    assert main(["rerank", *fit, "--quiet"]) == 0
    whole = json.loads((model / "reranker.json").read_text())
    without_hashes(model)
    apply = words(work, "--reranker", str(model), "-o", str(tmp_path / "x.trec"), name="tv23")
    damaged = [{"depth": None}, {"depth": True}, {"method": "klip"}, {"parameters": {"alpha": "x"}}]
    damaged += [{"parameters": {"beta": 1}}, {"parameters": 3}]
    for text in ("{", "[]", "[" * 100_000, *(json.dumps({**whole, **change}) for change in damaged)):
        (model / "reranker.json").write_text(text)
        err = failure(apply, capsys)
        assert "not a reranker of avs" in err and f"where:  {model}/reranker.json" in err, text[:80]
    (model / "reranker.json").write_text(json.dumps(whole))
    manifest = json.loads((model / "manifest.json").read_text())
    for change in ({"config": {}}, {"config": {**manifest["config"], "topics": [[]]}}, {"spec": {}}, {"spec": None}):
        (model / "manifest.json").write_text(json.dumps({**manifest, **change}))
        assert "does not say what the reranker was fitted on" in failure(apply, capsys), change
    assert "--narratives needs --query-mode" in failure(
        words(work, "--method", "clip", "--narratives", "n.txt", "-o", str(tmp_path / "x.trec")), capsys
    )


def test_methods_that_look_at_no_text_need_no_topics(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked, store = str(work / "tv21.trec"), ["--store", str(work / "store")]
    for method in ("near-duplicates", "k-reciprocal"):
        with_topics, without = tmp_path / f"{method}-topics.trec", tmp_path / f"{method}.trec"
        assert main(["rerank", *words(work, "--method", method, "-o", str(with_topics), "--quiet")]) == 0
        assert main(["rerank", ranked, *store, "--method", method, "-o", str(without), "--quiet"]) == 0
        first, second = read_trec(with_topics), read_trec(without)
        assert all(first.lists[t].shots == second.lists[t].shots for t in TOPICS)
    fit = [ranked, *store, "--method", "k-reciprocal", "--qrels", str(work / "qrels")]
    assert main(["rerank", *fit, "--reranker", str(tmp_path / "reranker"), "--quiet"]) == 0
    assert "leakage" in failure([ranked, *store, "--reranker", str(tmp_path / "reranker"), "-o", "x.trec"], capsys)
    assert failure([ranked, *store, "--method", "clip", "-o", str(tmp_path / "x.trec")], capsys) == (
        "avs rerank: --method clip needs --topics\n  wanted: topic files of the list's topics\n"
    )


def test_former_options_and_folders_are_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(words(work, "--method", "clip", "--model", "r"), capsys) == (
        "avs rerank: --model is no longer an option of avs rerank\n  next:   use --reranker\n"
    )
    assert failure(words(work, "--method", "clip", "-o", str(tmp_path)), capsys) == (
        "avs rerank: -o is a folder, and this command writes one file\n"
        f"  got:    {tmp_path}\n  next:   name the file: -o {tmp_path / 'reranked.trec'}\n"
    )


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(RERANKERS, "_items", dict(RERANKERS._items))
    monkeypatch.delitem(sys.modules, "avs.cli.rerank", raising=False)


def by_video(material: Material, *, first_video: int) -> list[np.ndarray]:
    """Shots of one video first."""
    wanted = f"shot{first_video:05d}_"
    return [np.array([float(shot.startswith(wanted)) for shot in one.shots]) for one in material.topics]


def test_a_reranker_from_outside_reranks_and_is_fitted(
    work: Path, tmp_path: Path, registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    video = Parameter(1, "number of the video", grid=(1, 2, 3))
    RERANKERS.register("by-video")(
        Reranker(help="one video first", evidence=by_video, alpha=0.0, parameters={"first_video": video})
    )
    ranked, out, folder = str(work / "tv21.trec"), tmp_path / "x.trec", tmp_path / "reranker"
    call = ["rerank", ranked, "--method", "by-video", "--first-video", "2", "-o", str(out), "--quiet"]
    assert main(call) == 0
    for one in read_trec(out).lists.values():
        first = [shot.startswith("shot00002_") for shot in one.shots]
        assert any(first) and first == sorted(first, reverse=True)
    assert failure(words(work, "--method", "clip", "--first-video", "2", "-o", "y.trec"), capsys) == (
        "avs rerank: --first-video is for by-video\n  got:    --method clip\n  next:   leave it out\n"
    )
    fit = [
        "rerank",
        ranked,
        "--method",
        "by-video",
        "--qrels",
        str(work / "qrels"),
        "--reranker",
        str(folder),
        "--json",
    ]
    assert main(fit) == 0
    fitted = json.loads(capsys.readouterr().out)["parameters"]
    assert fitted["first_video"] in video.grid
    assert json.loads((folder / "reranker.json").read_text())["parameters"] == fitted
    new = ["rerank", str(work / "tv23.trec"), "--reranker", str(folder), "-o", str(tmp_path / "new.trec"), "--quiet"]
    assert main(new) == 0
    assert main(["rerank", "--help"]) == 0
    assert "by-video: one video first" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_an_edition_that_avs_does_not_know_is_fitted_on(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tv26.yaml").write_text("id: tv26\nyear: 2026\ntopics: {M: [771, 790]}\n")
    for name in ("tv21.trec", "tv21.txt", "qrels"):
        text = (work / name).read_text()
        for topic, now in (("663", "771"), ("664", "772")):
            text = text.replace(f"\n{topic} ", f"\n{now} ").replace(f"\n1{topic} ", f"\n1{now} ")
        (tmp_path / name).write_text(text)
    (tmp_path / "store").symlink_to(work / "store")
    fit = words(tmp_path, "--method", "clip", "--qrels", str(tmp_path / "qrels"), "--fit-on", "tv26")
    fit += ["--reranker", str(tmp_path / "reranker")]
    assert "--edition-file my.yaml" in failure(fit, capsys)
    of_file = ["--edition-file", str(tmp_path / "tv26.yaml")]
    assert main(["rerank", *fit, *of_file]) == 0, capsys.readouterr().err
    manifest = json.loads((tmp_path / "reranker/manifest.json").read_text())
    assert manifest["config"]["topics"] == ["771", "772"] and "edition 1" in manifest["inputs"]
    assert "--edition-file: only for learning" in failure(
        words(tmp_path, "--method", "clip", *of_file, "-o", str(tmp_path / "x.trec")), capsys
    )


def test_what_was_made_and_what_to_do_next(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "x.trec"
    assert main(["rerank", *words(work, "--method", "clip", "--alpha", "0.5", "-o", str(made))]) == 0
    err = capsys.readouterr().err
    assert f"wrote {made}: 4 topics reranked by clip, " in err
    assert f"next: avs eval {made} --qrels QRELS, or avs make-run {made} --topics TOPICS ..." in err


def test_narratives_are_what_is_asked_for(work: Path, tmp_path: Path) -> None:
    told = {topic: f"{text}, seen from afar" for topic, text in TOPICS.items()}
    (tmp_path / "n.txt").write_text("".join(f"{t}  {text}\n" for t, text in told.items()), encoding="utf-8")
    narrative = ["--narratives", str(tmp_path / "n.txt"), "--query-mode", "narrative"]
    made = []
    for topics, more in ((work / "tv21.txt", narrative), (tmp_path / "n.txt", []), (work / "tv21.txt", [])):
        out = tmp_path / f"{len(made)}.trec"
        call = [str(work / "tv21.trec"), "--store", str(work / "store"), "--topics", str(topics), *more]
        assert main(["rerank", *call, "--method", "clip", "--alpha", "0", "--quiet", "-o", str(out)]) == 0
        made.append({topic: ranked.shots for topic, ranked in read_trec(out).lists.items()})
    assert made[0] == made[1] != made[2]
