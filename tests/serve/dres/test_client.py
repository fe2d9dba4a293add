"""The showdown against a fake DRES: what is sent, once; verdicts; a server that fails in every way; the password."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_dres import PASSWORD, USER, FakeDres, FakeTask, fake_dres
from live_server import ask
from processes import started

from avs.core.errors import ConfigError
from avs.pipeline.serve_options import ServeOptions, serve_options
from avs.serve.dres import client as dres
from avs.serve.dres import showdown
from avs.serve.dres import watch as dres_watch
from avs.serve.dres.client import DresClient, DresTrouble
from avs.serve.dres.showdown import Showdown
from avs.serve.dres.submissions import QueueEntry
from avs.serve.dres.watch import DresView, DresWatch
from avs.serve.events import Events
from avs.serve.media import VideoClock
from avs.serve.shapes import Event

PATIENCE_S = 120
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\x00\u202e"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is looked at often, and soon given up."""
    monkeypatch.setattr(showdown, "POLL_S", 0.05)
    monkeypatch.setattr(showdown, "TIMEOUT_S", 2.0)
    monkeypatch.setattr(dres_watch, "LOGIN_S", 0.05)
    monkeypatch.setattr("avs.serve.dres.dispatch.FIRST_WAIT_S", 0.02)
    monkeypatch.setenv("AVS_DRES_PASSWORD", PASSWORD)


@pytest.fixture
def held() -> Iterator[FakeDres]:
    with fake_dres() as made:
        yield made


Begin = Callable[..., Showdown]


@pytest.fixture
def begin(held: FakeDres, tmp_path: Path) -> Iterator[Begin]:
    """`begin(live=False)` starts a showdown and waits until it has seen the server."""
    with ExitStack() as stack:

        def start(*, root: str | None = None, password: str = PASSWORD, seen: bool = True, **more: Any) -> Showdown:
            given = {"dres": root or held.root, "dres_user": USER, "live": True, "rate": 100, "stores": []}
            options = ServeOptions.model_validate({**given, "sessions": tmp_path / "sessions", **more})
            made = Showdown(options, password, Events(4))
            stack.callback(made.close)
            made.start()
            if seen:
                until(lambda: made.view.message != "not asked yet")
            return made

        yield start


