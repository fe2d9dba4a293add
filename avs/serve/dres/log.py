"""Questions and their lists as the evaluation server logs them (QueryEventLog and QueryResultLog of its API)."""

from __future__ import annotations

from typing import Any

from avs.core.ids import parse_shot_id
from avs.serve.dres.submissions import segment_ms
from avs.serve.opened.shot_columns import ShotColumns
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import Query

MOST_RESULTS = 1000


def query_log(query: Query, at_ms: int) -> dict[str, Any]:
    """A question as events: what was typed, shown, left out and marked."""
    found: list[tuple[str, str, str]] = []
    for number, part in enumerate(query.parts, 1):
        place = f" {number} of {len(query.parts)} in time" if len(query.parts) > 1 else ""
        if part.text is not None:
            found.append(("TEXT", f"jointEmbedding{place}", part.text))
        elif part.shot is not None:
            found.append(("IMAGE", f"shot of the collection{place}", part.shot))
        else:
            found.append(("IMAGE", f"picture of the user{place}", ""))
        found += [("TEXT", f"not like{place}", one.text or one.shot or "") for one in part.minus]
    found += [("FILTER", "systems", name) for name in query.by]
    found += [("FILTER", "video", video) for video in query.filter.videos]
    found += [("FILTER", "not video", video) for video in query.filter.not_videos]
    found += [("FILTER", "hide", kind) for kind in query.filter.hide]
    if query.feedback is not None:
        found.append(("OTHER", "relevanceFeedback", query.feedback))
    events = [{"timestamp": at_ms, "category": one, "type": kind, "value": value} for one, kind, value in found]
    return {"timestamp": at_ms, "events": events}


def result_log(answer: ServedAnswer, columns: ShotColumns, dres_name: str, at_ms: int) -> dict[str, Any]:
    """A list: its first 1,000 shots, with the events of its question."""
    shown = answer.shown.shots[:MOST_RESULTS]
    results = []
    for rank, shot in enumerate(shown, 1):
        found: dict[str, Any] = {"mediaItemName": dres_name.replace("{video}", parse_shot_id(shot).video)}
        start_s, end_s = columns.times_s(columns.row(shot)) if shot in columns else (None, None)
        if start_s is not None and end_s is not None:
            found["start"], found["end"] = segment_ms(start_s, end_s, None)
        results.append({"answer": found, "rank": rank})
    return {
        "timestamp": at_ms,
        "sortType": "feedbackModel" if answer.plan.marks is not None else "rankingModel",
        "resultSetAvailability": "all" if len(shown) == len(answer.shown) else "top",
        "results": results,
        "events": query_log(answer.plan.query, at_ms)["events"],
    }
