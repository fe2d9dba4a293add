"""What a reader of the code may count on: short functions, one class per name, names of nouns."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from files import files

ROOT = Path(__file__).resolve().parents[1]
MODULES = files(ROOT, "avs/**/*.py") + files(ROOT, "tools/**/*.py")
MOST_LINES = 60
VAGUE = {"Planned", "Moved", "Opened", "Held", "Made"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_long(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_LINES, f"{node.name} has {lines} lines"


def test_a_class_name_means_one_thing() -> None:
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []
    assert VAGUE.isdisjoint(names)
