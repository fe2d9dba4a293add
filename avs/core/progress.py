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

    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        """`n` more items are done, `failed` of them without a result.

        Args:
            elsewhere: so many more were done by other processes.
            note: more figures of the stage, such as "212 frames/s"; it stays until there is another.
        """


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
    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        return


class _Counted:
    """What is known of a stage. Its rate is that of this process; the time left counts what others do, too."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit = total, unit
        self.done = self.elsewhere = self.failed = 0
        self.note = ""
        self.start = time.monotonic()

    def add(self, n: int, failed: int, elsewhere: int, note: str) -> None:
        self.done += n
        self.elsewhere += elsewhere
        self.failed += failed
        self.note = note or self.note

    @property
    def all_done(self) -> int:
        return self.done + self.elsewhere

    @property
    def rate(self) -> str:
        return f"{three_digits(self.done / self._seconds)} {self.unit}/s"

    @property
    def eta(self) -> str:
        left = max(self.total - self.all_done, 0)
        return _clock(self._seconds * left / self.all_done) if self.all_done else "?" if left else _clock(0)

    @property
    def more(self) -> list[str]:
        """What only some stages tell."""
        others = f"{self.elsewhere} by other processes" if self.elsewhere else ""
        return [words for words in (others, self.note) if words]

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self.start, 1e-9)


class _Lines:
    """`progress: extract 4200/10000 shots, 131 shots/s, eta 0:44, failed 2`, and the note if there is one."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self.name, self.counted = name, _Counted(total, unit)
        self.last = self.counted.start

    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        self.counted.add(n, failed, elsewhere, note)
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.write()

    def write(self) -> None:
        self.last, of = time.monotonic(), self.counted
        figures = [f"{of.all_done}/{of.total} {of.unit}", of.rate, f"eta {of.eta}", f"failed {of.failed}", *of.more]
        print(f"progress: {self.name} {', '.join(figures)}", file=sys.stderr, flush=True)


def three_digits(rate: float) -> str:
    """Three digits that count, such as 0.065, 131 or 1,020."""
    return f"{rate:.3g}" if rate < 100 else f"{float(f'{rate:.3g}'):,.0f}"


def _clock(seconds: float) -> str:
    """Minutes and seconds, such as 0:44, after hours where there are some, such as 31:05:09."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def _bar(name: str, total: int, unit: str) -> Iterator[Stage]:
    """A bar with its figures, and below it what only some stages tell."""
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[figures]}"),
    )
    bars, counted = Progress(*columns), _Counted(total, unit)
    task = bars.add_task(name, total=total, figures=unit)

    class Bar:
        def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
            of = counted
            of.add(n, failed, elsewhere, note)
            figures = f"{unit}  {of.rate}  eta {of.eta}  failed {of.failed}"
            bars.update(task, completed=of.all_done, figures=figures)

    def shown() -> RenderableType:
        return Group(bars, Text(", ".join(counted.more))) if counted.more else bars

    with Live(get_renderable=shown, console=Console(stderr=True), refresh_per_second=10):
        yield Bar()
