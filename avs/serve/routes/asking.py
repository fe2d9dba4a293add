"""What the routes share: the state behind a request, work in threads, and JSON answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from avs.serve.api import SESSION_HEADER
from avs.serve.limits import read_json
from avs.serve.refusal import Refusal
from avs.serve.search.engine import ServedAnswer
from avs.serve.state import OpenedServer, ServerState

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


def state_of(request: Request) -> ServerState:
    """The state of the server."""
    state: ServerState = request.app.state.server
    return state


def opened(request: Request) -> OpenedServer:
    """What is opened.

    Raises:
        Refusal: it is not, yet.
    """
    return state_of(request).opened


async def body_of(request: Request, shape: type[M]) -> M:
    """The JSON of a request, within the limits."""
    limits = state_of(request).options.limits
    return await read_json(request, shape, limits.body_bytes, limits.body_s)


async def in_thread(request: Request, work: Callable[[], T]) -> T:
    """Do work that takes time, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(state_of(request).workers, work)


def given(shape: BaseModel, status: int = 200) -> Response:
    """A shape as JSON."""
    return Response(shape.model_dump_json(by_alias=True), status, media_type="application/json")


def session_of(request: Request) -> str:
    """The session of a request.

    Raises:
        Refusal: its name cannot be one.
    """
    name = request.headers.get(SESSION_HEADER, "default")
    if SESSION.fullmatch(name) is None:
        raise Refusal(422, "not a name of a session", where=SESSION_HEADER, wanted="1 to 64 letters, digits, - and _")
    return name


def list_of(request: Request, list_id: str) -> ServedAnswer:
    """A list that was made.

    Raises:
        Refusal: it is not kept.
    """
    answer = opened(request).engine.answer(list_id)
    if answer is None:
        raise Refusal(404, "no such list is kept", got=repr(list_id[:80]), next_step="ask the question again")
    return answer
