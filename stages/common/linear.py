"""Linear layers whose sums are the same on every x86-64 processor: by oneDNN in place of MKL.

MKL chooses its kernels by the processor's maker; where it is told not to, it is slow. oneDNN, held
to AVX2 (stages/common/portable.py), gives equal bytes on all of them at the speed of AVX2. torch
sends float32 products on a CPU to MKL alone, so the operator below is called by name. It has no
gradient of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stages.common import portable


class PortableLinear(nn.Linear):
    """nn.Linear, by oneDNN where tensors are float32 on a CPU and autocast is off."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        return linear(input, self.weight, self.bias)


def make_portable(model: nn.Module) -> nn.Module:
    """Have the linear layers of `model` computed by oneDNN, in place, if this process is portable.

    The weights and their names stay. What is no plain nn.Linear (a quantised layer) is left alone.
    """
    if portable.is_on():
        for module in model.modules():
            if type(module) is nn.Linear:
                module.__class__ = PortableLinear
    return model


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., in), weight (out, in), bias (out,) -> (..., out), as nn.functional.linear.

    A row has the same bytes in any company of rows, and alone. There is a first derivative, no
    second: RuntimeError.
    """
    plain = x.dtype is weight.dtype is torch.float32 and x.device.type == "cpu"
    if not plain or torch.is_autocast_enabled("cpu") or x.numel() == 0:
        return nn.functional.linear(x, weight, bias)
    learned = any(tensor is not None and tensor.requires_grad for tensor in (x, weight, bias))
    if learned and torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias)
    return _product(x, weight, bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias. One row alone takes another kernel, and is computed as two."""
    operator = torch.ops.mkldnn._linear_pointwise
    if x.numel() == x.shape[-1]:
        rows = x.reshape(1, -1).repeat(2, 1)
        return operator(rows, weight, bias, "none", [], "")[:1].reshape(*x.shape[:-1], -1)
    return operator(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        rows = gradient.reshape(-1, gradient.shape[-1]).contiguous()  # (rows, out)
        if ctx.needs_input_grad[0]:
            of_x = _product(rows, weight.t()).view_as(x)
        if ctx.needs_input_grad[1]:
            of_weight = _product(rows.t().contiguous(), x.reshape(len(rows), -1).t())
        if ctx.needs_input_grad[2]:
            of_bias = rows.sum(0)
        return of_x, of_weight, of_bias
