"""uvicorn as this server needs it: connections that bring no request are closed, and streams end before it does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_BYTES = 16 * 1024
KEEP_ALIVE_S, GRACE_S = 30, 2
MARGIN = 4  # connections for each request that is answered: browsers keep six open


def patient_for(header_s: float) -> type[H11Protocol]:
    """The protocol of connections that are closed when the head of a request does not arrive within `header_s`."""

    class TimedProtocol(H11Protocol):
        """A connection with a clock that runs while no request is being answered."""

        _clock: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop()
            elif self._clock is None:  # the head of the next request has begun
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._clock = self.loop.call_later(header_s, self._late)

        def _stop(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

        def _late(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return TimedProtocol


class WebServer(uvicorn.Server):
    """A server that lets streams end before it ends itself.

    Args:
        app: the application.
        clients: connections at once; header_s: for the head of a request to arrive.
        ending: called when the server begins to end.
    """

    def __init__(self, app: Any, *, clients: int, header_s: float, ending: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app, http=patient_for(header_s), ws="none", lifespan="on", log_level="warning", access_log=False,
                server_header=False, timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=KEEP_ALIVE_S,
                proxy_headers=False, h11_max_incomplete_event_size=HEADER_BYTES, limit_concurrency=MARGIN * clients,
            )
        )  # fmt: skip
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is under way, then the server."""
        self._ending()
        await super().shutdown(sockets)
