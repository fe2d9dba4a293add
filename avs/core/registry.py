"""Named implementations, looked up with a hint when the name is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from avs.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of things of one kind.

    >>> samplers: Registry[object] = Registry("sampling policy")
    >>> @samplers.register("head")
    ... def head(): ...
    >>> samplers.get("head") is head
    True
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers what it decorates as `name`."""

        def file(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return file

    def get(self, name: str) -> T:
        """The item registered as `name`.

        Raises:
            ConfigError: unknown name; says the closest and all known ones.
        """
        if name not in self._items:
            raise ConfigError(
                f'unknown {self.kind} "{name}"{did_you_mean(name, self._items)}', wanted=", ".join(self._items)
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)