def until(true: Callable[[], Any]) -> None:
    """Return when it is true; how long that takes does not matter."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)


def entry(show: Showdown, number: int = 1, **more: Any) -> QueueEntry:
    server, evaluation, task, task_id = show.target()
    given: dict[str, Any] = {
        "server": server, "evaluation": evaluation, "task": task, "task_id": task_id, "topic": "661",
        "shot": f"shot0000{number}_1", "video": f"0000{number}", "item": f"0000{number}", "collection": None,
        "start_ms": 1000, "end_ms": 2000, "text": None,
    }  # fmt: skip
    return QueueEntry(**{**given, **more})


def state(show: Showdown, wanted: QueueEntry) -> str:
    assert show.queue is not None
    found = show.queue.get(wanted.id)
    assert found is not None
    return found.state


def send(show: Showdown, number: int = 1, *, expect: str, **more: Any) -> QueueEntry:
    """Submit, and wait until it has a state; the submission then."""
    (made,), _ = show.submit([entry(show, number, **more)])
    until(lambda: state(show, made) == expect)
    assert show.queue is not None
    found = show.queue.get(made.id)
    assert found is not None
    return found


def test_what_is_sent_is_what_the_api_asks_for(begin: Begin, held: FakeDres) -> None:
    show = begin()
    send(show, expect="accepted")
    send(show, 2, expect="accepted", collection="V3C")
    no_shot = dict.fromkeys(("shot", "video", "item", "start_ms", "end_ms"))
    send(show, 3, expect="accepted", text="a red bus", **no_shot)
    send(show, 4, expect="accepted", start_ms=None, end_ms=None)
    sets = [one["answerSets"][0] for one in held.submitted]
    assert {one["taskId"] for one in sets} == {"task-1"}
    assert [one["answers"] for one in sets] == [
        [{"mediaItemName": "00001", "start": 1000, "end": 2000}],
        [{"mediaItemName": "00002", "mediaItemCollectionName": "V3C", "start": 1000, "end": 2000}],
        [{"text": "a red bus"}],
        [{"mediaItemName": "00004"}],
    ]


@pytest.mark.parametrize(
    ("verdict", "expect"), [("CORRECT", "accepted"), ("WRONG", "wrong"), ("UNDECIDABLE", "undecided")]
)
def test_verdicts_at_once_and_later(begin: Begin, held: FakeDres, verdict: str, expect: str) -> None:
    show = begin()
    held.verdict = verdict
    send(show, expect=expect)
    held.verdict = "INDETERMINATE"
    later = send(show, 2, expect="sent")
    held.judge(verdict)
    until(lambda: state(show, later) == expect)
    assert len(held.taken) == 2


@pytest.mark.parametrize("status", [400, 404, 412, 403, 422])
def test_what_the_server_does_not_take_is_never_sent_again(begin: Begin, held: FakeDres, status: int) -> None:
    show = begin()
    held.script = [status]
    refused = send(show, expect="rejected")
    assert refused.message == "as planned"
    send(show, 2, expect="accepted")
    assert len(held.submitted) == 2 and len(held.taken) == 1
    again, warnings = show.submit([entry(show)])
    assert again[0].id == refused.id and warnings == ["shot00001_1 was submitted before: rejected (as planned)"]
    send(show, 3, expect="accepted")
    assert len(held.submitted) == 3
    show.ask(refused.id, again=True)
    until(lambda: state(show, refused) == "accepted")


def test_errors_of_the_server_are_tried_again_in_order(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.script = [500, 503, 429]
    made, _ = show.submit([entry(show, number) for number in (1, 2, 3)])
    until(lambda: state(show, made[2]) == "accepted")
    assert [one[1] for one in held.keys()] == ["00001", "00002", "00003"]
    assert [one["answerSets"][0]["answers"][0]["mediaItemName"] for one in held.submitted][:4] == ["00001"] * 4


def test_an_unknown_video_does_not_hold_up_the_others(begin: Begin, held: FakeDres) -> None:
    """DRES answers 500 to it, which is what a server in trouble says too."""
    show = begin()
    held.items = {"00002"}
    first, second = show.submit([entry(show, 1), entry(show, 2)])[0]
    until(lambda: state(show, second) == "accepted")
    assert state(show, first) == "failed" and len(held.submitted) == 5
    found = show.submissions().entries[0]
    assert "Could not find media item with name '00001'" in found.message and found.message.startswith("4 times:")


def test_nothing_is_sent_to_another_task_than_it_was_meant_for(begin: Begin, held: FakeDres) -> None:
    """DRES would count it for the task that runs."""
    show = begin()
    held.away = 502
    until(lambda: show.view.state == "down")
    waits, _ = show.submit([entry(show)])
    held.tasks["e1"] = FakeTask("task-2")
    held.away = None
    until(lambda: state(show, waits[0]) == "failed")
    assert held.submitted == []
    send(show, expect="accepted")
    assert [one[0] for one in held.keys()] == ["task-2"]


def test_the_task_is_looked_at_right_before_sending(
    begin: Begin, held: FakeDres, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = begin()
    monkeypatch.setattr(showdown, "POLL_S", 1000.0)
    monkeypatch.setattr(showdown, "FRESH_S", 0.0)
    until(lambda: show._next_look_s > time.monotonic() + 100)
    for task in (FakeTask("task-2"), FakeTask("task-1", status="ENDED")):
        assert show.view.task is not None
        before = show.view.task.model_copy(update={"id": "task-1"})
        show.view = replace(show.view, state="running", task=before)
        held.tasks["e1"] = task
        made = entry(show, 1 if task.id == "task-2" else 2)
        show.submit([made])
        until(lambda made=made: state(show, made) == "failed")
    assert held.submitted == []


def test_a_server_that_is_down_gets_it_later(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.away = 503
    until(lambda: show.view.state == "down")
    made, warnings = show.submit([entry(show)])
    assert warnings[0].startswith("not sent yet:") and made[0].state == "queued"
    held.away = None
    until(lambda: state(show, made[0]) == "accepted")
    assert len(held.submitted) == 1


def test_no_answer_is_unknown_until_the_server_shows_that_it_has_it(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.script = ["hang"]
    send(show, expect="accepted")
    held.shown = False
    until(lambda: not show.view.shown)
    held.script = ["hang"]
    doubt = send(show, 2, expect="unknown")
    assert "no answer within 2 s" in doubt.message
    assert len(held.submitted) == 2, "nothing is sent twice unasked"
    show.ask(doubt.id, again=False)
    assert [one.shot for one in show.submissions().entries] == ["shot00001_1"]
    assert show.sent_shots("661") == ["shot00001_1"]
    (again,), warnings = show.submit([entry(show, 2)])
    until(lambda: state(show, again) == "rejected")
    assert again.id == doubt.id and len(held.taken) == 2, "a user may submit it anew"
    assert not [words for words in warnings if "submitted before" in words]


def test_a_submission_that_was_lost_is_sent_again_when_asked(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.script = ["lost"]
    doubt = send(show, expect="unknown")
    send(show, 2, expect="accepted")
    assert state(show, doubt) == "unknown" and [one[1] for one in held.keys()] == ["00002"]
    held.taken.append({**stored(doubt), "memberName": "team8"})
    looks = len(held.asked)
    until(lambda: len(held.asked) > looks + 12)
    assert state(show, doubt) == "unknown", "another team has it"
    held.taken.pop()
    show.ask(doubt.id, again=True)
    until(lambda: state(show, doubt) == "accepted")
    assert [one[1] for one in held.keys()] == ["00002", "00001"]
    with pytest.raises(showdown.Refusal, match="not in doubt"):
        show.ask(doubt.id, again=True)
    with pytest.raises(showdown.Refusal, match="no such submission"):
        show.ask("nothing", again=True)


def test_an_error_after_it_was_taken_is_not_sent_again(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.script, held.duplicates = ["broken"], False
    send(show, expect="accepted")
    send(show, 2, expect="accepted")
    assert len(held.submitted) == 2


def test_504_may_have_arrived(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.script = [504]
    send(show, expect="unknown")
    assert len(held.submitted) == 1


def test_it_logs_in_again_once(begin: Begin, held: FakeDres) -> None:
    show = begin()
    held.log_everybody_out()
    send(show, expect="accepted")
    assert held.logins == 2 and len(held.submitted) == 1


def test_trouble_at_the_login_is_no_doubt_about_a_submission(held: FakeDres) -> None:
    held.away = 502
    with pytest.raises(DresTrouble) as trouble:
        DresClient(held.root, USER, PASSWORD, timeout_s=2.0).submit("e1", {})
    assert not trouble.value.may_have_arrived


def test_a_wrong_password_is_told_and_not_hammered(
    begin: Begin, held: FakeDres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dres_watch, "LOGIN_S", 1000.0)
    show = begin(password="wrong")
    until(lambda: show.view.state == "logged-out")
    assert "Invalid credentials" in show.view.message and "wrong" not in show.submissions().model_dump_json()
    watch = DresWatch(DresClient(held.root, USER, "wrong", timeout_s=1.0), None)
    view, before = DresView("down"), len(held.asked)
    for _ in range(5):
        view = watch.look(view)
    assert view.state == "logged-out" and len(held.asked) == before + 1
    with pytest.raises(showdown.Refusal, match="no task") as refused:
        show.target()
    assert refused.value.status == 409 and "password" in str(refused.value.next_step)


def test_evaluations_are_chosen(begin: Begin, held: FakeDres) -> None:
    held.tasks = {"e1": FakeTask("task-1"), "e2": FakeTask("task-2")}
    held.names = {"e2": "VBS private"}
    show = begin()
    assert show.view.state == "no-evaluation" and show.view.message == "choose one of 2"
    with pytest.raises(showdown.Refusal, match="no task"):
        show.target()
    with pytest.raises(showdown.Refusal, match="no such evaluation"):
        show.choose("e3")
    show.choose("e2")
    until(lambda: show.view.state == "running")
    send(show, expect="accepted")
    assert held.keys()[0][0] == "task-2"
    show.choose("e1")
    until(lambda: show.view.key == "task-1")
    assert [one.task for one in show.submissions().entries] == []
    named = begin(dres_evaluation="VBS private", sessions=show.options.sessions / "b")
    assert named.view.evaluation == "e2"
    other = begin(dres_evaluation="VBS public", sessions=show.options.sessions / "c")
    assert other.view.message == 'there is no evaluation "VBS public"; choose one of 2'
    del held.tasks["e2"]
    until(lambda: named.view.state == "no-evaluation")
    held.tasks.clear()
    until(lambda: "no evaluation is open" in other.view.message)


@pytest.mark.parametrize(
    ("task", "expect", "words"),
    [
        (None, "no-task", "there is no task"),
        (FakeTask("task-1", status="PREPARING"), "no-task", "task avs-01 does not run yet"),
        (FakeTask("task-1", status="ENDED"), "ended", "task avs-01 is over"),
    ],
)
def test_without_a_task_nothing_is_queued(
    begin: Begin, held: FakeDres, task: FakeTask | None, expect: str, words: str
) -> None:
    held.tasks["e1"] = task
    show = begin()
    assert (show.view.state, show.view.message) == (expect, words)
    with pytest.raises(showdown.Refusal, match="there is no task to submit to"):
        show.target()


def test_a_server_that_shows_participants_nothing(begin: Begin, held: FakeDres) -> None:
    """No task id, no time: the page's timer runs, and the task is told by its name."""
    held.shown = False
    show = begin()
    assert show.view.state == "running" and show.view.message == dres_watch.HIDDEN
    assert show.timer_of() == "page" and 290 < (show.left_s() or 0) <= 300
    held.verdict = "INDETERMINATE"
    send(show, expect="sent")
    assert held.submitted == [{"answerSets": [{"answers": [{"mediaItemName": "00001", "start": 1000, "end": 2000}]}]}]
    held.tasks["e1"] = FakeTask("task-2", name="avs-02")
    until(lambda: show.view.key == "avs-02")


