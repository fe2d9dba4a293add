"""Options of the command line that are written NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence

from avs.core.errors import ConfigError


def named_values(words: Sequence[str], option: str, form: str) -> list[tuple[str, str]]:
    """NAME=VALUE words as pairs; the value may contain "=" too.

    Args:
        option: how it is spelled, such as "--weight".
        form: how its words are written, such as "LIST=W".

    Raises:
        ConfigError: a word without a name or a value.

    >>> named_values(["clip=0.3"], "--weight", "LIST=W")
    [('clip', '0.3')]
    """
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
    if not all(name and value for name, value in pairs):
        raise ConfigError(f"{option} is written {form}", got=", ".join(words))
    return pairs


def value_by_name(words: Sequence[str], option: str, form: str) -> dict[str, str]:
    """NAME=VALUE words as a dict.

    Raises:
        ConfigError: as `named_values`; a name that occurs twice.
    """
    pairs = named_values(words, option, form)
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{option} names {', '.join(twice)} twice", got=", ".join(words))
    return dict(pairs)
