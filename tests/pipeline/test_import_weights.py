"""`avs import-weights`: a checkpoint that the encoder reads, or an error before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_checkpoints import make_clip
from tiny_wsl import TINY, theirs
from torch import Tensor

from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.errors import ConfigError, FormatError
from avs.features.embedder import load_embedder, read_spec
from avs.features.families.wsl import Wsl
from avs.features.networks.weights import load_network

OUT = "out/wsl"
OLD = "old.pth"  # in the layout of before torch 1.6, which WSL's files have


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(Wsl, "published", {"tiny": TINY, **Wsl.published})
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("*.tmp"))


def save(state: dict[str, Tensor], name: str = "wsl.pth") -> str:
    if name.endswith(".safetensors"):
        save_file(state, name)
    else:
        torch.save(state, name, _use_new_zipfile_serialization=name != OLD)
    return name


def run(*words: str) -> int:
    return main(["import-weights", *words, "--family", "wsl", "-o", OUT])


@pytest.mark.parametrize("name", ["wsl.pth", OLD, "wsl.bin", "wsl.safetensors"])
def test_a_state_dict_becomes_a_checkpoint(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    state = theirs()
    assert run(save(state, name), "--json") == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["variant"] == "tiny" and {"fc.weight", "fc.bias", "bn1.num_batches_tracked"} < set(
        summary["left_out"]
    )
    assert "left out, as vectors do not depend on them: " in said.err
    assert f"--model wsl --weights {OUT}" in said.err
    network = load_network(Wsl.network(TINY.config), Path(OUT), torch.float32)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    assert read_spec("wsl", weights=OUT) == load_embedder("wsl", weights=OUT).spec
    assert json.loads(Path(OUT, "config.json").read_text())["model_type"] == "wsl"
    manifest = read_manifest(Path(OUT))
    assert manifest["type"] == "encoder-weights" and set(manifest["inputs"]) == {name}
    assert set(manifest["files"]) == {"model.safetensors", "config.json", "preprocessor_config.json"}
    assert run(name) == 0
    assert "up to date" in capsys.readouterr().err


def test_names_of_a_training_on_several_devices_lose_their_prefix() -> None:
    assert run(save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs().items()}})) == 0  # type: ignore[dict-item]


def test_the_weights_may_be_in_several_files(capsys: pytest.CaptureFixture[str]) -> None:
    state = theirs()
    parts = [{n: t for n, t in state.items() if n.startswith("layer") == later} for later in (False, True)]
    files = [save(part, f"part{number}.pth") for number, part in enumerate(parts)]
    other = save({"bn1.bias": state["bn1.bias"] + 1, "bn1.weight": state["bn1.weight"]}, "other.pth")
    assert run(*files, other) == 2
    assert "1 tensors are in two of the files, and differ" in capsys.readouterr().err
    again = save({"bn1.weight": state["bn1.weight"]}, "again.pth")
    assert run(*files, again) == 0
    folder = Path("folder")
    folder.mkdir()
    save(state, "folder/model.safetensors")
    assert main(["import-weights", "folder", "--family", "wsl", "-o", "out/of-a-folder"]) == 0
    weights = [Path(out, "model.safetensors").read_bytes() for out in (OUT, "out/of-a-folder")]
    assert weights[0] == weights[1]


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


def test_a_pickle_that_holds_code_is_refused_and_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": theirs(), "trap": Trap()}, "trap.pth")
    assert run("trap.pth") == 2
    error = capsys.readouterr().err
    assert "unpickling it would run code" in error and 'torch.load("trap.pth"' in error
    assert not Path("sprung").exists() and not Path(OUT).exists()


@pytest.mark.parametrize("name", ["wsl.pth", "wsl.safetensors", OLD])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file(name: str, share: float, capsys: pytest.CaptureFixture[str]) -> None:
    save(theirs(), name)
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(share * len(content))])
    assert run(name) == 2
    assert "damaged" in capsys.readouterr().err
    assert not Path(OUT).exists()


def test_every_tensor_that_does_not_match_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    state = theirs()
    del state["bn1.bias"], state["layer2.0.conv1.weight"], state["layer2.1.conv1.weight"]
    state |= {"head.weight": torch.zeros(2), "layer1.1.bn1.bias": torch.zeros(2), "layer1.2.bn1.bias": torch.zeros(2)}
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    state["layer1.0.bn1.weight"] = state["layer1.0.bn1.weight"].long()
    state["layer1.0.bn2.weight"] = state["layer1.0.bn2.weight"].log() - torch.inf
    assert run(save(state)) == 2
    error = capsys.readouterr().err
    assert "9 of its" in error
    for line in (
        "bn1.bias: is missing",
        "layer2.{0-1}.conv1.weight: is missing",
        "head.weight: has no place in the network",
        "layer1.{1-2}.bn1.bias: has no place in the network",
        "conv1.weight: has shape [64, 3, 3, 3], wanted [64, 3, 7, 7]",
        "layer1.0.bn1.weight: holds torch.int64, wanted torch.float32",
        "layer1.0.bn2.weight: has values that are not finite",
    ):
        assert f"  {line}\n" in error
    assert not Path(OUT).exists()


def test_weights_of_another_width_or_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(save(theirs()), "--variant", "32x8d") == 2
    error = capsys.readouterr().err
    assert "layer1.0.conv2.weight: has shape [8, 2, 3, 3], wanted [256, 8, 3, 3]" in error
    assert "--variant tiny or 32x48d or 32x32d or 32x16d or 32x8d" in error
    assert "layer3.{0-22}.conv1.weight: is missing" in error
    make_clip(Path("clip"))
    assert run("clip") == 2
    error = capsys.readouterr().err
    assert "text_model.embeddings.token_embedding.weight: has no place" in error and "conv1.weight: is missing" in error
    assert not Path(OUT).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--family", "clip"], "weights of clip need no import"),
        (["--family", "wls"], 'unknown family "wls"; did you mean "wsl"?'),
        (["--family", "wsl", "--variant", "32x48"], 'wsl has no variant "32x48"; did you mean "32x48d"?'),
    ],
)
def test_a_family_or_variant_that_cannot_be_imported(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-weights", save(theirs()), *words, "-o", OUT]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_written_into(capsys: pytest.CaptureFixture[str]) -> None:
    other = make_clip(Path(OUT))
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    for words in ([], ["--force"]):
        assert run(save(theirs()), *words) == 2
        assert "something else is where the encoder-weights should go" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_other_weights_in_the_place_need_force_and_an_interrupted_import_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = theirs()
    assert run(save(state)) == 0
    state["bn1.bias"] += 1
    assert run(save(state)) == 2
    assert "changed: inputs.wsl.pth" in capsys.readouterr().err

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("avs.pipeline.import_weights.write_preprocessing", killed)
        assert run("wsl.pth", "--force") == 130
    assert run("wsl.pth") == 0
    network = load_network(Wsl.network(TINY.config), Path(OUT), torch.float32)
    assert torch.equal(network.state_dict()["bn1.bias"], state["bn1.bias"])


def test_a_checkpoint_that_was_changed_or_cut_is_not_loaded() -> None:
    assert run(save(theirs())) == 0
    weights = Path(OUT, "model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-10])
    with pytest.raises(FormatError, match="not a safetensors file, or damaged"):
        load_embedder("wsl", weights=OUT)
    weights.write_bytes(content)
    config = Path(OUT, "config.json")
    config.write_text(config.read_text().replace('"group_width": 2', '"group_width": 4'))
    with pytest.raises(FormatError, match=r"layer1.0.conv2.weight: has shape \[8, 2, 3, 3\], wanted \[16, 4, 3, 3\]"):
        load_embedder("wsl", weights=OUT)
    config.write_text('{"model_type": "clip"}')
    with pytest.raises(ConfigError, match="another family"):
        load_embedder("wsl", weights=OUT)
