"""An evaluation server on a socket, which answers as DRES 2.0.4 does.

Its shapes are those of doc/oas.json of dres-dev/DRES at v2.0.4. Where that says less than the server does, its source
was read: a submission goes to the task that runs, whatever it names; without one that runs the answer is 500, as it is
for an unknown video; who is logged out is told 401 without a body; participants may be shown neither state nor
submissions (403).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

USER, PASSWORD = "team7", "a-very-secret-word"
ANSWER = {"text": str, "mediaItemName": str, "mediaItemCollectionName": str, "start": int, "end": int}
EVENT = {"timestamp": int, "category": str, "type": str, "value": str}
CATEGORIES = {"TEXT", "IMAGE", "SKETCH", "FILTER", "BROWSING", "COOPERATION", "OTHER"}


@dataclass
class FakeTask:
    """A task of an evaluation."""

    id: str
    name: str = "avs-01"
    status: str = "RUNNING"
    left_s: int = 200
    kind: str = "Ad-hoc Video Search"


@dataclass
class FakeDres:
    """What the server holds, and what it is told to do.

    Attributes:
        tasks: evaluation -> its current task; None: there is none.
        shown: whether participants see the state of an evaluation.
        script: what becomes of the next submissions, one each: a status of HTTP; "hang" (it is taken, no answer comes),
            "lost" (it is not taken, no answer comes), "broken" (it is taken, the answer is 500).
        verdict: of submissions that are taken; pending: whether it comes later, by `judge`.
        submitted: bodies in the order in which they came, also those that were refused; taken: what the server has.
    """

    tasks: dict[str, FakeTask | None]
    names: dict[str, str] = field(default_factory=dict)
    shown: bool = True
    duplicates: bool = True
    items: set[str] | None = None
    script: list[int | str] = field(default_factory=list)
    verdict: str = "CORRECT"
    message: str | None = None
    sessions: set[str] = field(default_factory=set)
    logins: int = 0
    submitted: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    logs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    away: int | None = None
    redirect: str | None = None
    root: str = ""
    asked: list[str] = field(default_factory=list)

    def log_everybody_out(self) -> None:
        """All sessions end."""
        self.sessions.clear()

    def judge(self, verdict: str) -> None:
        """The verdict of everything comes."""
        for one in self.taken:
            one["answers"][0]["status"] = verdict

    def keys(self) -> list[tuple[Any, ...]]:
        """(task, item, start, end, text) of what the server has."""
        found = []
        for one in (one["answers"][0] for one in self.taken):
            for answer in one["answers"]:
                item = (answer["item"] or {}).get("name")
                found.append((one["taskId"], item, answer["start"], answer["end"], answer["text"]))
        return found


def _error(status: int, words: str) -> Response:
    return JSONResponse({"status": False, "description": words}, status)


def _verdict(status: int, verdict: str, words: str) -> Response:
    return JSONResponse({"status": True, "submission": verdict, "description": words}, status)


class FakeApi:
    """The routes."""

    def __init__(self, held: FakeDres) -> None:
        self.held = held
        api = "/api/v2"
        one = api + "/evaluation/{id}"
        self.app = Starlette(
            routes=[
                Route(f"{api}/login", self.login, methods=["POST"]),
                Route(f"{api}/client/evaluation/list", self.evaluations),
                Route(api + "/client/evaluation/currentTask/{id}", self.current_task),
                Route(f"{one}/state", self.state),
                Route(f"{one}/submission/list", self.submissions),
                Route(api + "/submit/{id}", self.submit, methods=["POST"]),
                Route(api + "/log/{kind}/{id}", self.log, methods=["POST"]),
            ]
        )

    async def login(self, request: Request) -> Response:
        self.held.asked.append("login")
        given = await request.json()
        assert set(given) == {"username", "password"}
        if self.held.away is not None:
            return Response("<html>bad gateway</html>", self.held.away)
        if self.held.redirect is not None:
            return RedirectResponse(self.held.redirect, 307)
        if given != {"username": USER, "password": PASSWORD}:
            return _error(401, "Invalid credentials. Please try again!")
        self.held.logins += 1
        token = secrets.token_urlsafe(24)
        self.held.sessions.add(token)
        answer = JSONResponse({"id": "u1", "username": USER, "role": "PARTICIPANT", "sessionId": token})
        answer.set_cookie("SESSIONID", token)
        return answer

    def refused(self, request: Request) -> Response | None:
        """The answer to who is not logged in; of a server that is away."""
        self.held.asked.append(request.url.path)
        if self.held.away is not None:
            return Response("<html>bad gateway</html>", self.held.away)
        token = request.query_params.get("session") or request.cookies.get("SESSIONID")
        if token not in self.held.sessions:
            return Response(None, 401)
        if "/log/" in request.url.path:
            assert request.query_params.get("session")
        else:
            assert "session" not in request.query_params, "the session is in an address"
        return None

    async def evaluations(self, request: Request) -> Response:
        names = self.held.names
        return self.refused(request) or JSONResponse(
            [
                {
                    "id": one, "name": names.get(one, one), "type": "SYNCHRONOUS", "status": "ACTIVE",
                    "templateId": "t", "templateDescription": None, "teams": ["seven"], "taskTemplates": [],
                }
                for one in self.held.tasks
            ]
        )  # fmt: skip

    async def current_task(self, request: Request) -> Response:
        refused = self.refused(request)
        task = self.held.tasks.get(request.path_params["id"])
        if refused is not None:
            return refused
        if task is None or task.status in ("NO_TASK", "CREATED"):
            return _error(404, "Specified evaluation has no active task.")
        return JSONResponse({"name": task.name, "taskGroup": "AVS", "taskType": task.kind, "duration": 300})

    async def state(self, request: Request) -> Response:
        refused = self.refused(request)
        if refused is not None:
            return refused
        name = request.path_params["id"]
        if name not in self.held.tasks:
            return _error(404, "Evaluation has ended.")
        if not self.held.shown:
            return _error(403, "Access Denied")
        task = self.held.tasks[name]
        running = task is not None and task.status == "RUNNING"
        return JSONResponse({
            "evaluationId": name, "evaluationStatus": "ACTIVE", "taskId": task.id if task else None,
            "taskStatus": task.status if task else "NO_TASK", "taskTemplateId": "template",
            "timeLeft": task.left_s if task and running else 0, "timeElapsed": 0,
        })  # fmt: skip

    async def submissions(self, request: Request) -> Response:
        refused = self.refused(request)
        if refused is not None:
            return refused
        if not self.held.shown:
            return _error(403, "Access denied.")
        task = self.held.tasks.get(request.path_params["id"])
        here = [one for one in self.held.taken if task is not None and one["answers"][0]["taskId"] == task.id]
        return JSONResponse(here)

    async def submit(self, request: Request) -> Response:
        refused = self.refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        self.held.submitted.append(body)
        planned = self.held.script.pop(0) if self.held.script else 0
        if isinstance(planned, int) and planned:
            return _error(planned, self.held.message or "as planned")
        if planned == "lost":
            return await self.silence(request)
        answer = self.taken(request.path_params["id"], body)
        if planned == "broken":
            return _error(500, "Internal server error: null")
        return await self.silence(request) if planned == "hang" else answer

    async def silence(self, request: Request) -> Response:
        """No answer, until the client has gone."""
        while not await request.is_disconnected():
            await asyncio.sleep(0.02)
        return Response(None, 500)

    def taken(self, evaluation: str, body: dict[str, Any]) -> Response:
        """Take a submission as the server does."""
        if not _is_submission(body):
            return _error(400, "Invalid submission, cannot parse: it is of another shape")
        if evaluation not in self.held.tasks:
            return _error(404, f"Evaluation with ID '{evaluation}' could not be found.")
        task = self.held.tasks[evaluation]
        if task is None or task.status != "RUNNING":
            return _error(500, f"Internal server error: Task run '{evaluation}' is currently not running.")
        (answers,) = (one["answers"] for one in body["answerSets"])
        stored = []
        for answer in answers:
            name = answer.get("mediaItemName")
            if name is not None and self.held.items is not None and name not in self.held.items:
                return _error(500, f"Internal server error: Could not find media item with name '{name}'.")
            item = None if name is None else {"mediaItemId": "m", "name": name, "type": "VIDEO", "collectionId": "c"}
            times = {"start": answer.get("start"), "end": answer.get("end")}
            stored.append({"type": "TEMPORAL", "item": item, "text": answer.get("text"), **times})
        made = {
            "submissionId": secrets.token_hex(4), "teamId": "7", "teamName": "seven", "memberId": "u1",
            "memberName": USER, "timestamp": time.time_ns() // 1_000_000,
            "answers": [{"id": "a", "status": self.held.verdict, "taskId": task.id, "answers": stored}],
        }  # fmt: skip
        before = [(one["answers"][0]["taskId"], one["answers"][0]["answers"]) for one in self.held.taken]
        if self.held.duplicates and (task.id, stored) in before:
            return _error(412, "Duplicate submission received.")
        self.held.taken.append(made)
        words = self.held.message or f"Submission {self.held.verdict.lower()}"
        return _verdict(202 if self.held.verdict == "INDETERMINATE" else 200, self.held.verdict, words)

    async def log(self, request: Request) -> Response:
        refused = self.refused(request)
        if refused is not None:
            return refused
        kind, body = request.path_params["kind"], await request.json()
        wanted = {"timestamp", "events"} | (
            {"sortType", "resultSetAvailability", "results"} if kind == "result" else set()
        )
        events = all(_has(one, EVENT) and one["category"] in CATEGORIES for one in body.get("events", [None]))
        results = all(
            set(one) == {"answer", "rank"} and _has(one["answer"], ANSWER, some=True) for one in body.get("results", [])
        )
        if set(body) != wanted or not events or not results:
            return _error(400, "Invalid parameters")
        self.held.logs.append((kind, body))
        return JSONResponse({"status": True, "description": "Log received"})


def _is_submission(body: Any) -> bool:
    try:
        sets = body["answerSets"]
        return (
            set(body) == {"answerSets"} and len(sets) == 1
            and all({"answers"} <= set(one) <= {"taskId", "taskName", "answers"} for one in sets)
            and all(_has(answer, ANSWER, some=True) for one in sets for answer in one["answers"])
        )  # fmt: skip
    except (TypeError, KeyError):
        return False


def _has(value: Any, wanted: dict[str, type], *, some: bool = False) -> bool:
    """Whether an object has these fields and no others; some of them."""
    if not isinstance(value, dict) or (set(value) - set(wanted) if some else set(value) != set(wanted)):
        return False
    return all(type(value[name]) is wanted[name] for name in value)


@contextmanager
def fake_dres(**more: Any) -> Iterator[FakeDres]:
    """A server that listens, until the block ends."""
    held = FakeDres(**({"tasks": {"e1": FakeTask("task-1")}} | more))
    api = FakeApi(held)
    server = uvicorn.Server(uvicorn.Config(api.app, port=0, log_level="error", lifespan="off"))
    socket = server.config.bind_socket()
    held.root = f"http://127.0.0.1:{socket.getsockname()[1]}"
    thread = threading.Thread(target=lambda: server.run(sockets=[socket]), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield held
    finally:
        server.should_exit = server.force_exit = True
        thread.join(60)
        socket.close()
    assert not thread.is_alive()


def main() -> None:
    """Serve as a process of its own, and print the address: what a person tries the page with."""
    with fake_dres(tasks={"e1": FakeTask("task-1", left_s=280)}, names={"e1": "VBS rehearsal"}) as held:
        print(json.dumps({"dres": held.root, "user": USER, "password": PASSWORD}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
