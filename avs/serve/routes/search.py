"""Routes of searching: the status, questions, lists, explanations, pictures that are given, events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from avs.core.errors import AvsError
from avs.ranking.score import SearchCancelled
from avs.serve.answers import Answers
from avs.serve.dres.log import query_log, result_log
from avs.serve.explain import explain
from avs.serve.journal.recorded import event_of
from avs.serve.journal.session_journal import now_ms
from avs.serve.limits import read_body, require_type, whole_number
from avs.serve.refusal import Refusal, error_shape
from avs.serve.routes.asking import body_of, given, in_thread, list_of, opened, session_of, state_of
from avs.serve.search.desk import Turn
from avs.serve.search.engine import ServedAnswer
from avs.serve.search.plan import SearchPlan, plan_search
from avs.serve.shapes import (
    LONGEST_PAGE,
    MOST_RESULTS,
    PAGE,
    Answer,
    ExplainRequest,
    ListIds,
    Query,
    Upload,
)
from avs.serve.state import OpenedServer, ServerState
from avs.serve.uploads import FORMAT_NAMES

PICTURES = ("application/octet-stream", "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")


async def status(request: Request) -> Response:
    """GET /status"""
    return given(state_of(request).status())


async def search(request: Request) -> Response:
    """POST /search: the first line decides the status of HTTP, so an error before it is one."""
    server, session = opened(request), session_of(request)
    query = await body_of(request, Query)
    plan = await in_thread(request, lambda: plan_search(query, server.collection, server.book))
    state_of(request).showdown.log("query", query_log(query, now_ms()))
    turn = server.desk.turn(session)
    found = server.desk.answers(plan, turn)
    try:
        first = await anext(found)
    except SearchCancelled:
        return _lines(_one(Answer(seq=turn.seq, stage="cancelled")))
    return _lines(_answers(request, server, plan, turn, first, found))


async def _one(answer: Answer) -> AsyncIterator[bytes]:
    yield _line(answer)


async def _answers(
    request: Request,
    server: OpenedServer,
    plan: SearchPlan,
    turn: Turn,
    first: ServedAnswer,
    rest: AsyncIterator[ServedAnswer],
) -> AsyncIterator[bytes]:
    """The lines of a search, each when it is there; then the journal."""
    last = first
    try:
        yield await _told(request, server.answers, first, turn.seq)
        async for last in rest:
            yield await _told(request, server.answers, last, turn.seq)
    except SearchCancelled:
        yield _line(Answer(seq=turn.seq, stage="cancelled"))
        return
    except (AvsError, OSError) as error:
        yield _line(Answer(seq=turn.seq, stage="error", error=error_shape(error)))
        return
    finally:
        turn.dropped.set()
    state_of(request).asked.submit(_keep, state_of(request), server, last)


async def _told(request: Request, answers: Answers, answer: ServedAnswer, seq: int) -> bytes:
    return await in_thread(request, lambda: _line(answers.line(answer, seq)))


def _keep(state: ServerState, server: OpenedServer, answer: ServedAnswer) -> None:
    """Keep a question and its list in the journal, and in the log of the evaluation server while a task runs."""
    _journal(server, answer)
    if state.showdown.wants_logs():
        name = state.options.dres_name
        state.showdown.log("result", result_log(answer, server.collection.columns, name, now_ms()))


def _journal(server: OpenedServer, answer: ServedAnswer) -> None:
    """Keep the question and its list. That the disk is full is told where something would be lost: at marks."""
    try:
        server.book.journal.append("query", event_of(server.collection, answer, now_ms()))
    except (AvsError, OSError):
        return


def _line(answer: Answer) -> bytes:
    return answer.model_dump_json(by_alias=True).encode() + b"\n"


def _lines(lines: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})


async def list_page(request: Request) -> Response:
    """GET /lists/<id>"""
    answer = list_of(request, request.path_params["list"])
    start = whole_number(request, "from", 0, least=0, most=MOST_RESULTS)
    count = whole_number(request, "count", PAGE, least=1, most=LONGEST_PAGE)
    group, fold = (whole_number(request, name, -1, least=0, most=MOST_RESULTS) for name in ("group", "fold"))
    if min(group, fold) >= 0:
        raise Refusal(
            422, "a list is opened by group or by fold", where="group, fold", next_step="leave one of them out"
        )
    answers, layout = opened(request).answers, answer.layout
    places = layout.rows
    if group >= 0:
        places = layout.members(group)
    elif fold >= 0:
        places = layout.behind(fold)
    return given(await in_thread(request, lambda: answers.page(answer, start, count, places)))


async def list_ids(request: Request) -> Response:
    """GET /lists/<id>/ids"""
    answer = list_of(request, request.path_params["list"])
    return given(ListIds(list=answer.id, shots=list(answer.shown.shots), scores=answer.shown.scores.tolist()))


async def explanation(request: Request) -> Response:
    """POST /explain"""
    asked = await body_of(request, ExplainRequest)
    answer, collection = list_of(request, asked.list), opened(request).collection
    return given(await in_thread(request, lambda: explain(collection, answer, asked.shot)))


async def upload(request: Request) -> Response:
    """POST /uploads"""
    server, limits = opened(request), state_of(request).options.limits
    require_type(request, *PICTURES, words=f"a picture: {FORMAT_NAMES}")
    coded = await read_body(request, limits.upload_bytes, limits.body_s)
    name, (width, height) = await in_thread(request, lambda: server.uploads.add(coded))
    seeing = [name for name, view in server.collection.stores.items() if view.images]
    return given(Upload(image=name, width=width, height=height, systems=seeing))


async def events(request: Request) -> Response:
    """GET /events"""
    state = state_of(request)
    state.events.require_room()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(state.events.lines(), media_type="text/event-stream", headers=headers)


SEARCH_ROUTES = {
    ("GET", "/status"): status,
    ("POST", "/search"): search,
    ("GET", "/lists/{list}"): list_page,
    ("GET", "/lists/{list}/ids"): list_ids,
    ("POST", "/explain"): explanation,
    ("POST", "/uploads"): upload,
    ("GET", "/events"): events,
}
