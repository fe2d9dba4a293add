"""A session of a small server: questions of every kind, with marks between them and after them."""

from __future__ import annotations

from pathlib import Path

import httpx
from live_server import ask

MARKED = [f"shot00001_{n}" for n in range(1, 6)]


def session(client: httpx.Client) -> Path:
    """The journal of six questions and three events of marks; its server has ended."""
    ask(client, "a red circle")
    marks = {"topic": "661", "shots": MARKED, "mark": "yes"}
    assert client.post("/api/v1/marks", json=marks).status_code == 200
    for method in ("rocchio", "bayes"):
        named = client.post("/api/v1/feedback", json={"topic": "661", "method": method}).json()["feedback"]
        ask(client, "a red circle", topic="661", feedback=named)
    ask(client, "a dog", topic="661", filter={"hide": ["judged"]}, by=["two-shot"])
    ask(client, parts=[{"text": "a dog"}, {"text": "two people"}], k=20)
    ask(client, parts=[{"shot": MARKED[0], "minus": [{"text": "night"}]}], by=["one-shot"], duplicates=0.9)
    assert client.post("/api/v1/marks", json={**marks, "mark": "no"}).status_code == 200
    more = {"topic": "661", "shots": ["shot00002_1"], "mark": "yes"}
    assert client.post("/api/v1/marks", json=more).status_code == 200
    server = client.server  # type: ignore[attr-defined]
    journal: Path = server.state.opened.book.journal.path
    server.end()
    server.state.asked.shutdown(wait=True)  # the last question is journalled after its answer
    return journal