def test_the_timer(begin: Begin, held: FakeDres) -> None:
    show = begin(timer_s=77)
    assert show.timer_of() == "task" and 190 < (show.left_s() or 0) <= 200
    heard: list[Event] = []
    show.events.say = heard.append  # type: ignore[method-assign]
    held.tasks["e1"].left_s = 500  # type: ignore[union-attr]
    until(lambda: (show.left_s() or 0) > 400)
    until(lambda: [one.kind for one in heard] == ["timer"])
    assert heard[0].data is not None and float(heard[0].data["left_s"] or 0) > 400
    held.tasks["e1"] = None
    until(lambda: show.view.state == "no-task")
    assert show.left_s() is None
    show.set_timer(run=True, seconds=None)
    assert show.timer_of() == "page" and 70 < (show.left_s() or 0) <= 77
    show.set_timer(run=True, seconds=10)
    assert (show.left_s() or 99) <= 10
    show.set_timer(run=False, seconds=None)
    assert show.left_s() is None and show.timer_of() is None


def test_a_dry_run_sends_nothing(begin: Begin, held: FakeDres) -> None:
    show = begin(live=False)
    made, warnings = show.submit([entry(show)])
    show.log("query", {"timestamp": 1, "events": []})
    held.tasks["e1"] = None
    until(lambda: show.view.state == "no-task")
    show.submit([entry(show, 2)])
    looks = len(held.asked)
    until(lambda: len(held.asked) > looks + 12)
    assert held.submitted == held.logs == [] and warnings == []
    assert [(one.state, one.dry_run) for one in show.submissions().entries] == [("queued", True)] * 2
    assert show.sent_shots("661") == ["shot00001_1", "shot00002_1"]
    live = begin()
    assert live.queue is not None and live.queue.entries() == [], "what was rehearsed is not sent later"
    assert made[0].message == ""


