"""The progress of several processes that do one job together, shown by the process that started them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from avs.core.progress import Reporter, Stage


@dataclass(frozen=True, slots=True)
class Told:
    """From a process: a stage begins or advances, or there is a line for the user.

    Attributes:
        what: "stage", "advance" or "say".
        values: what the method of Reporter or Stage was given, by name.
    """

    what: str
    values: dict[str, Any]


class Distant(Reporter):
    """A Reporter that tells another process.

    Args:
        tell: sends to it.
    """

    def __init__(self, tell: Callable[[Told], object]) -> None:
        super().__init__(quiet=False)
        self._tell = tell

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        self._tell(Told("stage", {"name": name, "total": total, "unit": unit}))
        yield _DistantStage(self._tell)

    def say(self, line: str) -> None:
        self._tell(Told("say", {"line": line}))

    def suggest(self, command: str) -> None:
        return  # the process that started this one knows what comes next


class _DistantStage:
    def __init__(self, tell: Callable[[Told], object]) -> None:
        self._tell = tell

    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        self._tell(Told("advance", {"n": n, "failed": failed, "elsewhere": elsewhere, "note": note}))


@dataclass(slots=True)
class _Process:
    """What a process has told of its stage.

    Attributes:
        stage: its name.
        done: items by this process itself.
        elsewhere: items by others that it knows of: those of this machine, too.
        note: its figures.
    """

    stage: str = ""
    done: int = 0
    elsewhere: int = 0
    note: str = ""


@dataclass(slots=True)
class JointProgress:
    """Shows the stages of several processes as one. Stages of several names follow each other; the last one counts.

    Args:
        reporter: where they are shown.
    """

    reporter: Reporter
    _open: ExitStack = field(default_factory=ExitStack)
    _name: str = ""
    _stage: Stage | None = None
    _processes: dict[str, _Process] = field(default_factory=lambda: defaultdict(_Process))
    _elsewhere: int = 0

    def __enter__(self) -> JointProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, process: str, told: Told) -> None:
        """Show what a process tells.

        Args:
            process: what it is called.
        """
        if told.what == "say":
            self.reporter.say(f"{process}: {told.values['line']}")
        elif told.what == "stage":
            self._begin(process, **told.values)
        elif self._processes[process].stage == self._name:
            self._advance(process, **told.values)

    def _begin(self, process: str, *, name: str, total: int, unit: str) -> None:
        if name != self._name:
            self._open.close()
            self._stage = self._open.enter_context(self.reporter.stage(name, total, unit))
            self._name, self._elsewhere = name, 0
            self._processes.clear()
        self._processes[process] = _Process(name)

    def _advance(self, process: str, *, n: int, failed: int, elsewhere: int, note: str) -> None:
        one = self._processes[process]
        one.done, one.elsewhere, one.note = one.done + n, one.elsewhere + elsewhere, note or one.note
        ours = sum(each.done for each in self._processes.values())
        # Who looks last knows most: what it has and has seen of others, less what these processes have done.
        others = max(0, max(each.done + each.elsewhere for each in self._processes.values()) - ours)
        more: dict[str, Any] = {}
        if others != self._elsewhere:
            more["elsewhere"], self._elsewhere = others - self._elsewhere, others
        if note:
            notes = {name: each.note for name, each in self._processes.items() if each.note}
            more["note"] = "; ".join(f"{name}: {words}" for name, words in notes.items())
        assert self._stage is not None
        self._stage.advance(n, failed=failed, **more)
