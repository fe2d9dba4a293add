"""Searching over HTTP gives what the verbs give."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_server import SHOTS, TinyServed, answers, ask

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.reranking.methods.near_duplicates import near_duplicate_groups
from avs.reranking.vectors import shot_vectors
from avs.trecvid.trec import read_trec

Serve = Callable[..., httpx.Client]
WEIGHTS = {"one-shot": 0.25, "two-shot": 2.0}


@pytest.fixture(scope="module")
def lists(tiny: TinyServed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lists of `avs search` and `avs fuse`."""
    folder = tmp_path_factory.mktemp("lists")
    stores = [word for store in tiny.stores for word in ("--store", str(store))]
    assert main(["search", "--topics", str(tiny.topics), *stores, "-o", f"{folder}/", "--quiet"]) == 0
    both = [str(folder / "one-shot.trec"), str(folder / "two-shot.trec")]
    weights = [word for name, weight in WEIGHTS.items() for word in ("--weight", f"{name}={weight}")]
    for method in ("average", "rrf", "weighted"):
        more = weights if method == "weighted" else []
        assert main(["fuse", *both, "--method", method, *more, "-o", str(folder / f"{method}.trec"), "--quiet"]) == 0
    return folder


def shots_and_scores(client: httpx.Client, answer: dict) -> tuple[list[str], list[float]]:
    found = client.get(f"/api/v1/lists/{answer['list']}/ids").json()
    return found["shots"], found["scores"]


@pytest.mark.parametrize("name", ["one-shot", "two-shot"])
def test_a_list_is_that_of_avs_search(shared_client: httpx.Client, lists: Path, name: str) -> None:
    wanted = read_trec(lists / f"{name}.trec").lists["661"]
    answer = ask(shared_client, "a red circle", by=[name])
    shots, scores = shots_and_scores(shared_client, answer)
    assert tuple(shots) == wanted.shots
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-6)
    assert [one["shot"] for one in answer["results"]] == shots
    assert answer["total"] == answer["of"] == SHOTS and answer["exact"]
    assert answer["systems"] == [{"name": name, "scored": SHOTS, "of": SHOTS}]
    assert [one["rank"] for one in answer["results"]] == list(range(1, SHOTS + 1))


@pytest.mark.parametrize("method", ["average", "rrf", "weighted"])
def test_a_fused_list_is_that_of_avs_fuse(shared_client: httpx.Client, lists: Path, method: str) -> None:
    wanted = read_trec(lists / f"{method}.trec").lists["662"]
    more = {"weights": WEIGHTS} if method == "weighted" else {}
    answer = ask(shared_client, "two people dance", fuse=method, topic="662", **more)
    shots, scores = shots_and_scores(shared_client, answer)
    assert tuple(shots) == wanted.shots and answer["fused"] == method
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-5)
    assert answer["stamp"] == ("manual" if more else "automatic")
    assert any("tuned on this topic" in line for line in answer["warnings"]) == bool(more)


def test_the_measures_are_those_that_avs_eval_prints(
    shared_client: httpx.Client, tiny: TinyServed, lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["eval", str(lists / "average.trec"), "--qrels", str(tiny.qrels), "--per-topic", "--format", "tsv"]) == 0
    )
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    printed = {row[1]: dict(zip(rows[0][2:], row[2:], strict=True)) for row in rows[1:]}
    for topic, text in (("661", "a red circle"), ("662", "two people dance")):
        measures = ask(shared_client, text, topic=topic)["measures"]
        assert {name: one["text"] for name, one in measures["all"].items()} == printed[topic]
        assert measures["shown"] is None
    assert ask(shared_client, "a dog", topic="663")["measures"] is None


def test_the_same_question_gives_the_same_bytes(serve: Serve, tmp_path: Path, tiny: TinyServed) -> None:
    query = {"parts": [{"text": "a red circle"}], "topic": "661", "duplicates": 0.9}
    given = []
    for turn in range(2):
        client = serve(cache=tmp_path / str(turn))
        one = answers(client, query)[-1]
        client.server.end()
        given.append(json.dumps({key: value for key, value in one.items() if key != "ms"}))
    assert given[0] == given[1]


def test_pages_of_a_list(shared_client: httpx.Client) -> None:
    answer = ask(shared_client, "a red circle", by=["one-shot"])
    shots, _ = shots_and_scores(shared_client, answer)
    page = shared_client.get(f"/api/v1/lists/{answer['list']}?from=10&count=7").json()
    assert [one["shot"] for one in page["results"]] == shots[10:17]
    assert page["total"] == page["rows"] == SHOTS and page["start"] == 10
    beyond = shared_client.get(f"/api/v1/lists/{answer['list']}?from=9000").json()
    assert beyond["results"] == []
    for wrong in ("count=501", "from=-1", "from=x", "count=0", "from=1e3", "count=99999999999999999999"):
        assert shared_client.get(f"/api/v1/lists/{answer['list']}?{wrong}").status_code == 422
    assert shared_client.get("/api/v1/lists/nothing").status_code == 404


