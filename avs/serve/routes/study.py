"""Routes of the study: topics, tables of measures, comparisons, exports."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from avs.serve.export import export_lists, own_qrels
from avs.serve.refusal import Refusal
from avs.serve.routes.asking import body_of, given, in_thread, list_of, opened
from avs.serve.shapes import Exported, ExportRequest, SideBySide, Topics
from avs.serve.study import list_to_compare

LONGEST_NAME = 200


async def topics(request: Request) -> Response:
    """GET /topics"""
    studies = opened(request).studies
    return given(
        await in_thread(request, lambda: Topics(topics=[studies.topic_facts(one) for one in studies.topic_ids()]))
    )


async def topic(request: Request) -> Response:
    """GET /topics/<id>"""
    return given(opened(request).studies.topic_facts(request.path_params["topic"]))


async def study(request: Request) -> Response:
    """GET /study"""
    studies, measure = opened(request).studies, request.query_params.get("measure", "infAP")
    if len(measure) > LONGEST_NAME:
        raise Refusal(422, "not a measure", where="measure", got=f"{len(measure)} characters")
    return given(await in_thread(request, lambda: studies.table(measure)))


async def compare(request: Request) -> Response:
    """GET /compare"""
    server, wanted = opened(request), request.query_params
    topic = wanted.get("topic")
    names = {side: wanted.get(side, "") for side in ("a", "b")}
    answers = {name: found for name in names.values() if (found := server.engine.answer(name)) is not None}
    if topic is None:
        topic = next((answer.plan.query.topic for answer in answers.values()), None)

    def work() -> SideBySide:
        a, b = (list_to_compare(server.collection, answers, name, topic) for name in names.values())
        return server.studies.compare(a, b, topic)

    return given(await in_thread(request, work))


async def export(request: Request) -> Response:
    """POST /export"""
    server, asked = opened(request), await body_of(request, ExportRequest)

    def work() -> Exported:
        if asked.format == "qrels":
            return own_qrels(server.book, asked.topics, asked.name)
        lists = [list_of(request, name) for name in asked.lists]
        return export_lists(server.collection, asked, lists)

    return given(await in_thread(request, work))


STUDY_ROUTES = {
    ("GET", "/topics"): topics,
    ("GET", "/topics/{topic}"): topic,
    ("GET", "/study"): study,
    ("GET", "/compare"): compare,
    ("POST", "/export"): export,
}
