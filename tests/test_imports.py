"""Data flows right, imports point down: the import rules, checked by reading every module's imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from files import files

PACKAGE = Path(__file__).resolve().parents[1] / "avs"
STAGES = set("captions video features models train ranking fusion reranking trecvid metrics demo".split())
ALLOWED = {
    "cli": STAGES | {"core", "pipeline", "serve"},
    "serve": STAGES | {"core", "pipeline"},
    "pipeline": STAGES | {"core", "cluster"},
    "cluster": {"features", "ranking", "core"},
    "train": {"models", "core"},
    "core": set(),
}
LIGHT = {"numpy", "scipy", "pandas", "yaml", "pydantic", "lxml", "rich"}


def modules() -> list[Path]:
    return files(PACKAGE, "**/*.py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module of a file, and whether the import runs when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nested = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and node.module and not node.level
            else []
        )
        for name in names:
            yield name, id(node) not in nested


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def stage_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_stage_imports_core_and_no_other_stage(path: Path) -> None:
    stage = stage_of(path)
    allowed = ALLOWED.get(stage, {"core"}) | {stage}
    for name, _ in imports(path):
        parts = name.split(".")
        rooms = STAGES | {"core", "cli", "pipeline", "cluster", "serve"}
        if parts[0] == "avs" and len(parts) > 1 and stage in rooms:
            assert parts[1] in allowed, f"{path.name} of {stage} imports {name}"


@pytest.mark.parametrize("stage", ["core", "trecvid", "metrics", "fusion"])
def test_light_stages_need_no_heavy_package(stage: str) -> None:
    for path in files(PACKAGE / stage, "**/*.py"):
        for name, _ in imports(path):
            top = name.split(".")[0]
            allowed = LIGHT | ({"lightgbm"} if path.stem in ("ltr",) else set())
            assert top in allowed | {"avs"} | set(sys.stdlib_module_names), f"{stage}/{path.name} imports {name}"


WEB = {"starlette", "uvicorn", "httpx", "h11", "anyio"}


def test_web_packages_are_imported_in_serve_alone_and_only_when_it_serves() -> None:
    for path in modules():
        web = [name for name, _ in imports(path) if name.split(".")[0] in WEB]
        assert not web or stage_of(path) == "serve", f"{path}: {web}"
    code = "import avs.cli.serve, avs.pipeline.serve_options, sys; print(*{'starlette', 'uvicorn'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_core_needs_only_numpy_when_imported() -> None:
    for path in files(PACKAGE / "core", "*.py"):
        for name, at_import in imports(path):
            top = name.split(".")[0]
            assert not at_import or top in {"avs", "numpy"} | set(sys.stdlib_module_names), f"{path.name}: {name}"


@pytest.mark.parametrize(
    "module",
    ["avs", "avs.core.store", "avs.cli.main", "avs.cli.eval", "avs.cli.check_run", "avs.pipeline.demo"],
)
def test_light_modules_do_not_load_heavy_packages(module: str) -> None:
    heavy = {"torch", "transformers", "av", "lightgbm", "pandas", "ray"}
    code = f"import {module}, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_ray_is_imported_in_one_file_and_when_it_is_asked_for() -> None:
    using = {path: at_import for path in modules() for name, at_import in imports(path) if name.split(".")[0] == "ray"}
    assert {str(path.relative_to(PACKAGE)) for path in using} == {"cluster/ray_session.py"}
    assert not any(using.values())


def test_no_file_is_a_drawer() -> None:
    for path in modules():
        assert path.stem not in {"utils", "common", "helpers", "misc"}, path


ROOMS = {
    "train": set(),
    "search": {"train"},
    "fuse": {"search"},
    "submission": set(),
    "rerank": {"search", "train"},
    "rehearsal": {"submission", "train"},
}
"""Room of pipeline -> the rooms it may import. Each room may import what lies flat in pipeline."""


def test_rooms_of_pipeline_are_ordered() -> None:
    pipeline = PACKAGE / "pipeline"
    assert {path.name for path in pipeline.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)
    for path in files(pipeline, "**/*.py"):
        room = path.relative_to(pipeline).parts[0]
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[:2] == ["avs", "pipeline"] and len(parts) > 2 and room in ROOMS and parts[2] in ROOMS:
                assert parts[2] in ROOMS[room] | {room}, f"{path.relative_to(pipeline)} imports {name}"
