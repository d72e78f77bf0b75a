"""The cache of a reference run: segments, summaries, weights, selection, mixing."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ..spec.nodes import Cache
from .evaluate import Scope
from .functions import Val
from .rounding import Rounding
from .world import World, after_calls, read_states

Segment = tuple[int, int]                       # first unit, number of units; a unit is `length` tokens


def segments_of(units: int, growth: str) -> list[Segment]:
    """How the first `units` units are cut into cached segments, oldest first."""
    if growth == "constant":
        return [(i, 1) for i in range(units)]
    out, start = [], 0
    for j in reversed(range(units.bit_length())):
        if units >> j & 1:
            out.append((start, 1 << j))
            start += 1 << j
    return out


def cat(parts: list[torch.Tensor], dim: int = 2) -> torch.Tensor:
    """Concatenated along the memories (or another axis), batch and heads broadcast to one another."""
    lead = torch.broadcast_shapes(*(p.shape[:2] for p in parts))
    parts = [p.expand(*lead, *p.shape[2:]) for p in parts]
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]


@dataclass(eq=False)
class Store:
    """Cached memories of one group of rows.

    states: name -> [B, H, N, *shape]. sums: the summary's sum per segment [B, H, N, *shape]; partial: the open one's.
    afters: one [B, H, N, *shape] for each `after` of the spec, None until a token was seen.
    """

    world: World
    cache: Cache
    units: int = 0
    states: dict[str, torch.Tensor] = field(default_factory=dict)
    sums: torch.Tensor | None = None
    partial: torch.Tensor | None = None
    afters: list[torch.Tensor | None] = field(default_factory=list)

    def __post_init__(self):
        self.segments = segments_of(self.units, self.cache.segments.growth)
        self.calls = after_calls(self.world.spec)
        self.names = read_states(self.world.spec)
        self.afters = self.afters or [None] * len(self.calls)

    @property
    def length(self) -> int:
        return self.cache.segments.length

    # -- one token ---------------------------------------------------------------------------------------------------

    def see(self, scope: Scope) -> None:
        """Adds a token to the open segment's summary and to the sums after each memory."""
        if self.cache.summary is not None:
            now = scope.value(self.cache.summary.expr).tensor
            self.partial = now if self.partial is None else self.partial + now
        if self.segments:
            for i, call in enumerate(self.calls):
                now = scope.value(call.args[0]).tensor
                self.afters[i] = now.expand(-1, -1, len(self.segments), *now.shape[3:]) if self.afters[i] is None \
                    else self.afters[i] + now

    def answer(self, scope: Scope, prev: dict[str, torch.Tensor]) -> tuple[Val, torch.Tensor, torch.Tensor]:
        """y [B, H, 1, *shape], and the weight and whether it takes part, both [B, H, 1 + N], of each memory."""
        rounding = self.world.rounding
        if rounding is not None:
            rounding.softmaxes.clear()
        weight, part = self._weights(scope)
        online = {n: scope.states[n] for n in self.names}
        lead = torch.broadcast_shapes(weight.shape[:2], *(s.shape[:2] for s in online.values()))
        weight, part = weight.expand(*lead, -1), part.expand(*lead, -1)
        if self.cache.mix == "states":
            mixed = {n: _mix(weight, part, s, self.states.get(n), rounding) for n, s in online.items()}
            before = {n: _mix(weight, part, prev[n], self.states.get(n), rounding) for n in online}
            y = scope.but(states={**scope.states, **mixed}, prev={**prev, **before}).value(self.world.spec.rule.read)
            return y, weight, part
        first = scope.value(self.world.spec.rule.read)
        rest = None
        if self.segments:
            cached = {**scope.states, **self.states}
            rest = scope.but(states=cached, prev=cached).value(self.world.spec.rule.read).tensor
        return Val(_mix(weight, part, first.tensor, rest, rounding), first.rank), weight, part

    def _weights(self, scope: Scope) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(self.segments)
        extra = {"age": _along([0, *range(n, 0, -1)], self.world.dtype),
                 "level": _along([0] + [u.bit_length() for _, u in self.segments], self.world.dtype)}
        if self.cache.summary is not None:
            extra["summary"] = self._summaries(scope.token)
        for i, call in enumerate(self.calls):
            now = scope.value(call.args[0]).tensor
            parts = [torch.zeros_like(now)] + ([self.afters[i]] if n else [])
            extra["after", id(call)] = Val(cat(parts), now.dim() - 3)
        inner = scope.but(extra={**scope.extra, **extra})
        part = torch.ones(1, 1, 1 + n, dtype=torch.bool)
        if self.cache.score is not None:
            score = inner.value(self.cache.score).tensor
            extra["score"] = Val(score, 0)
            if self.cache.top is not None:
                part = _select(score.expand(*score.shape[:2], 1 + n), self.cache.top, self.world.rounding)
        extra["count"] = Val(part.sum(2, keepdim=True).to(self.world.dtype), 0)
        weight = scope.but(extra={**scope.extra, **extra}, taking_part=part).value(self.cache.weight).tensor
        lead = torch.broadcast_shapes(weight.shape, part.shape)
        weight, part = weight.expand(lead), part.expand(lead)
        return torch.where(part, weight, torch.zeros((), dtype=weight.dtype)), part

    def _summaries(self, token: int) -> Val:
        """The online segment's running summary, then the cached ones': [B, H, 1 + N, *shape]."""
        online, sums = self.partial, self.sums
        if self.cache.summary.kind == "mean":
            online = online / (token + 1 - self.units * self.length)
            if self.segments:
                sums = sums / self._sizes(sums.dim())
        return Val(cat([online] + ([sums] if self.segments else [])), online.dim() - 3)

    def _sizes(self, rank: int) -> torch.Tensor:
        tokens = torch.tensor([u * self.length for _, u in self.segments], dtype=self.world.dtype)
        return tokens[(None, None, ...) + (None,) * (rank - 3)]

    # -- the sums after each memory, as memory holds them ---------------------------------------------------------------

    def pack_afters(self, scope: Scope) -> torch.Tensor:
        """[B, H, A, N]: the entries of every `after`, zeros where no token was seen since. `scope`: any token, for shapes."""
        n, parts = len(self.segments), []
        for call, total in zip(self.calls, self.afters):
            like = scope.value(call.args[0]).tensor
            if total is None:
                total = torch.zeros_like(like).expand(-1, -1, max(n, 1), *like.shape[3:])[:, :, :n]
            parts.append(total.reshape(*total.shape[:3], math.prod(like.shape[3:])))
        return cat(parts, 3).transpose(2, 3)

    def unpack_afters(self, packed: torch.Tensor, scope: Scope) -> list[torch.Tensor | None]:
        shapes = [tuple(scope.value(c.args[0]).tensor.shape[3:]) for c in self.calls]
        parts = packed.transpose(2, 3).split([math.prod(s) for s in shapes], 3)
        return [p.reshape(*p.shape[:3], *s) for p, s in zip(parts, shapes)]

    # -- the end of a segment ----------------------------------------------------------------------------------------

    def close(self, run_states: dict[str, torch.Tensor]) -> list[int]:
        """Caches the finished segment and returns which runs the cached segments now belong to.

        run_states: name -> [B, H, R, *shape], the online memory first, then, where independent runs are kept, one for
        each cached segment. The new segment's memory is the run that began where it begins.
        """
        old, self.units = self.segments, self.units + 1
        self.segments = segments_of(self.units, self.cache.segments.growth)
        kept = len(self.segments) - 1
        assert self.segments[:kept] == old[:kept]
        many = max(x.shape[2] for x in run_states.values()) > 1
        source = kept + 1 if many and kept < len(old) else 0
        for name in self.names:
            new = run_states[name][:, :, source:source + 1]
            self.states[name] = cat([self.states[name][:, :, :kept], new]) if kept else new
        if self.cache.summary is not None:
            merged = self.partial
            if kept < len(old):
                merged = merged + self.sums[:, :, kept:].sum(2, keepdim=True)
            self.sums = cat([self.sums[:, :, :kept], merged]) if kept else merged
            self.partial = None
        for i, total in enumerate(self.afters):
            self.afters[i] = None if total is None or not kept else \
                cat([total[:, :, :kept], torch.zeros_like(total[:, :, :1])])
        return [*range(1, kept + 1), source]


