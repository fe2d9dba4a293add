from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_pairs import tiny_model
from tiny_stores import SPEC

from avs.core.artifacts import Manifest
from avs.core.errors import FormatError, SpecMismatchError
from avs.models.architectures import config_to_json, make_config
from avs.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny_model()
    checkpoint = Checkpoint(
        architecture="laff",
        config=config_to_json(model.config),
        video_features={"a": SPEC},
        text_features=[{"kind": "bow", "name": "bow"}],
        epoch=3,
        measures={"MRR": 0.5},
        validation={"captions": "x"},
        attention={"video": {"a": 1.0}},
        folder=tmp_path / "model" / "best",
    )
    write_checkpoint(checkpoint, model.state_dict(), Manifest("checkpoint"))
    return tmp_path / "model"


def test_it_comes_back_as_it_was(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)  # of a training's folder, its best
    assert checkpoint.folder == saved / "best" and checkpoint.epoch == 3 and checkpoint.measures == {"MRR": 0.5}
    again = checkpoint.load_model()
    assert not again.training
    for name, tensor in tiny_model().state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert make_config("laff", checkpoint.config) == tiny_model().config


def test_what_is_no_checkpoint_says_so(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="not a checkpoint\n"):
        read_checkpoint(tmp_path / "empty")
    path = saved / "best/checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "frames": 3}))
    with pytest.raises(FormatError, match="not a checkpoint of this avs"):
        read_checkpoint(saved)
    (saved / "best/manifest.json").unlink()
    with pytest.raises(FormatError, match="no manifest"):
        read_checkpoint(saved)


def test_stores_of_other_encoders_are_refused(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    checkpoint.require_specs({"a": SPEC, "more": SPEC}, where="here")
    with pytest.raises(SpecMismatchError, match="a: no store given"):
        checkpoint.require_specs({}, where="here")
