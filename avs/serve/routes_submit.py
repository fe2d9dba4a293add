"""Routes of the showdown: what is submitted to the evaluation server."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from avs.serve.asking import given
from avs.serve.refusal import Refusal
from avs.serve.shapes import Submissions


async def submissions(request: Request) -> Response:
    """GET /submit"""
    return given(
        Submissions(
            live=False, server=None, evaluation=None, state="off", task=None, timer_left_s=None, timer_of=None,
            evaluations=[], entries=[],
        )
    )  # fmt: skip


async def refuse(request: Request) -> Response:
    """The other calls, without an evaluation server."""
    raise Refusal(409, "there is no evaluation server", next_step="name one when the server starts: --dres URL")


SUBMIT_ROUTES = {
    ("GET", "/submit"): submissions,
    ("POST", "/submit"): refuse,
    ("POST", "/submit/evaluation"): refuse,
    ("POST", "/submit/ask"): refuse,
    ("POST", "/timer"): refuse,
}
