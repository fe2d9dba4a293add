from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from avs.core.errors import AvsError, MissingDependencyError
from avs.features.weights import fingerprint_weights, locate, weight_files


def test_a_missing_folder_is_named_with_its_closest_sibling(checkpoints: dict[str, Path]) -> None:
    wrong = checkpoints["clip"].with_name("clipp")
    with pytest.raises(AvsError) as caught:
        locate(str(wrong))
    assert str(caught.value) == (
        f"no such checkpoint folder\n  where:  {wrong}\n  next:   did you mean {checkpoints['clip']}?"
    )


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AvsError) as caught:
        locate(str(tmp_path))
    assert caught.value.what == "not a checkpoint folder"
    assert caught.value.got == "no config.json and no model.safetensors"


def test_an_encoder_that_did_not_ship_is_named() -> None:
    with pytest.raises(AvsError, match="no such encoder in this copy of avs"):
        locate("package:demo/encoders/none")


def test_weights_on_the_hub_without_a_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingDependencyError) as caught:
        locate("openai/clip-vit-base-patch32")
    assert caught.value.exit_code == 3
    assert caught.value.what == "the weights are not on this machine, and the Hub could not be reached"
    assert caught.value.where == "openai/clip-vit-base-patch32@main"
    assert caught.value.next_step == (
        "on a machine with a network: hf download openai/clip-vit-base-patch32 --revision main --local-dir FOLDER; "
        "copy FOLDER here and pass --weights FOLDER"
    )


def test_the_fingerprint_is_of_the_bytes_and_not_the_place(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(checkpoints["clip"], tmp_path / "moved")
    content = (moved / "model.safetensors").read_bytes()
    assert fingerprint_weights(moved) == hashlib.sha256(content).hexdigest()
    assert fingerprint_weights(moved) == fingerprint_weights(checkpoints["clip"])
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    (moved / "model.safetensors").write_bytes(changed)
    assert fingerprint_weights(moved) != fingerprint_weights(checkpoints["clip"])


def test_safetensors_come_before_bin_and_shards_count_together(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"b")
    assert [p.name for p in weight_files(tmp_path)] == ["pytorch_model.bin"]
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"1")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"2")
    both = fingerprint_weights(tmp_path)
    assert len(weight_files(tmp_path)) == 2
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"3")
    assert fingerprint_weights(tmp_path) != both
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    assert [p.name for p in weight_files(tmp_path)] == ["model.safetensors"]