def test_the_rate(begin: Begin, held: FakeDres) -> None:
    """At a submission in 1,000 s the second one waits, and nothing else does."""
    show = begin(rate=0.001)
    first, second = show.submit([entry(show, 1), entry(show, 2)])[0]
    until(lambda: state(show, first) == "accepted")
    looks = len(held.asked)
    until(lambda: len(held.asked) > looks + 12)
    assert state(show, second) == "queued" and len(held.submitted) == 1


def test_a_second_shot_of_a_video_warns_once_and_is_sent(begin: Begin, held: FakeDres) -> None:
    show = begin()
    warned = [show.submit([entry(show, start_ms=start)])[1] for start in (1, 2, 3)]
    assert warned == [[], ["another shot of video 00001 was submitted to this task before"], []]
    until(lambda: len(held.taken) == 3)
    assert [one.sent_before for one in show.submissions().entries] == [False, True, True]
    _, both = show.submit([entry(show, 2, start_ms=1), entry(show, 2, start_ms=2)])
    assert both == ["another shot of video 00002 was submitted to this task before"]


def test_hostile_words_are_text(begin: Begin, held: FakeDres) -> None:
    held.message, held.names = HOSTILE * 100, {"e1": HOSTILE}
    held.tasks["e1"] = FakeTask("task-1", name=HOSTILE, kind=HOSTILE)
    show = begin()
    send(show, expect="accepted")
    held.script = [412]
    send(show, 2, expect="rejected")
    shape = show.submissions()
    assert shape.task is not None
    said = [shape.entries[0].message, shape.entries[1].message, shape.evaluations[0].name, shape.task.name]
    for words in said:
        assert words.startswith("<img src=x onerror=alert(1)> [31m") and len(words) <= 500
        assert not set("\x00\x1b\u202e") & set(words)


