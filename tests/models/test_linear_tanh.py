from __future__ import annotations

import pytest
import torch

from avs.models.linear_tanh import linear_tanh


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 3, 130])
@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 2**-8), (torch.float16, 2**-10)]
)
def test_without_gradients_it_is_the_same(dtype: torch.dtype, atol: float, rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    linear, feature = torch.nn.Linear(70, 33, bias=bias, dtype=dtype), torch.randn(rows, 70, dtype=dtype)
    exact = feature.double() @ linear.weight.double().T
    exact = torch.tanh(exact + linear.bias.double() if bias else exact)
    with torch.inference_mode():
        found = linear_tanh(linear, feature)
    assert found.dtype == dtype and found.shape == (rows, 33)
    assert torch.allclose(found.double(), exact, atol=atol, rtol=0)
    assert torch.allclose(linear_tanh(linear, feature).double(), exact, atol=4 * atol, rtol=0)


def test_with_gradients_they_flow() -> None:
    linear, feature = torch.nn.Linear(4, 3), torch.randn(2, 4)
    linear_tanh(linear, feature).sum().backward()
    assert linear.weight.grad is not None and (linear.weight.grad != 0).all()


def test_inside_autocast_the_product_is_low_precision() -> None:
    linear, feature = torch.nn.Linear(4, 3), torch.randn(2, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear_tanh(linear, feature).dtype == torch.bfloat16
