"""One group of rows at one position, token by token."""
from __future__ import annotations

from typing import Mapping, Sequence

import torch

from ..diagnostics import UsageError
from ..spec.nodes import Spec
from .caching import Store, cat
from .evaluate import Scope
from .functions import LEAD, Val
from .memory import Memory
from .world import World, sized

States = dict[str, torch.Tensor]


class Run:
    """The state of a run between two tokens.

    states and base (values at the run's start): name -> [B, H, R, *shape]. R is 1, or 1 + N with `fresh` segments of
    logarithmic growth, where the run of every cached segment goes on, since it may become part of a longer one.
    """

    def __init__(self, world: World, spec: Spec, batch: int, heads: int, inits: Mapping[str, torch.Tensor],
                 memory: Memory | None, position: int):
        self.world, self.spec, self.lead, self.position = world, spec, (batch, heads), position
        rule, segments = spec.rule, spec.cache.segments if spec.cache else None
        self.fresh = segments is not None and segments.start == "fresh"
        self.live = self.fresh and segments.growth == "logarithmic"
        self.run_length = rule.gradient_chunk or 1
        memory = memory or {}
        self.init = {n: self._rounded(n, self._init(n, inits)) for n in rule.state} if self.fresh else {}
        given = memory.get("state", {})
        self.states = {n: self._rounded(n, given[n].unsqueeze(2) if n in given else self._init(n, inits)) for n in rule.state}
        self.base = self.states
        if "run" in memory and rule.gradient_chunk:
            self.base = {n: x.unsqueeze(2) for n, x in memory["run"].items()}
        elif position % self.run_length:
            raise UsageError(f"memory at position {position} is inside a run of {self.run_length} tokens and lacks 'run'")
        self.store = self._store(memory) if spec.cache else None
        if self.live and self.store.segments:
            self.states = {n: cat([x, memory["live"][n][:, :, :len(self.store.segments)]]) for n, x in self.states.items()}
            if rule.gradient_chunk:
                runs = memory["live_run"]
                self.base = {n: cat([x, runs[n][:, :, :len(self.store.segments)]]) for n, x in self.base.items()}
            else:
                self.base = self.states

    def _init(self, name: str, learned: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The start of a state: [B, H, 1, *shape]."""
        state = self.spec.rule.state[name]
        full = (*self.lead, 1, *sized(state.shape, self.world.numbers))
        if state.init == "learned":
            if name not in learned:
                raise UsageError(f"missing required argument '{name}_init'")
            return learned[name][None, :, None].expand(full)
        if state.init == "zeros":
            return torch.zeros(full, dtype=self.world.dtype)
        value = Scope(self.world, 0).value(state.init)
        tensor = value.tensor if value.rank else value.tensor[(...,) + (None,) * len(state.shape)]
        return tensor.expand(full)

    def _rounded(self, name: str, x: torch.Tensor, terms: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        return x if self.world.rounding is None else self.world.rounding.state(name, x, terms)

    def _store(self, memory: Memory) -> Store:
        store = Store(self.world, self.spec.cache, units=self.position // self.spec.cache.segments.length)
        n = len(store.segments)
        if n:
            store.states = {s: memory["cache"][s][:, :, :n] for s in store.names}
            if self.spec.cache.summary is not None:
                sums = memory["summary"][:, :, :n]
                store.sums = sums * store._sizes(sums.dim()) if self.spec.cache.summary.kind == "mean" else sums
            if store.calls:
                store.afters = store.unpack_afters(memory["after"][..., :n], Scope(self.world, self.position))
        if self.spec.cache.summary is not None and self.position % store.length:
            store.partial = memory["partial"].unsqueeze(2)
        return store

    # -- tokens ------------------------------------------------------------------------------------------------------

    def token(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Takes one token: y [B, H, *shape], weight and part [B, H, 1 + N]."""
        rule, t = self.spec.rule, self.position
        floor = self._floor()
        before = self.states
        new: States = {}
        scope = Scope(self.world, t, states=before, base=self.base, floor=floor, new=new)
        for name, expr in rule.update.items():
            terms = [self._as_state(name, term) for term in scope.terms(expr)] if self.world.rounding is not None else []
            new[name] = self._rounded(name, self._as_state(name, scope.value(expr)), terms)
        self.states = {**before, **new}
        after = {n: x[:, :, :1] for n, x in self.states.items()}
        prev = {n: x[:, :, :1] for n, x in before.items()}
        base = {n: x[:, :, :1] for n, x in self.base.items()}
        y, weight, part = self._read(Scope(self.world, t, states=after, prev=prev, base=base))
        self._advance(before, floor)
        return y, weight, part

    def _floor(self) -> torch.Tensor | None:
        if not self.fresh:
            return None
        length = self.store.length
        starts = [self.store.units] + ([s for s, _ in self.store.segments] if self.live else [])
        return torch.tensor([s * length for s in starts])

    def _read(self, scope: Scope) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        one = torch.ones(*self.lead, 1)
        if self.store is None:
            y, weight, part = scope.value(self.spec.rule.read), one.to(self.world.dtype), one.bool()
        else:
            self.store.see(scope)
            y, weight, part = self.store.answer(scope, scope.prev)
        if self.spec.rule.output is not None:
            y = scope.but(extra={"y": y}).value(self.spec.rule.output)
        y_full = y.tensor.expand(*self.lead, 1, *y.shape).squeeze(2)
        return y_full, weight.expand(*self.lead, -1), part.expand(*self.lead, -1)

    def _advance(self, before: States, floor: torch.Tensor | None) -> None:
        """What happens between this token's read and the next token: the ends of runs and of segments."""
        rule, t = self.spec.rule, self.position
        self.position += 1
        if self.position % self.run_length == 0:
            ended: States = {}
            scope = Scope(self.world, t, states=self.states, prev=before, base=self.base, floor=floor, new=ended)
            for name, expr in rule.end.items():
                ended[name] = self._as_state(name, scope.value(expr))
            self.states = {**self.states, **ended}
            self.base = self.states
        if self.store is not None and self.position % self.store.length == 0:
            older = self.store.close(self.states)
            if self.fresh:
                pick = list(older) if self.live else []
                self.states = {n: cat([self.init[n]] + [x[:, :, i:i + 1] for i in pick]) for n, x in self.states.items()}
                self.base = self.states

    def _as_state(self, name: str, value: Val) -> torch.Tensor:
        """A new value as a state, [B, H, R, *shape]; a scalar fills the shape."""
        old = self.states[name]
        tensor = value.tensor
        if value.rank == 0 and old.dim() > LEAD:
            tensor = tensor[(...,) + (None,) * (old.dim() - LEAD)]
        return tensor.expand_as(old)

    # -- what is handed on ---------------------------------------------------------------------------------------------

    def memory(self, past: dict[str, torch.Tensor]) -> Memory:
        rule, cache, store = self.spec.rule, self.spec.cache, self.store
        out: Memory = {"state": {n: x[:, :, 0] for n, x in self.states.items()}}
        if store is not None:
            n = len(store.segments)
            empty = {s: self.states[s][:, :, :1][:, :, :0] for s in store.names}
            out["cache"] = {s: self._full(store.states[s]) if n else empty[s] for s in store.names}
            if cache.summary is not None:
                like = store.partial if store.partial is not None else store.sums[:, :, :1]
                sums = store.sums if n else like[:, :, :0]
                out["summary"] = self._full(sums / store._sizes(sums.dim()) if n and cache.summary.kind == "mean" else sums)
                out["partial"] = self._full(torch.zeros_like(like) if store.partial is None else store.partial).squeeze(2)
            if store.calls:
                out["after"] = self._full(store.pack_afters(Scope(self.world, self.position - 1)))
            if self.live:
                out["live"] = {s: x[:, :, 1:] for s, x in self.states.items()}
                if rule.gradient_chunk:
                    out["live_run"] = {s: x[:, :, 1:] for s, x in self.base.items()}
        if past:
            out["past"] = {n: x.expand(*self.lead, *x.shape[2:]) for n, x in past.items()}
        if rule.gradient_chunk:
            out["run"] = {n: x[:, :, 0] for n, x in self.base.items()}
        out["position"] = torch.full((self.lead[0],), self.position, dtype=torch.int64)
        return out

    def _full(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(*self.lead, *x.shape[2:])