def test_answers_that_are_no_answers(held: FakeDres) -> None:
    """Whatever a server sends is an error in words, and the token is in none."""
    client = DresClient(held.root, USER, PASSWORD, timeout_s=1.0)
    client.evaluations()
    held.away = 200
    for call in (client.evaluations, lambda: client.state("e1"), lambda: client.current_task("e1"), client.log_in):
        with pytest.raises(DresTrouble, match="no JSON") as trouble:
            call()
        assert not [one for one in held.sessions if one in str(trouble.value)]


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"\xff" * 70_000, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"[" * 9_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
        b'HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n{"sessionId": "a\\r\\nSet-Cookie: b"}',
        b"HTTP/1.1 302 Found\r\nLocation: //[bad\r\n\r\n", b"HTTP/1.1 307 Go\r\nLocation: /api/v2/login\r\n\r\n",
    ],
)  # fmt: skip
def test_bytes_that_are_not_http(reply: bytes) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(5):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        asked = b""
                        while not asked.endswith(b"}"):
                            asked += connection.recv(65536)
                        connection.sendall(reply)
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(1)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        client = DresClient(f"http://127.0.0.1:{listener.getsockname()[1]}", USER, PASSWORD, timeout_s=2.0)
        with pytest.raises(DresTrouble) as trouble:
            client.log_in()
        assert ("longer than 8,388,608 bytes" in str(trouble.value)) == (len(reply) > 8_388_608)
        assert len(str(trouble.value)) < 600 and PASSWORD not in str(trouble.value)


def test_redirects_to_other_hosts_are_not_followed(begin: Begin, held: FakeDres) -> None:
    with fake_dres() as other:
        held.redirect = f"{other.root}/api/v2/login"
        show = begin()
        until(lambda: "which is not followed" in show.view.message)
        assert other.asked == [], "the password would have gone there"


