"""BertAdam by its formula; groups with a rate of their own; what weight decay spares; the moving average."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_pairs import tiny_model
from tiny_training import SETTINGS, trainer
from torch import nn

from avs.models.retrieval import RateGroup, RetrievalModel
from avs.train.moving_average import MovingAverage
from avs.train.optimisers import make_optimiser
from avs.train.optimisers.bert_adam import BertAdam
from avs.train.settings import Settings


def test_bert_adam_is_adam_without_bias_correction() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 2).double())
    value = weight.detach().clone()
    mean, square = torch.zeros_like(value), torch.zeros_like(value)
    optimiser = BertAdam([weight], lr=0.1, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.2)
    for size in (0.1, 5.0, 30.0):  # the last two are clipped
        gradient = size * torch.randn_like(value)
        weight.grad = gradient.clone()
        optimiser.step()
        gradient = gradient / max(gradient.norm().item() + 1e-6, 1.0)
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        value = value - 0.1 * (mean / (square.sqrt() + 1e-4) + 0.2 * value)
        torch.testing.assert_close(weight.detach(), value, rtol=1e-6, atol=1e-9)


class TwoRates(RetrievalModel):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head, self.LayerNorm = nn.Linear(3, 3), nn.Linear(3, 3), nn.LayerNorm(3)
        self.norm, self.frozen = nn.LayerNorm(3), nn.Parameter(torch.ones(2), requires_grad=False)
        self.attention = nn.MultiheadAttention(3, 1)

    def rate_groups(self) -> list[RateGroup]:
        return [RateGroup(list(self.backbone.parameters()), 1e-3)]


def described(model: RetrievalModel, settings: Settings) -> dict[str, tuple[float, float]]:
    """Name of a parameter -> factor on the rate, and weight decay."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(p)]: (group["factor"], group["weight_decay"])
        for group in make_optimiser(model, settings).param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("optimiser", ["adamw", "bert-adam"])
def test_groups_have_their_rate_and_biases_and_norms_do_not_decay(optimiser: str) -> None:
    found = described(TwoRates(), Settings(optimiser=optimiser, weight_decay=0.2))
    assert found == {
        "backbone.weight": (1e-3, 0.2), "backbone.bias": (1e-3, 0.0), "head.weight": (1.0, 0.2),
        "head.bias": (1.0, 0.0), "LayerNorm.weight": (1.0, 0.0), "LayerNorm.bias": (1.0, 0.0),
        "norm.weight": (1.0, 0.0), "norm.bias": (1.0, 0.0), "attention.in_proj_weight": (1.0, 0.2),
        "attention.in_proj_bias": (1.0, 0.0), "attention.out_proj.weight": (1.0, 0.2),
        "attention.out_proj.bias": (1.0, 0.0),
    }  # fmt: skip
    legacy = described(TwoRates(), Settings(optimiser=optimiser, weight_decay=0.2, legacy=True))
    assert {name for name in found if found[name] != legacy[name]} == {"norm.weight"}


def test_weight_decay_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match="weight_decay is for adamw and bert-adam"):
        Settings(optimiser="rmsprop", weight_decay=0.1)


def test_a_step_uses_the_factor_of_each_group(tmp_path: Path) -> None:
    model = tiny_model()
    slow = list(model.text.parameters())
    model.rate_groups = lambda: [RateGroup(slow, 0.0)]  # type: ignore[method-assign]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer(tmp_path, replace(SETTINGS, epochs=1), model=model).run()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if not name.startswith("text.")}


def test_after_step_is_called_after_every_step(tmp_path: Path) -> None:
    model, calls = tiny_model(), []
    model.after_step = lambda: calls.append(1)  # type: ignore[method-assign]
    loop = trainer(tmp_path, replace(SETTINGS, epochs=2), model=model)
    loop.run()
    assert len(calls) == 2 * len(loop.sampler)


def test_the_moving_average() -> None:
    model = nn.Linear(2, 1)
    average = MovingAverage(model, 0.75)
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 4
    average.update(model)
    torch.testing.assert_close(average.values["weight"], first + 1)
    with average.in_place(model):
        torch.testing.assert_close(model.weight.detach(), first + 1)
    torch.testing.assert_close(model.weight.detach(), first + 4)
    torch.testing.assert_close(average.values["weight"], first + 1)


def test_the_average_is_validated_kept_and_resumed(tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema=0.9, epochs=4, average_last=0)
    seen: list[torch.Tensor] = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append(model.video.attention.detach().clone())
        return {"MRR": float(len(seen))}

    whole = trainer(tmp_path / "whole", settings, validate=validate).run()
    assert torch.equal(whole.best["video.attention"], seen[-1])
    trainer(tmp_path / "cut", replace(settings, epochs=2), validate=validate).run()
    resumed = trainer(tmp_path / "cut", settings, model=tiny_model(seed=9), validate=validate).run()
    for name, tensor in whole.best.items():
        assert torch.equal(resumed.best[name], tensor), name
    plain = trainer(tmp_path / "plain", replace(settings, ema=None), validate=validate).run()
    assert not torch.equal(plain.best["video.attention"], whole.best["video.attention"])
