"""Server-sent events: what happens in the server, to every page that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from avs.serve.refusal import Refusal
from avs.serve.shapes import Event

BEAT_S, BEHIND = 15.0, 256


class Events:
    """Gives every event to all who listen. One who does not keep up is let go: its page asks again."""

    def __init__(self, most_listeners: int) -> None:
        self.most = most_listeners
        self._queues: set[asyncio.Queue[Event | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take the loop of this thread, which all events go through."""
        self._loop = asyncio.get_running_loop()

    def say(self, event: Event) -> None:
        """Give an event to all who listen; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._give, event)

    def end(self) -> None:
        """Let all listeners go."""
        for queue in list(self._queues):
            self._drop(queue)

    def _give(self, event: Event) -> None:
        for queue in list(self._queues):
            if queue.qsize() >= BEHIND:
                self._drop(queue)
            else:
                queue.put_nowait(event)

    def _drop(self, queue: asyncio.Queue[Event | None]) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def require_room(self) -> None:
        """Check that one more may listen.

        Raises:
            Refusal: too many do.
        """
        if len(self._queues) >= self.most:
            raise Refusal(429, "too many pages listen", got=len(self._queues), wanted=f"at most {self.most}")

    async def lines(self) -> AsyncIterator[bytes]:
        """The stream of one listener, with a comment now and then so that a broken connection is noticed."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield b"retry: 1000\n\n"
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), BEAT_S)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield f"event: {event.kind}\ndata: {event.model_dump_json(exclude_none=True)}\n\n".encode()
        finally:
            self._queues.discard(queue)
