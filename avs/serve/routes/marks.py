"""Routes of what users say of shots: marks, feedback, baskets, what was seen, and the token of the address."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from avs.serve.guard import Token
from avs.serve.journal.marks import MarkBook, MarkEvent, MarkSet, agreement
from avs.serve.refusal import Refusal
from avs.serve.routes.asking import body_of, given, in_thread, list_of, opened, state_of
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import (
    Agreement,
    Basket,
    BasketRequest,
    Done,
    Event,
    FeedbackAnswer,
    FeedbackRequest,
    MarkRequest,
    Marks,
    MarksAnswer,
    Seen,
    TokenRequest,
    UndoRequest,
    ViewsRequest,
)
from avs.serve.state import OpenedServer

TOPIC = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def marks(request: Request) -> Response:
    """GET /marks"""
    server, topic = opened(request), _topic(request)
    book = server.book
    held = book.marks(topic)
    return given(
        Marks(
            topic=topic, marks=held, counts=book.counts(topic), agreement=_agreement(server, topic),
            last=book.last(topic),
        )
    )  # fmt: skip


async def mark(request: Request) -> Response:
    """POST /marks"""
    server, asked = opened(request), await body_of(request, MarkRequest)
    server.collection.columns.rows(asked.shots)
    shown = None if asked.list is None else list_of(request, asked.list)

    def work() -> MarkEvent:
        return server.book.mark(asked.topic, asked.shots, asked.mark, event=asked.event, at_ms=asked.at_ms)

    return _changed(request, server, await in_thread(request, work), shown)


async def undo(request: Request) -> Response:
    """DELETE /marks"""
    server, asked = opened(request), await body_of(request, UndoRequest)
    shown = None if asked.list is None else list_of(request, asked.list)
    event = await in_thread(request, lambda: server.book.undo(asked.event))
    return _changed(request, server, event, shown)


async def feedback(request: Request) -> Response:
    """POST /feedback"""
    server, asked = opened(request), await body_of(request, FeedbackRequest)
    if asked.simulate:
        if asked.list is None:
            raise Refusal(422, "a simulated user looks at a list", where="list", next_step="give the id of a list")
        yes, no = _perfect_user(server, asked.topic, list_of(request, asked.list), asked.shown)
    else:
        yes, no = _own(server.book, asked.topic)

    def work() -> MarkSet:
        return server.book.name_set(asked.topic, asked.method, yes, no, simulated=asked.simulate)

    made = await in_thread(request, work)
    return given(
        FeedbackAnswer(
            feedback=made.id, method=made.method, topic=made.topic, yes=list(made.yes), no=list(made.no),
            simulated=made.simulated,
        )
    )  # fmt: skip


async def basket(request: Request) -> Response:
    """GET /basket"""
    topic = _topic(request)
    return given(Basket(topic=topic, shots=opened(request).book.shots("basket", topic)))


async def put_into_basket(request: Request) -> Response:
    """POST /basket"""
    server, asked = opened(request), await body_of(request, BasketRequest)
    server.collection.columns.rows(asked.add)
    shots = await in_thread(request, lambda: server.book.put("basket", asked.topic, asked.add, asked.remove))
    state_of(request).events.say(Event(kind="basket", topic=asked.topic))
    return given(Basket(topic=asked.topic, shots=shots))


async def views(request: Request) -> Response:
    """POST /views"""
    server, asked = opened(request), await body_of(request, ViewsRequest)
    server.collection.columns.rows(asked.shots)
    seen = await in_thread(request, lambda: server.book.put("seen", asked.topic, asked.shots))
    return given(Seen(topic=asked.topic, seen=len(seen)))


async def exchange_token(request: Request) -> Response:
    """POST /token"""
    asked = await body_of(request, TokenRequest)
    token: Token | None = request.app.state.token
    answer = given(Done())
    if token is not None:
        if not token.is_token(asked.token):
            raise Refusal(401, "not the token of this server", next_step="open the address that avs serve printed")
        token.set_cookie(answer)
    return answer


def _topic(request: Request) -> str:
    """The topic of the query string, which need not be one of the topic file.

    Raises:
        Refusal: there is none, or it cannot be an id.
    """
    topic = request.query_params.get("topic", "")
    if TOPIC.fullmatch(topic) is None:
        raise Refusal(422, "not an id of a topic", where="topic", got=repr(topic[:80]))
    return topic


def _changed(request: Request, server: OpenedServer, event: MarkEvent, shown: ServedAnswer | None) -> Response:
    """The marks of a topic after an event, for the page that made it; other pages hear of it."""
    held = server.book.marks(event.topic)
    state_of(request).events.say(Event(kind="marks", topic=event.topic, event=event.id))
    return given(
        MarksAnswer(
            event=event.id,
            topic=event.topic,
            counts=server.book.counts(event.topic),
            changed={shot: held.get(shot) for shot in event.shots},
            agreement=_agreement(server, event.topic),
            measures=None if shown is None else server.answers.measures(shown),
        )
    )


def _agreement(server: OpenedServer, topic: str) -> Agreement | None:
    qrels = server.collection.qrels
    return agreement(server.book.marks(topic), qrels.topics.get(topic) if qrels else None)


def _own(book: MarkBook, topic: str) -> tuple[list[str], list[str]]:
    """What the user has marked. Judgments are never used: that would leak them into the list."""
    held = book.marks(topic)
    return [shot for shot in held if held[shot] == "yes"], [shot for shot in held if held[shot] == "no"]


def _perfect_user(server: OpenedServer, topic: str, answer: ServedAnswer, count: int) -> tuple[list[str], list[str]]:
    """What a user would mark who knows the judgments of the first shots.

    Raises:
        Refusal: the topic is not judged.
    """
    qrels = server.collection.qrels
    if qrels is None or topic not in qrels.topics:
        raise Refusal(422, "the topic is not judged", got=topic, next_step="give judgments: --qrels")
    judged = qrels.topics[topic]
    grades = dict(zip(judged.shots, judged.judgments.tolist(), strict=True))
    shown = [answer.shown.shots[place] for place in answer.layout.rows[:count].tolist()]
    return [one for one in shown if grades.get(one, -1) > 0], [one for one in shown if grades.get(one, -1) == 0]


MARK_ROUTES = {
    ("GET", "/marks"): marks,
    ("POST", "/marks"): mark,
    ("DELETE", "/marks"): undo,
    ("POST", "/feedback"): feedback,
    ("GET", "/basket"): basket,
    ("POST", "/basket"): put_into_basket,
    ("POST", "/views"): views,
    ("POST", "/token"): exchange_token,
}
