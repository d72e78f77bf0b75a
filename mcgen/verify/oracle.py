"""The reference: a spec interpreted token by token in float64, from its own expressions.

It shares nothing with the compiler but the parsed spec. Every gradient is torch's, through all tokens.
"""
from __future__ import annotations

import os
from typing import Any, Mapping

import torch

from ..diagnostics import UsageError
from ..spec import load_spec
from ..spec.nodes import Spec
from .memory import STACKED, Memory, join, leaves, positions, rebuild, rows, upcast
from .rounding import Rounding
from .run import Run
from .threads import one_thread
from .world import World, all_inputs, all_numbers, bind_shape, lookback, sized

Tensors = dict[str, torch.Tensor]


def reference(spec: str | os.PathLike[str] | Mapping[str, Any] | Spec, *, constants: Mapping[str, float | str] | None = None,
              segment_length: int | None = None) -> Reference:
    """The reference op of a spec (a name of the library, a path, a dict, or a Spec): called like the op, slow and exact."""
    return Reference(spec if isinstance(spec, Spec) else load_spec(spec, constants=constants, segment_length=segment_length))


class Reference:
    """A spec as an op in float64. Inputs of any floating dtype are taken as they are; results are float64.

    `dtype`: another one to compute in, to see how much rounding does; `rounding`: with the rounding of any algorithm, from this seed.
    """

    def __init__(self, spec: Spec, dtype: torch.dtype = torch.float64, rounding: int | None = None):
        self.spec, self.inputs, self.dtype, self.rounding = spec, all_inputs(spec), dtype, rounding
        self.__name__ = self.__qualname__ = spec.name
        self.__doc__ = f"{spec.summary or spec.name}: the reference, token by token in float64.\n\nInputs: {', '.join(self.inputs)}"

    def __call__(self, /, *args: torch.Tensor, memory: Memory | None = None, return_memory: bool | None = None,
                 return_weights: bool = False, cu_seqlens: torch.Tensor | None = None, **named: torch.Tensor) -> Any:
        """y [B, T, H, *shape]; then, as asked, the memory; then {'weights', 'selected'}, both [B, T, H, 1 + N]."""
        with one_thread():
            y, after, details = _Call(self.spec, self.dtype, self.rounding, args, named, memory, cu_seqlens).run()
        if return_memory is None:
            return_memory = memory is not None
        out = (y,) + ((after,) if return_memory else ()) + ((details,) if return_weights else ())
        return out if len(out) > 1 else y

    def step(self, /, *args: torch.Tensor, memory: Memory | None = None, return_memory: bool | None = None,
             return_weights: bool = False, **named: torch.Tensor) -> Any:
        """One token: per-token tensors without T, y [B, H, *shape], always with the memory unless told not to."""
        given = _by_name(self.inputs, args, named)
        given = {n: x.unsqueeze(1) if n in self.inputs and self.inputs[n].per == "token" and x is not None else x
                 for n, x in given.items()}
        out = self(**given, memory=memory, return_memory=True, return_weights=return_weights)
        y = out[0].squeeze(1)
        details = ({k: v.squeeze(1) for k, v in out[2].items()},) if return_weights else ()
        out = (y,) + (() if return_memory is False else (out[1],)) + details
        return out if len(out) > 1 else y


def _by_name(inputs: Mapping[str, Any], args: tuple, named: Mapping[str, Any]) -> dict[str, Any]:
    if len(args) > len(inputs):
        raise UsageError(f"{len(args)} inputs given, {len(inputs)} known: {', '.join(inputs)}")
    out = dict(zip(inputs, args))
    twice = set(out) & set(named)
    if twice:
        raise UsageError(f"input '{min(twice)}' is given twice")
    return {**out, **named}


