"""BigFiles of `avs export-features` in RUC's own reader: the same ids and the same rows as ours.

AVS_PEER_LAFF names a clone of https://github.com/ruc-aimc-lab/laff, AVS_PEER_TEACHCLIP one of
https://github.com/ruc-aimc-lab/TeachCLIP; nothing of them is copied here. Their readers run as they are; LAFF's imports
`util`, of which it uses nothing, and which is an empty module here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from beside_authors import code_of
from tiny_stores import make_store

from avs.core.bigfile import BigFile, write_bigfile
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.pipeline.export_features import export_features

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

READERS = {
    "laff": ("ruc-aimc-lab/laff", "AVS_PEER_LAFF", "bigfile"),
    "teachclip": ("ruc-aimc-lab/TeachCLIP", "AVS_PEER_TEACHCLIP", "utils.bigfile"),
}
ROWS = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)


@pytest.fixture(params=READERS)
def theirs(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module with their reader."""
    repository, environment, module = READERS[request.param]
    file = module.replace(".", "/") + ".py"
    with code_of(repository, environment, file, ["bigfile", "utils", "util"]) as patch:
        if request.param == "laff":
            patch.setitem(sys.modules, "util", ModuleType("util"))
        yield importlib.import_module(module)


def exported(tmp_path: Path, store: FeatureStore) -> Path:
    export_features(store.folder, tmp_path / "FeatureData/tiny", reporter=Reporter())
    return tmp_path / "FeatureData/tiny"


@pytest.mark.parametrize("lengths", [None, np.array([10, 1, 30, 19])], ids=["shot", "frame"])
def test_their_reader_gives_the_rows_of_the_store(tmp_path: Path, theirs: Any, lengths: np.ndarray | None) -> None:
    store = make_store(tmp_path / "store", ROWS, lengths=lengths)
    folder = exported(tmp_path, store)
    ours, reader = BigFile(folder), theirs.BigFile(str(folder))
    assert reader.shape() == [60, 16] and tuple(reader.names) == ours.ids
    names, rows = reader.read([ours.ids[n] for n in (41, 0, 59, 7)])
    assert names == [ours.ids[n] for n in (0, 7, 41, 59)]  # theirs come in the order of the file
    assert np.array_equal(np.float32(rows), ours.rows(names))
    assert np.array_equal(np.float32(rows), store.vectors[[0, 7, 41, 59]].astype(np.float32))
    assert np.array_equal(np.float32(reader.read_one(ours.ids[59])), ours.vectors[59])
    stream = theirs.StreamFile(str(folder))
    stream.open()
    streamed = dict(stream)
    assert tuple(streamed) == ours.ids and np.array_equal(np.float32(list(streamed.values())), ours.vectors)


def test_one_row_is_read_too(tmp_path: Path, theirs: Any) -> None:
    ours = write_bigfile(tmp_path / "one", ["shot00001_1"], [ROWS[:1]])
    names, rows = theirs.BigFile(str(tmp_path / "one")).read(["shot00001_1"])
    assert names == list(ours.ids) and np.array_equal(np.float32(rows), ours.vectors)
