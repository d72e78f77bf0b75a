"""A package's programs as torch operators: `mcgen::<name>_<digest>_fwd`, `_fwd_save`, `_bwd`, `_fwd_own`.

An operator's name holds a digest of all that it computes, so that several loads of an op (other constants, another segment length,
another back end) live side by side and equal ones share a registration.
"""
from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import torch

from .autograd import applied, differentiable, gradients_of, own_gradient
from .backends import Backends
from .manifest import Manifest

_library = torch.library.Library("mcgen", "FRAGMENT")
_registered: dict[str, "Operators"] = {}


class Operators(NamedTuple):
    """Operators take the tensors of their params, then `chunk`. `apply` takes `chunk` first, and has a gradient.

    `own_gradient` is `forward` as an operator that has a gradient itself, for function transforms inside a traced function.
    `gradients`: see `autograd.gradients_of`.
    """

    forward: Callable[..., Sequence[torch.Tensor]]
    forward_save: Callable[..., Sequence[torch.Tensor]]
    backward: Callable[..., Sequence[torch.Tensor]]
    own_gradient: Callable[..., Sequence[torch.Tensor]]
    apply: Callable[..., Sequence[torch.Tensor]]
    gradients: Callable[..., Sequence[torch.Tensor | None]]


def register(manifest: Manifest, backends: Backends, digest: str) -> Operators:
    """The operators of a package, registered at most once for a digest."""
    name = f"{manifest.name}_{digest}"
    if name not in _registered:
        saved = [s for s, _ in manifest.saved]
        layout, params = backends.layout, manifest.forward_params

        def forward(save: bool) -> tuple[Callable, Callable]:
            def real(tensors, chunk):
                return backends.for_params(tensors).forward(tensors, chunk, save)

            def fake(tensors, chunk):
                return [tensors[0].new_empty(shape, dtype=dtype) for shape, dtype in zip(layout.forward(tensors, save), layout.forward_dtypes(tensors, save))]

            return real, fake

        def backward(tensors, chunk):
            return backends.for_params(tensors).backward(tensors, chunk)

        def fake_backward(tensors, chunk):
            return [tensors[0].new_empty(shape, dtype=dtype) for shape, dtype in zip(layout.backward(tensors), layout.backward_dtypes(tensors))]

        run = _define(f"{name}_fwd", params, manifest.forward_results, *forward(False))
        run_save = _define(f"{name}_fwd_save", params, (*manifest.forward_results, *saved), *forward(True))
        run_back = _define(f"{name}_bwd", manifest.backward_params, manifest.backward_results, backward, fake_backward)
        run_own = _define(f"{name}_fwd_own", params, manifest.forward_results, *forward(False))
        gradients = gradients_of(manifest, _listed(run_back), backends.torch.program)
        function = differentiable(manifest, _listed(run_save), gradients)
        _library.impl(f"{name}_fwd_own", own_gradient(run_own, function, len(manifest.forward_results)), "Autograd")
        _registered[name] = Operators(_listed(run), _listed(run_save), _listed(run_back), _listed(run_own), applied(function), gradients)
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


def _define(name: str, params: Sequence[str], results: Sequence[str], real: Callable, fake: Callable) -> Callable:
    """Defines an operator. `real`, `fake`: (tensors, chunk) -> list of tensors."""
    single = len(results) == 1

    def body(*args):
        tensors = [x if x is None or x.is_contiguous() else x.contiguous() for x in args[:-1]]
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
    return operator


def _listed(operator: Callable) -> Callable:
    """The operator with its results in a tuple, also when there is but one."""
    return operator if len(operator._schema.returns) > 1 else lambda *args: (operator(*args),)


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
