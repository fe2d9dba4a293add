"""Progress of a stage: a bar on a terminal, a plain line every 30 s elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

SECONDS_BETWEEN_LINES = 30.0


class Stage(Protocol):
    """A stage under way."""

    def advance(self, n: int = 1, *, failed: int = 0) -> None:
        """`n` more items are done, `failed` of them without a result."""


class Reporter:
    """Where stages report to: stderr, or nowhere."""

    def __init__(self, *, quiet: bool = True) -> None:
        self.quiet = quiet

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """A stage of `total` items, such as `stage("extract clip-vit-b32", 1200, "shots")`."""
        if self.quiet:
            yield _Silent()
        elif sys.stderr.isatty():
            with _bar(name, total, unit) as stage:
                yield stage
        else:
            lines = _Lines(name, total, unit)
            yield lines
            lines.write()

    def say(self, line: str) -> None:
        """One line for the user."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def suggest(self, command: str) -> None:
        """The next command to type, unless a command that runs others has them in hand."""
        if _SUGGESTING.get():
            self.say(f"next: {command}")


_SUGGESTING: ContextVar[bool] = ContextVar("suggesting", default=True)


@contextmanager
def no_suggestions() -> Iterator[None]:
    """No next command is suggested in here."""
    token = _SUGGESTING.set(False)
    try:
        yield
    finally:
        _SUGGESTING.reset(token)


class _Silent:
    def advance(self, n: int = 1, *, failed: int = 0) -> None:
        return


class _Lines:
    """`progress: extract 4200/10000 shots, 131 shots/s, eta 0:44, failed 2`"""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.failed = 0
        self.start = self.last = time.monotonic()

    def advance(self, n: int = 1, *, failed: int = 0) -> None:
        self.done += n
        self.failed += failed
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.write()

    def write(self) -> None:
        self.last = time.monotonic()
        rate = self.done / max(self.last - self.start, 1e-9)
        left_s = int((self.total - self.done) / rate) if rate else 0
        print(
            f"progress: {self.name} {self.done}/{self.total} {self.unit}, {_three_digits(rate)} {self.unit}/s, "
            f"eta {left_s // 60}:{left_s % 60:02d}, failed {self.failed}",
            file=sys.stderr,
            flush=True,
        )


def _three_digits(rate: float) -> str:
    """Three digits that count, such as 0.065, 131 or 1,020."""
    return f"{rate:.3g}" if rate < 100 else f"{float(f'{rate:.3g}'):,.0f}"


@contextmanager
def _bar(name: str, total: int, unit: str) -> Iterator[Stage]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[rate]} " + unit + "/s  eta"),
        TimeRemainingColumn(),
        TextColumn("failed {task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=total, failed=0, rate="0")

        class Bar:
            failed = 0
            start = time.monotonic()

            def advance(self, n: int = 1, *, failed: int = 0) -> None:
                self.failed += failed
                done = bars.tasks[0].completed + n
                rate = done / max(time.monotonic() - self.start, 1e-9)
                bars.update(task, advance=n, failed=self.failed, rate=_three_digits(rate))

        yield Bar()
