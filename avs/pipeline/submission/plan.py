"""The plan of a submission: its commands in order, and the runs that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avs.core.errors import AvsError, did_you_mean


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: its name in the YAML; for a run, the run id.
        verb, words: the command.
        needs: names of the steps whose results it reads.
        makes: the lists or the run file that it writes.
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
    """A run of the plan: its id and priority, the name of its list, and its file."""

    id: str
    priority: int
    made_of: str
    path: Path


@dataclass(frozen=True, slots=True)
class SubmissionPlan:
    """The steps, each after the steps it needs, and the runs that they make."""

    steps: tuple[Step, ...]
    runs: tuple[SubmissionRun, ...]

    def only(self, name: str) -> tuple[Step, ...]:
        """A step and all steps it needs.

        Raises:
            AvsError: there is no such step.
        """
        steps = {step.name: step for step in self.steps}
        if name not in steps:
            raise AvsError(f'no step is called "{name}"{did_you_mean(name, steps)}', wanted=", ".join(steps))
        wanted, pending = set[str](), [name]
        while pending:
            step = steps[pending.pop()]
            wanted.add(step.name)
            pending += step.needs
        return tuple(step for step in self.steps if step.name in wanted)
