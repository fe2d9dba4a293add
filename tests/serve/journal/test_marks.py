"""Marks, their journal, undo, two tabs, a kill, a full disk; feedback; baskets; exports."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from disk import room_for
from live_server import ask
from processes import started

from avs.core.qrels import TopicQrels
from avs.serve.journal.marks import MarkBook, agreement
from avs.serve.refusal import Refusal

Serve = Callable[..., httpx.Client]
SHOTS = [f"shot00001_{n}" for n in range(1, 26)]
MOST = 10**6


def mark(client: httpx.Client, shots: list[str], how: str | None, **more: object) -> dict:
    answer = client.post("/api/v1/marks", json={"topic": "661", "shots": shots, "mark": how, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def marks(client: httpx.Client, topic: str = "661") -> dict[str, str]:
    return client.get(f"/api/v1/marks?topic={topic}").json()["marks"]


def test_marks_are_there_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    mark(client, SHOTS[:3], "yes")
    answer = mark(client, SHOTS[2:5], "no")
    assert answer["counts"] == {"yes": 2, "no": 3, "unsure": 0}
    assert answer["changed"] == dict.fromkeys(SHOTS[2:5], "no")
    mark(client, SHOTS[:1], None)
    before = marks(client)
    assert before == {SHOTS[1]: "yes", **dict.fromkeys(SHOTS[2:5], "no")}
    client.server.end()
    assert marks(serve()) == before
    (journal,) = (tmp_path / "sessions").glob("*.jsonl")
    assert [json.loads(line)["kind"] for line in journal.read_text().splitlines()] == ["marks"] * 3


def test_an_event_is_undone_by_its_id(serve: Serve) -> None:
    client = serve()
    first = mark(client, SHOTS[:3], "yes")
    second = mark(client, SHOTS[:2], "no")
    assert client.get("/api/v1/marks?topic=661").json()["last"] == second["event"]
    undone = client.request("DELETE", "/api/v1/marks", json={"event": first["event"]})
    assert undone.status_code == 200 and marks(client) == dict.fromkeys(SHOTS[:2], "no")
    client.request("DELETE", "/api/v1/marks", json={"event": second["event"]})
    assert marks(client) == {}
    assert client.request("DELETE", "/api/v1/marks", json={"event": second["event"]}).status_code == 200
    assert client.request("DELETE", "/api/v1/marks", json={"event": "nothing"}).status_code == 404
    client.server.end()
    assert marks(serve()) == {}


def test_a_request_that_is_sent_again_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    for _ in range(3):
        assert mark(client, SHOTS[:1], "yes", event="mine-1")["event"] == "mine-1"
    (journal,) = (tmp_path / "sessions").glob("*.jsonl")
    assert len(journal.read_text().splitlines()) == 1
    other = {"topic": "661", "shots": SHOTS[:1], "mark": "no", "event": "mine-1"}
    assert client.post("/api/v1/marks", json=other).status_code == 409


def test_marks_of_two_tabs_merge_by_their_time(tmp_path: Path) -> None:
    """A tab that was offline sends its marks late: a later mark of the other tab stays."""
    book = MarkBook(tmp_path, MOST)
    book.mark("1", SHOTS[:2], "yes", event="late", at_ms=2000)
    book.mark("1", SHOTS[1:3], "no", event="early", at_ms=1000)
    assert book.marks("1") == {SHOTS[0]: "yes", SHOTS[1]: "yes", SHOTS[2]: "no"}
    assert MarkBook(tmp_path, MOST).marks("1") == book.marks("1")
    future = book.mark("1", SHOTS[:1], "no", event=None, at_ms=10**18)
    assert future.at_ms < 10**15


def test_another_page_hears_of_marks(serve: Serve) -> None:
    client = serve()
    heard, ready = [], threading.Event()

    def listen() -> None:
        with client.stream("GET", "/api/v1/events") as stream:
            for line in stream.iter_lines():
                ready.set()
                if line.startswith("data:"):
                    heard.append(json.loads(line[5:]))
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(60)
    event = mark(client, SHOTS[:1], "yes")["event"]
    thread.join(60)
    assert heard == [{"kind": "marks", "topic": "661", "event": event}]


def test_unknown_shots_and_marks_are_refused(serve: Serve) -> None:
    client = serve()
    for body, code in (
        ({"topic": "661", "shots": ["shot9_1"], "mark": "yes"}, 404),
        ({"topic": "661", "shots": SHOTS[:1], "mark": "perhaps"}, 422),
        ({"topic": "6 61", "shots": SHOTS[:1], "mark": "yes"}, 422),
        ({"topic": "661", "shots": [], "mark": "yes"}, 422),
        ({"topic": "661", "shots": SHOTS[:1], "mark": "yes", "list": "none"}, 404),
        ({"topic": "661", "shots": SHOTS[:1], "mark": "yes", "at_ms": -1}, 422),
    ):
        assert client.post("/api/v1/marks", json=body).status_code == code, body
    assert marks(client) == {}
    for topic in ("", "a b", "x" * 65, "%0a661"):
        assert client.get(f"/api/v1/marks?topic={topic}").status_code == 422


def test_a_torn_or_damaged_line_is_told_and_not_read(tmp_path: Path) -> None:
    book = MarkBook(tmp_path, MOST)
    book.mark("1", SHOTS[:1], "yes", event="a", at_ms=1)
    book.mark("1", SHOTS[1:2], "yes", event="b", at_ms=2)
    path = book.journal.path
    assert path is not None
    whole = path.read_bytes()
    for torn in range(1, len(whole.splitlines(keepends=True)[1])):
        path.write_bytes(whole[:-torn])
        again = MarkBook(tmp_path, MOST)
        assert again.marks("1") == {SHOTS[0]: "yes"} and sum(again.damaged.values()) == 1
    path.write_bytes(whole + b'{"kind": "marks", broken}\n{"kind": "marks"}\n\xff\xff\n')
    again = MarkBook(tmp_path, MOST)
    assert again.marks("1") == dict.fromkeys(SHOTS[:2], "yes") and sum(again.damaged.values()) == 1


def test_a_full_disk_is_told_and_nothing_is_half_done(tmp_path: Path) -> None:
    book = MarkBook(tmp_path, MOST)
    book.mark("1", SHOTS[:1], "yes", event=None, at_ms=None)
    path = book.journal.path
    assert path is not None
    before = path.read_bytes()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with room_for(len(before) + 20), pytest.raises(OSError):
        book.mark("1", SHOTS[1:2], "yes", event=None, at_ms=None)
    assert path.read_bytes() == before and book.marks("1") == {SHOTS[0]: "yes"}
    book.mark("1", SHOTS[2:3], "no", event=None, at_ms=None)
    assert MarkBook(tmp_path, MOST).marks("1") == {SHOTS[0]: "yes", SHOTS[2]: "no"}


def test_a_mark_is_on_disk_when_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    book = MarkBook(tmp_path, MOST)
    for count in range(1, 4):
        book.mark("1", SHOTS[:count], "yes", event=None, at_ms=None)
        assert book.journal.path is not None
        assert len(synced) == count and synced[-1] == book.journal.path.stat().st_size


def test_the_journal_has_a_limit(tmp_path: Path) -> None:
    book = MarkBook(tmp_path, 300)
    with pytest.raises(Refusal, match="the journal of this session is full"):
        for shot in SHOTS:
            book.mark("1", [shot], "yes", event=None, at_ms=None)
    assert MarkBook(tmp_path, MOST).marks("1") == book.marks("1")


def test_a_kill_loses_no_mark(tmp_path: Path) -> None:
    """What the book has returned from is there, whenever the process is killed."""
    code = """if True:
        import sys
        from pathlib import Path
        from avs.serve.journal.marks import MarkBook

        book = MarkBook(Path(sys.argv[1]), 10**9)
        for number in range(10**6):
            print(book.mark("661", [f"shot00001_{1 + number}"], "yes", event=None, at_ms=None).shots[0], flush=True)
    """
    told: list[str] = []
    for kills in range(1, 4):
        with started(["-c", code, tmp_path]) as process:
            assert process.stdout is not None
            told += [process.stdout.readline().strip() for _ in range(7 * kills)]
            process.kill()
            told += [line for line in process.stdout.read().split() if line.startswith("shot")]
    held = MarkBook(tmp_path, MOST).marks("661")
    assert set(told[:-1]) <= set(held) and len(told) > 40  # the last may have been printed in part


def test_hidden_shots_leave_the_list_and_are_counted(serve: Serve) -> None:
    client = serve()
    plain = ask(client, "a dog", by=["one-shot"], topic="661")
    best = [one["shot"] for one in plain["results"]]
    mark(client, best[:3], "no")
    client.post("/api/v1/views", json={"topic": "661", "shots": best[3:5]})
    some = ask(client, "a dog", by=["one-shot"], topic="661", filter={"hide": ["judged", "seen"]})
    assert [one["shot"] for one in some["results"]] == best[5:]
    assert some["taken"] == [{"filter": "hide judged", "shots": 3}, {"filter": "hide seen", "shots": 2}]
    assert some["measures"]["all"] == plain["measures"]["all"]
    assert some["measures"]["shown"]["num_ret"]["text"] == str(len(best) - 5)
    five = ask(client, "a dog", by=["one-shot"], topic="661", k=5, filter={"hide": ["judged"]})
    assert [one["shot"] for one in five["results"]] == best[3:8]
    again = ask(client, "a dog", by=["one-shot"], topic="661")
    assert [one["mine"] for one in again["results"]][:4] == ["no", "no", "no", None]


def test_a_basket(serve: Serve) -> None:
    client = serve()
    body = {"topic": "661", "add": SHOTS[:3], "remove": []}
    assert client.post("/api/v1/basket", json=body).json()["shots"] == SHOTS[:3]
    client.post("/api/v1/basket", json={"topic": "661", "remove": SHOTS[:1]})
    client.server.end()
    again = serve()
    assert again.get("/api/v1/basket?topic=661").json()["shots"] == SHOTS[1:3]
    assert again.get("/api/v1/basket?topic=662").json()["shots"] == []


def test_agreement_with_judgments() -> None:
    import numpy as np

    qrels = TopicQrels("1", tuple(SHOTS[:4]), np.ones(4), np.array([1, 1, 0, -1]))
    held = {SHOTS[0]: "yes", SHOTS[1]: "no", SHOTS[2]: "no", SHOTS[3]: "yes", SHOTS[4]: "yes"}
    found = agreement(held, qrels)
    assert found is not None and (found.both, found.agree) == (3, 2) and found.kappa == pytest.approx(0.4)
    assert agreement(held, None) is None


@pytest.mark.parametrize("method", ["rocchio", "linear", "bayes"])
def test_feedback_and_its_revert(serve: Serve, method: str) -> None:
    client = serve()
    plain = ask(client, "a dog", by=["one-shot"], topic="663")
    yes, no = [plain["results"][n]["shot"] for n in (10, 20, 30)], [plain["results"][0]["shot"]]
    for shots, how in ((yes, "yes"), (no, "no")):
        client.post("/api/v1/marks", json={"topic": "663", "shots": shots, "mark": how})
    made = client.post("/api/v1/feedback", json={"topic": "663", "method": method}).json()
    assert (sorted(made["yes"]), made["no"]) == (sorted(yes), no) and not made["simulated"]
    moved = ask(client, "a dog", by=["one-shot"], topic="663", feedback=made["feedback"])
    rank = {one["shot"]: one["rank"] for one in moved["results"]}
    before = {one["shot"]: one["rank"] for one in plain["results"]}
    assert sum(rank[shot] for shot in yes) < sum(before[shot] for shot in yes)
    assert moved["stamp"] == "feedback" and sorted(rank) == sorted(before)
    client.post("/api/v1/marks", json={"topic": "663", "shots": yes, "mark": None})
    again = ask(client, "a dog", by=["one-shot"], topic="663", feedback=made["feedback"])
    assert again["results"][0]["shot"] == moved["results"][0]["shot"]
    reverted = ask(client, "a dog", by=["one-shot"], topic="663")
    assert [one["shot"] for one in reverted["results"]] == [one["shot"] for one in plain["results"]]
    same = client.post(
        "/api/v1/search", json={"parts": [{"text": "a dog"}, {"text": "b"}], "feedback": made["feedback"]}
    )
    assert same.status_code == 422


def test_feedback_never_sees_judgments_unless_a_user_is_simulated(serve: Serve) -> None:
    client = serve()
    nothing = client.post("/api/v1/feedback", json={"topic": "661"})
    assert nothing.status_code == 422 and "nothing is marked" in nothing.text
    answer = ask(client, "a red circle", topic="661")
    made = client.post("/api/v1/feedback", json={"topic": "661", "simulate": True, "list": answer["list"]}).json()
    judged = {one["shot"]: one["judgment"] for one in answer["results"][:20]}
    assert set(made["yes"]) == {shot for shot in judged if judged[shot] == 1}
    assert set(made["no"]) == {shot for shot in judged if judged[shot] == 0}
    moved = ask(client, "a red circle", topic="661", feedback=made["feedback"])
    assert moved["stamp"] == "automatic-invalid"
    refused = client.post("/api/v1/export", json={"lists": [moved["list"]]})
    assert refused.status_code == 422 and "simulated user" in refused.text
    assert client.post("/api/v1/feedback", json={"topic": "661", "simulate": True}).status_code == 422
    body = {"topic": "663", "simulate": True, "list": answer["list"]}
    assert client.post("/api/v1/feedback", json=body).status_code == 422


def test_feedback_of_shots_marked_no_alone(serve: Serve) -> None:
    client = serve()
    plain = ask(client, "a dog", topic="663")
    client.post("/api/v1/marks", json={"topic": "663", "shots": [plain["results"][0]["shot"]], "mark": "no"})
    refused = client.post("/api/v1/feedback", json={"topic": "663", "method": "linear"})
    error = refused.json()["error"]
    assert refused.status_code == 422 and error["what"] == "linear feedback needs a shot marked yes"
    assert plain["results"][0]["shot"] in error["got"] and "rocchio" in error["next_step"]
    made = client.post("/api/v1/feedback", json={"topic": "663", "method": "bayes"}).json()
    same = ask(client, "a dog", topic="663", feedback=made["feedback"])
    assert [one["shot"] for one in same["results"]] == [one["shot"] for one in plain["results"]]
    assert any("no shot is marked yes" in line for line in same["warnings"])
    made = client.post("/api/v1/feedback", json={"topic": "663", "method": "rocchio"}).json()
    moved = ask(client, "a dog", topic="663", feedback=made["feedback"])
    assert not any("no shot is marked yes" in line for line in moved["warnings"])
