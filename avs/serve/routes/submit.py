"""Routes of the showdown: what is submitted to the evaluation server, its evaluation, and the timer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from avs.core.errors import AvsError
from avs.serve.dres.showdown import Showdown
from avs.serve.dres.submissions import QueueEntry, position_ms, segment_ms
from avs.serve.routes.asking import body_of, given, in_thread, opened, state_of
from avs.serve.shapes import AskRequest, EvaluationRequest, SubmitRequest, Submitted, TimerRequest
from avs.serve.state import OpenedServer


async def submissions(request: Request) -> Response:
    """GET /submit"""
    return given(_showdown(request).submissions())


async def submit(request: Request) -> Response:
    """POST /submit: the answer comes when the queue is on disk; what becomes of it comes by events."""
    asked, showdown = await body_of(request, SubmitRequest), _showdown(request)
    showdown.target()  # without a server the collection need not be opened to say so
    server = opened(request)

    def work() -> Submitted:
        found, warnings = showdown.submit(_entries(server, showdown, asked), asked.list)
        shapes = [one.shape(dry_run=not showdown.live) for one in found]
        return Submitted(live=showdown.live, entries=shapes, warnings=warnings)

    return given(await in_thread(request, work), 202)


async def choose(request: Request) -> Response:
    """POST /submit/evaluation"""
    asked, showdown = await body_of(request, EvaluationRequest), _showdown(request)
    showdown.choose(asked.id)
    return given(showdown.submissions(), 202)


async def ask(request: Request) -> Response:
    """POST /submit/ask"""
    asked, showdown = await body_of(request, AskRequest), _showdown(request)
    entry = await in_thread(request, lambda: showdown.ask(asked.id, again=asked.do == "send again"))
    return given(entry.shape(dry_run=not showdown.live))


async def timer(request: Request) -> Response:
    """POST /timer"""
    asked, showdown = await body_of(request, TimerRequest), _showdown(request)
    showdown.set_timer(run=asked.do == "start", seconds=asked.seconds)
    return given(showdown.submissions())


def _showdown(request: Request) -> Showdown:
    return state_of(request).showdown


def _entries(server: OpenedServer, showdown: Showdown, asked: SubmitRequest) -> list[QueueEntry]:
    """What is asked as submissions to the task that runs.

    Raises:
        UnknownIdError: a shot is not in the collection.
        Refusal: there is no task.
    """
    host, evaluation, task, task_id = showdown.target()
    common: dict[str, Any] = {
        "server": host, "evaluation": evaluation, "task": task, "task_id": task_id, "topic": asked.topic,
    }  # fmt: skip
    if asked.text is not None:
        nothing: dict[str, Any] = dict.fromkeys(("shot", "video", "item", "collection", "start_ms", "end_ms"))
        return [QueueEntry(**common, **nothing, text=asked.text.strip())]
    options, made = showdown.options, []
    for shot in dict.fromkeys(asked.shots or [str(asked.shot)]):
        video, start_ms, end_ms = _times(server, shot, asked.at_s)
        made.append(
            QueueEntry(
                **common, shot=shot, video=video, item=options.dres_name.replace("{video}", video),
                collection=options.dres_collection, start_ms=start_ms, end_ms=end_ms, text=None,
            )
        )  # fmt: skip
    return made


def _times(server: OpenedServer, shot: str, at_s: float | None) -> tuple[str, int | None, int | None]:
    """The video of a shot, and what is submitted of it: all of the shot, or a position of the player in its file."""
    columns = server.collection.columns
    row = columns.row(shot)
    video, (start_s, end_s) = columns.video_of(row), columns.times_s(row)
    zero_s, duration_s = 0.0, columns.times_s(columns.rows_of(video)[-1])[1]
    if video in server.media.videos:
        with suppress(AvsError):  # a file that cannot be read: the shot table says where its last shot ends
            clock = server.media.clock(video)
            zero_s, duration_s = clock.zero_s, clock.duration_s
    if at_s is not None:
        return video, *position_ms(max(0.0, at_s - zero_s), duration_s)
    if start_s is None or end_s is None:
        return video, None, None
    return video, *segment_ms(start_s, end_s, duration_s)


SUBMIT_ROUTES = {
    ("GET", "/submit"): submissions,
    ("POST", "/submit"): submit,
    ("POST", "/submit/evaluation"): choose,
    ("POST", "/submit/ask"): ask,
    ("POST", "/timer"): timer,
}