def test_a_server_that_is_not_there(begin: Begin, tmp_path: Path) -> None:
    show = begin(root="http://127.0.0.1:9")
    until(lambda: show.view.state == "down")
    assert "refused" in show.view.message
    nowhere = begin(root="http://no-such-host.invalid", sessions=tmp_path / "b", dres_insecure=True)
    until(lambda: "its name is not known" in nowhere.view.message)


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    def words(**more: Any) -> str:
        with pytest.raises(ConfigError) as refused:
            serve_options(None, {"stores": [str(tmp_path)], **more})
        return str(refused.value)

    assert "unencrypted" in words(dres="http://dres.example.org", dres_user="a")
    assert "--dres-user" in words(dres="https://dres.example.org")
    assert "no address" in words(dres="dres.example.org", dres_user="a")
    assert "no address" in words(dres="ftp://[bad", dres_user="a")
    secret = words(dres="https://me:my-secret@dres.example.org/?a#b", dres_user="a")
    assert "more than host" in secret and "my-secret" not in secret
    assert "no server to submit to" in words(live=True)
    assert "every video the same" in words(dres_name="v3c")
    both = words(dres="https://dres.example.org", read_only=True)
    assert "--read-only" in both and "--dres-user" in both
    assert "rate" in words(rate=0) and "timer" in words(timer_s=-1)
    for dres_url in ("https://dres.example.org", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"):
        serve_options(None, {"stores": [str(tmp_path)], "dres": dres_url, "dres_user": "a"})
    serve_options(None, {"stores": [str(tmp_path)], "dres": "http://a.b", "dres_user": "a", "dres_insecure": True})


def test_without_a_password_it_does_not_start(
    held: FakeDres, serve: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVS_DRES_PASSWORD")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigError, match="password of team7 is not known"):
        serve(dres=held.root, dres_user=USER)


def test_two_servers_do_not_share_a_queue(
    held: FakeDres, serve: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(dres=held.root, dres_user=USER)
    assert "AVS_DRES_PASSWORD" not in os.environ, "programs that the server starts would have it"
    monkeypatch.setenv("AVS_DRES_PASSWORD", PASSWORD)
    with pytest.raises(ConfigError, match="another server submits from this queue"):
        serve(dres=held.root, dres_user=USER)


# Through the API.


def listen(client: httpx.Client, stop: Callable[[list[dict[str, Any]]], bool]) -> tuple[threading.Thread, list[dict]]:
    """Events, until they are what is waited for."""
    heard: list[dict[str, Any]] = []
    ready = threading.Event()

    def work() -> None:
        with client.stream("GET", "/api/v1/events") as stream:
            for line in stream.iter_lines():
                ready.set()
                if line.startswith("data:"):
                    heard.append(json.loads(line[5:]))
                    if stop(heard):
                        return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S)
    return thread, heard


def test_from_the_page_to_the_verdict(held: FakeDres, serve: Callable[..., httpx.Client], tmp_path: Path) -> None:
    held.verdict = "INDETERMINATE"
    client = serve(dres=held.root, dres_user=USER, live=True, rate=100, dres_name="v_{video}")
    until(lambda: client.get("/api/v1/submit").json()["state"] == "running")
    assert client.get("/api/v1/status").json()["dres"] == held.root.removeprefix("http://")
    thread, heard = listen(client, lambda found: any((one.get("data") or {}).get("state") == "wrong" for one in found))
    answer = ask(client, "a dog", by=["one-shot"], topic="661")
    shots = [one["shot"] for one in answer["results"][:3]]
    given = client.post("/api/v1/submit", json={"topic": "661", "shots": shots, "list": answer["list"]})
    assert given.status_code == 202 and [one["state"] for one in given.json()["entries"]] == ["queued"] * 3
    until(lambda: len(held.taken) == 3)
    held.judge("WRONG")
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), heard
    states = [one["data"]["state"] for one in heard if one["kind"] == "submission" and one["data"]["shot"] == shots[0]]
    assert states[:3] == ["queued", "in-flight", "sent"]
    again = ask(client, "a dog", by=["one-shot"], topic="661")
    assert [one["sent"] for one in again["results"][:4]] == [True] * 3 + [False]
    hidden = ask(client, "a dog", by=["one-shot"], topic="661", filter={"hide": ["sent"]})
    assert not {one["shot"] for one in hidden["results"]} & set(shots)
    assert hidden["taken"] == [{"filter": "hide sent", "shots": 3}]
    until(lambda: {kind for kind, _ in held.logs} == {"query", "result"})
    result = next(body for kind, body in held.logs if kind == "result")
    assert [one["answer"]["mediaItemName"] for one in result["results"][:3]] == [f"v_{one[4:9]}" for one in shots]
    for path in (one for one in tmp_path.rglob("*") if one.is_file()):
        content = path.read_bytes()
        assert PASSWORD.encode() not in content, path
        assert not [token for token in held.sessions if token.encode() in content], path
    journal = next((tmp_path / "sessions").glob("*.jsonl")).read_text()
    kinds = [json.loads(line)["kind"] for line in journal.splitlines()]
    assert kinds.count("submission") == 3 and "verdict" in kinds


def test_times_of_shots_and_positions(
    held: FakeDres, serve: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(dres=held.root, dres_user=USER, live=True, rate=100)
    until(lambda: client.get("/api/v1/submit").json()["state"] == "running")

    def put(**body: Any) -> dict[str, Any]:
        given = client.post("/api/v1/submit", json=body)
        assert given.status_code == 202, given.text
        return given.json()["entries"][0]

    facts = client.get("/api/v1/videos/00001").json()
    one = put(shots=["shot00001_3"])
    assert (one["item"], one["start_ms"], one["end_ms"], one["topic"]) == ("00001", 480, 720, None)
    last = put(shots=[facts["shots"][-1]["shot"]])
    assert last["end_ms"] <= facts["duration_s"] * 1000 + 1e-6
    at = put(shot="shot00001_3", at_s=0.5555)
    assert (at["start_ms"], at["end_ms"]) == (555, 555)
    beyond = put(shot="shot00001_3", at_s=1000.0)
    assert beyond["start_ms"] == beyond["end_ms"] == int(facts["duration_s"] * 1000)
    later = VideoClock(zero_s=0.2, fps=25.0, duration_s=6.0, codec="h264", size=0, time_ns=0)
    monkeypatch.setattr(client.server.state.opened.media, "clock", lambda _: later)  # type: ignore[attr-defined]
    assert put(shot="shot00001_3", at_s=0.7777)["start_ms"] == 577, "shots count from the first frame"
    text = put(text="  a red bus ")
    assert (text["text"], text["shot"], text["start_ms"]) == ("a red bus", None, None)
    until(lambda: len(held.taken) == 6)
    for body, code in (
        ({"shots": ["shot9_1"]}, 404), ({"shots": []}, 422), ({"shot": "shot00001_1"}, 422), ({"at_s": 1.0}, 422),
        ({"shots": ["shot00001_1"], "text": "a"}, 422), ({"text": "   "}, 422), ({"text": "x" * 2001}, 422),
        ({"shot": "shot00001_1", "at_s": -1}, 422), ({"shots": ["shot00001_1"], "topic": "a b"}, 422),
        ({"shots": ["shot00001_1"] * 1001}, 422), ({"shots": "shot00001_1"}, 422),
    ):  # fmt: skip
        assert client.post("/api/v1/submit", json=body).status_code == code, body
    assert client.post("/api/v1/submit/ask", json={"id": "a", "do": "send again"}).status_code == 404
    assert client.post("/api/v1/submit/evaluation", json={"id": "e9"}).status_code == 404
    started_timer = client.post("/api/v1/timer", json={"do": "start", "seconds": 60})
    assert started_timer.json()["timer_of"] == "task"


def test_without_a_server_and_read_only(shared_client: httpx.Client, serve: Callable[..., httpx.Client]) -> None:
    found = shared_client.get("/api/v1/submit").json()
    assert found["state"] == "off" and found["server"] is None and not found["live"]
    refused = shared_client.post("/api/v1/submit", json={"shots": ["shot00001_1"]})
    assert refused.status_code == 409 and "--dres URL" in refused.json()["error"]["next_step"]
    reader = serve(read_only=True)
    for path, body in (
        ("submit", {"shots": ["shot00001_1"]}), ("submit/ask", {"id": "a", "do": "forget"}),
        ("submit/evaluation", {"id": "a"}), ("timer", {"do": "start"}),
    ):  # fmt: skip
        assert reader.post(f"/api/v1/{path}", json=body).status_code == 403
    assert reader.get("/api/v1/submit").status_code == 200


def test_a_kill_between_sending_and_the_answer(begin: Begin, held: FakeDres, tmp_path: Path) -> None:
    """kill -9: nothing twice, nothing lost. The one in flight is unknown, then the server is asked, or a user."""
    code = """if True:
        import sys, time
        from avs.pipeline.serve_options import ServeOptions
        from avs.serve.events import Events
        from avs.serve.dres.showdown import Showdown
        from avs.serve.dres.submissions import QueueEntry

        root, user, password, sessions = sys.argv[1:]
        options = ServeOptions(dres=root, dres_user=user, live=True, rate=50, sessions=sessions)
        show = Showdown(options, password, Events(1))
        show.start()
        while show.view.state != "running":
            time.sleep(0.01)
        target = dict(zip(("server", "evaluation", "task", "task_id"), show.target()))
        shots = [dict(topic="661", shot=f"s{n}", video=f"v{n}", item=f"v{n}", collection=None) for n in range(4)]
        show.submit([QueueEntry(**target, **shot, start_ms=1, end_ms=2, text=None) for shot in shots])
        print("queued", flush=True)
        time.sleep(1000)
    """
    held.shown = False
    held.script = [0, "hang"]
    with started(["-c", code, held.root, USER, PASSWORD, tmp_path / "sessions"]) as process:
        until(lambda: len(held.submitted) == 2 or process.poll() is not None)
        process.kill()
    assert len(held.taken) == 2
    show = begin()

    def states() -> list[str]:
        return [one.state for one in show.submissions().entries]

    until(lambda: states() == ["accepted", "unknown", "accepted", "accepted"])
    assert [one[1] for one in held.keys()] == ["v0", "v1", "v2", "v3"] and len(held.submitted) == 4
    doubt = show.submissions().entries[1]
    assert "ended while it was being sent" in doubt.message
    show.ask(doubt.id, again=True)
    until(lambda: states() == ["accepted", "rejected", "accepted", "accepted"])
    assert len(held.taken) == 4, "DRES knows duplicates"


def test_after_a_kill_the_server_is_asked_first(begin: Begin, held: FakeDres) -> None:
    show = begin()
    assert show.queue is not None
    ((made, _),) = show.queue.put([entry(show)])
    show.queue.change(made.id, "in-flight")  # sent, and then the process was killed
    held.taken.append(json.loads(json.dumps(stored(made))))
    show.close()
    again = begin()
    until(lambda: state(again, made) == "wrong")
    assert held.submitted == []


def stored(made: QueueEntry) -> dict[str, Any]:
    """A submission as the server holds it."""
    answer = {"type": "TEMPORAL", "item": {"name": made.item}, "text": None, "start": made.start_ms, "end": made.end_ms}
    return {
        "submissionId": "s", "memberName": USER, "timestamp": 1,
        "answers": [{"id": "a", "status": "WRONG", "taskId": made.task_id, "answers": [answer]}],
    }  # fmt: skip


def test_the_token_is_in_no_address_but_that_of_logs(begin: Begin, held: FakeDres) -> None:
    """The fake refuses it elsewhere; here: nothing that is shown or kept has it."""
    show = begin()
    send(show, expect="accepted")
    show.log("query", {"timestamp": 1, "events": []})
    until(lambda: held.logs)
    show.log("query", {"timestamp": "x"})
    until(lambda: "1 logs of questions" in show.submissions().message)
    (token,) = held.sessions
    assert token not in show.submissions().model_dump_json() and dres.COOKIE == "SESSIONID"
