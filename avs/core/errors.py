"""The exceptions of avs. Each says what went wrong, where, what was got, what was wanted, and the next step.

AvsError                    exit 2: the user can fix it
├── ConfigError             a YAML file or an option
├── FormatError             the content of a file
├── UnknownIdError          an id that the table, store or collection does not hold
├── SpecMismatchError       a query encoder, store or checkpoint made by another model
├── StoreError              a store that is half-written, or not a store
├── ChangedInputsError      an output made from other inputs is in the way (--force)
├── VideoError              a video that cannot be opened or decoded
├── DataError               values that cannot be used: NaN, wrong shape, empty
├── TooManyFailuresError    exit 1: finished, with more failures than allowed
└── MissingDependencyError  exit 3: a package, device or file of the environment is missing
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from textwrap import indent
from typing import TypeVar

MAX_LISTED_PROBLEMS = 50
MAX_OF_A_KIND, EXAMPLES = 5, 3  # more problems of one kind than this are told by three examples and their number
T = TypeVar("T")


class AvsError(Exception):
    """An error a user can act on.

    Args:
        what: one sentence saying what went wrong.
        where: file, `file:line`, topic or shot it concerns.
        got: what was found.
        wanted: what would have been right.
        next_step: what to type or change.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        got: object = None,
        wanted: object = None,
        next_step: str | None = None,
    ) -> None:
        self.what, self.where, self.got, self.wanted, self.next_step = what, where, got, wanted, next_step
        fields = (("where", where), ("got", got), ("wanted", wanted), ("next", next_step))
        super().__init__(
            "\n".join([what, *(f"  {name + ':':<8}{value}" for name, value in fields if value is not None)])
        )

    def __reduce__(self) -> tuple[object, ...]:  # errors cross process boundaries; keyword fields must survive
        state = {"where": self.where, "got": self.got, "wanted": self.wanted, "next_step": self.next_step}
        return _rebuild, (type(self), self.what, state)


def _rebuild(cls: type[AvsError], what: str, state: dict[str, object]) -> AvsError:
    return cls(what, **state)  # type: ignore[arg-type]


class ConfigError(AvsError):
    """A YAML file or an option that cannot be used."""


class FormatError(AvsError):
    """A file whose content is not in the format it should have."""


class UnknownIdError(AvsError):
    """A shot, video or topic id that is not known where it was looked up."""


class SpecMismatchError(AvsError):
    """Vectors of two different encoders were about to be compared."""


class StoreError(AvsError):
    """A feature store that cannot be opened as it is."""


class ChangedInputsError(AvsError):
    """An output exists that was made from other inputs or settings."""


class VideoError(AvsError):
    """A video file that cannot be opened or decoded."""


class DataError(AvsError):
    """Values that cannot be used: NaN, infinite, empty, or of the wrong shape."""


class TooManyFailuresError(AvsError):
    """The work finished, but more items failed than were allowed."""

    exit_code = 1


class MissingDependencyError(AvsError):
    """Something the environment should provide is not there."""

    exit_code = 3


class Problems:
    """Collects problems so that all of them are reported at once.

    >>> problems = Problems("2 problems in run.xml")
    >>> problems.add("run.xml:3", "seqNum 0 is not in 1..1000")
    >>> len(problems)
    1
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.items: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.items)

    def add(self, where: object, what: str) -> None:
        """Record that `what` is wrong at `where`."""
        self.items.append((str(where), what))

    def lines(self) -> Iterable[str]:
        """The problems, one per line, as `in_few_lines`."""
        return in_few_lines([(f"{where}: {what}", what) for where, what in self.items])

    def raise_if_any(self, cls: type[AvsError] = FormatError, *, next_step: str | None = None) -> None:
        """Raise one `cls` naming every problem, or return when there is none."""
        if self.items:
            count = f"{len(self.items)} problem{'s' if len(self.items) > 1 else ''}"
            body = "\n".join(f"  {line}" for line in self.lines())
            raise cls(f"{self.title}: {count}\n{body}", next_step=next_step)


class Attempts:
    """Checks that do not need each other: each is made, and what all of them refuse is told at once.

    >>> attempts = Attempts("this cannot be done")
    >>> attempts.attempt(lambda: 1)
    1
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.errors: list[AvsError] = []

    def attempt(self, make: Callable[[], T]) -> T | None:
        """What `make` gives; None if it refuses."""
        try:
            return make()
        except AvsError as error:
            self.errors.append(error)
            return None

    def raise_if_any(self) -> None:
        """Raise the only error as it is, or several as one ConfigError, or return when there is none."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            told = "\n".join(indent(str(error), "  ") for error in self.errors)
            raise ConfigError(f"{self.title}: {len(self.errors)} errors\n{told}")


def in_few_lines(problems: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Problems as lines, each with its reason; of many that differ only in names and numbers, three examples.

    At most MAX_LISTED_PROBLEMS lines, then how many more there are.
    """
    kinds = [re.sub(r'"[^"]*"|\'[^\']*\'|\S*\d\S*', "", reason) for _, reason in problems]
    count, shown, lines = Counter(kinds), Counter[str](), list[tuple[str, int]]()
    for (line, _), kind in zip(problems, kinds, strict=True):
        shown[kind] += 1
        if count[kind] <= MAX_OF_A_KIND or shown[kind] <= EXAMPLES:
            lines.append((line, 1))
        if shown[kind] == EXAMPLES and count[kind] > MAX_OF_A_KIND:
            more = count[kind] - EXAMPLES
            lines.append((f"... and {more} more of this kind", more))
    yield from (line for line, _ in lines[:MAX_LISTED_PROBLEMS])
    if rest := sum(number for _, number in lines[MAX_LISTED_PROBLEMS:]):
        yield f"... and {rest} more"


def typed(word: object) -> str:
    """A path or another word as it is typed in a shell."""
    return shlex.quote(str(word))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the closest known word, or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
