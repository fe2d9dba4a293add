"""A VisualSearch folder: its captions, features and lists, and the closest name when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from avs.captions.read import read_captions
from avs.captions.visual_search import VisualSearchCollection
from avs.core.errors import AvsError, UnknownIdError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "TextData/mini.caption.txt": "v1#0 a dog\nv2#0 a cat\n",
        "FeatureData/mean_resnext101,avgpool,os/feature.bin": "",
        "FeatureData/clip/feature.bin": "",
        "FeatureData/frame/clip/feature.bin": "",
        "FeatureData/clip.log/readme": "",
        "VideoSets/mini.txt": "v2\nv1\n",
        "ImageSets/mini.txt": "v1_0\n",
        "ImageSets/frames.txt": "v1_0\nv1_15\n",
    }.items():
        path = tmp_path / "mini" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_parts(root: Path) -> None:
    mini = VisualSearchCollection(root, "mini")
    assert read_captions(mini.captions()).videos == ("v1", "v2")
    assert list(mini.features()) == ["clip", "frame/clip", "mean_resnext101,avgpool,os"]
    assert mini.feature("frame/clip") == root / "mini/FeatureData/frame/clip"
    assert mini.videos() == ("v2", "v1")
    assert mini.videos("frames") == ("v1_0", "v1_15")


def test_wrong_names(root: Path) -> None:
    with pytest.raises(AvsError, match="no such VisualSearch collection") as caught:
        VisualSearchCollection(root, "minni")
    assert caught.value.next_step == f"did you mean {root / 'mini'}?"
    mini = VisualSearchCollection(root, "mini")
    with pytest.raises(UnknownIdError, match='no feature "clib"; did you mean "clip"?'):
        mini.feature("clib")
    with pytest.raises(UnknownIdError, match='no list of videos "frame"; did you mean "frames"?'):
        mini.videos("frame")
    (root / "mini/TextData/mini.caption.txt").unlink()
    with pytest.raises(AvsError, match="no such caption file"):
        mini.captions()
