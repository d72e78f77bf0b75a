"""Runs a chunk-level program in float64 torch, one value at a time, as its grammar says: slow, plain, the meaning.

Tensors carry one leading axis Z for sequence x head. Tokens of a row beyond its count hold whatever `load` gives them.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Mapping

import torch

from .functions import TABLE
from .interpreter_channels import ChannelOps
from .nodes import LEAD, Program, Value, dim_of, order, scan_axis, slot_axis, sort_axes

Tensor = torch.Tensor


@dataclass
class Rows:
    """The chunk table with a row index, [Z, R] each, and the segment length (0: no cache)."""

    start: Tensor
    count: Tensor
    segment: Tensor
    offset: Tensor
    length: int
    chunk: int

    @staticmethod
    def of(table: Tensor, length: int, chunk: int) -> "Rows":
        """table: [Z, R, 4] int."""
        start, count, segment, offset = (table[..., i].long() for i in range(4))
        return Rows(start, count, segment, offset, length, chunk)

    @property
    def completes(self) -> Tensor:
        return (self.count > 0) & (self.offset + self.count == self.length)


def run(program: Program, inputs: Mapping[str, Tensor], table: Tensor, chunk: int, sizes: Mapping[str, int],
        rounded: Callable[[Tensor], Tensor] = lambda x: x) -> dict[str, Tensor]:
    """inputs: token [Z, delay+T, *dims], head and memory [Z, *dims], slots and levels [Z, N, *dims], units [Z, M, *dims],
    starts [Z, R, *dims]. sizes: dim -> size; '#slots' and '#tokens' for a program without parameters of that kind.

    rounded: applied to the numbers that an operation takes, to see how much rounding does.

    Returns every result by name in the same layouts, float64.
    """
    rows = Rows.of(table, program.segment, chunk)
    machine = _Machine({k: v.double() for k, v in inputs.items()}, rows, dict(sizes), program, rounded)
    values = machine.evaluate(program.roots())
    found = {}
    for result in program.results:
        if result.kind == "token":
            found[result.name] = machine.scatter(result, [(values[id(v)], v, s) for v, s in result.parts])
        else:
            value = result.parts[0][0]
            found[result.name] = machine.full(values[id(value)], value.axes, LEAD.get(result.kind, ()) + result.axes)
    return found


class _Machine(ChannelOps):
    def __init__(self, inputs: dict[str, Tensor], rows: Rows, sizes: dict[str, int], program: Program, rounded: Callable[[Tensor], Tensor]):
        self.inputs, self.rows, self.sizes, self.program, self.rounded = inputs, rows, sizes, program, rounded
        self.z, self.r = rows.start.shape
        sizes_of = lambda *kinds: [inputs[p.name].shape[1] for p in program.params if p.kind in kinds and p.name in inputs]
        self.m = next(iter(sizes_of("units")), self.sizes.get("#units", 0))
        self.n = next(iter(sizes_of("slots", "levels")), self.sizes.get("#slots", self.m.bit_length() + 1))
        tokens = [(inputs[p.name].shape[1] - p.delay) for p in program.params if p.kind == "token" and p.name in inputs]
        self.t = tokens[0] if tokens else self.sizes.get("#tokens", 0)

    def extent(self, axis: str) -> int:
        if axis in ("c", "d", "mid"):
            return self.rows.chunk
        if axis == "r":
            return self.r
        if axis in ("n", "l"):
            return self.n
        if axis == "m":
            return self.m
        return int(dim_of(axis)) if dim_of(axis).isdigit() else self.sizes[dim_of(axis)]

    def align(self, x: Tensor, axes: tuple[str, ...], target: tuple[str, ...]) -> Tensor:
        """x over (Z, *axes) as a tensor over (Z, *target) with size 1 where an axis is missing."""
        x = x.permute(0, *(1 + axes.index(a) for a in target if a in axes))
        for i, axis in enumerate(target):
            if axis not in axes:
                x = x.unsqueeze(1 + i)
        return x

    def full(self, x: Tensor, axes: tuple[str, ...], target: tuple[str, ...]) -> Tensor:
        return self.align(x, axes, target).expand(self.z, *map(self.extent, target)).contiguous()

    def evaluate(self, roots: list[Value], bound: Mapping[str, tuple[Tensor, tuple[str, ...]]] | None = None) -> dict[int, Tensor]:
        values: dict[int, Tensor] = {}
        multi: dict[int, dict] = {}
        for value in order(roots):
            if value.op == "param" and bound is not None and value["name"] in bound:
                tensor, axes = bound[value["name"]]
                values[id(value)] = self.full(tensor, axes, value.axes)
            elif value.op == "scan":
                multi[id(value)] = self.scan(value, values, bound)
            elif value.op == "slots":
                multi[id(value)] = self.slot_loop(value, values, bound)
            elif value.op == "out":
                values[id(value)] = multi[id(value.args[0])][value["kind"], value["index"]]
            else:
                args = {id(a): self.rounded(x) if x.is_floating_point() else x for a in value.args for x in [values[id(a)]]}
                values[id(value)] = getattr(self, "do_" + value.op)(value, [args[id(a)] for a in value.args])
        return values

    # -- leaves
    def do_const(self, v, a): return torch.full((self.z,), v["value"], dtype=torch.float64)
    def do_size(self, v, a): return torch.full((self.z,), float(self.extent(v["axis"])), dtype=torch.float64)
    def do_iota(self, v, a): return torch.arange(self.extent(v["axis"])).expand(self.z, -1)
    def do_param(self, v, a): return self.inputs[v["name"]]

    def do_row(self, v, a):
        if v["field"] == "index":
            return torch.arange(self.r).expand(self.z, -1)
        return getattr(self.rows, v["field"])

    def do_load(self, v, a):
        x = self.inputs[v["name"]]
        delay = self.program.param(v["name"]).delay
        c = torch.arange(self.rows.chunk)
        index = self.rows.start[..., None] + torch.minimum(c, (self.rows.count - 1).clamp(min=0)[..., None]) - v["shift"] + delay
        inside = (index >= 0) & (index < x.shape[1])
        got = x[torch.arange(self.z)[:, None, None], index.clamp(0, max(x.shape[1] - 1, 0))]
        if v["fill"] is not None:
            ok = inside & (c < self.rows.count[..., None])
            got = torch.where(ok.reshape(ok.shape + (1,) * (got.dim() - 3)), got, torch.tensor(v["fill"], dtype=got.dtype))
        return got

    # -- elementwise, reductions, products
    def do_map(self, v, a):
        return TABLE[v["fn"]].value(*(self.align(x, arg.axes, v.axes) for x, arg in zip(a, v.args)))

    def do_sum(self, v, a):
        return a[0].sum([1 + v.args[0].axes.index(x) for x in v["over"]])

    def do_max(self, v, a):
        index = 1 + v.args[0].axes.index(v["over"][0])
        if a[0].shape[index] == 0:
            return torch.full([s for i, s in enumerate(a[0].shape) if i != index], float("-inf"), dtype=a[0].dtype)
        return a[0].amax(index)

    def do_dot(self, v, a):
        letters: dict[str, str] = {}
        def spell(axes): return "Z" + "".join(letters.setdefault(x, "abcdefghijklmnop"[len(letters)]) for x in axes)
        x, y = v.args
        return torch.einsum(f"{spell(x.axes)},{spell(y.axes)}->{spell(v.axes)}", a[0], a[1])

    def do_cumsum(self, v, a):
        i = 1 + v.axes.index(v["axis"])
        x = a[0].flip(i) if v["reverse"] else a[0]
        if v["exclusive"]:           # shifted, not subtracted: a small sum must survive beside a large own term
            x = torch.cat([torch.zeros_like(x.narrow(i, 0, min(1, x.shape[i]))), x.narrow(i, 0, max(x.shape[i] - 1, 0))], i)
        y = x.cumsum(i)
        return y.flip(i) if v["reverse"] else y

    def do_segsum(self, v, a):
        i = 1 + v.args[0].axes.index("c")
        x = a[0].movedim(i, -1)
        c = torch.arange(x.shape[-1])
        inside = (c[None, None] > c[None, :, None]) & ((c[None, None] < c[:, None, None]) if v["exclusive"] else (c[None, None] <= c[:, None, None]))
        sums = torch.where(inside, x[..., None, None, :], torch.zeros((), dtype=x.dtype)).sum(-1)     # [..., c, d]
        return self.align(sums, tuple(ax for ax in v.args[0].axes if ax != "c") + ("c", "d"), v.axes)

    def do_solve(self, v, a):
        own = ("c", v["step"]) if v["step"] else ("c",)
        other = tuple({"c": "d", v["step"]: v["step"] + "~"}[x] for x in own)
        lead = ("r",) if "r" in v.axes else ()
        rest = tuple(x for x in v.axes if x not in (*lead, *own))
        size = math.prod(map(self.extent, own))
        matrix = self.full(a[0], v.args[0].axes, lead + own + other).flatten(-2 * len(own)).unflatten(-1, (size, size))
        x = self.full(a[1], v.args[1].axes, lead + own + rest)
        shape = x.shape
        x = x.reshape(*shape[:1 + len(lead)], size, -1)
        found = substituted(matrix, x, v["transposed"]).reshape(shape)
        return self.align(found, lead + own + rest, v.axes)

    def do_inverse(self, v, a):
        matrix = self.full(a[0], v.axes, (*v.axes[:-2], "c", "d"))
        return self.align(substituted(matrix, torch.eye(matrix.shape[-1], dtype=matrix.dtype)), (*v.axes[:-2], "c", "d"), v.axes)

    def do_rename(self, v, a): return a[0]

    # -- cache
    def do_collect(self, v, a):
        x, old = v.args[:2]
        out = self.full(a[1], old.axes, v.axes).clone()
        if len(a) == 3:                                                     # of one level
            at = ("r", "l", *v.axes[1:])
            source = torch.where(self.align(a[2], v.args[2].axes, at), self.full(a[0], x.axes, at), torch.zeros((), dtype=torch.float64)).sum(2)
        else:
            source = self.full(a[0], x.axes, ("r",) + v.axes[1:])
        z, r = self.rows.completes.nonzero(as_tuple=True)
        out[z, self.rows.segment[z, r]] = source[z, r]
        return out

    def do_expose(self, v, a):
        slot = "m" if "m" in v.args[0].axes else "n"
        x = self.full(a[0], v.args[0].axes, (slot,) + v.axes[1:])
        out = torch.zeros(self.z, self.r, *x.shape[2:], dtype=x.dtype)
        z, r = self.rows.completes.nonzero(as_tuple=True)
        out[z, r] = x[z, self.rows.segment[z, r]]
        return out

    def do_keep(self, v, a):
        out = self.full(a[0], v.args[0].axes, v.axes).clone()
        z, r = self.rows.completes.nonzero(as_tuple=True)
        out[z, self.rows.segment[z, r]] = 0
        return out

    def memory_of(self, digit, axes) -> tuple[Tensor, Tensor]:
        """Which slot each digit's memory has, and whether the digit is 1: over z, r and the digit's axes."""
        digit = self.align(digit, axes, ("r", *axes))
        segment = self.rows.segment.reshape(self.z, self.r, *(1,) * len(axes))
        return ((segment >> digit) << digit) - 1, TABLE["digit"].value(segment, digit)

    def do_take(self, v, a):
        x, digit = v.args
        rest = tuple(ax for ax in x.axes if ax != "m")
        slot, one = self.memory_of(a[1], digit.axes)
        if not self.m:
            return torch.zeros(self.z, *map(self.extent, v.axes), dtype=torch.float64)
        lanes = torch.arange(self.z).reshape(self.z, *(1,) * (slot.dim() - 1))
        got = self.full(a[0], x.axes, ("m", *rest))[lanes, slot.clamp(0, self.m - 1)]
        return torch.where(one.reshape(one.shape + (1,) * len(rest)), got, torch.zeros((), dtype=got.dtype))

    def do_give(self, v, a):
        x, digit = v.args
        rest = v.axes[1:]
        slot, one = self.memory_of(a[1], digit.axes)
        got = self.full(a[0], x.axes, ("r", *digit.axes, *rest))
        out = torch.zeros(self.z, *map(self.extent, v.axes), dtype=torch.float64)
        at = one.nonzero(as_tuple=True)
        return out.index_put_((at[0], slot[at]), got[at], accumulate=True)

    def do_topk(self, v, a):
        axis = 1 + v.axes.index("n")
        score = a[0].movedim(axis, -1)
        segment, n = self.rows.segment.reshape(self.z, self.r, *(1,) * (score.dim() - 2)), torch.arange(self.n)
        past = TABLE["digit"].value(segment, n) if v["digits"] else n < segment
        score = torch.where(past, score, torch.tensor(float("-inf"), dtype=score.dtype))
        score = score.flip(-1) if v["digits"] else score                    # the oldest first
        rank = torch.argsort(torch.argsort(score, dim=-1, descending=True, stable=True), dim=-1, stable=True)
        return (((rank.flip(-1) if v["digits"] else rank) < v["k"]) & past).movedim(-1, axis)

    def do_dense_solve(self, v, a):
        """Torch solves along the last two axes; the other axes of matrix and right side broadcast."""
        matrix, x = v.args
        row, column = v["row"], v["column"]
        rest = tuple(ax for ax in v.axes if ax != column)
        lead = tuple(ax for ax in rest if ax in matrix.axes)
        own = tuple(ax for ax in rest if ax not in matrix.axes)
        left = self.full(a[0], matrix.axes, lead + (row, column))
        if v["definite"]:
            left = left.triu() + left.triu(1).mT
        right = self.full(a[1], x.axes, lead + (row,) + own)
        got = torch.linalg.solve(left, right.flatten(len(lead) + 2)) if own else torch.linalg.solve(left, right)
        return self.align(got.reshape(right.shape), lead + (column,) + own, v.axes)

    # -- loops
    def scan(self, v: Value, values, bound) -> dict:
        """Over tokens, those past the row's count change nothing and give ys of 0."""
        body: Program = v["body"]
        n, m, axis = v["carries"], v["xs"], scan_axis(v)
        args = [(values[id(x)], x.axes) for x in v.args]
        carry = [self.full(t, ax, p.axes) for (t, ax), p in zip(args[:n], body.params[:n])]
        steps = self.extent(axis)
        starts = [[None] * steps for _ in range(n)]
        ys = [[None] * steps for _ in body.results[n:]]
        for step in (reversed(range(steps)) if v["reverse"] else range(steps)):
            inner = dict(bound or {})
            for i in range(n):
                starts[i][step] = carry[i]
                inner[body.params[i].name] = (carry[i], body.params[i].axes)
            for (t, ax), p in zip(args[n:n + m], body.params[n:n + m]):
                if axis in ax:
                    t = t.select(1 + ax.index(axis), step)
                inner[p.name] = (t, tuple(a for a in ax if a != axis))
            for (t, ax), p in zip(args[n + m:], body.params[n + m:]):
                inner[p.name] = (t, ax)
            got = self.evaluate(body.roots(), inner)
            outs = [self.full(got[id(res.parts[0][0])], res.parts[0][0].axes, res.axes) for res in body.results]
            after = [self.full(o, res.axes, p.axes) for o, res, p in zip(outs[:n], body.results, body.params)]
            if axis == "c":
                real = args[-1][0] > step
                inside = lambda axes: self.align(real, v.args[-1].axes, axes)
                after = [torch.where(inside(p.axes), x, old) for x, old, p in zip(after, carry, body.params)]
                outs[n:] = [torch.where(inside(res.axes), o, torch.zeros((), dtype=o.dtype)) for o, res in zip(outs[n:], body.results[n:])]
            carry = after
            for i, o in enumerate(outs[n:]):
                ys[i][step] = o
        found = {("final", i): c for i, c in enumerate(carry)}

        def stack(xs, axes):
            at = sort_axes((axis, *axes)).index(axis)
            if xs:
                return torch.stack(xs, 1 + at)
            shape = [self.z, *map(self.extent, axes)]
            return torch.zeros(shape[:1 + at] + [0] + shape[1 + at:], dtype=torch.float64)
        found |= {("start", i): stack(s, body.params[i].axes) for i, s in enumerate(starts)}
        found |= {("y", i): stack(y, body.results[n + i].axes) for i, y in enumerate(ys)}
        return found

    def slot_loop(self, v: Value, values, bound) -> dict:
        body: Program = v["body"]
        m, axis = v["xs"], slot_axis(v)
        outs: list[list[Tensor]] = [[] for _ in body.results]
        for n in range(self.n):
            inner = dict(bound or {})
            for i, (arg, p) in enumerate(zip(v.args, body.params)):
                t, ax = values[id(arg)], arg.axes
                if i < m and axis in ax:
                    t, ax = t.select(1 + ax.index(axis), n), tuple(a for a in ax if a != axis)
                inner[p.name] = (t, ax)
            got = self.evaluate(body.roots(), inner)
            for i, res in enumerate(body.results):
                outs[i].append(self.full(got[id(res.parts[0][0])], res.parts[0][0].axes, res.axes))
        found = {}
        out_axes = [res.axes for res in body.results]
        for i, res in enumerate(body.results):
            zero = torch.zeros(self.z, *map(self.extent, out_axes[i]), dtype=torch.float64)
            if res.kind == "sum":
                found["sum", i] = sum(outs[i], zero)
            elif res.kind == "give":
                found["give", i] = self.given(outs[i], res.axes)
            else:
                lead = [a for a in ("t", "r", "c", "d") if a in res.axes]
                stacked = torch.stack(outs[i], 1 + len(lead)) if outs[i] else zero.unsqueeze(1 + len(lead))[(slice(None),) * (1 + len(lead)) + (slice(0, 0),)]
                found["stack", i] = stacked
        return found

    def given(self, parts: list[Tensor], axes: tuple[str, ...]) -> Tensor:
        """What rows have for each digit's memory, [z, r, *] a digit, summed for each memory."""
        out = torch.zeros(self.z, self.m, *map(self.extent, axes[1:]), dtype=torch.float64)
        for n, x in enumerate(parts):
            slot, one = self.memory_of(torch.full((self.z,), n), ())
            at = one.nonzero(as_tuple=True)
            out.index_put_((at[0], slot[at]), x[at], accumulate=True)
        return out

    def scatter(self, result, parts) -> Tensor:
        out = torch.zeros(self.z, result.delay + self.t, *map(self.extent, result.axes), dtype=torch.float64)
        c = torch.arange(self.rows.chunk)
        valid = c < self.rows.count[..., None]
        for tensor, value, shift in parts:
            x = self.full(tensor, value.axes, ("r", "c") + result.axes)
            index = self.rows.start[..., None] + c - shift + result.delay
            ok = valid & (index >= 0)
            z, r, k = ok.nonzero(as_tuple=True)
            out.index_put_((z, index[z, r, k]), x[z, r, k], accumulate=True)
        return out


def substituted(L: Tensor, x: Tensor, transposed: bool = False) -> Tensor:
    """(1 - L)^-1 x, or with L^T. Requires: L [.., c, d] is 0 unless d is before c."""
    assert not L.triu().any()
    return torch.linalg.solve_triangular(-(L.mT if transposed else L), x, upper=transposed, unitriangular=True)
