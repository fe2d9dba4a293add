"""Routes of what there was and what there is: sessions with their questions, and the document of the API."""

from __future__ import annotations

import json
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from avs.serve.api import document
from avs.serve.limits import whole_number
from avs.serve.routes.asking import given, in_thread, opened
from avs.serve.shapes import LONGEST_PAGE, PAGE

MOST_QUESTIONS = 10**8


async def sessions(request: Request) -> Response:
    """GET /sessions"""
    return given(await in_thread(request, opened(request).sessions.all))


async def session(request: Request) -> Response:
    """GET /sessions/<id>"""
    server, name = opened(request), request.path_params["session"]
    start = whole_number(request, "from", 0, least=0, most=MOST_QUESTIONS)
    count = whole_number(request, "count", PAGE, least=1, most=LONGEST_PAGE)
    fingerprint = server.collection.fingerprint
    return given(await in_thread(request, lambda: server.sessions.log(name, start, count, fingerprint)))


async def api_document(request: Request) -> Response:
    """GET /document"""
    return Response(_document(), media_type="application/json")


@cache
def _document() -> bytes:
    return json.dumps(document(), indent=1).encode()


SESSION_ROUTES = {
    ("GET", "/sessions"): sessions,
    ("GET", "/sessions/{session}"): session,
    ("GET", "/document"): api_document,
}
