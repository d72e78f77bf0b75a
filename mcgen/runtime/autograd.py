"""Gradients of a package's operators: an `autograd.Function` around them, and another one around its backward.

The gradient of the backward pass comes from the torch program: it is run again from the call's own tensors, forward and backward, in
differentiable torch operations. So gradients of gradients exist on every device, slower than the first ones. Forward mode does not.
"""
from __future__ import annotations

from types import ModuleType
from typing import Any, Callable

import torch
from torch.autograd import forward_ad

from mcgen.diagnostics import NotLowered

from .manifest import Manifest
from .register import Operators


def differentiable(manifest: Manifest, operators: Operators, program: ModuleType) -> Callable:
    """`apply(chunk, *forward params)` -> the forward results, then the saved tensors (which carry no gradient)."""
    params, results = manifest.forward_params, manifest.forward_results
    saved = [name for name, _ in manifest.saved]
    extra = [name for name in manifest.backward_params if name not in params and not name.startswith("d_")]
    pieces = [*params, *extra, *(f"d_{r}" for r in results)]                     # of the backward pass, in the order of Backward's arguments
    wanted = [(pieces.index(name)) for name in manifest.backward_params]
    grads = [manifest.backward_results.index(f"d_{p}") if f"d_{p}" in manifest.backward_results else None for p in params]
    inner = _gradient_of_gradients(manifest, operators, program, pieces, wanted, extra)

    class Forward(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(chunk: int, *tensors: torch.Tensor):
            return tuple(operators.forward_save(*tensors, chunk))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            made = dict(zip((*results, *saved), output))
            ctx.chunk = inputs[0]
            ctx.save_for_backward(*inputs[1:], *(made[name] for name in extra))
            ctx.mark_non_differentiable(*output[len(results):])
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor | None):
            args = (*ctx.saved_tensors, *gradients[:len(results)])
            if torch.is_grad_enabled() and not torch.compiler.is_compiling():
                made = inner(ctx.chunk, *args)
            else:
                made = operators.backward(*(args[i] for i in wanted), ctx.chunk)
            return None, *(None if i is None else made[i] for i in grads)

    return Forward.apply


def _gradient_of_gradients(manifest: Manifest, operators: Operators, program: ModuleType, pieces: list[str], wanted: list[int], extra: list[str]):
    """The backward operator as a function that has a gradient itself: `apply(chunk, *pieces)` -> gradients."""
    params, results = manifest.forward_params, manifest.forward_results
    kept = [i for i, name in enumerate(pieces) if name not in extra]

    class Backward(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(chunk: int, *args: torch.Tensor | None):
            return tuple(operators.backward(*(args[i] for i in wanted), chunk))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            ctx.chunk = inputs[0]
            ctx.save_for_backward(*(inputs[1 + i] for i in kept))

        @staticmethod
        def backward(ctx: Any, *seconds: torch.Tensor):
            chunk, saved = ctx.chunk, ctx.saved_tensors
            free = [i for i, x in enumerate(saved) if x is not None and x.is_floating_point()]

            def first(*moved: torch.Tensor) -> tuple[torch.Tensor, ...]:
                tensors = list(saved)
                for i, x in zip(free, moved):
                    tensors[i] = x
                taken, incoming = tensors[:len(params)], tensors[len(params):]
                made = dict(zip((*results, *(name for name, _ in manifest.saved)), program.forward(*taken, chunk=chunk, save=True)))
                made |= dict(zip(params, taken))
                made |= {f"d_{r}": torch.zeros_like(made[r]) if d is None else d for r, d in zip(results, incoming)}
                return tuple(program.backward(*(made[name] for name in manifest.backward_params), chunk=chunk))

            device = saved[0].device.type
            with torch.enable_grad(), torch.autocast(device, enabled=False):
                _, pull = torch.func.vjp(first, *(saved[i] for i in free))
                pulled = dict(zip((kept[i] for i in free), pull(tuple(seconds))))
            return None, *(pulled.get(i) for i in range(len(pieces)))

    return Backward.apply


def refuse_forward_mode(name: str, tensors: list[torch.Tensor]) -> None:
    """Raises NotLowered when one of the tensors carries a forward-mode tangent, which would be dropped silently."""
    if any(forward_ad.unpack_dual(x).tangent is not None for x in tensors if x.is_floating_point()):
        raise NotLowered(f"forward-mode derivatives (jvp, jacfwd) of {name}", hint="use reverse mode: torch.func.vjp, jacrev, autograd.grad")


def in_forward_mode() -> bool:
    return forward_ad._current_level >= 0
