"""The plan of a submission: its commands in order, and the runs they end in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avs.core.errors import AvsError, did_you_mean


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: as the YAML calls it; of a run, its id.
        verb, words: the command.
        needs: names of the steps whose results it reads.
        makes: the lists or the run file it writes.
    """

    name: str
    verb: str
    words: tuple[str, ...]
    needs: tuple[str, ...]
    makes: tuple[Path, ...]

    @property
    def argv(self) -> list[str]:
        return [self.verb, *self.words]


@dataclass(frozen=True, slots=True)
class SubmissionRun:
    """A run of the plan: what it is made of and where it goes."""

    id: str
    priority: int
    made_of: str
    path: Path


@dataclass(frozen=True, slots=True)
class SubmissionPlan:
    """Steps, each behind those it needs, and the runs they end in."""

    steps: tuple[Step, ...]
    runs: tuple[SubmissionRun, ...]

    def only(self, name: str) -> tuple[Step, ...]:
        """A step and all it needs.

        Raises:
            AvsError: there is no such step.
        """
        steps = {step.name: step for step in self.steps}
        if name not in steps:
            raise AvsError(f'no step is called "{name}"{did_you_mean(name, steps)}', wanted=", ".join(steps))
        wanted, todo = set[str](), [name]
        while todo:
            step = steps[todo.pop()]
            wanted.add(step.name)
            todo += step.needs
        return tuple(step for step in self.steps if step.name in wanted)
