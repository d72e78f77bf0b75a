"""Running an op and the reference on the same draw, and comparing what comes out."""
from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Mapping

import torch

from ..spec.nodes import Segments, Spec
from .draw import Case, dim_sizes, draw, generator
from .oracle import Reference
from .report import Check, Gate
from .threads import one_thread
from .tolerance import FLOORED, HALVES, Allowed, allowed, arithmetic_of, roundoff
from .world import all_inputs, all_numbers

Tensors = dict[str, torch.Tensor]
AMOUNTS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01)
TAME_VALUE, TAME_GRADIENT = 1e4, 1e6


@dataclass(frozen=True)
class Expected:
    """What the reference gives: float64 tensors by name, and the error that each may have.

    beyond: results with finite entries for which none of the runs in float32 has a number: they, or what they are made from, are past
    its range. Told, not excused: whoever compares holds them as any other.
    """

    tensors: Tensors
    allowed: dict[str, Allowed]
    beyond: frozenset[str] = frozenset()


def cached(memory: dict, segments: Segments | None) -> Tensors:
    """The cached states of a memory, oldest first. With logarithmic growth those in use: an op has one for every unit, the
    reference those alone."""
    found = memory.get("cache", {})
    if segments is None or segments.growth == "constant":
        return found
    units = int(memory["position"][0]) // segments.length
    ends = [units >> j << j for j in reversed(range(units.bit_length())) if units >> j & 1]
    return {n: x if x.shape[2] == len(ends) else x[:, :, [end - 1 for end in ends]] for n, x in found.items()}


def compute(fn: Callable, inputs: Tensors, case: Case, start: Tensors | None = None, ones: bool = False,
            segments: Segments | None = None) -> Tensors:
    """Every output and every gradient of a call: 'y', 'state S', 'cache S', 'd x', 'd start S'.

    With `start`, the call is given a start state and returns its memory, whose tensors have cotangents too.
    `ones`: the cotangent of y is one number expanded, as `y.sum().backward()` gives it.
    """
    given = {n: x.detach().requires_grad_() for n, x in inputs.items()}             # where they lie, strides kept
    states = {n: x.detach().requires_grad_() for n, x in (start or {}).items()}
    outs: Tensors = {}
    if start is None:
        outs["y"] = fn(**given)
    else:
        outs["y"], memory = fn(**given, memory={"state": states}, return_memory=True)
        outs |= {f"state {n}": x for n, x in memory["state"].items()}
        outs |= {f"cache {n}": x for n, x in cached(memory, segments).items()}
    leaves = {**{f"d {n}": x for n, x in given.items()}, **{f"d start {n}": x for n, x in states.items()}}
    active = {n: x for n, x in outs.items() if x.requires_grad and x.numel()}
    result = {n: x.detach() for n, x in outs.items()}
    if active:
        cotangents = [torch.ones((), dtype=x.dtype, device=x.device).expand_as(x) if ones and n == "y" else
                      cotangent(n, x, case) for n, x in active.items()]
        grads = torch.autograd.grad(list(active.values()), list(leaves.values()), cotangents, allow_unused=True)
        result |= {n: torch.zeros_like(x) if g is None else g for (n, x), g in zip(leaves.items(), grads)}
    else:
        result |= {n: torch.zeros_like(x) for n, x in leaves.items()}
    return result


def cotangent(name: str, like: torch.Tensor, case: Case) -> torch.Tensor:
    """Normal entries, the same for an op and the reference: rounded to what the op's output holds."""
    drawn = torch.randn(like.shape, generator=generator("cotangent " + name, case.seed), dtype=torch.float64)
    stored = case.dtype if name == "y" else torch.float32
    return drawn.to(stored).to(device=like.device, dtype=like.dtype)


