"""One small collection and one server for the tests that change nothing; a fresh one for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import TinyServed, running, tiny_served


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
