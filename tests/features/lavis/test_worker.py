"""The worker itself, run by the Python of the tests, which has no LAVIS: what it says and how it ends."""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import AvsError
from avs.features.lavis import worker
from avs.features.lavis.environment import WORKER
from avs.features.lavis.line import LavisGoneError, LavisLine

LIMIT_S = 60.0
OPENING = {
    "type": "load", "family": "blip", "name": "blip_feature_extractor", "kind": "base", "changes": {}, "vit": {},
    "files": [], "folder": ".", "torchscript": False, "image_size": 32, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def line() -> Iterator[LavisLine]:
    started = LavisLine([sys.executable, "-I", str(WORKER)])
    yield started
    started.end()


def test_it_imports_the_standard_library_and_numpy_until_it_is_asked() -> None:
    tree = ast.parse(WORKER.read_text(encoding="utf-8"))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {"numpy", *sys.stdlib_module_names}
    assert "pickle" not in names


def test_it_greets_with_protocol_and_versions(line: LavisLine) -> None:
    greeting, arrays = line.hear(timeout_s=LIMIT_S)
    assert (greeting["type"], greeting["protocol"], arrays) == ("hello", worker.PROTOCOL, [])
    assert greeting["versions"]["numpy"] == np.__version__
    assert greeting["versions"]["salesforce-lavis"] is None
    assert greeting["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_errors_are_answers_and_it_goes_on(line: LavisLine) -> None:
    line.hear(timeout_s=LIMIT_S)
    for message, said in (
        ({"type": "images"}, "ValueError: no model was loaded"),
        ({"type": "dance"}, "ValueError: no message is called dance"),
        ({}, "KeyError: 'type'"),
    ):
        line.send(message, [np.zeros((1, 3, 8, 8), np.uint8)], timeout_s=LIMIT_S)
        answer, _ = line.hear(timeout_s=LIMIT_S)
        assert (answer["type"], answer["what"]) == ("error", said)


def test_it_says_what_it_cannot_import(line: LavisLine) -> None:
    """The operators of torchvision are registered before, so this is the first that is missing."""
    line.hear(timeout_s=LIMIT_S)
    line.send(OPENING, timeout_s=LIMIT_S)
    answer, _ = line.hear(timeout_s=LIMIT_S)
    assert answer["what"] == "ModuleNotFoundError: No module named 'lavis'"
    assert "in load" in answer["trace"]


def test_it_ends_when_its_stdin_is_closed_also_while_it_works(line: LavisLine) -> None:
    line.hear(timeout_s=LIMIT_S)
    line.send(OPENING, timeout_s=LIMIT_S)  # it imports torch now, which takes a second
    assert line._process.stdin is not None
    line._process.stdin.close()
    assert line._process.wait(LIMIT_S) == 0


def test_ctrl_c_in_a_terminal_does_not_reach_it(line: LavisLine) -> None:
    line.hear(timeout_s=LIMIT_S)
    os.kill(line._process.pid, signal.SIGINT)
    line.send({"type": "dance"}, timeout_s=LIMIT_S)
    assert line.hear(timeout_s=LIMIT_S)[0]["type"] == "error"


NOISE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import worker
said = worker.versions()
def versions():
    print("Loading")
    os.system("echo checkpoint")
    return said
worker.versions = versions
worker.main()
"""


def test_what_it_prints_does_not_get_among_its_messages() -> None:
    line = LavisLine([sys.executable, "-c", NOISE, str(WORKER.parent)])
    assert line.hear(timeout_s=LIMIT_S)[0]["type"] == "hello"
    line.send({"type": "dance"}, timeout_s=LIMIT_S)
    assert line.hear(timeout_s=LIMIT_S)[0]["type"] == "error"
    line.end()
    assert line.last_lines == "Loading\ncheckpoint"


def test_bytes_that_are_no_message_end_it(line: LavisLine) -> None:
    line.hear(timeout_s=LIMIT_S)
    os.write(line._in, b"print")
    with pytest.raises(LavisGoneError, match="exit code 1"):
        line.hear(timeout_s=LIMIT_S)
    assert "b'prin' where a message was to begin" in line.last_lines


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{}}",
        "",
        '{"arrays": 7}',
        '{"arrays": [{"dtype": "object", "shape": [1]}]}',
        '{"arrays": [{"dtype": "uint8", "shape": [-1]}]}',
        '{"arrays": [{"dtype": "uint8", "shape": [99999, 99999]}]}',
        '{"arrays": [{"dtype": "uint8"}]}',
    ],
)
def test_what_is_no_message_is_told(header: str) -> None:
    code = "import os, sys, time; d = sys.argv[1].encode(); os.write(1, len(d).to_bytes(4, 'big') + d); time.sleep(600)"
    line = LavisLine([sys.executable, "-c", code, header])
    with pytest.raises(AvsError, match="no message"):
        line.hear(timeout_s=LIMIT_S)
    assert line._process.returncode is not None, "it lives on"


def test_a_worker_that_takes_nothing(tmp_path: Path) -> None:
    """Its pipe is full, and it does not read."""
    line = LavisLine([sys.executable, "-c", "import time; time.sleep(600)"])
    with pytest.raises(LavisGoneError, match="no sign of life"):
        line.send({}, [np.zeros(2**22, np.uint8)], timeout_s=1.0)
    assert line._process.returncode == -signal.SIGKILL
