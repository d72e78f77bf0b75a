"""Systems of a cached memory share its inverse, and a sum over rows takes no matrix that all rows share."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir.builder import Builder
from mcgen.ir.interpreter import run
from mcgen.ir.nodes import Param, Program, Result, order
from mcgen.passes.invert import invert
from mcgen.passes.leave_rows import leave_rows
from mcgen.passes.pipeline import compile_model, stages
from mcgen.passes.slice import cut
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from .cases import every


def systems(program):
    """Of the cached memories: matrices over slots, and what their systems are solved for."""
    return [v for v in program.order() if v.op == "dense_solve" and "n" in v.args[0].axes]


@pytest.mark.parametrize("cache", ["grm", "residual", "ssc"])
def test_one_system_of_every_memory(cache):
    """Two of every token before; the forward pass, which has one, keeps it."""
    found = dict(stages(elaborate(load_spec(f"mesa+{cache}"))))
    before, after = (systems(found[stage].backward) for stage in ("solve_apart", "clean"))
    assert len(before) == 2 and all("c" in v.axes for v in before)
    one, = after
    assert not {"r", "c"} & set(one.axes)
    assert [v.axes for v in systems(found["clean"].forward)] == [("r", "c", "n", "K'")]


def test_alone_for_rows():
    """A kernel of its own has the inverse; those that take rows read it. A product of memories has one too."""
    made = compile_model(elaborate(load_spec("mesa+grm")))
    slices = cut(made.backward, made.source.builder).slices
    inverting = [s for s in slices if any(v.op == "dense_solve" and "c" not in v.axes and "n" in v.axes for v in every(s.program.order()))]
    assert [(s.kind, len(s.program.results)) for s in inverting] == [("slots", 1)]
    name = inverting[0].program.results[0].name
    assert sum(any(p.name == name for p in s.program.params) for s in slices) > 1
    assert not any(v.op in ("load", "row") for v in every(inverting[0].program.order()))
    at = {r.name: i for i, s in enumerate(slices) for r in s.program.results}
    assert all(at[p.name] < i for i, s in enumerate(slices) for p in s.program.params if p.name in at and p.name not in s.program.results)


SIZES, ROWS = {"K": 3, "V": 2}, torch.tensor([[[0, 3, 0, 0], [3, 2, 0, 3]]])


def program(*values):
    params = {v["name"]: Param(v["name"], {"load": "token", "param": "slots"}[v.op], tuple(a for a in v.axes if a not in "rcn"))
              for value in values for v in order([value]) if v.op in ("load", "param")}
    return Program("small", tuple(params.values()), tuple(Result(f"out{i}", "slots", v.axes[1:], ((v, 0),)) for i, v in enumerate(values)))


def tokens(b, name, dim):
    return b.load(Param(name, "token", (dim,)))


def same(before, after):
    """Both programs' results on random numbers, of two memories and two rows."""
    torch.manual_seed(0)
    inputs = {p.name: torch.randn(1, 5 if p.kind == "token" else 2, *(SIZES[a.rstrip("~")] for a in p.axes), dtype=torch.float64) for p in before.params}
    want, got = (run(p, inputs, ROWS, 3, SIZES) for p in (before, after))
    assert all(w.abs().max() > 0.1 for w in want.values())
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_two_systems_are_one():
    """Of a matrix and the transposed one; a system that is alone stays."""
    b = Builder()
    matrix = b.rename(b.param(Param("A", "slots", ("K", "K~"))), {"K~": "K'"})
    x, y = tokens(b, "x", "K"), tokens(b, "y", "V")
    there = b.rename(b.dense_solve(matrix, x, "K", "K'"), {"K'": "K"})
    back = b.dense_solve(matrix, b.rename(x, {"K": "K'"}), "K'", "K")
    alone = program(b.dot(there, y, ["r", "c"]))
    assert invert(alone, b).roots() == alone.roots()
    before = program(b.dot(there, y, ["r", "c"]), b.dot(back, y, ["r", "c"]))
    after = invert(before, b)
    one, = systems(after)
    assert one.axes[0] == "n" and one.args[1].axes == ("K", "K~") and len(systems(before)) == 2
    same(before, after)


def test_matrices_leave_a_sum():
    """Of both sides, and scales stay with their token; two sums of the same vectors are one."""
    b = Builder()
    M, N = b.param(Param("M", "slots", ("K", "V"))), b.param(Param("N", "slots", ("K", "K~")))
    x, y, w = tokens(b, "x", "V"), tokens(b, "y", "K"), tokens(b, "w", "K")
    scale = b.dot(w, y, ["K"])
    left = b.dot(M, x, ["V"])
    right = b.map("mul", scale, b.dot(N, b.rename(y, {"K": "K~"}), ["K~"]))
    both = b.dot(left, b.rename(right, {"K": "K~"}), ["r", "c"])
    one = b.dot(left, b.rename(b.map("mul", scale, y), {"K": "K~"}), ["r", "c"])
    before = program(both, one)
    after = leave_rows(before, b)
    total, = [v for v in after.order() if v.op == "dot" and "r" in v["over"]]
    assert sorted(v.op for v in total.args) == ["load", "map"] and [r.axes for r in after.results] == [r.axes for r in before.results]
    same(before, after)


def test_a_sum_of_plain_vectors_stays():
    b = Builder()
    before = program(b.map("mul", b.param(Param("M", "slots", ("K", "V"))), b.dot(tokens(b, "x", "K"), tokens(b, "y", "V"), ["r", "c"])))
    assert leave_rows(before, b).roots() == before.roots()
