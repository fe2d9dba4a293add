"""The commands that avs suggests can be pasted into a shell, whatever the names of files."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import avs
from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.trecvid.trec import write_trec

SOURCES = sorted(Path(avs.__file__).parent.rglob("*.py"))
PATH = re.compile(r"(folder|path|output|file|store|where|fuser|reranker|videos)\b")
IN_A_COMMAND = re.compile(r"(^|[ ,])(avs|--?\w)[^,;]*$")


def commands() -> Iterator[tuple[Path, ast.JoinedStr]]:
    """Every f-string that is a suggestion, or a next step that names an option."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = [word.value for word in node.keywords if word.arg == "next_step"]
            if isinstance(node.func, ast.Attribute) and node.func.attr == "suggest":
                given += node.args
            yield from ((path, text) for one in given for text in ast.walk(one) if isinstance(text, ast.JoinedStr))


def test_paths_in_suggested_commands_are_quoted() -> None:
    found = list(commands())
    assert len(found) > 20
    bare = []
    for path, text in found:
        before = ""
        for part in text.values:
            if isinstance(part, ast.FormattedValue):
                code = ast.unparse(part.value)
                if PATH.search(code) and IN_A_COMMAND.search(before) and "typed(" not in code:
                    bare.append(f"{path.name}:{text.lineno}: {code}")
            else:
                before = str(getattr(part, "value", ""))
    assert bare == []


def test_a_suggested_command_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mes listes d'été #1"
    shots = [f"shot00001_{n}" for n in range(1, 5)]
    for name in ("a", "b"):
        lists = {"731": RankedList.from_scores("731", shots, np.arange(4.0))}
        write_trec(Run(lists, name), folder / f"{name}.trec")
    out = folder / "fused.trec"
    assert main(["fuse", str(folder / "a.trec"), str(folder / "b.trec"), "-o", str(out)]) == 0
    hint = capsys.readouterr().err.partition("next: ")[2].strip()
    assert [word for word in shlex.split(hint) if "fused" in word] == [str(out), str(out)]
    assert main(["fuse", str(folder), "-o", str(out)]) == 2
    assert f"give its lists: {shlex.quote(str(folder))}/*.trec" in capsys.readouterr().err
