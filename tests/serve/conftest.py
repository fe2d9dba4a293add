"""One small collection, one server and one browser for the tests that leave them as they were; others get their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from live_server import TinyServed, running, tiny_served
from pages import Watched, chromium

from avs.cli.main import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from avs.serve.server import PageServer

TEXTS = """\
shot\tkind\ttext
shot00001_3\tread\tEXIT to platform nine
shot00001_3\theard\tmind the gap
shot00002_4\theard\tmind your head
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyServed:
    return tiny_served(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def shared_client(tiny: TinyServed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that no test may change."""
    options = tiny.options(tmp_path_factory.mktemp("shared-server"), read_only=False)
    with running(options) as server, httpx.Client(base_url=server.root, timeout=60) as client:
        yield client


@pytest.fixture
def serve(tiny: TinyServed, tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """`serve(read_only=True)` starts a server of its own and gives a client of it."""
    with ExitStack() as stack:

        def start(**more: Any) -> httpx.Client:
            server = stack.enter_context(running(tiny.options(tmp_path, **more)))
            client = stack.enter_context(httpx.Client(base_url=server.root, timeout=60))
            client.server = server  # type: ignore[attr-defined]
            return client

        yield start


@pytest.fixture(scope="session")
def lists(tiny: TinyServed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lists of `avs search`."""
    folder = tmp_path_factory.mktemp("ranked")
    stores = [word for store in tiny.stores for word in ("--store", str(store))]
    assert main(["search", "--topics", str(tiny.topics), *stores, "-o", f"{folder}/", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It has an event loop in this thread, which tests of other files may need for a server."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def page_server(tiny: TinyServed, lists: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """The server of most pages, with all that a page can show."""
    work = tmp_path_factory.mktemp("page")
    (work / "texts.tsv").write_text(TEXTS, encoding="utf-8")
    options = tiny.options(work, lists=[lists], text_table=work / "texts.tsv", keys={"link": "k"})
    with running(options) as server:
        yield server


@pytest.fixture
def watched(browser: Browser, page_server: PageServer) -> Iterator[Watched]:
    """Pages of that server, which must not complain. Marks and baskets that a test leaves are taken away."""
    pages = Watched(browser, page_server.root)
    yield pages
    pages.end()
    with httpx.Client(base_url=f"{page_server.root}api/v1", timeout=60) as client:
        for topic in ("661", "662", "663", "query"):
            marked = list(client.get("/marks", params={"topic": topic}).json()["marks"])
            if marked:
                client.post("/marks", json={"topic": topic, "shots": marked, "mark": None}).raise_for_status()
            held = client.get("/basket", params={"topic": topic}).json()["shots"]
            if held:
                client.post("/basket", json={"topic": topic, "remove": held}).raise_for_status()
