"""The keys of the page as its own table has them, with those that the config gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from avs.core.errors import ConfigError, Problems, did_you_mean

TABLE = Path(__file__).parent / "static" / "keys.json"


@cache
def default_keys() -> Mapping[str, tuple[str, ...]]:
    """Action -> its keys, as browsers name them."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {action: tuple(keys) for action, (keys, _, _) in table.items()}


def require_clear_keys(own: Mapping[str, str]) -> None:
    """Check that every key of the page means one thing, with the keys of the config.

    Args:
        own: action -> the key that replaces its default ones.

    Raises:
        ConfigError: a key of two actions, or an action that the page does not have; all of them.
    """
    problems = Problems("keys: of the config")
    defaults = default_keys()
    for action in own:
        if action not in defaults:
            problems.add(action, f"there is no such action{did_you_mean(action, defaults)}")
    keys = {action: (own[action],) if action in own else given for action, given in defaults.items()}
    taken: dict[str, str] = {}
    for action, of_action in keys.items():
        for key in of_action:
            if key in taken:
                problems.add(action, f'its key "{key}" is that of {taken[key]}')
            taken.setdefault(key, action)
    problems.raise_if_any(ConfigError, next_step="give each its own key; ? on the page shows all actions")
