"""YAML files read into pydantic models, all errors at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError, Problems, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


def load_config(
    path: Path,
    model: type[M],
    *,
    adjust: Callable[[dict[str, Any]], None] | None = None,
    check: Callable[[M], Iterable[tuple[Sequence[object], str]]] | None = None,
) -> M:
    """The settings of a YAML file as `model`.

    Args:
        adjust: changes what the file says before it is checked, as options beside it do.
        check: what is wrong with settings that are well-formed, each as the keys that lead there and a sentence.

    Raises:
        ConfigError: not YAML, or keys or values the model does not accept; all of them at once.
    """
    import yaml
    from pydantic import ValidationError

    text = require_path(path, what="config file").read_text(encoding="utf-8")
    try:
        data = yaml.safe_load(text)
        node = yaml.compose(text)
    except yaml.YAMLError as error:
        raise ConfigError("not valid YAML", where=path, got=str(error).replace("\n", " ")) from error
    if not isinstance(data, dict):
        raise ConfigError("a config is a mapping of keys to values", where=path, got=type(data).__name__)
    _require_keys_once(path, node)
    if adjust is not None:
        adjust(data)
    wrong: list[tuple[Sequence[object], str]] = []
    settings = None
    try:
        settings = model.model_validate(data)
    except ValidationError as error:
        wrong += [(item["loc"], _explain(item, model)) for item in error.errors()]
    if settings is not None and check is not None:
        wrong += check(settings)
    problems = Problems(f"config {path}")
    for keys, what in wrong:
        location = [str(key) for key in keys]
        problems.add(f"{path}:{_line_of(node, location)}", f"{'.'.join(location)}: {what}")
    problems.raise_if_any(ConfigError)
    return cast(M, settings)


def validate_config(data: dict[str, Any], model: type[M], *, where: str) -> M:
    """Settings that do not come from a file, such as options, as `model`.

    Raises:
        ConfigError: as load_config.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = Problems(where)
        for item in error.errors():
            problems.add(".".join(str(part) for part in item["loc"]), _explain(item, model))
        problems.raise_if_any(ConfigError)
        raise


def _explain(item: Any, model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        known = list(model.model_fields) if len(item["loc"]) == 1 else []
        return f"unknown key{did_you_mean(str(item['loc'][-1]), known)}"
    return f"{item['msg']}, got {item['input']!r}" if item["type"] != "missing" else "required, but absent"


def _require_keys_once(path: Path, node: Any) -> None:
    """Refuse a key that occurs twice in a mapping: YAML would silently drop the first."""
    problems = Problems(f"config {path}")
    nodes = [node]
    while nodes:
        value = getattr(nodes.pop(), "value", None)
        first: dict[str, int] = {}
        for item in value if isinstance(value, list) else ():
            key, child = item if isinstance(item, tuple) else (None, item)
            nodes.append(child)
            if key is not None:
                line = key.start_mark.line + 1
                if key.value in first:
                    problems.add(f"{path}:{line}", f"{key.value}: already on line {first[key.value]}")
                first.setdefault(str(key.value), line)
    problems.raise_if_any(ConfigError)


def _line_of(node: Any, location: list[str]) -> int:
    """The 1-based line of the deepest existing part of `location`."""
    line = 1
    for part in location:
        value = getattr(node, "value", None)
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            pairs = {key.value: (key, child) for key, child in value}
            if part not in pairs:
                return line
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            node = value[int(part)]
            line = node.start_mark.line + 1
        else:
            return line
    return line
