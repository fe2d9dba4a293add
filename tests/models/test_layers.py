from __future__ import annotations

import pytest
import torch

from avs.models.layers import Dropout, LinearTanh


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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 3, 130])
@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 2**-8), (torch.float16, 2**-10)]
)
def test_without_gradients_it_is_the_same(dtype: torch.dtype, atol: float, rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    linear, feature = LinearTanh(70, 33, bias=bias, dtype=dtype), torch.randn(rows, 70, dtype=dtype)
    exact = feature.double() @ linear.weight.double().T
    exact = torch.tanh(exact + linear.bias.double() if bias else exact)
    with torch.inference_mode():
        found = linear(feature)
    assert found.dtype == dtype and found.shape == (rows, 33)
    assert torch.allclose(found.double(), exact, atol=atol, rtol=0)
    assert torch.allclose(linear(feature).double(), exact, atol=4 * atol, rtol=0)


def test_with_gradients_they_flow() -> None:
    linear, feature = LinearTanh(4, 3), torch.randn(2, 4)
    linear(feature).sum().backward()
    assert linear.weight.grad is not None and (linear.weight.grad != 0).all()


def test_inside_autocast_the_product_is_low_precision() -> None:
    linear, feature = LinearTanh(4, 3), torch.randn(2, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(feature).dtype == torch.bfloat16


def test_packed_it_is_the_same_and_packing_twice_changes_nothing() -> None:
    linear, feature = LinearTanh(70, 33), torch.randn(130, 70)
    with torch.inference_mode():
        plain = linear(feature)
        linear.pack(130)
        assert torch.allclose(linear(feature), plain, atol=1e-6)
        linear.pack(130)
        assert torch.allclose(linear(feature), plain, atol=1e-6)
