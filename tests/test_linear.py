"""Linear layers by oneDNN: against float64, alone and in company, and where they are left alone."""

import pytest
import torch
from kept_bytes import kept_here
from torch import nn

from stages.common import portable
from stages.common.linear import PortableLinear, linear, make_portable

pytestmark = pytest.mark.skipif(not portable.is_on(), reason="another processor")
SIZES = [(1, 1), (3, 1), (32, 128), (128, 801)]  # in, out


def given(inside: int, outside: int, *rows: int):
    draw = torch.Generator().manual_seed(inside)
    x = torch.randn(*rows, inside, generator=draw)
    return x, torch.randn(outside, inside, generator=draw), torch.randn(outside, generator=draw)


@pytest.mark.parametrize(("inside", "outside"), SIZES)
@pytest.mark.parametrize("rows", [(1,), (), (2, 3), (7, 1, 5)])
def test_values_and_gradients_are_those_of_float64(inside, outside, rows):
    told = [tensor.requires_grad_() for tensor in given(inside, outside, *rows)]
    exact = [tensor.detach().double().requires_grad_() for tensor in told]
    ours, theirs = linear(*told), nn.functional.linear(*exact)
    weights = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1)).double()
    (ours * weights.float()).sum().backward()
    (theirs * weights).sum().backward()
    close = {"rtol": 1e-5, "atol": 1e-4, "check_dtype": False}
    torch.testing.assert_close(ours, theirs, **close)
    for mine, wanted in zip(told, exact, strict=True):
        torch.testing.assert_close(mine.grad, wanted.grad, **close)


@kept_here
@pytest.mark.parametrize(("inside", "outside"), SIZES)
@pytest.mark.parametrize("learned", [False, True])
def test_a_row_is_the_same_alone_and_in_company(inside, outside, learned):
    x, weight, bias = given(inside, outside, 100)
    whole = linear(x, weight.requires_grad_(learned), bias)
    for count in (1, 2, 3, 8, 33):
        assert torch.equal(linear(x[:count], weight, bias), whole[:count])
    assert torch.equal(linear(x[0], weight, bias), whole[0])
    assert torch.equal(linear(x.view(4, 25, -1), weight, bias).view(100, -1), whole)
    strided = x.t().contiguous().t()
    assert torch.equal(linear(strided, weight, bias), whole)


def test_a_gradient_that_is_spread_and_one_for_the_bias_alone():
    x, weight, bias = given(8, 4, 5)
    linear(x, weight, bias.requires_grad_()).sum().backward()
    assert bias.grad.tolist() == [5.0] * 4
    linear(x.requires_grad_(), weight, bias).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(5, -1))


def test_a_second_derivative_is_refused_not_wrong():
    x, weight, _ = given(3, 2, 4)
    [first] = torch.autograd.grad(
        linear(x.requires_grad_(), weight).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_numbers_take_the_plain_path(kind):
    x, weight, bias = (tensor.to(kind).requires_grad_() for tensor in given(128, 8, 64))
    ours = linear(x, weight, bias)
    assert ours.dtype is kind and torch.equal(ours, nn.functional.linear(x, weight, bias))


def test_autocast_and_no_rows_take_the_plain_path():
    x, weight, bias = given(128, 8, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype is torch.bfloat16
    assert linear(x[:0], weight, bias).shape == (0, 8)


def test_a_model_keeps_its_weights_and_their_names(monkeypatch):
    model = nn.Sequential(nn.Linear(4, 3), nn.MultiheadAttention(4, 1), nn.ReLU())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert make_portable(model) is model and type(model[0]) is PortableLinear
    assert type(model[1].out_proj) is not PortableLinear  # no plain nn.Linear
    after = model.state_dict()
    assert [*after] == [*before] and all(torch.equal(after[name], before[name]) for name in after)
    monkeypatch.setenv("MKL_CBWR", "AUTO")
    assert type(make_portable(nn.Linear(4, 3))) is nn.Linear
