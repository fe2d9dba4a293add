"""What is opened by a thread of its own: it ends with the server, and the server ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from live_server import TinyServed

from avs.core.errors import AvsError
from avs.serve import state as module
from avs.serve.state import ServerState


def opened_by(
    work: Callable[[Callable[..., None]], None], tiny: TinyServed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ServerState, threading.Event]:
    """A server whose collection is opened by `work`, which gets what it reports to."""
    monkeypatch.setattr(module, "open_collection", lambda options, report: work(report))
    state, failed = ServerState(tiny.options(folder)), threading.Event()
    state.open(failed)
    return state, failed


def test_a_server_that_is_ended_while_it_opens_has_not_failed(
    tiny: TinyServed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = threading.Event()

    def work(report: Callable[..., None]) -> None:
        while True:
            report("shot table", 0, 1)
            under_way.set()

    state, failed = opened_by(work, tiny, tmp_path, monkeypatch)
    assert under_way.wait(20)
    state.end_what_is_under_way()
    state.close()
    assert state._thread is not None
    state._thread.join(20)
    assert not state._thread.is_alive()
    assert state.error is None and not failed.is_set()


def test_a_collection_that_cannot_be_opened_ends_the_server(
    tiny: TinyServed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(report: Callable[..., None]) -> None:
        raise AvsError("no collection")

    state, failed = opened_by(work, tiny, tmp_path, monkeypatch)
    assert failed.wait(20)
    state.close()
    assert isinstance(state.error, AvsError) and state.error.what == "no collection"
