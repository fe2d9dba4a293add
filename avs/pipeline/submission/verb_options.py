"""The options of a verb, and values of a YAML file as words of its command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

from avs.core.errors import did_you_mean
from avs.core.ids import natural_key

COMMON = ("quiet", "json", "force", "debug", "output")  # options that the submission sets for every step


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a verb: whether it takes no value, may be repeated, and names files that are read."""

    flag: bool = False
    repeatable: bool = False
    reads: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that a step calls.

    Attributes:
        name: as it is typed.
        options: long name without dashes -> option.
        refusal: says what is wrong with a command line, or None, without running it.
        former: an option that the verb once had, without dashes -> what replaces it.
    """

    name: str
    options: Mapping[str, Option]
    refusal: Callable[[Sequence[str]], str | None]
    former: Mapping[str, str] = field(default_factory=dict)

    def words(self, values: Mapping[str, Any], *, taken: Sequence[str] = ()) -> tuple[list[str], list[tuple[str, str]]]:
        """Words of the command line for values by option name, and what is wrong with them by key.

        Args:
            values: True sets a flag, False and None leave an option out, a list repeats it, a mapping gives
                NAME=VALUE. In names of files, patterns are replaced by the files that match, in natural order.
            taken: options that are set elsewhere and may not be set here.
        """
        words: list[str] = []
        problems: list[tuple[str, str]] = []
        for key, value in values.items():
            name = key.replace("_", "-")
            if name in COMMON or name in taken:
                problems.append((key, "cannot be set here"))
            elif name in self.former:
                problems.append((key, f"avs {self.name} no longer has --{name}: use {self.former[name]}"))
            elif name not in self.options:
                known = [option for option in self.options if option not in (*COMMON, *taken)]
                problems.append((key, f"avs {self.name} has no option --{name}{did_you_mean(name, known)}"))
            else:
                try:
                    words += _words(name, value, self.options[name])
                except ValueError as error:
                    problems.append((key, str(error)))
        return words, problems


def _words(name: str, value: Any, option: Option) -> list[str]:
    if value is None or value is False:
        return []
    if option.flag:
        if value is not True:
            raise ValueError(f"must be true or false, got {value!r}")
        return [f"--{name}"]
    if value is True:
        raise ValueError("takes a value, got true")
    values = _values(value)
    if option.reads:
        values = [path for one in values for path in _matching(one)]
    if not option.repeatable and len(values) != 1:
        raise ValueError(f"takes one value, got {len(values)}")
    return [word for one in values for word in ([f"--{name}={one}"] if one.startswith("-") else [f"--{name}", one])]


def _values(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}={one}" for key, inner in value.items() for one in _values(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _values(inner)]
    return [str(value)]


def _matching(path: str) -> list[str]:
    if not any(sign in path for sign in "*?["):
        if not Path(path).exists():
            raise ValueError(f"no such file or folder: {path}")
        return [path]
    files = sorted(glob(path), key=natural_key)
    if not files:
        raise ValueError(f'no file matches "{path}"')
    return files
