"""A fitted fuser on disk: fuser.json, and each LightGBM model as a text file of its own. Nothing is unpickled.

    fuser.json              {"type": "two-step", "families": {...}, "first": {...}, "second": {"type": "ltr", ...}}
    ltr-1.txt, ...          LightGBM's text; fuser.json names the file

What fuser.json holds of a fuser is up to its method (`avs.fusion.methods`). The caller writes the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write, manifest_path, read_manifest
from avs.core.contents import require_unchanged
from avs.core.errors import ConfigError, FormatError
from avs.fusion.fuser import Fuser
from avs.fusion.methods.method import method_of, method_of_kind
from avs.fusion.two_step import TwoStep

FILE = "fuser.json"
TWO_STEP = "two-step"
AGAIN = "put the file back, or fit the fuser again: --qrels --force"
# What reading a damaged file raises
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError)


def write_fuser(fuser: Fuser, folder: Path) -> None:
    """Write a fuser into a folder. The caller removes the folder's manifest first: without it, it is not complete."""
    for earlier in folder.glob("*-[0-9]*.txt"):
        earlier.unlink()
    texts: dict[str, str] = {}
    data = _encode(fuser, texts)
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text)
    with atomic_write(folder / FILE) as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def read_fuser(folder: Path) -> Fuser:
    """The fuser of a folder.

    Raises:
        FormatError: the folder holds no fuser, a damaged one, or its files are not as they were written.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FormatError("not a fuser", where=folder, wanted=path, next_step="fit one: avs fuse --qrels ... --fuser")
    if manifest_path(folder).is_file():
        require_unchanged(folder, read_manifest(folder), next_step=AGAIN)
    try:
        return _decode(json.loads(path.read_text(encoding="utf-8")), Path(folder))
    except (*DAMAGED, ConfigError, FormatError) as error:
        raise FormatError(
            "not a fuser of avs", where=path, got=f"{type(error).__name__}: {error}", next_step=AGAIN
        ) from error


def _encode(fuser: Fuser, texts: dict[str, str]) -> dict[str, Any]:
    """The JSON data of a fuser; adds file name -> content to `texts`."""
    if isinstance(fuser, TwoStep):
        return {
            "type": TWO_STEP,
            "families": {name: list(lists) for name, lists in fuser.families.items()},
            "alone": list(fuser.alone),
            "first": {name: _encode(one, texts) for name, one in fuser.first.items()},
            "second": _encode(fuser.second, texts),
        }
    method = method_of(fuser)
    data = {"type": method.kind, **method.to_json(fuser)}
    if method.text_field:
        name = f"{method.kind}-{len(texts) + 1}.txt"
        texts[name], data[method.text_field] = data[method.text_field], name
    return data


def _decode(data: Mapping[str, Any], folder: Path) -> Fuser:
    names = [data.get("alone", ()), data.get("lists", ()), *dict(data.get("families", {})).values()]
    if not all(isinstance(some, list | tuple) and all(isinstance(one, str) for one in some) for some in names):
        raise TypeError("names of lists are texts")
    if data["type"] == TWO_STEP:
        if set(data["families"]) != set(data["first"]):
            raise ValueError("families and their fusers differ")
        return TwoStep(
            {name: tuple(lists) for name, lists in data["families"].items()},
            tuple(data["alone"]),
            {name: _decode(one, folder) for name, one in data["first"].items()},
            _decode(data["second"], folder),
        )
    method = method_of_kind(data["type"])
    if method.text_field:
        file = folder / Path(data[method.text_field]).name
        data = {**data, method.text_field: file.read_text(encoding="utf-8")}
    return method.from_json(data)