def _along(numbers: list[int], dtype: torch.dtype) -> Val:
    return Val(torch.tensor(numbers, dtype=dtype)[None, None], 0)


def _select(score: torch.Tensor, top: int, rounding: Rounding | None = None) -> torch.Tensor:
    """[B, H, 1 + N] bool: the online memory and the cached ones of highest score, ties to the older."""
    cached = score[:, :, 1:].detach()
    if rounding is not None:
        cached = cached + rounding.noise(cached.abs().nan_to_num(0.0, 0.0, 0.0))
    order = torch.sort(cached, dim=2, descending=True, stable=True).indices[:, :, :top]
    chosen = torch.zeros_like(cached, dtype=torch.bool).scatter(2, order, True)
    return torch.cat([torch.ones_like(chosen[:, :, :1]) if chosen.shape[2] else
                      torch.ones(*score.shape[:2], 1, dtype=torch.bool), chosen], 2)


def _mix(weight: torch.Tensor, part: torch.Tensor, online: torch.Tensor, cached: torch.Tensor | None,
         rounding: Rounding | None = None) -> torch.Tensor:
    """The weighted sum over memories, [B, H, 1, *shape]; what doesn't take part adds nothing."""
    def times(w, p, x):
        own = (...,) + (None,) * (x.dim() - 3)
        return torch.where(p[own], w[own] * x, torch.zeros((), dtype=x.dtype))

    out = times(weight[:, :, :1], part[:, :, :1], online)
    if cached is not None:
        out = out + times(weight[:, :, 1:], part[:, :, 1:], cached).sum(2, keepdim=True)
    return out if rounding is None else rounding.mixed(out, cat([online, *([] if cached is None else [cached])]))
