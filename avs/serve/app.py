"""The application: every route, in front of them the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from avs.core.errors import AvsError
from avs.serve.api import BASE, CALLS, Call, address
from avs.serve.guard import Guard, Token, refused
from avs.serve.refusal import Refusal
from avs.serve.routes.fusers import FUSER_ROUTES
from avs.serve.routes.marks import MARK_ROUTES
from avs.serve.routes.media import MEDIA_ROUTES
from avs.serve.routes.page import PAGE_ROUTES
from avs.serve.routes.search import SEARCH_ROUTES
from avs.serve.routes.sessions import SESSION_ROUTES
from avs.serve.routes.study import STUDY_ROUTES
from avs.serve.routes.submit import SUBMIT_ROUTES
from avs.serve.state import ServerState

Handler = Callable[[Request], Awaitable[Response]]
WORDS = {404: "no such address", 405: "no such method at this address"}
"""Of errors that the router itself finds."""


def make_app(state: ServerState, *, hosts: Collection[str], token: Token | None) -> Guard:
    """The application of a server.

    Args:
        hosts: names by which it may be addressed.
        token: that clients must know.
    """
    handlers = {
        **SEARCH_ROUTES, **MARK_ROUTES, **STUDY_ROUTES, **SESSION_ROUTES, **MEDIA_ROUTES, **FUSER_ROUTES,
        **SUBMIT_ROUTES,
    }  # fmt: skip
    routes = [
        Route(address(call), _written(handlers[call.method, call.path], call, state), methods=[call.method])
        for call in CALLS
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        state.events.start()
        yield
        await asyncio.to_thread(state.close)

    app = Starlette(
        routes=[*routes, *PAGE_ROUTES],
        exception_handlers={HTTPException: _http_error, AvsError: _avs_error, OSError: _avs_error},
        lifespan=lifespan,
    )
    app.state.server, app.state.token = state, token
    app.router.redirect_slashes = False
    return Guard(app, hosts=hosts, token=token, needs_token=(BASE, "/media/"), clients=state.options.limits.clients)


def _written(handler: Handler, call: Call, state: ServerState) -> Handler:
    """The handler of a call; of one that writes, refused when the server is read-only."""
    if not (call.writes and state.options.read_only):
        return handler

    async def refuse(request: Request) -> Response:
        raise Refusal(403, "this server is read-only", where=call.path, next_step="start it without --read-only")

    return refuse


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = WORDS.get(error.status_code, "the request cannot be answered")
    answer = refused(Refusal(error.status_code, what, where=request.url.path[:200]))
    answer.headers.update({name: value for name, value in (error.headers or {}).items()})
    return answer


async def _avs_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AvsError | OSError)
    return refused(error)
