"""YAML files read into pydantic models, all errors at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError, Problems, did_you_mean
from avs.core.text_files import read_text

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")
MOST_VALUES = 100_000
MEND = "write the values out; configs/ has examples"


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
    from pydantic import ValidationError

    node, data = _parse(path)
    if not isinstance(data, dict):
        raise ConfigError("a config is a mapping of keys to values", where=path, got=type(data).__name__)
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


def _parse(path: Path) -> tuple[Any, Any]:
    """The nodes of a YAML file, which know their lines, and its content."""
    import yaml

    text = read_text(require_path(path, what="config file"))
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _require_small(path, node)
        _require_keys_once(path, node)
        return node, loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError("not valid YAML", where=path, got=str(error).replace("\n", " ")) from error
    except RecursionError as error:
        raise ConfigError("brackets or lists are nested too deeply", where=path, next_step=MEND) from error
    except (ValueError, LookupError, AttributeError) as error:  # a date or number that is none, such as 2001-13-45
        unread = [*loader.recursive_objects][-1]
        raise ConfigError(
            "a value is not of the kind it looks like",
            where=f"{path}:{unread.start_mark.line + 1}",
            got=str(error),
            next_step='write it in quotes if it is a text: "2001-13-45"',
        ) from error


def _nodes(root: Any) -> Iterator[Any]:
    """Every node once, however many aliases lead to it."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        yield node
        for child in _children(node):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _children(node: Any) -> list[Any]:
    """The items of a list, or the keys and values of a mapping."""
    value = node.value if isinstance(node.value, list) else []
    return [child for item in value for child in (item if isinstance(item, tuple) else (item,))]


def _require_small(path: Path, root: Any) -> None:
    """Refuse aliases that lead back to themselves, or that stand for more values than a config can have."""
    values: dict[int, int] = {}  # id of a node -> number of values it stands for; 0 while they are counted

    def count(node: Any) -> int:
        if id(node) not in values:
            values[id(node)] = 0
            values[id(node)] = 1 + sum(count(child) for child in _children(node))
        if not 0 < values[id(node)] <= MOST_VALUES:
            what = "more values than a config can have" if values[id(node)] else "itself"
            line = node.start_mark.line + 1
            raise ConfigError(f"an alias stands for {what}", where=f"{path}:{line}", next_step=MEND)
        return values[id(node)]

    count(root)


def _require_keys_once(path: Path, root: Any) -> None:
    """Refuse a key that occurs twice in a mapping: YAML would silently drop the first."""
    problems = Problems(f"config {path}")
    for node in _nodes(root):
        first: dict[str, int] = {}
        for item in node.value if isinstance(node.value, list) else ():
            if isinstance(item, tuple) and isinstance(item[0].value, str):
                key, line = item[0].value, item[0].start_mark.line + 1
                if key in first:
                    problems.add(f"{path}:{line}", f"{key}: already on line {first[key]}")
                first.setdefault(key, line)
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
