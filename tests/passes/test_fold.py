"""Kernels over rows go over a dim in blocks where nothing needs it whole first, and are cut in two where they compute many products."""
from __future__ import annotations

import pytest

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result
from mcgen.passes.fold import fold
from mcgen.passes.slice import cut
from mcgen.passes.slice_kernel import MOST, products

from .cases import compiled


def program(make):
    """One row's program of x and y over tokens and V, z over tokens and K."""
    b = Builder()
    params = Param("x", "token", ("V",)), Param("y", "token", ("V",)), Param("z", "token", ("K",))
    x, y, z = (b.load(p, 0) for p in params)
    return Program("p", params, tuple(Result(f"out{i}", "starts", tuple(a for a in v.axes if a != "r"), ((v, 0),))
                                      for i, v in enumerate(make(b, x, y, z))), "chunk")


def test_what_adds_up_and_what_comes_after():
    made = fold(program(lambda b, x, y, z: [b.map("exp", b.dot(x, b.map("tanh", y), ["V"])), b.map("mul", x, y)]), ())
    assert made.axis == "V" and [v.op for v in made.sums] == ["dot"]
    assert {v["fn"] for v in made.inside if v.op == "map"} == {"tanh", "mul"}             # not exp: it is of the whole sum


def test_nothing_needs_the_dim_whole_first():
    assert fold(program(lambda b, x, y, z: [b.map("mul", x, b.dot(x, y, ["V"]))]), ()) is None
    assert fold(program(lambda b, x, y, z: [b.sum(b.map("sub", x, b.max(x, "V")), ["V"])]), ()) is None
    assert fold(program(lambda b, x, y, z: [b.dot(x, y, ["V"])]), ("V",)) is None         # programs of their own already


def test_a_shorter_sum_adds_up_in_its_place():
    """Of [c, K] = x S only the product with z is wanted: c numbers in registers."""
    def make(b, x, y, z):
        state = b.param(Param("S", "starts", ("K", "V")))
        return [b.dot(b.dot(x, state, ["V"]), z, ["K"])]
    made = fold(program(make), ("K",))
    assert made.axis == "V" and [v.axes for v in made.sums] == [("r", "c")]
    assert [v.op for v in made.inside if v.args] == ["dot", "dot"]


@pytest.mark.parametrize("rule", ["scalar", "steps", "channels"])
def test_of_rules(rule):
    """Every value of a fold once, arguments first, and nothing before it or with its axis that depends on a sum."""
    state = compiled(rule)
    folds = [s.fold for s in cut(state.backward, state.source.builder).slices if s.fold]
    assert folds
    for f in folds:
        assert not any(f.axis in v.axes for v in f.before) and set(map(id, f.sums)) <= set(map(id, f.inside))
        known: set[int] = set()
        for v in (*f.before, *f.inside):
            assert all(id(a) in known for a in v.args) and id(v) not in known
            known.add(id(v))
            assert not (f.axis in v.axes and any(a in f.sums for a in v.args))


def test_many_products_are_cut_in_two():
    state = compiled("steps")
    slices = cut(state.backward, state.source.builder).slices
    at = next(i for i, s in enumerate(slices) if s.fold and products(s.program.order()) > MOST)
    stored = {r.name for r in slices[at].program.results}
    assert all(name.startswith("stored.") for name in stored)
    assert stored <= {p.name for p in slices[at + 1].program.params} and not slices[at + 1].program.results[0].name.startswith("stored.")
