"""docs/serve_api.json is what the server's shapes and calls say."""

from __future__ import annotations

import json
from pathlib import Path

from avs.serve.api import CALLS, document

FILE = Path(__file__).resolve().parents[2] / "docs" / "serve_api.json"


def test_the_document_is_current() -> None:
    """Write it anew with `python -m avs.serve.api > docs/serve_api.json`."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(document()))


def test_every_shape_of_a_call_is_described() -> None:
    found = document()
    for call in found["calls"]:
        for shape in (call["takes"], call["gives"]):
            assert shape is None or "/" in shape or shape in found["shapes"]
    assert len({(call.method, call.path) for call in CALLS}) == len(CALLS)
