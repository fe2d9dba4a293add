"""A client of DRES 2.0, the evaluation server of VBS and LSC, over http.client: one request at a time, in one thread.

The calls are those of its published client API (doc/oas-client.json of dres-dev/DRES, version 2.0.4), and the list of
submissions of the current task (doc/oas.json). What the server sends is read with limits and never trusted.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

API, COOKIE = "/api/v2", "SESSIONID"
TIMEOUT_S, ANSWER_S = 5.0, 15.0  # for each step of a request; for its whole answer
MOST_BYTES, LONGEST_WORDS, MOST_REDIRECTS = 8 * 2**20, 500, 3
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,500}")


class DresTrouble(Exception):
    """The server gave no answer that can be used.

    Attributes:
        may_have_arrived: the request may have reached it.
    """

    def __init__(self, words: str, *, may_have_arrived: bool) -> None:
        super().__init__(words)
        self.may_have_arrived = may_have_arrived


class LoggedOut(Exception):
    """The server does not take the user and the password, or logs the user out at once."""


@dataclass(frozen=True, slots=True)
class DresAnswer:
    """An answer of the server.

    Attributes:
        body: its JSON; None: it has none.
    """

    status: int
    body: Any

    def words(self) -> str:
        """What the server says, as one line of text."""
        given = self.body.get("description") if isinstance(self.body, dict) else None
        said = clean(given) if isinstance(given, str) else ""
        return said or f"{self.status} {http.client.responses.get(self.status, '')}".strip()


@dataclass(frozen=True, slots=True)
class RunState:
    """What GET evaluation/<id>/state says. Times are in seconds."""

    evaluation_status: str
    task_id: str | None
    task_status: str
    left_s: float | None


@dataclass(frozen=True, slots=True)
class DresTaskInfo:
    """What GET client/evaluation/currentTask/<id> says. It has no id."""

    name: str
    kind: str
    duration_s: float | None


class DresClient:
    """Asks a server on behalf of one user. It logs in by itself, and once more when its session has ended.

    Args:
        url: of the server, without /api.
        timeout_s: for each step of a request.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout_s: float) -> None:
        self._place = urlsplit(url)
        self._base = self._place.path.rstrip("/")
        self.host, self.user, self.timeout_s = self._place.netloc, user, timeout_s
        self._password = password
        self._token: str | None = None

    def evaluations(self) -> list[dict[str, Any]]:
        """The interactive evaluations of the user that are not over, as the server describes them.

        Raises:
            DresTrouble, LoggedOut: there is no answer.
        """
        answer = self._asked("GET", "/client/evaluation/list")
        if answer.status != 200 or not isinstance(answer.body, list):
            raise self._odd(answer)
        found = [one for one in answer.body if isinstance(one, dict) and _text(one.get("id"))]
        return [one for one in found if one.get("status") != "TERMINATED" and one.get("type") != "NON_INTERACTIVE"]

    def state(self, evaluation: str) -> RunState | None:
        """The state of an evaluation; None: participants may not see it.

        Raises:
            LookupError: the evaluation is over.
            DresTrouble, LoggedOut: there is no answer.
        """
        answer = self._asked("GET", f"/evaluation/{quote(evaluation, safe='')}/state")
        if answer.status == 403:
            return None
        body = self._fields(answer, "the evaluation is over")
        left_s = _number(body.get("timeLeft"))
        running = body.get("taskStatus") == "RUNNING"
        return RunState(
            _text(body.get("evaluationStatus")), _text(body.get("taskId")) or None, _text(body.get("taskStatus")),
            left_s if running and left_s is not None and left_s >= 0 else None,
        )  # fmt: skip

    def current_task(self, evaluation: str) -> DresTaskInfo | None:
        """The task of an evaluation that is being prepared, runs, or has just ended; None: there is none.

        Raises:
            DresTrouble, LoggedOut: there is no answer.
        """
        answer = self._asked("GET", f"/client/evaluation/currentTask/{quote(evaluation, safe='')}")
        if answer.status == 404:
            return None
        body = self._fields(answer, "")
        duration_s = _number(body.get("duration"))
        return DresTaskInfo(
            clean(_text(body.get("name"))), clean(_text(body.get("taskType"))), duration_s if duration_s else None
        )

    def submit(self, evaluation: str, body: Mapping[str, Any]) -> DresAnswer:
        """Send a submission; any answer of HTTP.

        Raises:
            DresTrouble, LoggedOut: there is no answer.
        """
        return self._asked("POST", f"/submit/{quote(evaluation, safe='')}", body)

    def submissions(self, evaluation: str) -> list[dict[str, Any]] | None:
        """The submissions of all teams to the current task; None: participants may not see them.

        Raises:
            DresTrouble, LoggedOut: there is no answer.
        """
        answer = self._asked("GET", f"/evaluation/{quote(evaluation, safe='')}/submission/list")
        if answer.status in (403, 404):
            return None
        if answer.status != 200 or not isinstance(answer.body, list):
            raise self._odd(answer)
        return [one for one in answer.body if isinstance(one, dict)]

    def log(self, kind: str, evaluation: str, body: Mapping[str, Any]) -> DresAnswer:
        """Send a log of interactions: kind is "query" or "result".

        Raises:
            DresTrouble, LoggedOut: there is no answer.
        """
        return self._asked("POST", f"/log/{kind}/{quote(evaluation, safe='')}", body, session_in_address=True)

    def log_in(self) -> None:
        """Begin a session.

        Raises:
            LoggedOut: the user or the password is not right.
            DresTrouble: there is no answer.
        """
        self._token = None
        answer = self._exchange("POST", "/login", {"username": self.user, "password": self._password})
        if answer.status in (400, 401, 403):
            raise LoggedOut(f"{self.user} cannot log in: {answer.words()}")
        token = answer.body.get("sessionId") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(token, str) or TOKEN.fullmatch(token) is None:
            raise self._odd(answer)
        self._token = token

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, session_in_address: bool = False
    ) -> DresAnswer:
        """The answer to a request within a session. After a 401 it logs in again, once."""
        fresh = self._token is None
        if fresh:
            self._log_in_before()
        answer = self._in_session(method, path, body, session_in_address)
        if answer.status == 401 and not fresh:
            self._log_in_before()
            answer = self._in_session(method, path, body, session_in_address)
        if answer.status == 401:
            self._token = None
        return answer

    def _log_in_before(self) -> None:
        """Log in for a request, which has not left yet."""
        try:
            self.log_in()
        except DresTrouble as error:
            raise DresTrouble(str(error), may_have_arrived=False) from None

    def _in_session(
        self, method: str, path: str, body: Mapping[str, Any] | None, session_in_address: bool
    ) -> DresAnswer:
        # the API asks for the session in the address of logs alone: addresses are written into the logs of servers
        query = f"?session={quote(self._token or '', safe='')}" if session_in_address else ""
        return self._exchange(method, path + query, body)

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> DresAnswer:
        """One request and its answer; redirects are followed within the same server alone.

        Raises:
            DresTrouble: there is no answer.
        """
        target = f"{self._base}{API}{path}"
        for _ in range(MOST_REDIRECTS):
            status, headers, content = self._send(method, target, body)
            if status not in (301, 302, 303, 307, 308):
                return DresAnswer(status, _json(content))
            target = self._redirected(method, status, target, headers.get("location", ""))
        raise DresTrouble("the server redirects in circles", may_have_arrived=False)

    def _redirected(self, method: str, status: int, target: str, location: str) -> str:
        """The address that a redirect names.

        Raises:
            DresTrouble: it is not on the same server, or would change the request.
        """
        mine = f"{self._place.scheme}://{self._place.netloc}"
        try:
            there = urlsplit(urljoin(mine + target, location))
        except ValueError:
            there = urlsplit("")
        same = (there.scheme, there.netloc) == (self._place.scheme, self._place.netloc)
        if not same or (method != "GET" and status not in (307, 308)):
            raise DresTrouble(
                f"the server redirects to {clean(f'{there.scheme}://{there.netloc}')}, which is not followed: "
                "is --dres its address?", may_have_arrived=False,
            )  # fmt: skip
        return there.path + (f"?{there.query}" if there.query else "")

    def _send(self, method: str, target: str, body: Mapping[str, Any] | None) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (in small letters) and content of an answer.

        Each request has a connection of its own: of a kept one that the server has closed, nobody knows whether a
        request arrived.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Accept": "application/json", "User-Agent": "avs", "Connection": "close"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Cookie"] = f"{COOKIE}={self._token}"
        connection = self._connected()
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, _read(answer)
        except TimeoutError:
            raise DresTrouble(f"no answer within {self.timeout_s:g} s", may_have_arrived=True) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DresTrouble(_why(error), may_have_arrived=True) from None
        finally:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        connection: http.client.HTTPConnection
        if self._place.scheme == "https":
            secure = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=secure)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        try:
            connection.connect()
        except (OSError, ValueError) as error:
            connection.close()
            raise DresTrouble(_why(error), may_have_arrived=False) from None
        return connection

    def _fields(self, answer: DresAnswer, gone: str) -> dict[str, Any]:
        if answer.status == 404 and gone:
            raise LookupError(gone)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise self._odd(answer)
        return answer.body

    def _odd(self, answer: DresAnswer) -> Exception:
        """The error of an answer that is not of the API."""
        if answer.status == 401:
            return LoggedOut(f"{self.user} is logged out at once: {answer.words()}")
        kind = "" if answer.body is not None else ", and no JSON: is this the address of DRES 2?"
        return DresTrouble(f"the server answers {answer.words()}{kind}", may_have_arrived=True)


def clean(words: str) -> str:
    """Words of the server as one line without control characters, which could disturb a terminal."""
    text = " ".join(UNSAFE.sub(" ", words).split())
    return text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 3]}..."


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The content of an answer.

    Raises:
        ValueError: it is too long, or takes too long.
    """
    parts, size, end_s = [], 0, time.monotonic() + ANSWER_S
    while part := answer.read1(65_536):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError(f"its answer is longer than {MOST_BYTES:,} bytes")
        if time.monotonic() > end_s:
            raise ValueError(f"its answer takes longer than {ANSWER_S:g} s")
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return clean(f"its certificate is not trusted: {error.verify_message}")
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return clean(words or type(error).__name__)


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= LONGEST_WORDS else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else None
