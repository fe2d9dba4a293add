"""The page: one document for all its addresses, and the files beside it. No name of a client becomes a path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from avs.serve.refusal import Refusal

STATIC = Path(__file__).parents[1] / "static"
TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png",
    ".ico": "image/x-icon", ".json": "application/json",
}  # fmt: skip
PAGES = ("/", "/study", "/compare", "/video/{video}", "/basket", "/sessions", "/api")


@cache
def _files() -> Mapping[str, Path]:
    """Name -> file, of what is served beside the page."""
    found = STATIC.iterdir() if STATIC.is_dir() else ()
    return {path.name: path for path in found if path.is_file() and path.suffix in TYPES}


def _file(request: Request, name: str) -> Response:
    files = _files()
    if name not in files:
        raise Refusal(404, "no such file of the page", got=repr(name[:80]))
    content = files[name].read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type=TYPES[files[name].suffix])


async def page(request: Request) -> Response:
    """The document of the page."""
    return _file(request, "index.html")


async def static_file(request: Request) -> Response:
    """A file beside the page."""
    return _file(request, request.path_params["name"])


PAGE_ROUTES = [Route(path, page, methods=["GET"]) for path in PAGES]
PAGE_ROUTES.append(Route("/static/{name}", static_file, methods=["GET"]))
