"""Recipes with other names in them: the same steps and options, for encoders that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write
from avs.core.text_files import read_text

RECIPES = Path("recipes")


def write_renamed(
    config: Path, kind: str, names: Mapping[str, str], *, adjust: Callable[[Any], None] | None = None
) -> Path:
    """Write a recipe with names replaced, in the folder of a rehearsal; one that says the same is left as it is.

    Args:
        config: a recipe that avs takes.
        kind: folder for it, as in configs/.
        names: what to replace; see renamed.
        adjust: changes the content further.
    """
    import yaml

    content = renamed(yaml.safe_load(read_text(config)), names)
    if adjust is not None:
        adjust(content)
    text = f"# Made by avs demo --rehearse of {config}, with other names.\n"
    text += yaml.safe_dump(content, sort_keys=False, width=120)
    path = RECIPES / kind / config.name
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as file:
            file.write(text)
    return path


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A value of a recipe whose words and parts of paths are replaced where they are one of the names.

    Keys stay: they are settings, and labels that make no difference.
    """
    if isinstance(value, dict):
        return {key: renamed(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, names) for one in value]
    if isinstance(value, str):
        return "/".join(names.get(part, part) for part in value.split("/"))
    return value
