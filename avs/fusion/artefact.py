"""A fitted fuser on disk: fuser.json, and each LightGBM model as its own text. Nothing is unpickled.

    fuser.json              {"type": "two-step", "families": {...}, "first": {...}, "second": {"type": "ltr", ...}}
    ltr-1.txt, ...          LightGBM's text, named in fuser.json

The manifest beside them is written by who fitted it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write
from avs.core.errors import ConfigError, FormatError
from avs.fusion.borda import Borda
from avs.fusion.comb import Average, CombMax, CombMnz, CombSum
from avs.fusion.fuser import Fuser
from avs.fusion.linear import Linear
from avs.fusion.ltr import Ltr
from avs.fusion.normalize import Scale
from avs.fusion.rrf import ReciprocalRank
from avs.fusion.two_step import TwoStep

FILE = "fuser.json"
SCALED: dict[str, Callable[..., Fuser]] = {
    "average": Average,
    "combsum": CombSum,
    "combmnz": CombMnz,
    "combmax": CombMax,
}
NAMES = {cls: name for name, cls in SCALED.items()}


def write_fuser(fuser: Fuser, folder: Path) -> None:
    """Write a fuser into a folder, whose manifest the caller has taken away: without one it is not complete."""
    for before in folder.glob("ltr-*.txt"):
        before.unlink()
    texts: list[str] = []
    data = _encode(fuser, texts)
    for number, text in enumerate(texts, start=1):
        with atomic_write(folder / f"ltr-{number}.txt") as file:
            file.write(text)
    with atomic_write(folder / FILE) as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def read_fuser(folder: Path) -> Fuser:
    """The fuser of a folder.

    Raises:
        FormatError: it holds none, or not one of ours.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FormatError("not a fuser", where=folder, wanted=path, next_step="fit one: avs fuse --qrels ... --model")
    try:
        return _decode(json.loads(path.read_text(encoding="utf-8")), Path(folder))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, ConfigError, FormatError) as error:
        raise FormatError("not a fuser of avs", where=path, got=f"{type(error).__name__}: {error}") from error


def _encode(fuser: Fuser, texts: list[str]) -> dict[str, Any]:
    if isinstance(fuser, Linear):
        return {"type": "linear", "weights": dict(fuser.weights), **_scale(fuser.scale)}
    if isinstance(fuser, Ltr):
        texts.append(fuser.model)
        return {"type": "ltr", "lists": list(fuser.lists), "trees": fuser.trees, "model": f"ltr-{len(texts)}.txt"}
    if isinstance(fuser, TwoStep):
        return {
            "type": "two-step",
            "families": {name: list(lists) for name, lists in fuser.families.items()},
            "alone": list(fuser.alone),
            "first": {name: _encode(one, texts) for name, one in fuser.first.items()},
            "second": _encode(fuser.second, texts),
        }
    if isinstance(fuser, ReciprocalRank):
        return {"type": "rrf", "k": fuser.k}
    if isinstance(fuser, Borda):
        return {"type": "borda"}
    return {"type": NAMES[type(fuser)], **_scale(fuser.scale)}  # type: ignore[attr-defined]


def _decode(data: Mapping[str, Any], folder: Path) -> Fuser:
    kind = data["type"]
    if kind == "linear":
        return Linear({str(name): float(weight) for name, weight in data["weights"].items()}, _scale_of(data))
    if kind == "ltr":
        model = (folder / Path(data["model"]).name).read_text(encoding="utf-8")
        ltr = Ltr(tuple(data["lists"]), int(data["trees"]), model)
        ltr.require_model()
        return ltr
    if kind == "two-step":
        if set(data["families"]) != set(data["first"]):
            raise ValueError("families and their fusers differ")
        return TwoStep(
            {name: tuple(lists) for name, lists in data["families"].items()},
            tuple(data["alone"]),
            {name: _decode(one, folder) for name, one in data["first"].items()},
            _decode(data["second"], folder),
        )
    if kind == "rrf":
        return ReciprocalRank(float(data["k"]))
    if kind == "borda":
        return Borda()
    return SCALED[kind](_scale_of(data))


def _scale(scale: Scale) -> dict[str, str]:
    return {"normalization": scale.normalization, "missing": scale.missing}


def _scale_of(data: Mapping[str, Any]) -> Scale:
    return Scale(data["normalization"], data["missing"])
