"""The guard in front of every route: who may ask, from which page, and the headers of every answer.

A page of another site can make a browser send requests here, and a name of another site can be made to mean this
machine (DNS rebinding). So the host that a request names must be one of ours, and what changes something must come from
our own page. No header of CORS is ever sent. An address that other machines reach needs a token; the page exchanges it
for a cookie that scripts cannot read and other sites cannot send.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avs.core.artifacts import atomic_write
from avs.core.errors import AvsError
from avs.serve.refusal import Refusal, error_answer, status_of

COOKIE, TOKEN_BYTES, LONGEST_TARGET = "avs_session", 32, 8192
SAFE = ("GET", "HEAD")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OPEN_PATHS = ("/api/v1/token",)  # what a client without a token may ask for, beside the page itself
log = logging.getLogger(__name__)


class Token:
    """The secret that clients of other machines must know. It is kept in the cache, so that a restart keeps it.

    Args:
        path: file of the token, which only its owner can read.
    """

    def __init__(self, path: Path) -> None:
        self.value = _kept_token(path)
        # the cookie is not the token: who reads one from a browser's files does not have the other
        self.cookie = hmac.new(self.value.encode(), b"avs serve cookie", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any other of its length."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.value.encode())

    def is_known(self, headers: Headers) -> bool:
        """Whether a request has the cookie, or the token as a bearer."""
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(bearer.strip()):
            return True
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(
            name == COOKIE and hmac.compare_digest(value.encode("utf-8", "replace"), self.cookie.encode())
            for name, _, value in pairs
        )

    def set_cookie(self, response: Response) -> None:
        """Give the client the cookie."""
        response.set_cookie(COOKIE, self.cookie, httponly=True, samesite="strict", path="/")


def _kept_token(path: Path) -> str:
    try:
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) >= TOKEN_BYTES:
            return kept
    except (OSError, ValueError):
        pass  # there is none yet
    made = secrets.token_urlsafe(TOKEN_BYTES)
    before = os.umask(0o077)
    try:
        with atomic_write(path) as file:
            file.write(made + "\n")
    finally:
        os.umask(before)
    return made


class Guard:
    """Middleware in front of the routes.

    Args:
        hosts: names by which the server may be addressed, without ports.
        token: that clients must know; None: anyone who reaches the address may ask.
        needs_token: paths begin with these, of what is not for anyone.
        clients: requests that are answered at once; more are refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        token: Token | None,
        needs_token: tuple[str, ...],
        clients: int,
    ) -> None:
        self.app, self.token, self.needs_token, self.clients = app, token, needs_token, clients
        self._answering = 0
        self.hosts = {host.lower().strip("[]") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                add_headers(MutableHeaders(raw=message["headers"]))
            await send(message)

        self._answering += 1
        try:
            self._require(scope)
            await self.app(scope, receive, guarded)
        except (AvsError, OSError) as error:
            if started:
                raise
            await refused(error)(scope, receive, guarded)
        except Exception:  # a fault of ours: the client gets no more than that
            log.exception("a fault in the server")
            if started:
                raise
            await refused(Refusal(500, "a fault in the server", next_step="see its terminal"))(scope, receive, guarded)
        finally:
            self._answering -= 1

    def _require(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._answering > self.clients:
            raise Refusal(
                503, "too many requests at once", wanted=f"at most {self.clients}", next_step="close other pages of it"
            )  # fmt: skip
        target = scope.get("raw_path", b"") + scope.get("query_string", b"")
        if len(target) > LONGEST_TARGET:
            raise Refusal(
                400, "the address is too long", got=f"{len(target)} bytes", wanted=f"at most {LONGEST_TARGET}"
            )
        self._require_host(headers)
        self._require_origin(scope, headers)
        path = scope["path"]
        guarded = path.startswith(self.needs_token) and path not in OPEN_PATHS
        if self.token is not None and guarded and not self.token.is_known(headers):
            raise Refusal(
                401, "this server is for those who know its token",
                next_step="open the address that avs serve printed, with #t= and the token",
            )  # fmt: skip

    def _require_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        host = host_name(given[0]) if len(given) == 1 else None
        if host is None or host not in self.hosts:
            raise Refusal(
                400, "this server is not served under that name", where="Host",
                got=repr(", ".join(given)[:200]) if given else "none", wanted=", ".join(sorted(self.hosts)),
                next_step="use the address that avs serve printed, or add a name: --allow-host",
            )  # fmt: skip

    def _require_origin(self, scope: Scope, headers: Headers) -> None:
        """Check that the request is not made by a page of another site."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if scope["method"] in SAFE:
            apart = site == "cross-site" and scope["path"].startswith(self.needs_token)
        else:
            apart = site not in (None, "same-origin", "none") or (
                origin is not None and not self._ours(origin, headers)
            )
        if apart:
            raise Refusal(
                403, "the request comes from a page of another site", got=repr((origin or site or "")[:200])
            )  # fmt: skip

    def _ours(self, origin: str, headers: Headers) -> bool:
        """Whether an origin is that of our own page: the host and the port that the request is sent to."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == headers.get("host", "").lower()


def host_name(host: str) -> str | None:
    """The name in a Host header, without its port, in lower case; None if it is no such header."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
        if "@" in host or "/" in host or "?" in host or "#" in host or "\\" in host:
            return None
        return parts.hostname
    except ValueError:
        return None


def add_headers(headers: MutableHeaders) -> None:
    """Add what every answer has; JSON is not to be kept by the browser."""
    for name, value in HEADERS.items():
        headers[name] = value
    if "json" in headers.get("content-type", "") or "cache-control" not in headers:
        headers["Cache-Control"] = "no-store"


def refused(error: AvsError | OSError) -> Response:
    """The answer that tells an error."""
    body = json.dumps(error_answer(error).model_dump(), ensure_ascii=False)
    headers = dict(error.headers) if isinstance(error, Refusal) else {}
    if status_of(error) == 413:
        headers["Connection"] = "close"  # the rest of the body is not read
    return Response(body, status_of(error), headers, media_type="application/json")
