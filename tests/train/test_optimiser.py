"""RMSprop as torch computes it; learning rates as the two authors' codes set them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avs.models.architectures import architectures
from avs.train import optimiser
from avs.train.optimiser import RMSprop, Schedule
from avs.train.settings import Settings


def test_it_is_torchs_rmsprop(monkeypatch) -> None:
    monkeypatch.setattr(optimiser, "BLOCK", 7)  # more than one block, the last one short
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(2))]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    one, other = RMSprop(ours, lr=1e-2), torch.optim.RMSprop(theirs, lr=1e-2)
    for _ in range(5):
        for mine, reference in zip(ours[:2], theirs[:2], strict=True):  # the third never has a gradient
            mine.grad = torch.randn_like(mine)
            reference.grad = mine.grad.clone()
        one.step()
        other.step()
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


def test_a_parameter_that_is_not_contiguous_is_updated_too() -> None:
    wide = torch.randn(4, 6)
    parameter = nn.Parameter(wide.t())
    assert not parameter.is_contiguous()
    before = parameter.detach().clone()
    parameter.grad = torch.ones_like(parameter)
    RMSprop([parameter], lr=0.1).step()
    assert (parameter < before).all()


@pytest.mark.parametrize("move", [1e-1, 1e-3, 1e-4, 3e-5])
@pytest.mark.parametrize("seed", range(10))
def test_laff_cuts_as_torchs_reduce_on_plateau_does(move: float, seed: int) -> None:
    values = (0.3 + move * torch.randn(40, generator=torch.Generator().manual_seed(seed)).cumsum(0)).tolist()
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="max", factor=0.5, patience=2)
    schedule = Schedule.of(Settings(learning_rate=1.0, decay=1.0))
    for value in values:
        plateau.step(value)
        schedule.step(value)
        assert schedule.rate == sgd.param_groups[0]["lr"]


def test_dual_encoding_uses_a_rate_three_epochs_before_it_cuts_again() -> None:
    authors = architectures.get("dual-encoding").recipe["training"]
    schedule = Schedule.of(Settings(**authors, learning_rate=1.0, decay=1.0))
    rates = []
    for value in (0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.20001, 0.1, 0.200011):
        schedule.step(value)
        rates.append(schedule.rate)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_every_epoch_decays() -> None:
    schedule = Schedule(1e-4)
    schedule.step(0.1)
    schedule.step(0.2)
    assert schedule.rate == pytest.approx(1e-4 * 0.99**2)