def test_fewer_results(shared_client: httpx.Client) -> None:
    answer = ask(shared_client, "a red circle", by=["one-shot"])
    five = ask(shared_client, "a red circle", by=["one-shot"], k=5)
    assert [one["shot"] for one in five["results"]] == [one["shot"] for one in answer["results"]][:5]
    assert five["total"] == 5


def test_near_duplicates_are_folded_and_none_is_dropped(shared_client: httpx.Client, tiny: TinyServed) -> None:
    answer = ask(shared_client, "a red circle", by=["one-shot"], duplicates=0.5)
    plain = ask(shared_client, "a red circle", by=["one-shot"])
    shots = [one["shot"] for one in plain["results"]]
    store = FeatureStore(tiny.stores[0])
    groups = near_duplicate_groups(shot_vectors(store, shots), threshold=0.5)
    assert answer["rows"] == len(set(groups.tolist())) < SHOTS == answer["total"]
    assert sum(1 + one["folded"] for one in answer["results"]) == SHOTS
    folded = next(one for one in answer["results"] if one["folded"])
    opened = shared_client.get(f"/api/v1/lists/{answer['list']}?group={folded['group']}").json()
    members = [shot for shot, group in zip(shots, groups, strict=True) if group == groups[shots.index(folded["shot"])]]
    assert [one["shot"] for one in opened["results"]] == members
    assert shots_and_scores(shared_client, answer)[0] == shots


@pytest.mark.parametrize("group", ["video", "first-of-video"])
def test_lists_by_video(shared_client: httpx.Client, group: str) -> None:
    plain = ask(shared_client, "a dog", by=["one-shot"])
    answer = ask(shared_client, "a dog", by=["one-shot"], group=group)
    videos = list(dict.fromkeys(one["video"] for one in plain["results"]))
    assert list(dict.fromkeys(one["video"] for one in answer["results"])) == videos
    assert sum(1 + one["folded"] for one in answer["results"]) == SHOTS == answer["total"]
    if group == "first-of-video":
        assert [one["video"] for one in answer["results"]] == videos


@pytest.mark.parametrize("group", ["shot", "video", "first-of-video"])
def test_what_is_folded_opens_alone(shared_client: httpx.Client, group: str) -> None:
    """Also by video, where a group is a video, and near duplicates may be of several."""
    answer = ask(shared_client, "a red circle", by=["one-shot"], duplicates=0.5, group=group)
    listed = f"/api/v1/lists/{answer['list']}"
    others = []
    for one in answer["results"]:
        opened = shared_client.get(f"{listed}?fold={one['fold']}").json()
        assert opened["results"][0]["shot"] == one["shot"] and opened["rows"] == 1 + one["folded"]
        others += [row["shot"] for row in opened["results"]]
    assert sorted(others) == sorted(shared_client.get(f"{listed}/ids").json()["shots"])
    if group == "video":
        first = answer["results"][0]
        rows = shared_client.get(f"{listed}?group={first['group']}").json()["results"]
        assert {row["video"] for row in rows} == {first["video"]} and len(rows) != 1 + first["folded"]
    assert shared_client.get(f"{listed}?fold=0&group=0").status_code == 422


def test_a_filter_by_video_is_exact_and_told(shared_client: httpx.Client) -> None:
    plain = ask(shared_client, "a dog", by=["one-shot"], topic="661")
    some = ask(shared_client, "a dog", by=["one-shot"], topic="661", filter={"videos": ["00003"]})
    assert [one["shot"] for one in some["results"]] == [
        one["shot"] for one in plain["results"] if one["video"] == "00003"
    ]
    assert some["taken"] == [{"filter": "videos", "shots": 50}] and some["total"] == 10
    others = ask(shared_client, "a dog", by=["one-shot"], filter={"not_videos": ["00003", "00001"]})
    assert {one["video"] for one in others["results"]} == {"00002"}
    assert some["measures"]["all"] == plain["measures"]["all"]
    assert some["measures"]["shown"]["num_ret"]["text"] == "10"


def test_more_like_a_shot(shared_client: httpx.Client, tiny: TinyServed) -> None:
    shot = "shot00002_7"
    answer = ask(shared_client, parts=[{"shot": shot}], by=["two-shot"])
    store = FeatureStore(tiny.stores[1])
    cosines = shot_vectors(store, store.ids) @ shot_vectors(store, [shot])[0]
    assert answer["results"][0]["shot"] == shot
    assert [one["shot"] for one in answer["results"]][:10] == [store.ids[i] for i in np.argsort(-cosines)[:10]]


