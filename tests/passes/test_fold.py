"""Kernels over rows go over a dim in blocks where nothing needs it whole first, and are cut in two where they compute many products."""
from __future__ import annotations

import pytest

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result
from mcgen.passes.fold import fold
from mcgen.passes.slice import cut
from mcgen.passes.slice_kernel import products
from mcgen.passes.slice_parts import MOST, WHOLE

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
    once, = made.passes
    assert made.axis == "V" and [v.op for v in made.sums] == ["dot"]
    assert {v["fn"] for v in once.inside if v.op == "map"} == {"tanh", "mul"}             # not exp: it is of the whole sum
    assert [v["fn"] for v in once.given] == ["mul"]


def test_nothing_needs_the_dim_whole_first():
    assert fold(program(lambda b, x, y, z: [b.map("mul", x, b.dot(x, y, ["V"]))]), ()) is None
    assert fold(program(lambda b, x, y, z: [b.map("mul", x, b.max(y, "V"))]), (), 2) is None
    assert fold(program(lambda b, x, y, z: [b.sum(b.map("sub", x, b.max(x, "V")), ["V"])]), ()) is None
    assert fold(program(lambda b, x, y, z: [b.dot(x, y, ["V"])]), ("V",)) is None         # programs of their own already


def test_a_shorter_sum_adds_up_in_its_place():
    """Of [c, K] = x S only the product with z is wanted: c numbers in registers."""
    def make(b, x, y, z):
        state = b.param(Param("S", "starts", ("K", "V")))
        return [b.dot(b.dot(x, state, ["V"]), z, ["K"])]
    made = fold(program(make), ("K",))
    assert made.axis == "V" and [v.axes for v in made.sums] == [("r", "c")]
    assert [v.op for v in made.passes[0].inside if v.args] == ["dot", "dot"]


def test_what_needs_a_sum_waits_for_the_second_pass():
    def make(b, x, y, z):
        scaled = b.map("mul", b.map("tanh", x), b.dot(x, y, ["V"]))
        return [b.dot(scaled, y, ["V"]), b.map("tanh", x)]
    made = fold(program(make), (), 2)
    first, second = made.passes
    assert [v.op for v in made.sums] == ["dot", "dot"] and first.sums != second.sums
    assert [[v["fn"] for v in once.inside if v.op == "map"] for once in made.passes] == [["tanh"], ["tanh", "mul"]]      # once more
    assert [len(once.given) for once in made.passes] == [1, 0]                                                           # but stored once


def test_loops_over_slots_go_over_the_blocks_themselves():
    """Of x M for every memory M: x and M in blocks, in each slot."""
    def make(b, x, y, z):
        m, whole = Param("M", "value", ("V", "K")), Param("x", "value", ("c", "V"))
        body = Program("reads", (m, whole), (Result("out0", "sum", ("c", "K"), ((b.dot(b.param(whole), b.param(m), ["V"]), 0),)),))
        return b.slots(body, [b.param(Param("cache", "slots", ("V", "K")))], [x])
    made = fold(program(make), ("K",))
    assert made.axis == "V" and not made.passes
    (once,), = made.loops.values()
    assert [v.op for v in once.sums] == ["dot"] and not once.given


@pytest.mark.parametrize("rule", ["scalar", "steps", "channels"])
def test_of_rules(rule):
    """Every value of a fold once, arguments first, and nothing before it or with its axis that depends on a sum."""
    state = compiled(rule)
    folds = [s.fold for s in cut(state.backward, state.source.builder).slices if s.fold]
    assert folds
    for f in folds:
        done: set[int] = set()                                # sums of earlier passes
        for once in f.passes:
            assert not any(f.axis in v.axes for v in once.before) and set(map(id, once.sums)) <= set(map(id, once.inside))
            known: set[int] = set()
            for v in (*once.before, *once.inside):
                assert all(id(a) in known | done for a in v.args) and id(v) not in known
                known.add(id(v))
                assert not (f.axis in v.axes and any(a in once.sums for a in v.args))
            done |= set(map(id, once.sums))


def test_many_products_are_cut():
    """Most kernels with a fold have few; what a kernel reads, earlier ones stored."""
    state = compiled("steps")
    sliced = cut(state.backward, state.source.builder)
    many = [s for s in sliced.slices if s.fold and products(s.program.order()) > MOST]
    assert len(many) < 2 and all(r.name.startswith("d.") for s in many for r in s.program.results)
    scratch, made = {p.name for p in sliced.scratch}, set()
    for s in sliced.slices:
        assert {p.name for p in s.program.params} & scratch <= made
        made |= {r.name for r in s.program.results}
    assert scratch <= made


def test_a_dim_from_end_to_end_and_many_products():
    """Ten products over blocks of V with K whole are several kernels, none of which fills registers."""
    state = compiled("erase")
    slices = [s for s in cut(state.backward, state.source.builder).slices if s.kind == "rows"]
    assert len(slices) > 2 and max(s.load for s in slices) <= 1
    assert max(s.products for s in slices if s.whole and s.fold) <= WHOLE

