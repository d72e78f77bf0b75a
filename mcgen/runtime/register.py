"""A package's programs as torch operators: `mcgen::<name>_<digest>_fwd`, `_fwd_save`, `_bwd`, `_fwd_own`.

An operator's name holds a digest of all that it computes, so that several loads of an op (other constants, another segment length,
another back end) live side by side and equal ones share a registration.
"""
from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd import profiler

from .autograd import applied, differentiable, own_gradient
from .backends import Backends
from .manifest import Manifest
from .zeros import read_only_zeros

_library = torch.library.Library("mcgen", "FRAGMENT")
_registered: dict[str, "Operators"] = {}


class Operators(NamedTuple):
    """All but `apply` take the tensors of their params, then `chunk`. `apply` takes `chunk` first, and has a gradient.

    `own_gradient` is `forward` as an operator that has a gradient itself, for function transforms inside a traced function.
    """

    forward: Callable[..., Sequence[torch.Tensor]]
    forward_save: Callable[..., Sequence[torch.Tensor]]
    backward: Callable[..., Sequence[torch.Tensor]]
    own_gradient: Callable[..., Sequence[torch.Tensor]]
    apply: Callable[..., Sequence[torch.Tensor]]


def register(manifest: Manifest, backends: Backends, digest: str) -> Operators:
    """The operators of a package, registered at most once for a digest."""
    name = f"{manifest.name}_{digest}"
    if name not in _registered:
        saved = [s for s, _ in manifest.saved]
        layout, params = backends.layout, manifest.forward_params

        def forward(save: bool) -> tuple[Callable, Callable]:
            def real(tensors, chunk):
                return backends.choose(tensors[0]).forward(tensors, chunk, save)

            def fake(tensors, chunk):
                return [tensors[0].new_empty(shape) for shape in layout.forward(tensors, save)]

            return real, fake

        def backward(tensors, chunk):
            return backends.choose(tensors[0]).backward(_with_zeros(manifest, layout, tensors), chunk)

        def fake_backward(tensors, chunk):
            return [tensors[0].new_empty(shape) for shape in layout.backward(tensors)]

        run = _define(f"{name}_fwd", params, manifest.forward_results, *forward(False))
        run_save = _define(f"{name}_fwd_save", params, (*manifest.forward_results, *saved), *forward(True))
        run_back = _define(f"{name}_bwd", manifest.backward_params, manifest.backward_results, backward, fake_backward)
        run_own = _define(f"{name}_fwd_own", params, manifest.forward_results, *forward(False))
        function = differentiable(manifest, _short(*run_save), _short(*run_back), backends.torch.program)
        _library.impl(f"{name}_fwd_own", own_gradient(run_own[0], function, len(manifest.forward_results)), "Autograd")
        _registered[name] = Operators(_short(*run), _short(*run_save), _short(*run_back), _listed(run_own[0]), applied(function))
    return _registered[name]


def schema(name: str, params: Sequence[str], results: Sequence[str]) -> str:
    """An operator's schema; gradients that come in may be absent.

    >>> schema("f", ["x", "d.y", "d_y"], ["d.x"])
    'f(Tensor x, Tensor? d_y, Tensor d_y_, int chunk) -> Tensor'
    """
    words = ["chunk"]
    for p in params:
        word = p.replace(".", "_")
        words.append(word + "_" * next(i for i in range(len(words) + 1) if word + "_" * i not in words))
    took = ", ".join(f"{'Tensor?' if p.startswith('d.') else 'Tensor'} {word}" for p, word in zip(params, words[1:]))
    gave = "Tensor" if len(results) == 1 else "(" + ", ".join("Tensor" for _ in results) + ")"
    return f"{name}({took}, int chunk) -> {gave}"


def _define(name: str, params: Sequence[str], results: Sequence[str], real: Callable, fake: Callable) -> tuple[Callable, Callable]:
    """Defines an operator; gives it and its kernel. `real`, `fake`: (tensors, chunk) -> list of tensors."""
    single = len(results) == 1

    def body(*args):
        tensors = [x if x is None or x.is_contiguous() else x.contiguous() for x in args[:-1]]
        device = args[0].device.type
        if torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                made = real(tensors, args[-1])
        else:
            made = real(tensors, args[-1])
        return made[0] if single else tuple(made)

    def traced(*args):
        made = fake(args[:-1], args[-1])
        return made[0] if single else tuple(made)

    _library.define(schema(name, params, results), tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, body, "CompositeExplicitAutograd")
    torch.library.register_fake(f"mcgen::{name}", traced, lib=_library)
    operator = getattr(torch.ops.mcgen, name).default
    torch.library.register_vmap(f"mcgen::{name}", _vmap(operator), lib=_library)
    return operator, body


def _listed(operator: Callable) -> Callable:
    """The operator with its results in a tuple, also when there is but one."""
    return operator if len(operator._schema.returns) > 1 else lambda *args: (operator(*args),)


def _short(operator: Callable, body: Callable) -> Callable:
    """The operator with its results in a tuple, also when there is but one.

    Where nothing but its kernel would see the call, that is called without torch's dispatcher, which costs as much as the rest. `.operator` is
    the operator alone.
    """
    single = len(operator._schema.returns) == 1

    def call(*args):
        made = body(*args) if _unseen(args) else operator(*args)
        return (made,) if single else made

    call.operator = operator
    return call


PLAIN = {torch.Tensor, torch.nn.Parameter, type(None), int}


def _unseen(args: Sequence) -> bool:
    """Whether no trace, transform, mode, profiler or tensor subclass takes part in a call."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack():
        return False
    if profiler._is_profiler_enabled or torch._C._get_tracing_state() is not None or not PLAIN.issuperset(map(type, args)):
        return False
    # what a transform that is over has wrapped, as the pull-back of torch.func.vjp hands it on, is a plain tensor by type only
    return not any(x is not None and type(x) is not int and is_functorch_wrapped_tensor(x) for x in args)


def _vmap(operator: Callable) -> Callable:
    """vmap of an operator: one call per index, results stacked in front."""

    def rule(info: Any, in_dims: Sequence, *args: Any):
        calls = []
        for i in range(info.batch_size):
            made = operator(*(x if dim is None else x.select(dim, i) for x, dim in zip(args, in_dims)))
            calls.append(made if isinstance(made, tuple) else (made,))
        stacked = tuple(torch.stack(parts) for parts in zip(*calls))
        return (stacked, (0,) * len(stacked)) if len(stacked) > 1 else (stacked[0], 0)

    return rule


def _with_zeros(manifest: Manifest, layout, tensors: Sequence) -> list[torch.Tensor]:
    """Backward parameters with zeros for the gradients that are absent."""
    if all(x is not None for x in tensors):
        return list(tensors)
    results = layout.forward(tensors[:len(manifest.forward_params)], False)
    shapes = {f"d.{name}": shape for name, shape in zip(manifest.forward_results, results)}
    first = tensors[0]
    return [read_only_zeros(shapes[name], first.dtype, first.device) if x is None else x for name, x in zip(manifest.backward_params, tensors)]
