"""Gradients of a package's operators: an `autograd.Function` around them, and another one around its backward.

The gradient of the backward pass comes from the torch program: it is run again from the call's own tensors, forward and backward, in
differentiable torch operations. So gradients of gradients exist on every device, slower than the first ones. Forward mode does not.

A function transform inside a traced function (torch.compile of torch.func.grad) does not see the Function: there an operator
with a kernel at torch's autograd key stands for it (`own_gradient`).
"""
from __future__ import annotations

from types import ModuleType
from typing import Any, Callable, Sequence

import torch
from torch._functorch.autograd_function import enable_single_level_autograd_function
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.autograd import forward_ad

from mcgen.diagnostics import NotLowered

from .layout import arithmetic
from .manifest import Manifest


def differentiable(manifest: Manifest, forward: Callable, gradients: Callable) -> type:
    """A Function around the operator `forward` (the one that saves) and its `gradients` (see `gradients_of`).

    apply(chunk, *forward params) -> the forward results, then the saved tensors, which carry no gradient.
    """
    results, taken = manifest.forward_results, manifest.made
    saved = [name for name, _ in manifest.saved]

    class Forward(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(chunk: int, *tensors: torch.Tensor):
            return tuple(forward(*tensors, chunk))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            made = dict(zip((*results, *saved), output))
            ctx.chunk = inputs[0]
            ctx.save_for_backward(*inputs[1:], *[made[name] for name in taken])
            ctx.mark_non_differentiable(*output[len(results):])
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor | None):
            return None, *gradients(ctx.chunk, ctx.saved_tensors, grads)

    return Forward


def gradients_of(manifest: Manifest, backward: Callable, program: ModuleType) -> Callable:
    """A function from a chunk, the forward parameters and what the forward pass made (`manifest.made`), and the gradients of the forward
    results (None for zeros) to the gradients of the parameters: by the operator `backward`, with a gradient where one is recorded."""
    args, results = (*manifest.forward_params, *manifest.made), manifest.forward_results
    sources = [(True, args.index(name)) if not name.startswith("d.") else (False, results.index(name.removeprefix("d.")))
               for name in manifest.backward_params]
    order = [manifest.backward_results.index(f"d.{p}") if f"d.{p}" in manifest.backward_results else None for p in manifest.forward_params]
    inner = applied(_gradient_of_gradients(manifest, backward, program))

    def gradients(chunk: int, given: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
        taken = [given[i] if of_args else grads[i] for of_args, i in sources]
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            made = inner(chunk, *taken)
        else:
            made = backward(*taken, chunk)
        return [None if i is None else made[i] for i in order]

    return gradients


def _gradient_of_gradients(manifest: Manifest, backward: Callable, program: ModuleType) -> type:
    """The backward operator as a Function that has a gradient itself: apply(chunk, *backward params) -> the gradients.

    Its gradient is with respect to all but the tensors that the forward pass made: those are computed again, so that it goes through them.
    """
    params, results = manifest.forward_params, manifest.forward_results
    names = manifest.backward_params
    kept = [i for i, name in enumerate(names) if name not in manifest.made]
    summed = manifest.summed

    class Backward(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(chunk: int, *tensors: torch.Tensor | None):
            return tuple(backward(*tensors, chunk))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            ctx.chunk = inputs[0]
            ctx.save_for_backward(*(inputs[1 + i] for i in kept))

        @staticmethod
        def backward(ctx: Any, *seconds: torch.Tensor):
            chunk, given = ctx.chunk, dict(zip((names[i] for i in kept), ctx.saved_tensors))
            free = [name for name, x in given.items() if x is not None and x.is_floating_point()]

            def gradients(*moved: torch.Tensor) -> tuple[torch.Tensor, ...]:
                named = given | dict(zip(free, moved))
                wide = {n: x.to(arithmetic(x.dtype)) if x is not None and x.is_floating_point() else x for n, x in named.items()}
                outputs = program.forward(*(wide[p] for p in params), chunk=chunk, save=True)
                made = dict(zip((*results, *(name for name, _ in manifest.saved)), outputs)) | wide
                zeros = {f"d.{r}": torch.zeros_like(made[r]) for r in results if made.get(f"d.{r}") is None}
                gradients = program.backward(*((made | zeros)[name] for name in names), chunk=chunk)
                return tuple((x.sum(0) if name in summed else x).to(named[name.removeprefix("d.")].dtype)
                             for name, x in zip(manifest.backward_results, gradients))

            with torch.enable_grad(), torch.autocast(seconds[0].device.type, enabled=False):
                _, pull = torch.func.vjp(gradients, *(given[name] for name in free))
                pulled = dict(zip(free, pull(tuple(seconds))))
            return None, *(pulled.get(name) for name in names)

    return Backward


def applied(function: type) -> Callable:
    """`function.apply`; outside traces and transforms without its inspection of signatures, which costs more than the rest of it."""
    direct = super(torch.autograd.Function, function).apply

    def apply(*args: Any):
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return function.apply(*args)
        return direct(*args)

    return apply


def own_gradient(operator: Callable, function: type, results: int) -> Callable:
    """A kernel for torch's autograd key: `operator` with the gradient of `function`, in one level of transforms."""

    def kernel(*args: Any):
        *tensors, chunk = args
        if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
            if _gradient_levels() > 1:
                raise NotLowered("a gradient of a gradient inside torch.compile", hint="compile the op, not the function transforms around it")
            with enable_single_level_autograd_function():
                made = super(torch.autograd.Function, function).apply(chunk, *tensors)
            return tuple(made[:results]) if results > 1 else made[0]
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*args)

    return kernel


def _gradient_levels() -> int:
    """How many transforms torch.func.grad or vjp are active."""
    if not torch._C._are_functorch_transforms_active():
        return 0
    return sum(level.key() == torch._C._functorch.TransformType.Grad for level in retrieve_all_functorch_interpreters())


def refuse_forward_mode(name: str, tensors: list[torch.Tensor]) -> None:
    """Raises NotLowered when one of the tensors carries a forward-mode tangent, which would be dropped silently."""
    if any(forward_ad.unpack_dual(x).tangent is not None for x in tensors if x.is_floating_point()):
        raise NotLowered(f"forward-mode derivatives (jvp, jacfwd) of {name}", hint="use reverse mode: torch.func.vjp, jacrev, autograd.grad")


def in_forward_mode() -> bool:
    return forward_ad._current_level >= 0
