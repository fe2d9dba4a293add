"""The blocks that LAFF is compared with: their formulas, missing features, and training with each of them."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avs.core.errors import ConfigError, DataError
from avs.models.architectures.laff import Fusion, LaffConfig
from avs.models.batch import Batch
from avs.models.blocks import BLOCKS
from avs.models.blocks.block import FusionBlock, Transform
from avs.models.laff import LaffModel

DIMS = {"clip": 6, "blip": 4, "motion": 5}
HEADS, HEAD_DIM = 2, 8
FUSIONS = get_args(Fusion)
LEAVES_OUT = [name for name in FUSIONS if name != "concatenation"]


def make(fusion: Fusion, dims: dict[str, int] = DIMS, *, seed: int = 0, **options: object) -> FusionBlock:
    torch.manual_seed(seed)
    made = BLOCKS[fusion](dims, heads=HEADS, head_dim=HEAD_DIM, **options).double().eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def inputs(count: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(count, dim).double() for name, dim in DIMS.items()}


def transformed(block: FusionBlock, features: dict[str, Tensor]) -> list[Tensor]:
    """(B, H*d) of each feature, by the formula."""
    made = []
    for name, transform in zip(block.names, block.transforms, strict=True):
        assert isinstance(transform, Transform)
        made.append(torch.tanh(features[name] @ transform.linear.weight.T + transform.linear.bias))
    return made


def by_head(fused: Tensor) -> Tensor:
    return F.normalize(fused.reshape(-1, HEADS, HEAD_DIM), dim=-1)


def close(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, atol=1e-12)


def test_mean() -> None:
    block, features = make("mean"), inputs()
    assert close(block(features, {}), by_head(sum(transformed(block, features)) / 3))


def test_weighted_sum() -> None:
    block, features = make("weighted-sum"), inputs()
    weights, bias = block.sum.weight[0], block.sum.bias
    wanted = sum(weight * one for weight, one in zip(weights, transformed(block, features), strict=True)) + bias
    assert close(block(features, {}), by_head(wanted))


def test_concatenation_is_one_transform_of_all_features() -> None:
    block, features = make("concatenation"), inputs()
    (transform,) = block.transforms
    together = torch.cat([features[name] for name in DIMS], dim=1)
    linear = transform.linear
    assert close(block(features, {}), by_head(torch.tanh(together @ linear.weight.T + linear.bias)))


def test_self_attention() -> None:
    block, features = make("self-attention"), inputs()
    tokens = torch.stack(transformed(block, features), dim=1)  # (B, k, 16)
    attention = block.attention
    queries, keys, values = (
        (tokens @ weight.T + bias).unflatten(-1, (8, 2)).transpose(1, 2)  # (B, heads, k, 2)
        for weight, bias in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    shares = (queries @ keys.transpose(-1, -2) / 2**0.5).softmax(dim=-1)
    attended = (shares @ values).transpose(1, 2).flatten(2) @ attention.out_proj.weight.T + attention.out_proj.bias
    assert close(block(features, {}), by_head(block.norm(tokens + attended).mean(dim=1)))


@pytest.mark.parametrize("fusion", LEAVES_OUT)
def test_a_row_leaves_out_the_features_that_it_lacks(fusion: Fusion) -> None:
    block, features = make(fusion), inputs()
    lacking = {"blip": torch.tensor([True, False, True, False, True])}
    found = block(features, lacking)
    features["blip"][~lacking["blip"]] = float("nan")  # such a row is not read
    assert close(block(features, lacking), found)
    everything = block(inputs(), {})
    assert close(found[lacking["blip"]], everything[lacking["blip"]])
    without = make(fusion, {name: dim for name, dim in DIMS.items() if name != "blip"})
    kept = {name: value for name, value in block.state_dict().items() if not name.startswith("transforms.1.")}
    renamed = {name.replace("transforms.2.", "transforms.1."): value for name, value in kept.items()}
    if fusion == "weighted-sum":
        renamed["sum.weight"] = renamed["sum.weight"][:, [0, 2]]
    without.load_state_dict(renamed)
    assert close(found[~lacking["blip"]], without(inputs(), {})[~lacking["blip"]])


def test_concatenation_reads_zeros_where_a_text_lacks_a_feature() -> None:
    block, features = make("concatenation"), inputs()
    lacking = {"blip": torch.tensor([True, False, True, False, True])}
    found = block({**features, "blip": features["blip"].masked_fill(~lacking["blip"][:, None], float("nan"))}, lacking)
    zeros = {**features, "blip": features["blip"] * lacking["blip"][:, None]}
    assert close(found, block(zeros, {}))


def test_concatenation_refuses_a_video_that_lacks_a_feature() -> None:
    model = LaffModel(LaffConfig(video={"clip": 6, "blip": 4}, text={"bow": 9}, fusion="concatenation"))
    videos = Batch({"clip": torch.ones(2, 6), "blip": torch.ones(2, 4)}, {}, {"blip": torch.tensor([True, False])})
    with pytest.raises(DataError, match="1 of 2 videos have no blip"):
        model.embed_videos(videos)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_block_learns(fusion: Fusion) -> None:
    torch.manual_seed(0)
    model = LaffModel(
        LaffConfig(video=DIMS, text={"bow": 9}, heads=HEADS, head_dim=HEAD_DIM, dropout=0.0, fusion=fusion)
    )
    videos, texts = Batch({name: torch.randn(6, dim) for name, dim in DIMS.items()}), Batch({"bow": torch.rand(6, 9)})
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = model.loss(model.embed_texts(texts), model.embed_videos(videos), video_of=torch.arange(6))
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fusion": "mean", "with_ave": True}, "with_ave"),
        ({"fusion": "concatenation", "no_transform": ("clip",), "head_dim": 6}, "transforms all of them at once"),
        ({"fusion": "self-attention", "heads": 1, "head_dim": 12}, "multiple of 8"),
    ],
)
def test_options_that_do_not_fit_the_block_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LaffConfig(video={"clip": 6}, text={"clip": 6}, **options)
