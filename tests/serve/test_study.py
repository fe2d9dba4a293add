"""The study: tables as `avs eval`, comparisons as arithmetic of sets, exports that make-run and check-run accept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_server import TinyServed, ask

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.trecvid.qrels import read_qrels
from avs.trecvid.trec import read_trec, write_trec

Serve = Callable[..., httpx.Client]


@pytest.fixture
def lists(tmp_path: Path, tiny: TinyServed) -> Path:
    from tiny_stores import shot_ids

    rng = np.random.default_rng(5)
    for name, count in (("a", 30), ("b", 20)):
        ranked = {}
        for topic in ("661", "662"):
            shots = rng.permutation(shot_ids(60))[:count].tolist()
            ranked[topic] = RankedList.from_scores(topic, shots, rng.random(count))
        write_trec(Run(ranked, name), tmp_path / "lists" / f"{name}.trec")
    return tmp_path / "lists"


def test_the_table_is_that_of_avs_eval(
    serve: Serve, lists: Path, tiny: TinyServed, capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(lists=[lists])
    for measure in ("infAP", "iP@10"):
        files = [str(lists / "a.trec"), str(lists / "b.trec")]
        assert main(["eval", *files, "--qrels", str(tiny.qrels), "--measures", measure, "--per-topic"]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
        printed = {(row[0], row[1]): row[2] for row in rows}
        table = client.get(f"/api/v1/study?measure={measure}").json()
        assert table["lists"] == ["a", "b"] and table["measure"] == measure
        assert [one["text"] for one in table["means"]] == [printed["a", "all"], printed["b", "all"]]
        for row in table["topics"]:
            texts = [one["text"] for one in row["values"]]
            assert texts == [printed["a", row["topic"]], printed["b", row["topic"]]]
        means = [sum(one["value"] for one in row["values"]) for row in table["topics"]]
        assert means == sorted(means)
    assert client.get("/api/v1/study?measure=nothing").status_code == 422
    assert client.get("/api/v1/study?measure=AP").status_code == 422


def test_a_study_without_judgments_says_what_it_needs(serve: Serve) -> None:
    answer = serve(qrels=None).get("/api/v1/study")
    assert answer.status_code == 409 and "--qrels, --lists" in answer.text


def test_gained_and_lost_are_differences_of_sets(serve: Serve, lists: Path, tiny: TinyServed) -> None:
    client = serve(lists=[lists])
    relevant = read_qrels(tiny.qrels).topics["661"].relevant
    a, b = (set(read_trec(lists / f"{name}.trec").lists["661"].shots) for name in "ab")
    found = client.get("/api/v1/compare?a=a&b=b&topic=661").json()
    assert set(found["gained"]) == (b - a) & relevant and set(found["lost"]) == (a - b) & relevant
    assert (found["only_a"], found["only_b"]) == (len(a - b), len(b - a))
    assert {one["shot"] for one in found["moves"]} == a | b
    answer = ask(client, "a red circle", topic="661")
    mixed = client.get(f"/api/v1/compare?a=a&b={answer['list']}").json()
    assert mixed["topic"] == "661" and mixed["lost"] == [] and mixed["measures_b"] == answer["measures"]
    assert client.get("/api/v1/compare?a=a&b=nothing&topic=661").status_code == 404
    assert client.get("/api/v1/compare?a=a&b=b").status_code == 404
    assert client.get("/api/v1/compare").status_code == 404
    other = client.get(f"/api/v1/compare?a=a&b={answer['list']}&topic=662")
    assert other.status_code == 409 and "of another topic" in other.text


def test_unique_relevant_shots_and_overlap(serve: Serve, lists: Path, tiny: TinyServed) -> None:
    table = serve(lists=[lists]).get("/api/v1/study").json()
    qrels = read_qrels(tiny.qrels)
    runs = {name: read_trec(lists / f"{name}.trec") for name in "ab"}
    for name, other in (("a", "b"), ("b", "a")):
        alone = sum(
            len((set(runs[name].lists[t].shots) - set(runs[other].lists[t].shots)) & qrels.topics[t].relevant)
            for t in ("661", "662")
        )
        assert table["unique"][name] == alone
    assert table["overlap"][0][0] == 1 and 0 < table["overlap"][1][0] < 1


def test_the_check_of_lists(serve: Serve, lists: Path) -> None:
    (lists / "c.trec").write_text("661 0 shot99999_1 1 0.5 c\n", encoding="utf-8")
    (lists / "d.trec").write_text("not a list\n", encoding="utf-8")
    found = serve(lists=[lists]).get("/api/v1/study").json()["findings"]
    assert any(one["list"] == "c" and "shot99999_1" in one["what"] for one in found)
    assert any(one["list"] == "d" for one in found)


def test_topics(serve: Serve, lists: Path) -> None:
    client = serve(lists=[lists])
    topics = client.get("/api/v1/topics").json()["topics"]
    assert [one["id"] for one in topics] == ["661", "662", "663"]
    assert topics[0]["judged"] and topics[0]["pooled"] == 45 and topics[0]["lists"] == ["a", "b"]
    assert not topics[2]["judged"] and topics[2]["relevant"] is None
    assert client.get("/api/v1/topics/662").json()["text"] == "two people dance"
    assert client.get("/api/v1/topics/999").status_code == 404


ATTRIBUTES = {"pid": "TEAM", "priority": "1", "trType": "D", "task": "M", "novelty": "C", "desc": "made by hand"}


def test_the_class_of_an_export_tells_who_helped(serve: Serve, tmp_path: Path, tiny: TinyServed) -> None:
    client = serve()
    automatic = ask(client, "a red circle", topic="661")
    typed = ask(client, "a red ring", topic="661")
    hidden = ask(client, "a red circle", topic="661", filter={"not_videos": ["00003"]})
    client.post("/api/v1/marks", json={"topic": "661", "shots": ["shot00001_1"], "mark": "yes"})
    made = client.post("/api/v1/feedback", json={"topic": "661"}).json()
    helped = ask(client, "a red circle", topic="661", feedback=made["feedback"])
    for answer, stamp, used in ((automatic, "automatic", "F"), (typed, "manual", "M"), (hidden, "manual", "M"),
                                (helped, "feedback", "R")):  # fmt: skip
        assert answer["stamp"] == stamp
        body = {"format": "xml", "lists": [answer["list"]], "attributes": ATTRIBUTES, "edition": "custom"}
        exported = client.post("/api/v1/export", json=body)
        assert exported.status_code == 200, exported.text
        found = exported.json()
        assert found["class"] == used and f'class="{used}"' in found["content"]
        file = tmp_path / found["file"]
        file.write_text(found["content"], encoding="utf-8")
        topics = tmp_path / "one.txt"
        topics.write_text("661  a red circle\n", encoding="utf-8")
        check = ["check-run", str(file), "--edition", "custom", "--shots", str(tiny.shots), "--topics", str(topics)]
        assert main(check) == 0
        asked = {**body, "attributes": {**ATTRIBUTES, "class": "F"}}
        assert client.post("/api/v1/export", json=asked).status_code == (200 if used == "F" else 422)
        less = client.post("/api/v1/export", json={**body, "attributes": {**ATTRIBUTES, "class": "R"}}).json()
        assert less["class"] == "R" and 'class="R"' in less["content"]
        other = {**body, "attributes": {**ATTRIBUTES, "class": "X"}}
        assert client.post("/api/v1/export", json=other).status_code == 422


def test_an_export_as_trec_is_the_list(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    answer = ask(client, "a red circle", topic="661", duplicates=0.5, group="first-of-video")
    found = client.post("/api/v1/export", json={"lists": [answer["list"]]}).json()
    (tmp_path / "x.trec").write_text(found["content"], encoding="utf-8")
    run = read_trec(tmp_path / "x.trec")
    assert list(run.lists["661"].shots) == client.get(f"/api/v1/lists/{answer['list']}/ids").json()["shots"]
    assert client.post("/api/v1/export", json={"lists": [answer["list"]] * 2}).status_code == 422
    assert client.post("/api/v1/export", json={}).status_code == 422


def test_marks_as_judgments_of_ones_own(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    assert client.post("/api/v1/export", json={"format": "qrels"}).status_code == 422
    for shot, how in (("shot00001_1", "yes"), ("shot00001_2", "no"), ("shot00001_3", "unsure")):
        client.post("/api/v1/marks", json={"topic": "661", "shots": [shot], "mark": how})
    found = client.post("/api/v1/export", json={"format": "qrels", "name": "mine"}).json()
    assert found["file"] == "mine.own.qrels"
    (tmp_path / "q").write_text(found["content"], encoding="utf-8")
    own = read_qrels(tmp_path / "q").topics["661"]
    assert dict(zip(own.shots, own.judgments.tolist(), strict=True)) == {
        "shot00001_1": 1, "shot00001_2": 0, "shot00001_3": -1,
    }  # fmt: skip


def test_a_list_of_a_file_keeps_the_class_that_it_declares(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What marks have helped is never made fully automatic by a way through a file."""
    first = serve()
    first.post("/api/v1/marks", json={"topic": "661", "shots": ["shot00001_1"], "mark": "yes"})
    made = first.post("/api/v1/feedback", json={"topic": "661"}).json()
    helped = ask(first, "a red circle", topic="661", feedback=made["feedback"])
    plain = ask(first, "a red circle", topic="661")
    body = {"attributes": ATTRIBUTES, "edition": "custom"}
    folder = tmp_path / "lists"
    folder.mkdir()
    for name, answer, more in (
        ("helped", helped, {}), ("plain", plain, {}),
        ("run", helped, {"format": "xml", **body}), ("clean", plain, {"format": "xml", **body}),
    ):  # fmt: skip
        found = first.post("/api/v1/export", json={"lists": [answer["list"]], "name": name, **more}).json()
        (folder / f"{name}.{found['kind']}").write_text(found["content"], encoding="utf-8")
    content = (folder / "plain.trec").read_text(encoding="utf-8")
    (folder / "foreign.trec").write_text(content.replace("F_plain", "theirs"), encoding="utf-8")
    (folder / "odd.xml").write_text(
        (folder / "run.xml").read_text().replace('class="R"', 'class="I"'), encoding="utf-8"
    )
    client = serve(lists=[folder])
    for name, stamp, used in (
        ("helped", "feedback", "R"), ("run", "feedback", "R"), ("odd", "feedback", "R"),
        ("plain", "automatic", "F"), ("clean", "automatic", "F"),
    ):  # fmt: skip
        answer = ask(client, by=[name], topic="661")
        assert answer["stamp"] == stamp, name
        asked = {"format": "xml", "lists": [answer["list"]], **body}
        assert client.post("/api/v1/export", json=asked).json()["class"] == used
        automatic = client.post("/api/v1/export", json={**asked, "attributes": {**ATTRIBUTES, "class": "F"}})
        assert automatic.status_code == (200 if used == "F" else 422)
    mixed = ask(client, "a red circle", by=["one-shot", "helped"], topic="661")
    assert mixed["stamp"] == "feedback"
    foreign = ask(client, by=["foreign"], topic="661")
    assert foreign["stamp"] == "unknown"
    asked = {"format": "xml", "lists": [foreign["list"]], **body}
    refused = client.post("/api/v1/export", json=asked)
    assert refused.status_code == 422 and refused.json()["error"]["wanted"] == "class=F|M|R"
    stated = client.post("/api/v1/export", json={**asked, "attributes": {**ATTRIBUTES, "class": "F"}}).json()
    assert stated["class"] == "F" and "nothing says how this list was made" in stated["warnings"][0]
    trec = client.post("/api/v1/export", json={"lists": [foreign["list"]]}).json()
    assert (
        trec["class"] is None and trec["warnings"] == stated["warnings"][:1] and trec["content"].split()[5] == "served"
    )
    capped = ask(client, by=["foreign"], topic="661", filter={"not_videos": ["00003"]})
    assert client.post("/api/v1/export", json={"lists": [capped["list"]]}).json()["class"] == "M"


