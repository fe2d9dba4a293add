"""Who may ask, and what is refused: over a real socket, as an attacker would."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_server import TinyServed, answers, ask

from avs.serve.api import CALLS, address
from avs.serve.guard import HEADERS, host_name
from avs.serve.server import own_names

Serve = Callable[..., httpx.Client]
JSON = {"content-type": "application/json"}


def raw(client: httpx.Client, data: bytes, *, wait_s: float = 20.0) -> bytes:
    """What the server answers to these bytes, until it closes the connection or has answered."""
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=wait_s) as connection:
        connection.sendall(data)
        found = b""
        while b"\r\n\r\n" not in found:
            part = connection.recv(65536)
            if not part:
                break
            found += part
        return found


def request_bytes(target: str, *headers: str, host: str = "127.0.0.1") -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8765", "127.0.0.1@evil.example", "", "[::2]", "a/b"],
)
def test_a_foreign_host_is_refused(shared_client: httpx.Client, host: str) -> None:
    for path in ("/", "/api/v1/status", "/media/keyframe/shot00001_1.jpg", "/static/x.js", "/nothing"):
        answer = raw(shared_client, request_bytes(path, host=host))
        assert answer.startswith(b"HTTP/1.1 400"), answer
    assert raw(shared_client, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
    twice = b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"
    assert raw(shared_client, twice).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8765"])
def test_our_own_names_are_served(shared_client: httpx.Client, host: str) -> None:
    assert raw(shared_client, request_bytes("/api/v1/status", host=host)).startswith(b"HTTP/1.1 200")


def test_names_of_hosts() -> None:
    assert host_name("a.b:80") == "a.b" and host_name("[::1]:80") == "::1" and host_name("A") == "a"
    assert host_name("a:x") is None and host_name("a@b") is None and host_name("[::1") is None and not host_name("")


WRITING = [call for call in CALLS if call.method != "GET"]


@pytest.mark.parametrize("call", WRITING, ids=lambda call: f"{call.method} {call.path}")
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_what_another_site_sends_is_refused(shared_client: httpx.Client, call, headers: dict) -> None:
    answer = shared_client.request(call.method, address(call), content=b"{}", headers={**JSON, **headers})
    assert answer.status_code == 403 and "another site" in answer.text


@pytest.mark.parametrize("call", WRITING, ids=lambda call: f"{call.method} {call.path}")
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "", "text/json"]
)
def test_what_a_form_sends_is_refused(shared_client: httpx.Client, call, kind: str) -> None:
    answer = shared_client.request(call.method, address(call), content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 403


def test_another_site_cannot_embed_what_we_serve(shared_client: httpx.Client) -> None:
    for path in ("/api/v1/status", "/media/keyframe/shot00001_1.jpg"):
        assert shared_client.get(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert shared_client.get(path, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_our_own_page_may_write(shared_client: httpx.Client) -> None:
    own = str(shared_client.base_url).rstrip("/")
    headers = {**JSON, "origin": own, "sec-fetch-site": "same-origin"}
    query = json.dumps({"parts": [{"text": "a dog"}]})
    assert shared_client.post("/api/v1/search", content=query, headers=headers).status_code == 200


def test_every_answer_has_the_headers(shared_client: httpx.Client, tiny: TinyServed) -> None:
    paths = {address(call) for call in CALLS if "{" not in call.path and call.path != "/events"}
    paths |= {
        "/", "/nothing", "/study", "/static/none.js", "/api/v1/lists/x", "/api/v1/shots/shot00001_1",
        "/media/keyframe/shot00001_1.jpg", "/media/video/00001", "/media/video/none", "/api/v1/%00", "//", "/api",
        "/media/keyframe/shot00001_1.jpg?w=7", "/api/v1/study?measure=" + "x" * 9000,
    }  # fmt: skip
    codes = set()
    for path in sorted(paths):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"):
            answer = shared_client.request(method, path)
            codes.add(answer.status_code)
            for name, value in HEADERS.items():
                assert answer.headers.get(name) == value, (method, path, name)
            assert "access-control-allow-origin" not in answer.headers
            if "json" in answer.headers.get("content-type", ""):
                assert answer.headers["cache-control"] == "no-store"
            if answer.status_code >= 400 and method != "HEAD":
                assert answer.json()["error"]["what"]
    assert {200, 400, 403, 404, 405, 409, 422} <= codes and 500 not in codes


HOSTILE = [
    "..", "../shots.tsv", "..%2fshots.tsv", "%2e%2e%2fshots.tsv", "%2e%2e/shots.tsv", "....//shots.tsv", "%00",
    "shot00001_1%00", "/etc/passwd", "%2fetc%2fpasswd", "shot00001_1%2f..%2f..", "shot00009_1", "00009", "~root",
    "C:%5cboot.ini", "shot00001_1/..", "%c0%ae%c0%ae", "file:%2f%2f%2fetc%2fpasswd", "shot00001_99999999999",
    "%ff%fe", "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name[:30])
def test_no_name_becomes_a_path(shared_client: httpx.Client, tiny: TinyServed, name: str) -> None:
    secret = tiny.shots.read_bytes()[:200]
    for path in ("/media/keyframe/{}.jpg", "/media/sprite/{}.jpg", "/media/video/{}", "/api/v1/shots/{}", "/static/{}",
                 "/api/v1/videos/{}", "/api/v1/lists/{}", "/api/v1/topics/{}", "/media/{}"):  # fmt: skip
        answer = raw(shared_client, request_bytes(path.format(name)))
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (path, answer[:300])
        assert secret not in answer and b"root:" not in answer


def test_links_out_of_the_folders_are_refused(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    videos, pictures = tmp_path / "videos", tmp_path / "pictures"
    (pictures / "00001").mkdir(parents=True)
    videos.mkdir()
    (videos / "00001.mp4").symlink_to(tiny.videos / "00001.mp4")
    (videos / "00002.mp4").symlink_to(tiny.shots)
    (videos / "00003.mp4").write_bytes((tiny.videos / "00003.mp4").read_bytes())
    (pictures / "00001" / "shot00001_1.jpg").symlink_to(tiny.shots)
    client = serve(videos=videos, keyframes=pictures)
    for path in ("/media/video/00001", "/media/video/00002", "/media/keyframe/shot00001_1.jpg"):
        answer = client.get(path)
        assert answer.status_code == 404 and b"shot" not in answer.content.split(b'"error"')[0]
    assert client.get("/media/video/00003").status_code == 200
    warnings = ask(client, "a dog")["warnings"]
    assert any("a link leads out of" in line for line in warnings)


def test_a_token_guards_everything_but_the_page(serve: Serve) -> None:
    client = serve(host="127.0.0.1", token=True)
    token = client.server.address.partition("#t=")[2]
    assert len(token) >= 43
    for path in ("/api/v1/status", "/media/keyframe/shot00001_1.jpg", "/api/v1/events", "/media/video/00001"):
        assert client.get(path).status_code == 401
        assert client.get(f"{path}?t={token}&token={token}").status_code == 401
        assert client.get(path, headers={"cookie": "avs_session=wrong"}).status_code == 401
        assert client.get(path, headers={"cookie": f"avs_session={token}"}).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {token}x"}).status_code == 401
    assert client.post("/api/v1/search", json={"parts": [{"text": "a"}]}).status_code == 401
    assert client.get("/static/none.js").status_code == 404
    for wrong in ("x", token[:-1], token + "x", "é"):
        assert client.post("/api/v1/token", json={"token": wrong}).status_code == 401
    assert client.get("/api/v1/status", headers={"authorization": f"Bearer {token}"}).status_code == 200
    answer = client.post("/api/v1/token", json={"token": token})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 200 and "HttpOnly" in cookie and "SameSite=strict" in cookie and token not in cookie
    assert client.get("/api/v1/status").status_code == 200
    kept = client.server.options.cache / "token"
    assert kept.read_text().strip() == token and kept.stat().st_mode & 0o077 == 0


def test_a_token_and_its_cookie_outlive_a_restart(serve: Serve) -> None:
    first = serve(token=True)
    first.post("/api/v1/token", json={"token": first.server.address.partition("#t=")[2]})
    first.server.end()
    second = serve(token=True)
    assert second.server.address.partition("#t=")[2] == first.server.address.partition("#t=")[2]
    second.cookies = first.cookies
    assert second.get("/api/v1/status").status_code == 200


def test_other_names_are_served_when_they_are_allowed(serve: Serve) -> None:
    client = serve(allow_hosts=["search.example.org"])
    assert raw(client, request_bytes("/api/v1/status", host="search.example.org:443")).startswith(b"HTTP/1.1 200")
    assert raw(client, request_bytes("/api/v1/status", host="example.org")).startswith(b"HTTP/1.1 400")


def test_all_addresses_are_called_by_the_names_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", ("192.0.2.7", 0)), (0, 0, 0, "", ("192.0.2.7", 0)), (0, 0, 0, "", ("2001:db8::7", 0))]
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    assert own_names("0.0.0.0") == own_names("::") == ["box", "192.0.2.7", "2001:db8::7"]
    assert own_names("search.example.org") == ["search.example.org"]


def test_too_many_requests_at_once_are_refused(serve: Serve) -> None:
    client = serve(limits={"clients": 3})
    with contextlib.ExitStack() as stack:
        begun = []
        for _ in range(3):
            stream = stack.enter_context(client.stream("GET", "/api/v1/events"))
            begun.append(stream.iter_raw())
            next(begun[-1])
        refused = client.get("/api/v1/status")
        assert refused.status_code == 503 and "too many requests at once" in refused.text
        assert refused.headers["x-content-type-options"] == "nosniff"
    while client.get("/api/v1/status").status_code == 503:  # until the server has seen that the streams are closed
        pass


def test_read_only_refuses_all_writes(serve: Serve, tmp_path: Path) -> None:
    client = serve(read_only=True)
    for call in CALLS:
        if call.writes:
            answer = client.request(call.method, address(call), content=b"{}", headers=JSON)
            assert answer.status_code == 403 and "read-only" in answer.text, call
    assert {call.path for call in CALLS if call.writes} >= {"/marks", "/feedback", "/uploads", "/basket", "/export"}
    ask(client, "a dog")
    assert not (tmp_path / "sessions").exists()


ANGLED = "<img src=x onerror=alert(1)>"


def test_markup_stays_text(serve: Serve, tmp_path: Path) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text(f"661  {ANGLED}\n", encoding="utf-8")
    folder = tmp_path / ANGLED
    folder.mkdir()
    (folder / f"{ANGLED[:8]}.trec").write_text("661 0 shot00001_1 1 0.5 x\n", encoding="utf-8")
    client = serve(topics=[topics], lists=[folder])
    for path in ("/api/v1/topics", "/api/v1/status", "/api/v1/study", f"/api/v1/shots/{ANGLED}"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
    assert client.get("/api/v1/topics/661").json()["text"] == ANGLED
    last = client.post("/api/v1/search", json={"parts": [{"text": ANGLED}], "by": [ANGLED]})
    assert last.status_code == 404 and ANGLED in last.json()["error"]["got"]


def memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def deep(levels: int) -> bytes:
    return b'{"parts":' + b"[" * levels + b"]" * levels + b"}"


def test_what_is_too_large_is_refused_and_takes_no_memory(shared_client: httpx.Client) -> None:
    ask(shared_client, "a dog")
    before = memory_kb()
    bodies: list[tuple[bytes, int]] = [
        (b'{"parts":[{"text":"' + b"a" * 2_000_000 + b'"}]}', 413),
        (b'{"parts":[{"text":"' + b"a" * 1_000_000 + b'"}]}', 422),
        (deep(400_000), 400),
        (deep(100), 422),
        (b'{"parts":[{"text":"a"}],"k":1' + b"0" * 100_000 + b"}", 400),
        (b'{"parts":[{"text":"a"}],"within_s":1e999}', 422),
        (b'{"parts":[{"text":"a"}],"within_s":NaN}', 422),
        (b'{"parts":[{"text":"\\ud800"}]}', 400),
        (b"\xff\xfe{}", 400),
        (b"", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"parts":[' + b'{"text":"a"},' * 60_000 + b'{"text":"a"}]}', 422),
    ]
    for body, status in bodies * 3:
        answer = shared_client.post("/api/v1/search", content=body, headers=JSON)
        assert answer.status_code == status, (body[:60], answer.text[:300])
        assert len(answer.content) < 4000
    assert memory_kb() - before < 60_000
    ask(shared_client, "a dog")


def test_a_body_without_end_is_refused_in_time(serve: Serve) -> None:
    """Chunks beyond the limit; a body that is announced and does not come."""
    client = serve(limits={"body_s": 0.5, "body_bytes": 4096})
    head = "POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    assert raw(client, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3).startswith(b"HTTP/1.1 413")
    assert raw(client, head.encode() + b"Content-Length: 5000\r\n\r\n").startswith(b"HTTP/1.1 413")
    answer = raw(client, head.encode() + b"Content-Length: 100\r\n\r\n{", wait_s=600)
    assert answer.startswith(b"HTTP/1.1 400")
    for wrong in (
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n",
        b"X: " + b"a" * 70_000,
    ):
        assert raw(client, head.encode() + wrong + b"\r\n\r\n").startswith(
            (b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 431")
        )
    ask(client, "a dog")


def test_a_connection_without_a_request_is_closed(serve: Serve) -> None:
    """Before the first request, in the middle of its head, and in the head of a second one."""
    client = serve(limits={"header_s": 0.3})
    one = b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for before, begun in ((b"", b""), (b"", b"GET / HT"), (one, b"GET /api")):
        with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=60) as connection:
            connection.sendall(before)
            found = connection.recv(65536) if before else b""
            connection.sendall(begun)
            while part := connection.recv(65536):
                found += part
            assert found.count(b"HTTP/1.1 200") == before.count(b"Host")


def test_open_streams_do_not_hold_the_server_up(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve()
    with client.stream("GET", "/api/v1/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        client.server.end()
        assert [line for line in lines if line] == []
    assert not [record for record in caplog.records if "graceful" in record.message]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from("parts topic by fuse within_s filter group duplicates feedback k".split())
parts = st.lists(
    st.fixed_dictionaries(
        {}, optional={"text": st.text(max_size=30), "shot": st.just("shot00001_3"), "minus": json_values}
    ),
    max_size=3,
)
queries = st.fixed_dictionaries(
    {},
    optional={
        "parts": parts | json_values, "fuse": st.sampled_from(["rrf", "average", "x"]),
        "by": st.lists(st.sampled_from(["one-shot", "two-shot", "x"]), max_size=3) | json_values,
        "topic": st.sampled_from(["661", "999", "a b", ""]) | json_values,
        "within_s": st.floats() | st.integers(), "k": st.integers(), "duplicates": st.floats(0, 2) | st.none(),
        "group": st.sampled_from(["shot", "video", "first-of-video", "x"]), "feedback": json_values,
        "filter": st.fixed_dictionaries({}, optional={
            "videos": st.lists(st.sampled_from(["00001", "00002", "x"]), max_size=3) | json_values,
            "not_videos": st.lists(st.sampled_from(["00001", "00002", "00003"]), max_size=3),
            "hide": st.lists(st.sampled_from(["sent", "judged", "seen", "x"]), max_size=4)}) | json_values,
    },
)  # fmt: skip


@given(queries | st.dictionaries(names, json_values, max_size=4) | json_values)
@settings(max_examples=150)
def test_no_query_is_a_fault(shared_client: httpx.Client, query: object) -> None:
    body = json.dumps(query)
    answer = shared_client.post("/api/v1/search", content=body, headers=JSON)
    assert answer.status_code in (200, 400, 404, 409, 422), (body, answer.text)
    for line in answer.text.splitlines():
        json.loads(line)


@given(st.sampled_from(WRITING), st.dictionaries(st.text(max_size=8), json_values, max_size=4) | json_values)
@settings(max_examples=100)
def test_no_body_is_a_fault(shared_client: httpx.Client, call, body: object) -> None:
    answer = shared_client.request(call.method, address(call), content=json.dumps(body), headers=JSON)
    assert answer.status_code < 500, (call.path, body, answer.text)


def test_sessions_have_plain_names(shared_client: httpx.Client) -> None:
    for name in ("a b", "", "x" * 65, "<b>"):
        answer = shared_client.post("/api/v1/search", json={"parts": [{"text": "a"}]}, headers={"Avs-Session": name})
        assert answer.status_code == 422
    assert answers(shared_client, {"parts": [{"text": "a"}]}, session="x" * 64)