@dataclass
class Lab:
    """One op under test, with its reference, sizes, and a cache of what the reference gave."""

    op: Callable
    spec: Spec
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    arithmetic: str | None = None
    sizes: Mapping[str, int] | None = None
    seed: int = 0
    amount: float = 1.0
    samples: int = 1                # runs of the reference in float32 that measure rounding: one is by chance lucky on a few entries.
                                    # With several there is one more with no rounding but its own: numbers that are equal stay so there
    _expected: dict[Any, Expected] = field(default_factory=dict)

    def __post_init__(self):
        self.reference = Reference(self.spec)
        self.rounding = [Reference(self.spec, torch.float32, rounding=i) for i in (*range(self.samples), *([None] if self.samples > 1 else []))]
        self.sizes = dim_sizes(self.spec, self.sizes)
        self.numbers = all_numbers(self.spec, self.sizes)
        self.chunk = self.op.chunk_at(self.device, self.sizes) if hasattr(self.op, "chunk_at") else getattr(self.op, "chunk", 64)
        self.segments = self.spec.cache.segments if self.spec.cache else None
        self.segment = self.segments.length if self.segments else None
        self.token_inputs = [n for n, i in all_inputs(self.spec).items() if i.per == "token"]

    def case(self, length: int, **changes: Any) -> Case:
        return replace(Case(length, dtype=self.dtype, seed=self.seed, amount=self.amount), **changes)

    # -- draws -------------------------------------------------------------------------------------------------------

    def inputs(self, case: Case) -> Tensors:
        """On the op's device, in the case's dtype."""
        return {n: x.to(self.device) for n, x in self.plain(case).items()}

    def plain(self, case: Case) -> Tensors:
        """The same on the CPU."""
        return draw(self.spec, case, self.sizes)

    def start(self, case: Case) -> Tensors:
        """A start state that the rule reaches: its own, after a few tokens of another draw. Float32 or wider."""
        rule = Reference(replace(self.spec, cache=None))
        other = replace(case, length=7, seed=case.seed + 1, edge=None, fewer=False)
        drawn = {n: x for n, x in draw(self.spec, other, self.sizes).items()
                 if n in rule.inputs or n not in self.reference.inputs}
        with torch.no_grad():
            _, memory = rule(**drawn, return_memory=True)
        wide = torch.float64 if case.dtype == torch.float64 else torch.float32
        return {n: x.to(dtype=wide, device=self.device) for n, x in memory["state"].items()}

    def tame(self, length: int) -> float:
        """The largest amount of the draws at which the reference stays within sane magnitudes."""
        for amount in AMOUNTS:
            case = self.case(length, batch=1, amount=amount)
            with one_thread():
                results = [compute(self.reference, {n: x.double() for n, x in self.plain(replace(case, seed=s)).items()}, case)
                           for s in (case.seed, case.seed + 1)]
            if all(bool((x.abs() < (TAME_GRADIENT if n.startswith("d ") else TAME_VALUE)).all())
                   for r in results for n, x in r.items()):
                break
        self.amount = amount
        return amount

    # -- the reference ---------------------------------------------------------------------------------------------------

    def expected(self, case: Case, start: bool = False, ones: bool = False) -> Expected:
        key = (case, start, ones)
        if key not in self._expected:
            self._expected[key] = self.expected_of(_called, *key)
        return self._expected[key]

    def expected_of(self, fn: Callable, case: Case, start: bool = False, ones: bool = False) -> Expected:
        """What the reference gives on a case when called as `fn(reference, **inputs)`."""
        exact = {n: x.double() for n, x in draw(self.spec, case, self.sizes).items()}
        states = {n: x.double().cpu() for n, x in self.start(case).items()} if start else None

        def single(tensors: Tensors | None) -> Tensors | None:
            return tensors and {n: x.float() for n, x in tensors.items()}

        with one_thread():
            here = compute(partial(fn, self.reference), exact, case, states, ones, self.segments)
            rounded = [compute(partial(fn, r), single(_nudged(exact, i)), case, single(states), ones, self.segments) for i, r in enumerate(self.rounding)]
        self._free_poisoned(here)
        usual = arithmetic_of(case.dtype)
        stored = {"y", *(f"d {n}" for n in exact)} if case.dtype in HALVES else set()          # held to their own rounding alone
        terms = case.length + sum(self.sizes.values())
        cancelling = self._term_scale(exact, here)
        half_infinite = [exact[n] for n, i in all_inputs(self.spec).items()
                         if math.isinf(i.domain.lo) != math.isinf(i.domain.hi) and exact[n].numel()]
        decay = max((float(x.abs().max()) for x in half_infinite), default=0.0)
        floored = self._floored(exact)
        bounds = {n: max((allowed(here[n], r[n], terms, usual if n in stored else self.arithmetic or usual, term_scale=cancelling.get(n, 0.0),
                                  decay=max(decay, FLOORED) if n in floored else decay) for r in rounded), key=lambda a: a.arithmetic_error)
                  for n in here}
        beyond = frozenset(n for n, x in here.items() if any((x.isfinite() & ~r[n].isfinite()).any() for r in rounded))
        return Expected(here, bounds, beyond)

    def _free_poisoned(self, result: Tensors) -> None:
        """Rows and heads in which the rule itself makes an infinity are free everywhere: in a product with a mask it
        reaches the tokens before it too, and no algorithm with chunks could be held to those."""
        lanes = [t for n, t in result.items() if n.startswith(("y", "state ", "cache "))]
        if all(bool(torch.isfinite(t).all()) for t in lanes):
            return
        bad = ~torch.isfinite(result["y"]).flatten(3).all(-1).all(1)                                 # [B, H]
        for n, t in result.items():
            if n.startswith(("state ", "cache ")):
                bad = bad | ~torch.isfinite(t).flatten(2).all(-1)
        for n, t in result.items():
            name = n.removeprefix("d ")
            if n == "y" or name in self.token_inputs and n != name:
                mask = bad[:, None, :] if t.shape[2] == bad.shape[1] else bad.any(1)[:, None, None].expand(-1, 1, t.shape[2])
            elif n.startswith(("state ", "cache ", "d start ")):
                mask = bad
            else:
                mask = bad.any(0)
            result[n] = t.masked_fill(mask[(...,) + (None,) * (t.dim() - mask.dim())], math.nan)

    def _term_scale(self, exact: Tensors, result: Tensors) -> dict[str, float]:
        """For the gradient of each interval input, a decay: the size of the terms |x . dx| it may be a difference of.

        Summed over the tokens like independent errors, largest over rows and heads.
        """
        known, per_token = all_inputs(self.spec), 0.0
        for n in self.token_inputs:
            if known[n].shape:
                product = (exact[n] * result[f"d {n}"]).abs().nan_to_num(0.0, 0.0, 0.0)
                heads = product.flatten(3).sum(-1).amax(2)                                        # [B, T]
                per_token = per_token + heads
        total = float(torch.as_tensor(per_token).square().sum(-1).sqrt().amax()) if torch.is_tensor(per_token) and per_token.numel() else 0.0
        found = {f"d {n}": total for n, i in known.items() if i.domain.kind == "interval"}
        return found

    def _floored(self, exact: Tensors) -> set[str]:
        """The gradients of bounded inputs, of which a factor may be made that is 0: those with a number at an end of their domain, or at 0."""
        bounded = {n: i.domain for n, i in all_inputs(self.spec).items() if math.isfinite(i.domain.lo) and math.isfinite(i.domain.hi)}
        return {f"d {n}" for n, d in bounded.items() if any(bool((exact[n] == end).any()) for end in (0.0, d.lo, d.hi))}

    # -- comparing -----------------------------------------------------------------------------------------------------

    def check(self, gate: Gate, case: Case, got: Tensors, want: Expected, prefix: str = "", only: set[str] | None = None) -> None:
        """Adds one check for each tensor."""
        gate.cases += 1
        for name, tensor in want.tensors.items():
            if only is not None and name not in only:
                continue
            where = f"{prefix}{case}"
            if name not in got:
                gate.checks.append(Check(name, math.inf, f"{where}: not returned"))
                continue
            mine = got[name]
            if name.startswith("cache "):
                mine = mine[:, :, :tensor.shape[2]]
            bound = want.allowed[name]
            gate.checks.append(compare(name, mine, tensor, bound.for_dtype(mine.dtype), where))
            if bound.scale and bound.arithmetic_error > 0.1 * bound.scale and not name.startswith("d "):
                note = f"{name} is ill-conditioned at {case}: held to {bound.arithmetic_error / bound.scale:.1g} of its scale"
                if note not in gate.notes:
                    gate.notes.append(note)

    def check_run(self, gate: Gate, case: Case, fn: Callable | None = None, start: bool = False, ones: bool = False,
                  inputs: Tensors | None = None, prefix: str = "") -> Tensors:
        """The op on a draw, forward and backward, against the reference."""
        got = compute(fn or self.op, self.inputs(case) if inputs is None else inputs, case,
                      self.start(case) if start else None, ones, self.segments)
        self.check(gate, case, got, self.expected(case, start, ones), prefix)
        return got


