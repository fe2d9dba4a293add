"""Stores of the toy encoder over twenty shots, in eleven jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

from fake_frames import FakeFrames, table
from toy_encoder import ToyEncoder

from avs.features.recipe import EncoderRecipe, ExtractionRecipe
from avs.features.stores import StorePlan, make_stores, plan_stores

SHOTS = table({"00001": 9, "00002": 1, "00003": 2, "00010": 7, "00011": 1})
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy")


def plans(folder: Path) -> list[StorePlan]:
    recipe = ExtractionRecipe(encoders=[EncoderRecipe(model="toy")], levels=["shot", "frame"])
    return plan_stores(folder, recipe, inputs={"shots": SHOTS.fingerprint}, encoders=[ToyEncoder()])


def given(source: FakeFrames, _: object) -> FakeFrames:
    return source


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.name in FILES}


def made_by_one(folder: Path) -> dict[str, bytes]:
    """The files of stores that one process made."""
    make_stores(plans(folder), SHOTS, partial(given, FakeFrames()), batch_size=2)
    return content(folder)


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """`act` runs in a thread, which must come to its end."""
    thread = Thread(target=act)
    thread.start()
    yield
    thread.join()


def until(true: Callable[[], object]) -> None:
    while not true():
        time.sleep(0.01)