def test_minus_moves_the_query(shared_client: httpx.Client) -> None:
    plain = ask(shared_client, "a dog", by=["one-shot"])
    part = {"text": "a dog", "minus": [{"text": "a red circle", "weight": -0.5}]}
    minus = ask(shared_client, parts=[part], by=["one-shot"])
    scores = {one["shot"]: one["score"] for one in ask(shared_client, "a red circle", by=["one-shot"])["results"]}
    dog = {one["shot"]: one["score"] for one in plain["results"]}
    for one in minus["results"]:
        assert one["score"] == pytest.approx(dog[one["shot"]] - 0.5 * scores[one["shot"]], abs=1e-5)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"parts": [{"text": "a"}], "by": ["nothing"]}, 404, "no such system"),
        ({"parts": [{"text": "a"}], "by": ["one-sho"]}, 404, 'did you mean \\"one-shot\\"?'),
        ({"parts": [{"text": "a"}], "fuse": "nothing"}, 404, "no such fuser"),
        ({"parts": [{"shot": "shot1_1"}]}, 404, "no such shot"),
        ({"parts": [{"image": "x"}]}, 404, "no such picture"),
        ({"parts": [{"text": "a"}], "filter": {"videos": ["x"]}}, 404, "no such video"),
        ({"parts": [{"text": "a"}], "feedback": "x"}, 404, "no such feedback"),
        ({"parts": [{"text": "a"}], "fuse": "weighted"}, 422, "a weight of every system"),
        ({"parts": [{"text": "a"}], "weights": {"one-shot": 1.0}}, 422, "weights are for fuse weighted"),
        ({"parts": []}, 422, "a question needs a part"),
        ({}, 422, "a question needs a part"),
        ({"parts": [{"text": "   "}]}, 422, "the text is empty"),
        ({"parts": [{"text": "a", "shot": "b"}]}, 422, "give one of text, shot, image"),
        ({"parts": [{"minus": [{"text": "a"}]}]}, 422, "only what it should not look like"),
        ({"parts": [{"text": "a" * 2001}]}, 422, "too long: at most 2000 characters"),
        ({"parts": [{"text": "a"}] * 5}, 422, "too many: at most 4, got 5"),
        ({"parts": [{"text": "a"}], "k": 10**9}, 422, "must be at most 10000"),
        ({"parts": [{"text": "a"}], "k": "5"}, 422, "must be a whole number"),
        ({"parts": [{"text": "a"}], "what": 1}, 422, "this call has no such field"),
        ({"parts": "a", "k": 0, "group": "x", "by": [""]}, 422, "4 problems in what was sent"),
        ({"parts": [{"text": "a"}], "group": "x"}, 422, "must be one of 'shot', 'video' or 'first-of-video'"),
        ({"parts": [{"text": "a"}, {"text": "b"}], "fuse": "rrf"}, 422, "several parts in time"),
    ],
)
def test_questions_that_are_refused(shared_client: httpx.Client, query: dict, status: int, words: str) -> None:
    answer = shared_client.post("/api/v1/search", json=query)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    error = answer.json()["error"]
    assert set(error) == {"what", "where", "got", "wanted", "next_step"}
    assert not any(word in answer.text for word in ("Value error", "Input should", "List should", "String should"))


def test_a_newer_question_of_a_session_cancels_the_older(serve: Serve) -> None:
    """The first search is held between two blocks until the second question has come."""
    client = serve()
    engine = client.server.state.opened.engine
    begun, first = threading.Event(), engine.first

    def slow(plan, cancelled):
        if plan.query.parts[0].text == "slow":
            begun.set()
            while not cancelled():
                pass
        return first(plan, cancelled)

    engine.first = slow
    found: dict[str, list[dict]] = {}
    thread = threading.Thread(target=lambda: found.update(slow=answers(client, {"parts": [{"text": "slow"}]})))
    thread.start()
    assert begun.wait(60)
    fast = answers(client, {"parts": [{"text": "a dog"}]})
    thread.join()
    assert [line["stage"] for line in found["slow"]] == ["cancelled"] and found["slow"][0]["results"] == []
    assert [line["stage"] for line in fast] == ["final"]
    assert fast[0]["seq"] == found["slow"][0]["seq"] + 1


