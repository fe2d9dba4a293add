"""In place of torch.cuda where there is no GPU: work is done at once, and what is tested is what waits for what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Streams:
    """In place of torch.cuda. It notes what happens; an event has never passed until somebody waits for it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.within = "computing"

    def Stream(self, device: torch.device) -> Stream:  # noqa: N802
        return Stream(self, "copying")

    def current_stream(self, device: torch.device) -> Stream:
        return Stream(self, "computing")

    def Event(self, **options: bool) -> Event:  # noqa: N802
        return Event(self)

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.within = self.within, stream.name
        yield
        self.within = before


class Stream:
    def __init__(self, streams: Streams, name: str) -> None:
        self.streams, self.name = streams, name

    def wait_event(self, event: Event) -> None:
        self.streams.log.append(f"{self.name} waits for {event.recorded}")


class Event:
    def __init__(self, streams: Streams) -> None:
        self.streams, self.recorded, self.passed = streams, "nothing", False

    def record(self, stream: Stream) -> None:
        self.recorded = stream.name
        self.streams.log.append(f"event of {stream.name}")

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        self.passed = True
        self.streams.log.append("host waits")

    def elapsed_time(self, end: Event) -> float:
        return 250.0
