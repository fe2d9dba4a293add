"""ResNeXt-101 of WSL: the published names and sizes, and what it computes beside a slow implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from published_names import published
from tiny_checkpoints import write_processor
from tiny_videos import write_collection
from tiny_wsl import BLOCKS, GROUP_WIDTH, GROUPS, SIZE, make_wsl, theirs
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from avs.cli.main import main
from avs.core.errors import ConfigError
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder, load_embedder_for
from avs.features.families.wsl import Wsl


def test_every_published_tensor_has_its_place() -> None:
    converted = Wsl.convert(published("wsl"))
    ours = Wsl.network(Wsl.published["32x48d"].config).state_dict()
    assert {name: tensor.shape for name, tensor in converted.weights.items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }
    left_out = {name for name in converted.left_out if not name.endswith("num_batches_tracked")}
    assert left_out == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("variant", "million_parameters", "billion_macs"),
    [("32x8d", 88, 16), ("32x16d", 193, 36), ("32x32d", 466, 87), ("32x48d", 829, 153)],
)
def test_sizes_are_those_of_the_table_of_wsl_images(variant: str, million_parameters: int, billion_macs: int) -> None:
    """github.com/facebookresearch/WSL-Images, README; the classifier has 2,049,000 parameters and 2,048,000 MACs."""
    network = Wsl.network(Wsl.published[variant].config)
    parameters = sum(parameter.numel() for parameter in network.parameters()) + 2_049_000
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert network(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 2048)
    macs = counter.get_total_flops() / 2 + 2_048_000
    assert parameters / 1e6 == pytest.approx(million_parameters, rel=0.01)
    assert macs / 1e9 == pytest.approx(billion_macs, abs=1)


def normalised(values: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    weight, bias, mean, variance = (
        state[f"{name}.{part}"].reshape(-1, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (values - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def group_by_group(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    parts = zip(values.chunk(GROUPS, dim=1), weight.chunk(GROUPS), strict=True)
    return torch.cat([F.conv2d(part, kernel, stride=stride, padding=1) for part, kernel in parts], dim=1)


def by_hand(pixels: Tensor, state: dict[str, Tensor]) -> Tensor:
    """(B, D) of (B, 3, S, S): one image, one block and one group of channels at a time."""
    values = normalised(F.conv2d(pixels, state["conv1.weight"], stride=2, padding=3), state, "bn1").relu()
    padded = F.pad(values, (1, 1, 1, 1), value=-torch.inf)
    values = padded.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))
    for stage, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = normalised(F.conv2d(values, state[f"{name}.conv1.weight"]), state, f"{name}.bn1").relu()
            inner = group_by_group(inner, state[f"{name}.conv2.weight"], stride)
            inner = normalised(inner, state, f"{name}.bn2").relu()
            inner = normalised(F.conv2d(inner, state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
            if block == 0:
                shortcut = values[:, :, ::stride, ::stride]
                values = normalised(
                    F.conv2d(shortcut, state[f"{name}.downsample.0.weight"]), state, f"{name}.downsample.1"
                )
            values = (inner + values).relu()
    return values.mean(dim=3).mean(dim=2)


@torch.no_grad()
def test_it_computes_what_a_slow_implementation_does(tmp_path: Path) -> None:
    state = theirs()
    network = Wsl(make_wsl(tmp_path / "wsl", state), dtype=torch.float32, pooling="mean").module
    pixels = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    wanted = torch.cat([by_hand(one[None], state) for one in pixels])
    assert wanted.std() > 0.1
    torch.testing.assert_close(network(pixels), wanted, atol=1e-5, rtol=1e-5)


def test_its_spec_says_layer_and_pooling(tmp_path: Path) -> None:
    embedder = load_embedder("wsl", weights=make_wsl(tmp_path / "wsl", theirs()))
    spec = embedder.spec
    assert (spec.layer, spec.pooling, spec.crops, spec.activation) == ("avgpool", "mean", "", "relu")
    assert (spec.image_size, spec.resize, spec.interpolation) == (SIZE, f"shortest-edge-{SIZE + 8}-crop", "bilinear")
    assert spec.mean == (0.485, 0.456, 0.406) and spec.std == (0.229, 0.224, 0.225)
    assert spec.dim == 256 * 2 ** (len(BLOCKS) - 1)
    frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)
    vectors = embedder.encode_images(embedder.preprocess(frames))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert GROUP_WIDTH * GROUPS < 64


@torch.no_grad()
def test_ten_crops_are_the_mean_of_corners_centre_and_mirror_images(tmp_path: Path) -> None:
    weights = make_wsl(tmp_path / "wsl", theirs())
    ten, center = (load_embedder("wsl", weights=weights, crops=crops, unit_length=False) for crops in ("ten", "center"))
    assert (ten.spec.crops, center.spec.crops) == ("ten", "") and center.spec == load_embedder_for(center.spec).spec
    assert load_embedder_for(ten.spec).spec == ten.spec
    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE + 8, 2 * SIZE, 3), dtype=np.uint8)  # need no resize
    low, right = 8, SIZE
    places = [(0, 0), (0, right), (low, 0), (low, right), (low // 2, right // 2)]
    wanted = []
    for frame in frames:
        crops = [frame[top : top + SIZE, left : left + SIZE] for top, left in places]
        images = torch.from_numpy(np.stack([*crops, *(crop[:, ::-1] for crop in crops)])).permute(0, 3, 1, 2)
        wanted.append(center.encode_images(images).mean(axis=0))
    np.testing.assert_allclose(ten.encode_images(ten.preprocess(frames)), wanted, atol=1e-5)
    of_unit_length = load_embedder("wsl", weights=weights, crops="ten")
    scaled = np.stack(wanted) / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(of_unit_length.encode_images(ten.preprocess(frames)), scaled, atol=1e-5)


def test_ten_crops_are_extracted_in_one_pass_beside_others(tmp_path: Path) -> None:
    weights = make_wsl(tmp_path / "wsl", theirs())
    write_collection(tmp_path, films=1)
    recipe = tmp_path / "recipe.yaml"
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "--workers", "0", "--quiet"]
    recipe.write_text(
        f"encoders: [{{model: wsl, weights: {weights}, crops: ten}}, {{model: mini-clip}}]\nlevels: [frame]\n"
    )
    words = ["extract-features", *map(str, words)]
    assert main([*words, "--config", str(recipe), "-o", str(tmp_path / "recipe")]) == 0
    options = ["--model", "wsl", "--weights", str(weights), "--crops", "ten", "--level", "frame"]
    assert main([*words, *options, "-o", str(tmp_path / "options")]) == 0
    stores = [FeatureStore(tmp_path / made / "wsl/frame") for made in ("recipe", "options")]
    assert stores[0].spec == stores[1].spec and stores[0].spec.crops == "ten"
    assert np.array_equal(stores[0].vectors, stores[1].vectors)


def test_crops_that_an_encoder_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["extract-features", "--videos", ".", "--shots", "shots.tsv", "-o", str(tmp_path / "out")]
    assert main([*words, "--model", "mini-clip", "--crops", "ten"]) == 2
    assert 'mini-clip has no crops "ten"' in capsys.readouterr().err
    assert main([*words, "--model", "wsl", "--weights", ".", "--crops", "five"]) == 2
    assert "wanted: center, ten" in capsys.readouterr().err
    folder = make_wsl(tmp_path / "wsl", theirs())
    write_processor(folder, size={"height": SIZE, "width": SIZE})
    with pytest.raises(ConfigError, match="ten crops are for checkpoints whose frames are cropped"):
        load_embedder("wsl", weights=folder, crops="ten")
