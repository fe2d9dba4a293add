"""The findings of a check of a run file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from avs.core.errors import FormatError, Problems


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A fault on a line (from 1) of the file."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of checking one file.

    Attributes:
        name: the file.
        findings: the faults by line; empty if NIST accepts the file.
        runs, topics, items: the numbers of runs, topics and shots that were checked.
        warnings: what NIST may accept but is rarely intended, by line.
    """

    name: str
    findings: tuple[Finding, ...]
    runs: int = 0
    topics: int = 0
    items: int = 0
    warnings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def summary(self) -> str:
        """Such as `1 run, 20 topics, 20000 shots`."""
        return ", ".join(
            f"{count} {noun}{'' if count == 1 else 's'}"
            for count, noun in ((self.runs, "run"), (self.topics, "topic"), (self.items, "shot"))
        )


def raise_findings(reports: Iterable[CheckReport], *, next_step: str | None = None) -> None:
    """Raise one error with the findings of all reports, if there are any.

    Raises:
        FormatError: the findings, each with file and line; the first 50, then the count.
    """
    bad = [report for report in reports if not report.ok]
    problems = Problems(bad[0].name if len(bad) == 1 else f"{len(bad)} run files")
    for report in bad:
        for finding in report.findings:
            problems.add(f"{report.name}:{finding.line}", finding.what)
    problems.raise_if_any(FormatError, next_step=next_step)
