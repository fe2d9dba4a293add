"""The calls of the API, and the document of them: `python -m avs.serve.api > docs/serve_api.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from avs.serve import shapes

BASE = "/api/v1"
SESSION_HEADER = "Avs-Session"
STATUS_WORDS: Mapping[int, str] = {
    400: "not HTTP or JSON that can be read, or a host that is not served",
    401: "no token, or another one",
    403: "from another site, not as JSON, or read-only",
    404: "no such shot, video, topic, list or address",
    405: "no such method at this address",
    409: "it does not fit what is opened: the next step says what to do",
    413: "larger than the limit",
    416: "a range of bytes that cannot be given",
    422: "JSON that is not of the shape, or values that cannot be used",
    429: "too many at once: try again",
    503: "not ready yet, took too long, or the disk is full",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API.

    Attributes:
        method, path: of HTTP; the path is below BASE unless it starts with "/media".
        what: what it does.
        gives: the shape of the answer; or a media type.
        takes: the shape of the body; or a media type; None: no body.
        parameters: of the query string -> what they are.
        lines: the answer is a line of JSON after another (application/x-ndjson).
        writes: refused when the server is read-only.
    """

    method: str
    path: str
    what: str
    gives: type[BaseModel] | str
    takes: type[BaseModel] | str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    lines: bool = False
    writes: bool = False


CALLS = (
    Call("GET", "/status", "What is opened, and what can be done with it.", shapes.Status),
    Call(
        "POST", "/search",
        f"Ask a question. A session, which the header {SESSION_HEADER} names, has one at a time. Each line is an "
        "answer of 100 results; the last has the stage final, cancelled or error.",
        shapes.Answer, shapes.Query, lines=True,
    ),
    Call(
        "GET", "/lists/{list}", "More results of a list.", shapes.ListPage,
        parameters={
            "from": "first result, from 0", "count": f"at most {shapes.LONGEST_PAGE}",
            "group": "number of a group: its shots, instead of the list's rows",
            "fold": "number of a fold: its shots, instead of the list's rows",
        },
    ),
    Call("GET", "/lists/{list}/ids", "All shots of a list, as ranked.", shapes.ListIds),
    Call("POST", "/explain", "Why a shot is where it is in a list.", shapes.Reasons, shapes.ExplainRequest),
    Call("GET", "/topics", "All topics.", shapes.Topics),
    Call("GET", "/topics/{topic}", "A topic.", shapes.TopicFacts),
    Call("GET", "/study", "The measure of every topic and ranked list of --lists.", shapes.Study,
         parameters={"measure": "such as infAP (default) or iP@10"}),
    Call("GET", "/compare", "Two lists side by side.", shapes.SideBySide,
         parameters={"a": "a list", "b": "another", "topic": "of ranked lists in files, and whose judgments count"}),
    Call("GET", "/shots/{shot}", "A shot, its neighbours in its video, and its times.", shapes.ShotFacts),
    Call("GET", "/videos/{video}", "A video and all its shots.", shapes.VideoFacts),
    Call("GET", "/marks", "The marks of a topic.", shapes.Marks, parameters={"topic": "its id"}),
    Call("POST", "/marks", "Mark shots.", shapes.MarksAnswer, shapes.MarkRequest, writes=True),
    Call("DELETE", "/marks", "Undo an event of marks.", shapes.MarksAnswer, shapes.UndoRequest, writes=True),
    Call("POST", "/feedback", "Name the marks of a topic, for questions.", shapes.FeedbackAnswer,
         shapes.FeedbackRequest, writes=True),
    Call("POST", "/uploads", "Give a picture to search with.", shapes.Upload, "image/*", writes=True),
    Call("GET", "/basket", "The basket of a topic.", shapes.Basket, parameters={"topic": "its id"}),
    Call("POST", "/basket", "Put shots into the basket, or take them out.", shapes.Basket, shapes.BasketRequest,
         writes=True),
    Call("POST", "/views", "Say which shots were on the screen.", shapes.Seen, shapes.ViewsRequest, writes=True),
    Call("POST", "/fusers", "Keep weights by hand as a fuser.", shapes.FuserSaved, shapes.FuserRequest, writes=True),
    Call("POST", "/export", "Write lists or marks as a file.", shapes.Exported, shapes.ExportRequest, writes=True),
    Call("GET", "/sessions", "The sessions whose journals are in this folder.", shapes.Sessions),
    Call("GET", "/sessions/{session}", "The questions of a session, in order.", shapes.SessionLog,
         parameters={"from": "first question, from 0", "count": f"at most {shapes.LONGEST_PAGE}"}),
    Call("GET", "/document", "This document: every call and every shape.", "application/json"),
    Call("GET", "/submit", "The evaluation server, its task, and what was submitted.", shapes.Submissions),
    Call("POST", "/submit", "Put shots, a position or a text into the queue for the evaluation server (202).",
         shapes.Submitted, shapes.SubmitRequest, writes=True),
    Call("POST", "/submit/evaluation", "Choose the evaluation that is submitted to.", shapes.Submissions,
         shapes.EvaluationRequest, writes=True),
    Call("POST", "/submit/ask", "Say what becomes of a submission that is in doubt.", shapes.SubmissionFacts,
         shapes.AskRequest, writes=True),
    Call("POST", "/timer", "Start or stop the page's own timer.", shapes.Submissions, shapes.TimerRequest, writes=True),
    Call("POST", "/token", "Exchange the token of the address for a cookie.", shapes.Done, shapes.TokenRequest),
    Call("GET", "/events", "Server-sent events; each has an Event as data.", shapes.Event),
    Call("GET", "/media/keyframe/{shot}.jpg", "A picture of a shot.", "image/jpeg",
         parameters={"w": "longest side in pixels: 160 or 480 (default)"}),
    Call("GET", "/media/sprite/{shot}.jpg", "Frames of a shot side by side, evenly spaced in time.", "image/jpeg",
         parameters={"frames": "8 (default) or 24"}),
    Call("GET", "/media/video/{video}", "The file of a video; single ranges.", "video/*"),
)  # fmt: skip


def address(call: Call) -> str:
    """The whole path of a call."""
    return call.path if call.path.startswith("/media") else BASE + call.path


def document() -> dict[str, Any]:
    """The API as JSON: its calls, the shapes of what they take and give, and the errors."""
    given = [shape for call in CALLS for shape in (call.takes, call.gives)]
    models: list[type[BaseModel]] = [shape for shape in given if isinstance(shape, type)]
    unique: list[type[BaseModel]] = list(dict.fromkeys([*models, shapes.ErrorAnswer]))
    wanted: list[tuple[type[BaseModel], Literal["serialization", "validation"]]]
    wanted = [(one, "serialization") for one in unique]
    schemas = models_json_schema(wanted, ref_template="#/shapes/{model}")[1]
    return {
        "base": BASE,
        "session_header": SESSION_HEADER,
        "calls": [
            {
                "method": call.method,
                "path": address(call),
                "what": call.what,
                "parameters": dict(call.parameters),
                "takes": _name(call.takes),
                "gives": _name(call.gives),
                "lines": call.lines,
                "writes": call.writes,
            }
            for call in CALLS
        ],
        "errors": {str(code): words for code, words in STATUS_WORDS.items()},
        "error_shape": "ErrorAnswer",
        "shapes": schemas["$defs"],
    }


def _name(shape: type[BaseModel] | str | None) -> str | None:
    return shape.__name__ if isinstance(shape, type) else shape


def main() -> None:
    """Print the document."""
    print(json.dumps(document(), indent=1))


if __name__ == "__main__":
    main()
