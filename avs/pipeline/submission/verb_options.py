"""The options of a verb, and values of a YAML file as words of its command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from avs.core.errors import did_you_mean
from avs.core.ids import natural_key

COMMON = ("quiet", "json", "force", "debug", "output")  # never a step's own business


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a verb: whether it takes no value, may be repeated, and names files that are read."""

    flag: bool = False
    repeatable: bool = False
    reads: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb as a step calls it.

    Attributes:
        name: as it is typed.
        options: long name without dashes -> option.
        refusal: what is wrong with a command line, or None; nothing is run to find out.
    """

    name: str
    options: Mapping[str, Option]
    refusal: Callable[[Sequence[str]], str | None]

    def words(self, given: Mapping[str, Any], *, taken: Sequence[str] = ()) -> tuple[list[str], list[tuple[str, str]]]:
        """Words of the command line for options by name, and what is wrong with them by key.

        Args:
            given: True is the bare option, False and None leave it out, a list repeats it, a mapping gives NAME=VALUE;
                of files, patterns stand for what matches, in natural order.
            taken: options that are set elsewhere and may not be given.
        """
        words: list[str] = []
        wrong: list[tuple[str, str]] = []
        for key, value in given.items():
            name = key.replace("_", "-")
            if name in COMMON or name in taken:
                wrong.append((key, "is not for a step to set"))
            elif name not in self.options:
                known = [option for option in self.options if option not in (*COMMON, *taken)]
                wrong.append((key, f"avs {self.name} has no option --{name}{did_you_mean(name, known)}"))
            else:
                try:
                    words += _words(name, value, self.options[name])
                except ValueError as error:
                    wrong.append((key, str(error)))
        return words, wrong


def _words(name: str, value: Any, option: Option) -> list[str]:
    if value is None or value is False:
        return []
    if option.flag:
        if value is not True:
            raise ValueError(f"is true or false, got {value!r}")
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
    found = sorted(glob(path), key=natural_key)
    if not found:
        raise ValueError(f'no file matches "{path}"')
    return found
