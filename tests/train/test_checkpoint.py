from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from disk import room_for, watch_renames
from safetensors.torch import load_file, save_file
from tiny_pairs import tiny_model
from tiny_stores import SPEC, without_hashes

from avs.core.artifacts import Manifest
from avs.core.errors import AvsError, FormatError, SpecMismatchError
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
    without_hashes(saved / "best")
    with pytest.raises(FormatError, match="not a checkpoint of this avs"):
        read_checkpoint(saved)
    (saved / "best/manifest.json").unlink()
    with pytest.raises(FormatError, match="no manifest"):
        read_checkpoint(saved)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        weights = load_file(path)
        change(weights)
        save_file(weights, path)

    return damage


def first(weights: dict[str, torch.Tensor]) -> str:
    return max(weights, key=lambda name: weights[name].numel())


WEIGHTS = {
    "cut short": (lambda path: os.truncate(path, 500), "not a safetensors file"),
    "empty": (lambda path: os.truncate(path, 0), "0 bytes"),
    "pickled": (lambda path: torch.save({"a": torch.ones(2)}, path), "pickled ones"),
    "gone": (lambda path: path.unlink(), "no such file of weights"),
    "missing": (tensors(lambda w: w.pop(first(w))), ": is missing"),
    "more": (tensors(lambda w: w.update(more=torch.ones(1))), "more: is not a tensor of the model"),
    "misshapen": (tensors(lambda w: w.update({first(w): torch.ones(3)})), "has shape [3], wanted ["),
    "NaN": (tensors(lambda w: w[first(w)].view(-1)[:1].fill_(torch.nan)), "has values that are not finite"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_cannot_be_used_name_their_file(saved: Path, case: str) -> None:
    damage, said = WEIGHTS[case]
    path = without_hashes(saved / "best") / "model.safetensors"
    damage(path)
    with pytest.raises(AvsError) as caught:
        read_checkpoint(saved).load_model()
    assert str(path) in str(caught.value) and said in str(caught.value) and caught.value.next_step
    assert type(caught.value) is FormatError or case == "gone"


@pytest.mark.parametrize(
    "change",
    [{"text_features": [{"name": "bow"}]}, {"text_features": [3]}, {"video_features": []}, {"epoch": 1, "more": 2}],
)
def test_a_damaged_description_is_named(saved: Path, change: dict[str, object]) -> None:
    path = without_hashes(saved / "best") / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FormatError, match="not a checkpoint of this avs") as caught:
        read_checkpoint(saved)
    assert caught.value.where == path
    path.write_text("[" * 100_000)
    with pytest.raises(FormatError, match="not a checkpoint of this avs"):
        read_checkpoint(saved)


def test_a_changed_checkpoint_is_refused(saved: Path) -> None:
    path = saved / "best/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-400:] = os.urandom(400)
    path.write_bytes(data)
    with pytest.raises(FormatError, match="model.safetensors was changed after it was written"):
        read_checkpoint(saved)


def test_the_fingerprint_follows_the_weights(saved: Path) -> None:
    before = read_checkpoint(saved)
    fingerprint = before.fingerprint
    weights = {name: tensor + 1 for name, tensor in before.load_model().state_dict().items()}
    write_checkpoint(before, weights, Manifest("checkpoint"))
    assert read_checkpoint(saved).fingerprint != fingerprint


def test_the_manifest_is_written_last(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = read_checkpoint(saved)
    named = watch_renames(monkeypatch)
    write_checkpoint(checkpoint, tiny_model().state_dict(), Manifest("checkpoint"))
    assert named == ["model.safetensors", "checkpoint.json", "manifest.json"]


def test_a_full_disk_names_the_weights(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    with pytest.raises(OSError) as caught, room_for(100):
        write_checkpoint(checkpoint, tiny_model().state_dict(), Manifest("checkpoint"))
    assert caught.value.filename == str(saved / "best/model.safetensors")
    assert checkpoint.load_model()  # the old ones are whole


def test_stores_of_other_encoders_are_refused(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    checkpoint.require_specs({"a": SPEC, "more": SPEC}, where="here")
    with pytest.raises(SpecMismatchError, match="a: no store given"):
        checkpoint.require_specs({}, where="here")