def _nudged(inputs: Tensors, sample: int) -> Tensors:
    """The inputs themselves for sample 0, else each entry off by at most a unit roundoff of float32."""
    if sample == 0:
        return inputs
    u = roundoff("float32")
    return {n: x * (1 + u * (2 * torch.rand(x.shape, generator=generator(n, sample), dtype=x.dtype) - 1)) for n, x in inputs.items()}


def _called(reference: Reference, **given: Any) -> Any:
    return reference(**given)


def compare(name: str, got: torch.Tensor, want: torch.Tensor, tolerance: float, where: str) -> Check:
    """The largest error over the tolerance. Entries where the reference isn't finite are free."""
    if got.shape != want.shape:
        return Check(name, math.inf, f"{where}: shape {list(got.shape)}, expected {list(want.shape)}")
    got, finite = got.detach().double().cpu(), torch.isfinite(want)
    if not finite.any():
        return Check(name, 0.0, where)
    error = torch.where(finite, (got - want).abs(), torch.zeros((), dtype=torch.float64)).nan_to_num(math.inf, math.inf)
    ratio = float(error.max()) / tolerance
    at = torch.unravel_index(error.argmax(), error.shape)
    index = tuple(int(i) for i in at)
    values = f"got {got[index].item():.8g}, expected {want[index].item():.8g}, tolerance {tolerance:.2g}"
    return Check(name, ratio, f"{where} {list(index)} {values}")


def prime_after(n: int) -> int:
    while any(n % d == 0 for d in range(2, int(n ** 0.5) + 1)) or n < 2:
        n += 1
    return n


def main_length(lab: Lab, full: bool) -> int:
    """Several chunks and segments, a multiple of neither."""
    longest = max(min(lab.chunk, 64), lab.segment or 0)
    return prime_after(2 * longest + (7 if full else 2))
