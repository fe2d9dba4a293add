"""The sessions of a folder: what the journals hold, and questions that can be asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from live_server import TinyServed, ask
from tiny_sessions import MARKED, session

from avs.serve.api import document
from avs.serve.shapes import Query

Serve = Callable[..., httpx.Client]


def test_a_session_and_its_questions(serve: Serve, tiny: TinyServed) -> None:
    journal = session(serve())
    client = serve()
    marks = {"topic": "662", "shots": MARKED, "mark": "no"}
    assert client.post("/api/v1/marks", json=marks).status_code == 200
    listed = client.get("/api/v1/sessions").json()
    assert listed["kept"] and sorted(one["now"] for one in listed["sessions"]) == [False, True]
    (old,) = [one for one in listed["sessions"] if not one["now"]]
    assert old["id"] == journal.stem and old["bytes"] == journal.stat().st_size
    assert (old["queries"], old["marks"], old["submissions"], old["damaged"]) == (6, 3, 0, 0)
    assert old["started_ms"] <= old["ended_ms"] + 1000 and old["started_ms"] % 1000 == 0
    log = client.get(f"/api/v1/sessions/{old['id']}").json()
    assert log["session"] == old and [one["number"] for one in log["queries"]] == [1, 2, 3, 4, 5, 6]
    first, marked, *_, in_time, like = log["queries"]
    assert (first["text"], first["topic"], first["systems"], first["fused"]) == (
        "a red circle", None, ["one-shot", "two-shot"], "average",
    )  # fmt: skip
    assert marked["stamp"] == "feedback" and first["stamp"] == "manual" and first["ms"] > 0
    assert in_time["text"] == "a dog < two people" and in_time["total"] <= 20
    assert like["systems"] == ["one-shot"] and like["fused"] == "" and len(like["first"]) == 8
    assert all(one["same"] for one in log["queries"])
    for one in log["queries"]:  # each opens again; what a filter hides is what is marked by now
        again = ask(client, **one["query"])
        same = again["list"] == one["list"] and [row["shot"] for row in again["results"][:8]] == one["first"]
        assert same == (not one["query"]["filter"]["hide"])
    page = client.get(f"/api/v1/sessions/{old['id']}?from=4&count=1").json()
    assert [one["number"] for one in page["queries"]] == [5] and page["start"] == 4
    assert client.get(f"/api/v1/sessions/{old['id']}?from=99").json()["queries"] == []
    other = serve(stores=tiny.stores[:1])
    assert not any(one["same"] for one in other.get(f"/api/v1/sessions/{old['id']}").json()["queries"])


def test_a_session_that_is_under_way_grows(serve: Serve) -> None:
    client = serve()
    assert client.get("/api/v1/sessions").json() == {"kept": True, "sessions": []}
    assert client.post("/api/v1/marks", json={"topic": "661", "shots": MARKED, "mark": "no"}).status_code == 200
    for marks in (1, 2):
        (one,) = client.get("/api/v1/sessions").json()["sessions"]
        assert (one["marks"], one["queries"], one["now"]) == (marks, 0, True)
        assert client.post("/api/v1/marks", json={"topic": "661", "shots": MARKED, "mark": "yes"}).status_code == 200


def test_damaged_and_strange_journals(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    fine = {"kind": "marks", "id": "1", "topic": "661", "shots": [], "mark": "yes", "at_ms": 5}
    lines = [json.dumps(fine), "nonsense", '{"kind": "query"}', '["marks"]', json.dumps({**fine, "at_ms": 1e400})]
    (folder / "20261122T084500Z-0011.jsonl").write_text("\n".join(lines) + '\n{"kind": "ma')
    (folder / "20269999T084500Z-0011.jsonl").write_bytes(b"")
    (folder / "été <img>.jsonl").write_text(json.dumps({**fine, "at_ms": 10**30}) + "\n")
    (folder / "notes.txt").write_text("not a journal")
    client = serve()
    found = {one["id"]: one for one in client.get("/api/v1/sessions").json()["sessions"]}
    assert list(found)[0] == "20261122T084500Z-0011" and len(found) == 3
    damaged = found["20261122T084500Z-0011"]
    assert (damaged["marks"], damaged["queries"], damaged["damaged"], damaged["ended_ms"]) == (2, 0, 4, 5)
    assert damaged["started_ms"] == 1795337100000
    assert found["20269999T084500Z-0011"]["started_ms"] is None and found["été <img>"]["ended_ms"] is None
    log = client.get("/api/v1/sessions/%C3%A9t%C3%A9%20%3Cimg%3E").json()
    assert log["queries"] == [] and log["session"]["marks"] == 1
    (folder / "20261122T084500Z-0011.jsonl").write_text("")  # someone emptied it
    again = client.get("/api/v1/sessions/20261122T084500Z-0011").json()["session"]
    assert (again["marks"], again["damaged"], again["bytes"]) == (0, 0, 0)


@pytest.mark.parametrize("name", ["none", "..%2Fshots", "%00", "..", "notes.txt", "a" * 3000])
def test_no_name_becomes_a_path(serve: Serve, tmp_path: Path, name: str) -> None:
    (tmp_path / "shots.jsonl").write_text("{}\n")
    (tmp_path / "sessions").mkdir()
    answer = serve().get(f"/api/v1/sessions/{name}")
    assert answer.status_code == 404 and "shots.jsonl" not in answer.text


def test_a_read_only_server_shows_no_sessions(serve: Serve) -> None:
    journal = session(serve())
    client = serve(read_only=True)
    assert client.get("/api/v1/sessions").json() == {"kept": False, "sessions": []}
    assert client.get(f"/api/v1/sessions/{journal.stem}").status_code == 404


def test_the_document_of_the_api_is_served(shared_client: httpx.Client) -> None:
    answer = shared_client.get("/api/v1/document")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(document()))
    assert set(answer.json()["shapes"]["Query"]["properties"]) == set(Query.model_fields)
