"""RMSprop as torch computes it."""

from __future__ import annotations

import torch
from torch import nn

from avs.train.optimisers import rmsprop
from avs.train.optimisers.rmsprop import RMSprop


def test_it_is_torchs_rmsprop(monkeypatch) -> None:
    monkeypatch.setattr(rmsprop, "BLOCK", 7)  # more than one block, the last one short
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