class _Call:
    """One call: arguments bound, sizes known, rows grouped by position."""

    def __init__(self, spec: Spec, dtype: torch.dtype, rounding: int | None, args: tuple, named: Mapping[str, Any], memory: Memory | None, cu_seqlens):
        self.spec, self.inputs, self.dtype = spec, all_inputs(spec), dtype
        self.rounding = None if rounding is None else Rounding(rounding, torch.finfo(dtype).eps / 2)
        given = _by_name(self.inputs, args, named)
        learned = {n: f"{n}_init" for n, s in spec.rule.state.items() if s.init == "learned"}
        unknown = set(given) - set(self.inputs) - set(learned.values())
        if unknown:
            raise UsageError(f"'{min(unknown)}' is not an input; the inputs are {', '.join(self.inputs)}")
        missing = [n for n, i in self.inputs.items() if given.get(n) is None and i.default is None]
        if missing:
            raise UsageError(f"missing required argument '{missing[0]}'")
        tensors = {n: given[n].to(dtype) for n in self.inputs if given.get(n) is not None}
        inits = {n: given[key].to(dtype) for n, key in learned.items() if given.get(key) is not None}
        self.cu = None if cu_seqlens is None else [int(x) for x in cu_seqlens]
        self.given = None if memory is None else upcast(memory, dtype)
        self._bind(tensors, inits)
        every = [*tensors.values(), *inits.values(), *(x for _, x in leaves(self.given or {}))]
        self.differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in every)

    def _bind(self, tensors: Tensors, inits: Tensors) -> None:
        """Sizes, constants, and every tensor with all its heads: [B, T, H, *shape] or [H, *shape]."""
        rule, sizes = self.spec.rule, {}
        own = {n: 3 if self.inputs[n].per == "token" else 1 for n in tensors}
        tokens = [x for n, x in tensors.items() if own[n] == 3]
        if not tokens:
            raise UsageError("no input with a token axis is given")
        self.batch, self.length = tokens[0].shape[:2]
        for n, x in tensors.items():
            if own[n] == 3 and tuple(x.shape[:2]) != (self.batch, self.length):
                raise UsageError(f"input '{n}' has the shape {list(x.shape)} where [{self.batch}, {self.length}, H, ...] is expected")
            bind_shape(sizes, f"input '{n}' without its first {own[n]} axes", self.inputs[n].shape, tuple(x.shape[own[n]:]))
        for n, x in inits.items():
            bind_shape(sizes, f"'{n}_init' without its heads", rule.state[n].shape, tuple(x.shape[1:]))
        for n, x in (self.given or {}).get("state", {}).items():
            bind_shape(sizes, f"memory state '{n}' without its first 2 axes", rule.state[n].shape, tuple(x.shape[2:]))
        self.numbers = all_numbers(self.spec, sizes)
        heads = [x.shape[own[n] - 1] for n, x in tensors.items()] + [x.shape[0] for x in inits.values()]
        self.heads = max(heads)
        self.tensors = {n: self._share(x, own[n] - 1, n) for n, x in tensors.items()}
        self.inits = {n: self._share(x, 0, f"{n}_init") for n, x in inits.items()}
        for n, i in self.inputs.items():
            if n not in self.tensors:
                lead = (self.batch, self.length, self.heads) if i.per == "token" else (self.heads,)
                shape = (*lead, *sized(i.shape, self.numbers))
                self.tensors[n] = torch.full(shape, float(i.default), dtype=self.dtype)

    def _share(self, x: torch.Tensor, axis: int, name: str) -> torch.Tensor:
        have = x.shape[axis]
        if have == 0 or self.heads % have:
            raise UsageError(f"'{name}' has {have} heads, which doesn't divide {self.heads}")
        return x if have == self.heads else x.repeat_interleave(self.heads // have, dim=axis)

    # -- groups of rows ----------------------------------------------------------------------------------------------

    def run(self) -> tuple[torch.Tensor, Memory, dict[str, torch.Tensor]]:
        token_inputs = [n for n in self.tensors if self.inputs[n].per == "token"]
        if self.cu is not None:
            if self.batch != 1 or self.cu[0] != 0 or self.cu[-1] != self.length or sorted(self.cu) != self.cu:
                raise UsageError(f"cu_seqlens {self.cu} must rise from 0 to T={self.length}, with B = 1")
            cuts = list(zip(self.cu, self.cu[1:]))
            where = positions(self.given, len(cuts))
            groups = [(slice(i, i + 1), where[i], {n: self.tensors[n][:, a:b] for n in token_inputs})
                      for i, (a, b) in enumerate(cuts)]
        else:
            where = positions(self.given, self.batch)
            if len(set(where)) <= 1:
                picks = [slice(0, self.batch)] if self.batch else []
            else:
                picks = [slice(i, i + 1) for i in range(self.batch)]
            groups = [(p, where[p.start], {n: self.tensors[n][p] for n in token_inputs}) for p in picks]
        results = [self._group(tokens, None if self.given is None else rows(self.given, p), at) for p, at, tokens in groups]
        along = 1 if self.cu is not None else 0
        widest = max(r[2].shape[-1] for r in results)
        weights, parts = ([torch.nn.functional.pad(r[i], (0, widest - r[i].shape[-1])) for r in results] for i in (2, 3))
        details = {"weights": torch.cat(weights, along), "selected": torch.cat(parts, along)}
        return torch.cat([r[0] for r in results], along), join([r[1] for r in results]), details

    def _group(self, tokens: Tensors, memory: Memory | None, position: int):
        """Rows at one position: y [b, T, H, *shape], the memory, weights and parts [b, T, H, 1 + N]."""
        batch, length = next(iter(tokens.values())).shape[:2]
        if length == 0:
            return self._no_tokens(tokens, memory, position)
        world, tails = self._world(tokens, memory, position)
        run = Run(world, self.spec, batch, self.heads, self.inits, memory, position)
        ys, weights, parts = zip(*(run.token() for _ in range(length)))
        widest = max(w.shape[-1] for w in weights)
        weight, part = (torch.stack([torch.nn.functional.pad(w, (0, widest - w.shape[-1])) for w in ws], 1)
                        for ws in (weights, parts))
        return torch.stack(ys, 1), run.memory(tails), weight, part

    def _world(self, tokens: Tensors, memory: Memory | None, position: int) -> tuple[World, Tensors]:
        """The inputs by token, the remembered ones first, and what has to be remembered next."""
        depth = lookback(self.spec, self.numbers)
        past, by_token, first, tails = (memory or {}).get("past", {}), {}, {}, {}
        for n, x in tokens.items():
            x, missing = x.transpose(1, 2), 0                                          # [b, H, T, *shape]
            if n in depth and position > 0:
                old = past[n][:, :, -depth[n]:]
                x, missing = torch.cat([old, x], 2), old.shape[2]
            by_token[n], first[n] = list(x.unbind(2)), position - missing
            if n in depth:
                tail = x[:, :, -depth[n]:]
                pad = tail.new_zeros(*tail.shape[:2], depth[n] - tail.shape[2], *tail.shape[3:])
                tails[n] = torch.cat([pad, tail], 2)
        heads = {n: x[None, :, None] for n, x in self.tensors.items() if self.inputs[n].per == "head"}
        return World(self.spec, self.numbers, by_token, first, heads, self.differentiable, self.dtype, self.rounding), tails

    def _no_tokens(self, tokens: Tensors, memory: Memory | None, position: int):
        """T = 0: shapes from a run over one made-up token, values from the memory or the start."""
        dummy = {n: torch.full_like(x.expand(x.shape[0], 0, *x.shape[2:]).new_empty(x.shape[0], 1, *x.shape[2:]), 0.5)
                 for n, x in tokens.items()}
        y, after, weight, part = self._group(dummy, memory, position)
        zero = sum(x.sum() for x in (*tokens.values(), *self.inits.values())) * 0.0
        batch = y.shape[0]
        world, _ = self._world(dummy, memory, position)
        start = Run(world, self.spec, batch, self.heads, self.inits, memory, position)
        out: dict = {}
        given = dict(leaves(memory or {}))
        for path, leaf in leaves(after):
            if path[0] == "position":
                leaf = torch.full_like(leaf, position)
            elif path in given:
                leaf = given[path]
            elif path[0] == "state":
                leaf = start.states[path[1]][:, :, 0]
            elif path[0] == "run":
                leaf = start.base[path[1]][:, :, 0]
            else:
                leaf = torch.zeros_like(leaf.narrow(STACKED[path[0]], 0, 0) if path[0] in STACKED else leaf)
            out[path] = leaf
        return y[:, :0] + zero, rebuild(iter(out.items())), weight[:, :0], part[:, :0]