def test_too_many_searches_are_refused_and_a_long_one_ends(serve: Serve) -> None:
    client = serve(limits={"waiting": 1, "search_s": 2.0})
    desk = client.server.state.opened.desk
    begun, engine = threading.Event(), desk.engine

    def endless(plan, cancelled):
        from avs.ranking.score import SearchCancelled

        begun.set()
        while not cancelled():
            pass
        raise SearchCancelled("cancelled")

    engine.first = endless
    codes: list[int] = []

    def one(session: str) -> None:
        query = {"parts": [{"text": f"sentence {session}"}]}
        codes.append(client.post("/api/v1/search", json=query, headers={"Avs-Session": session}).status_code)

    threads = [threading.Thread(target=one, args=(f"s{n}",)) for n in range(4)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [429, 429, 503, 503] and desk._waiting == 0


def test_a_score_that_is_not_finite_names_the_shot(tiny: TinyServed, serve: Serve) -> None:
    client = serve()
    view = client.server.state.opened.collection.stores["one-shot"]
    client.server.state.opened.engine.split._sources.clear()
    source = client.server.state.opened.collection.searcher.source([view.system])
    reader = next(iter(source._readers.values()))
    reader.vectors = reader.vectors.clone()
    reader.vectors[7] = float("nan")
    for query in ({"parts": [{"text": "new"}]}, {"parts": [{"text": "new"}, {"text": "other"}]}):
        answer = client.post("/api/v1/search", json={**query, "by": ["one-shot"]})
        assert answer.status_code == 422 and answer.json()["error"]["where"].startswith("shot00001_8")


def test_explain_tells_ranks_and_shares(shared_client: httpx.Client) -> None:
    answer = ask(shared_client, "a red circle")
    single = {name: ask(shared_client, "a red circle", by=[name]) for name in ("one-shot", "two-shot")}
    shot = answer["results"][3]["shot"]
    found = shared_client.post("/api/v1/explain", json={"list": answer["list"], "shot": shot}).json()
    assert found["rank"] == 4 and found["score"] == answer["results"][3]["score"]
    for one in found["systems"]:
        ranks = {result["shot"]: result["rank"] for result in single[one["name"]]["results"]}
        assert one["rank"] == ranks[shot]
    assert sum(one["share"] for one in found["systems"]) == pytest.approx(1)
    assert len(found["neighbours"]) == 8 and found["neighbours"][0]["shot"] != shot
    assert shared_client.post("/api/v1/explain", json={"list": answer["list"], "shot": "x"}).status_code == 404


def test_questions_about_lists_in_files(serve: Serve, lists: Path) -> None:
    client = serve(lists=[lists])
    systems = {one["name"]: one["kind"] for one in client.get("/api/v1/status").json()["systems"]}
    assert systems["average"] == "list" and systems["one-shot (list)"] == "list" and systems["one-shot"] == "store"
    answer = ask(client, by=["average"], topic="661")
    assert [one["shot"] for one in answer["results"]] == list(read_trec(lists / "average.trec").lists["661"].shots)
    refused = client.post("/api/v1/search", json={"by": ["average"]})
    assert refused.status_code == 422 and "a ranked list is of topics" in refused.text
    none = ask(client, by=["average"], topic="999")
    assert none["results"] == [] and "no shots for topic 999" in none["warnings"][0]


def test_a_list_in_a_file_answers_its_topic_alone(serve: Serve, lists: Path) -> None:
    """It was made before: other words, a shot, or marks cannot change it, and its measures are of the topic."""
    client = serve(lists=[lists])
    client.post("/api/v1/marks", json={"topic": "661", "shots": ["shot00001_1"], "mark": "yes"})
    made = client.post("/api/v1/feedback", json={"topic": "661"}).json()
    own = {"text": "a red circle"}
    for by in (["average"], ["average", "two-shot"]):
        for more in (
            {"parts": [{"text": "a dog"}]}, {"parts": [{"shot": "shot00001_1"}]}, {"parts": [own, own]},
            {"parts": [{**own, "minus": [{"text": "night"}]}]}, {"parts": [own], "feedback": made["feedback"]},
        ):  # fmt: skip
            refused = client.post("/api/v1/search", json={"by": by, "topic": "661", **more})
            error = refused.json()["error"]
            asked = "marks" if "feedback" in more else "other words"
            assert refused.status_code == 422, more
            assert error["what"] == f"average is the list of topic 661, made before: it cannot answer {asked}"
            assert error["got"] and error["wanted"] and "a store or a model" in error["next_step"]
        assert ask(client, "a red circle", by=by, topic="661")["stamp"] == "automatic"
    without = ask(client, by=["average"], topic="661")
    assert without["results"] == ask(client, "a red circle", by=["average"], topic="661")["results"]
    assert client.post(
        "/api/v1/search", json={"by": ["average"], "topic": "661", "feedback": made["feedback"]}
    ).is_error


def test_where_a_question_is_wrong_is_counted_from_1(shared_client: httpx.Client) -> None:
    query = {"parts": [{"text": "a"}, {"text": "b", "minus": [{"text": "c", "weight": 1.0}]}]}
    error = shared_client.post("/api/v1/search", json=query).json()["error"]
    assert error["where"] == "parts 2 minus 1 weight" and error["what"] == "must be below 0"
