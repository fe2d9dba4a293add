"""BEiT: the published names find their places, and the pooled patches beside a slow implementation in those names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published_names import published
from safetensors.torch import save_file
from tiny_checkpoints import make_beit, write_json
from torch import Tensor
from torch.nn import functional as F
from transformers import BeitConfig, BeitModel

from avs.core.errors import ConfigError
from avs.features.embedder import has_text_side, load_embedder

HEADS, LAYERS, PATCH, SIZE = 4, 2, 8, 32
GRID = SIZE // PATCH
LARGE = BeitConfig(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    image_size=224,
    use_relative_position_bias=True,
    use_mean_pooling=True,
)
"""What config.json of microsoft/beit-large-patch16-224-pt22k-ft22k says of sizes and parts."""
CLASSIFIER = {"classifier.weight", "classifier.bias"}


def theirs() -> dict[str, Tensor]:
    """Random numbers in the published names of the first layers, in the sizes of make_beit."""
    draw = torch.Generator().manual_seed(0)
    narrow = {1024: 32, 4096: 37, 21841: 5, 732: (2 * GRID - 1) ** 2 + 3, 16: HEADS, 197: GRID**2 + 1}
    found = {}
    for name, tensor in published("beit").items():
        if ".layer." in name and int(name.split(".layer.")[1].split(".")[0]) >= LAYERS:
            continue
        shape = [narrow.get(size, size) for size in tensor.shape]
        if name.endswith("projection.weight"):
            shape[2:] = [PATCH, PATCH]
        values = torch.randn(shape, generator=draw) * 0.3
        found[name] = values.long() if name.endswith("_index") else values
    return found


def by_hand(pixels: Tensor, state: dict[str, Tensor]) -> Tensor:
    """(D,) of one (3, S, S) image."""
    kernel, bias = (state[f"beit.embeddings.patch_embeddings.projection.{part}"] for part in ("weight", "bias"))
    corners = [(y, x) for y in range(0, SIZE, PATCH) for x in range(0, SIZE, PATCH)]
    patches = [(kernel * pixels[:, y : y + PATCH, x : x + PATCH]).sum((1, 2, 3)) + bias for y, x in corners]
    values = torch.stack([state["beit.embeddings.cls_token"][0, 0], *patches])
    for layer in range(LAYERS):
        prefix = f"beit.encoder.layer.{layer}."
        own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        values = values + own["lambda_1"] * attended(normalised(values, own, "layernorm_before"), own)
        inner = F.gelu(linear(normalised(values, own, "layernorm_after"), own, "intermediate.dense"))
        values = values + own["lambda_2"] * linear(inner, own, "output.dense")
    return normalised(values[1:].mean(0, keepdim=True), state, "beit.pooler.layernorm")[0]


def linear(values: Tensor, own: dict[str, Tensor], name: str) -> Tensor:
    return values @ own[f"{name}.weight"].T + own.get(f"{name}.bias", torch.zeros(()))


def normalised(values: Tensor, own: dict[str, Tensor], name: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-12)
    return scaled * own[f"{name}.weight"] + own[f"{name}.bias"]


def attended(values: Tensor, own: dict[str, Tensor]) -> Tensor:
    """Attention head by head, with the bias of each pair of positions looked up one by one."""
    query, key, value = (linear(values, own, f"attention.attention.{part}") for part in ("query", "key", "value"))
    table = own["attention.attention.relative_position_bias.relative_position_bias_table"]
    width, mixed = values.shape[-1] // HEADS, []
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / width**0.5
        for i in range(len(values)):
            for j in range(len(values)):
                scores[i, j] += table[row_of_table(i, j), head]
        mixed.append(scores.softmax(-1) @ value[:, part])
    return linear(torch.cat(mixed, dim=-1), own, "attention.output.dense")


def row_of_table(i: int, j: int) -> int:
    """Of positions i and j; 0 is the first token, and the last three rows are its own."""
    steps = 2 * GRID - 1
    if i == 0 or j == 0:
        return steps**2 + (2 if i == j else 0 if i == 0 else 1)
    (y, x), (v, u) = divmod(i - 1, GRID), divmod(j - 1, GRID)
    return (y - v + GRID - 1) * steps + x - u + GRID - 1


def test_the_large_network_has_as_many_tensors_and_numbers_as_were_published() -> None:
    used = {name: tensor for name, tensor in published("beit").items() if name not in CLASSIFIER}
    used = {name: tensor for name, tensor in used.items() if not name.endswith("relative_position_index")}
    with torch.device("meta"):
        ours = BeitModel(LARGE).state_dict()
    assert len(used) == len(ours)
    assert sorted(tuple(t.shape) for t in used.values()) == sorted(tuple(t.shape) for t in ours.values())


@torch.no_grad()
def test_published_tensors_find_their_places_and_compute_what_a_slow_implementation_does(tmp_path: Path) -> None:
    folder, state = make_beit(tmp_path / "beit"), theirs()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    _, loading = BeitModel.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["mismatched_keys"]
    left_over = {name for name in loading["unexpected_keys"] if not name.endswith("relative_position_index")}
    assert left_over == CLASSIFIER
    beit = load_embedder("beit", weights=folder, unit_length=False)
    images = beit.preprocess(np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8))
    wanted = torch.stack([by_hand((image / 255 - 0.5) / 0.5, state) for image in images]).numpy()
    assert np.abs(wanted[0] - wanted[1]).max() > 0.01
    np.testing.assert_allclose(beit.encode_images(images), wanted, atol=1e-5)


def test_its_spec_says_layer_and_pooling_and_a_checkpoint_that_was_not_fine_tuned_is_refused(tmp_path: Path) -> None:
    folder = make_beit(tmp_path / "beit")
    spec = load_embedder("beit", weights=folder).spec
    assert (spec.layer, spec.pooling, spec.resize, spec.interpolation) == ("pooler", "mean", "square", "bilinear")
    assert spec.mean == spec.std == (0.5, 0.5, 0.5) and not has_text_side(spec)
    with pytest.raises(ConfigError, match="the weights are not those of beit-large-224"):
        load_embedder("beit-large-224", weights=folder)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"use_mean_pooling": False})
    with pytest.raises(ConfigError, match="was not fine-tuned"):
        load_embedder("beit", weights=folder)
