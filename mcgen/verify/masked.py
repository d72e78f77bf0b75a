"""Products and elementwise functions for the branches of `where`: a zero cotangent stays zero, whatever it meets.

The cotangent of a branch that wasn't taken is zero, but zero times the infinite derivative of, say, log at 0 is NaN.
Here a zero cotangent times a derivative that isn't finite is zero. All of it can be differentiated again.
"""
from __future__ import annotations

from typing import Callable

import torch


def _unbroadcast(grad: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return grad.sum_to_size(shape) if grad.shape != shape else grad


class _Chain(torch.autograd.Function):
    """cotangent * derivative, 0 where the cotangent is 0 and the derivative isn't finite."""

    @staticmethod
    def forward(ctx, cotangent, derivative):
        stop = (cotangent == 0) & ~torch.isfinite(derivative)
        ctx.save_for_backward(cotangent, derivative, stop)
        ctx.shapes = cotangent.shape, derivative.shape
        return torch.where(stop, torch.zeros((), dtype=cotangent.dtype), cotangent * derivative)

    @staticmethod
    def backward(ctx, grad):
        cotangent, derivative, stop = ctx.saved_tensors
        grad = grad.masked_fill(stop, 0.0)
        cotangent, derivative = cotangent.expand(stop.shape), derivative.expand(stop.shape)
        left = _Chain.apply(grad, derivative).masked_fill(stop, 0.0)
        right = _Chain.apply(grad, cotangent).masked_fill(stop, 0.0)
        return _unbroadcast(left, ctx.shapes[0]), _unbroadcast(right, ctx.shapes[1])


class _Mul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return _unbroadcast(_Chain.apply(grad, b), a.shape), _unbroadcast(_Chain.apply(grad, a), b.shape)


class _Unary(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, x):
        ctx.f = f
        ctx.save_for_backward(x)
        return f(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return None, _Chain.apply(grad, _Unary.apply(_slope(ctx.f), x))


def _slope(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The derivative of an elementwise function, as one that can be differentiated in turn."""
    def slope(x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            point = x if x.requires_grad else x.detach().requires_grad_()
            (found,) = torch.autograd.grad(f(point).sum(), point, create_graph=True, allow_unused=True, materialize_grads=True)
        return found
    return slope


def mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a * b, broadcast."""
    return _Mul.apply(a, b)


def unary(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """f(x), elementwise."""
    return _Unary.apply(f, x)
