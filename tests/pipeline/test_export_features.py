"""Stores as BigFiles: the same rows under ids that RUC's code can read, and nothing written where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_borrowed import IDS, ROWS, write_big, write_table
from tiny_stores import make_store, shot_ids

from avs.core.artifacts import UNFINISHED, Manifest, write_manifest
from avs.core.bigfile import BigFile
from avs.core.errors import ChangedInputsError, ConfigError, FormatError
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.borrowed.placing import FrameNumbers
from avs.pipeline import export_features as module
from avs.pipeline.export_features import export_features, ruc_names
from avs.pipeline.import_features import FeatureSources, import_features
from avs.pipeline.provenance import Trail
from avs.pipeline.verification import verify


def export(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    return export_features(folder, out, reporter=Reporter(), **options)


@pytest.fixture
def dotted(tmp_path: Path) -> Path:
    """A store with a shot of video 2.x."""
    big = write_big(tmp_path / "wsl", IDS, ROWS)
    import_features(FeatureSources(big, write_table(tmp_path)), tmp_path / "store", reporter=Reporter())
    return tmp_path / "store"


def test_a_store_of_shots_is_exported_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    store, out = make_store(tmp_path / "store", ROWS), tmp_path / "FeatureData/tiny"
    assert {**export(store.folder, out), "seconds": 0} == {"path": str(out), "seconds": 0, "rows": 4, "dim": 3}
    file = BigFile(out)
    assert file.ids == store.ids and np.array_equal(file.vectors, store.vectors.astype(np.float32))
    assert verify(out).problems == [] and Trail([out]).broken == []
    used = Manifest("list", inputs={"store": file.manifest["fingerprint"]}, paths={"store": out})
    (tmp_path / "made").mkdir()
    write_manifest(tmp_path / "made", used)  # of something that was made from it, which knows no manifest of a BigFile
    assert Trail([tmp_path / "made"]).broken == []
    assert "up_to_date" in export(store.folder, out)
    (out / "feature.bin").write_bytes(bytes(48))
    assert "feature.bin was changed" in verify(out).problems[0]
    with pytest.raises(ChangedInputsError):
        export(store.folder, out)
    export(store.folder, out, force=True)
    assert verify(out).problems == []


def test_frames_count_from_0_and_come_back_as_they_were(tmp_path: Path) -> None:
    rows = np.random.default_rng(2).standard_normal((7, 3)).astype(np.float32)
    store = make_store(tmp_path / "store", rows, lengths=np.array([4, 1, 2]), dtype="float32")
    export(store.folder, tmp_path / "frame/tiny")
    first, second, third = shot_ids(3)
    wanted = [*(f"{first}_{n}" for n in range(4)), f"{second}_0", f"{third}_0", f"{third}_1"]
    assert list(BigFile(tmp_path / "frame/tiny").ids) == wanted
    again = BigFile(tmp_path / "frame/tiny", level="frame")
    assert again.ids == store.ids and np.array_equal(again.vectors, store.vectors)
    table = "".join(f"{shot}\t00001\t{2 * n}\t{2 * n + 2}\n" for n, shot in enumerate(store.ids))
    (tmp_path / "shots.tsv").write_text("shot\tvideo\tstart_s\tend_s\n" + table)
    back = FeatureSources(tmp_path / "frame/tiny", tmp_path / "shots.tsv", level="frame", numbers=FrameNumbers(2))
    import_features(back, tmp_path / "back", reporter=Reporter())
    borrowed = FeatureStore(tmp_path / "back")
    assert borrowed.offsets is not None and borrowed.offsets.tolist() == [0, 4, 5, 7]
    assert np.array_equal(borrowed.vectors, store.vectors)


def test_dots_are_refused_or_replaced_by_the_rule_that_is_asked_for(tmp_path: Path, dotted: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(FormatError, match=r'1 have a "\.": shot2\.x_1'):
        export(dotted, out)
    with pytest.raises(ConfigError, match="letters, digits"):
        export(dotted, out, dots_to="a b")
    assert not out.exists()
    export(dotted, out, dots_to="-")
    assert BigFile(out).ids == (*IDS[:3], "shot2-x_1")
    assert (out / "names.tsv").read_text().splitlines()[-1] == "shot2.x_1\tshot2-x_1"
    assert verify(out).problems == []


def test_ids_that_would_not_be_told_apart_are_named() -> None:
    shots = ["shota.b_1", "shota-b_1", "x/y.z"]
    with pytest.raises(FormatError) as caught:
        ruc_names(shots, dots_to="-", where=Path("s"))
    assert "2 would not be told apart: shota.b_1 -> shota-b_1, shota-b_1 -> shota-b_1" in caught.value.what
    assert 'ids: 1 have a "/": x/y.z' in caught.value.what
    with pytest.raises(FormatError) as caught:
        ruc_names(shots, dots_to=None, where=Path("s"))
    assert '1 have a "/"' in caught.value.what and '2 have a ".": shota.b_1, x/y.z' in caught.value.what


def test_a_bigfile_is_no_input_and_the_output_lies_apart(tmp_path: Path, dotted: Path) -> None:
    with pytest.raises(ConfigError, match="a BigFile already"):
        export(tmp_path / "wsl", tmp_path / "out")
    for out in (dotted, dotted / "out", tmp_path):
        with pytest.raises(ConfigError, match="must lie apart"):
            export(dotted, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(ConfigError, match="something else"):
        export(dotted, tmp_path / "mine", dots_to="-", force=True)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / UNFINISHED).touch()
    (tmp_path / "half/.feature.bin.tmp").write_bytes(b"cut")
    export(dotted, tmp_path / "half", dots_to="-")
    assert verify(tmp_path / "half").problems == []