def test_the_attributes_of_a_run_are_taken_as_they_are_typed(serve: Serve) -> None:
    client = serve()
    answer = ask(client, "a red circle", topic="661")
    body = {"format": "xml", "lists": [answer["list"]], "edition": "custom"}
    typed = {"--trtype": "D", "NOVELTY": "C", "Pid": "TEAM", "priority": "1", "desc": "our best system"}
    made = client.post("/api/v1/export", json={**body, "attributes": typed})
    assert made.status_code == 200, made.text
    content = made.json()["content"]
    assert 'trType="D"' in content and 'task="M"' in content and 'desc="our best system"' in content
    progress = client.post("/api/v1/export", json={**body, "attributes": {**typed, "task": "P"}})
    assert 'task="P"' in progress.json()["content"]  # what is given counts
    error = client.post("/api/v1/export", json={**body, "attributes": {"pid": "TEAM", "what": "x"}}).json()["error"]
    assert "  trType: required, one of A D E F" in error["what"] and "--trtype" not in error["what"]
    assert error["wanted"] == "trType=A|D|E|F, novelty=N|C, priority, desc" and error["got"] == "pid, what"
    assert "what" in error["what"] and 'desc="our best system"' in error["next_step"]
    twice = client.post("/api/v1/export", json={**body, "attributes": {"pid": "TEAM", "PID": "OTHER"}})
    assert twice.status_code == 422 and twice.json()["error"]["what"] == "an attribute has two values"
