"""A captioned collection to train on in a second: what a video shows stands in its features and in its captions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny_stores import SPEC, make_store, shot_ids

THINGS = ("dog", "cat", "car", "boat", "tree", "house", "ball", "star")
PLACES = ("beach", "forest", "street", "room", "snow", "desert")
SHOTS = 48


@dataclass(frozen=True)
class TinyCollection:
    captions: Path
    stores: list[Path]
    frames: Path

    @property
    def options(self) -> list[str]:
        features = [word for store in self.stores for word in ("--store", str(store))]
        return ["--captions", str(self.captions), *features]


def tiny_collection(folder: Path, *, seed: int = 0, shots: int = SHOTS) -> TinyCollection:
    """Two shot-level stores ("one", "two") and a frame-level one ("film/frame"), of encoders that are in no catalog."""
    rng = np.random.default_rng(seed)
    pairs = [(THINGS[i % 8], PLACES[(i // 8) % 6]) for i in range(shots)]
    hidden = np.array([[*(t == x for x in THINGS), *(p == x for x in PLACES)] for t, p in pairs], dtype=np.float32)
    project = np.random.default_rng(9).normal  # the same in every collection: the same encoders
    mixes = [project(size=(14, dim)).astype(np.float32) for dim in (10, 12, 6)]

    def vectors(mix: np.ndarray, repeat: np.ndarray | int = 1) -> np.ndarray:
        rows = np.repeat(hidden @ mix, repeat, axis=0)
        rows = rows + 0.1 * rng.normal(size=rows.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    folder.mkdir(parents=True, exist_ok=True)
    lengths = rng.integers(1, 5, shots)
    specs = {name: spec_named(name) for name in ("one", "two", "film")}
    stores = [folder / "one", folder / "two"]
    make_store(stores[0], vectors(mixes[0]), spec=specs["one"])
    make_store(stores[1], vectors(mixes[1]), spec=specs["two"])
    make_store(folder / "film", vectors(mixes[2], lengths), lengths=lengths, spec=specs["film"])
    lines = []
    for shot, (thing, place) in zip(shot_ids(shots), pairs, strict=True):
        lines += [f"{shot}#0 a {thing} in the {place}\n", f"{shot}#1 the {place} with a {thing}\n"]
    captions = folder / "tiny.caption.txt"
    captions.write_text("".join(lines), encoding="utf-8")
    return TinyCollection(captions, stores, folder / "film")


def spec_named(name: str):
    from dataclasses import replace

    return replace(SPEC, name=name)
