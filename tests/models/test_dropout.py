from __future__ import annotations

import pytest
import torch

from avs.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.2, 0.5, 0.03])
def test_so_many_are_dropped_and_the_mean_is_kept(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1000, 1003))
    zeros = (dropped == 0).float()
    deviation = (p * (1 - p) / zeros.numel()) ** 0.5
    assert abs(float(zeros.mean()) - p) < 5 * deviation + 2e-5
    assert float(dropped.max()) == pytest.approx(1 / (1 - p), rel=1e-4)
    for lane in range(4):  # the four numbers of a draw are dropped alike and independently
        assert abs(float(zeros.flatten()[lane::4].mean()) - p) < 10 * deviation + 2e-5
    neighbours = zeros.flatten()[:-1] * zeros.flatten()[1:]
    assert abs(float(neighbours.mean()) - p * p) < 0.003


def test_gradients_pass_where_values_do() -> None:
    values = torch.randn(7, 5, requires_grad=True)
    dropped = Dropout(0.4)(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad == 0, dropped == 0)


def test_it_follows_the_seed_and_does_nothing_outside_training() -> None:
    layer, values = Dropout(0.3), torch.randn(50)
    torch.manual_seed(1)
    first = layer(values)
    torch.manual_seed(1)
    assert torch.equal(first, layer(values))
    assert torch.equal(layer.eval()(values), values)
    assert not Dropout(1.0)(values).any()
