"""Statements in an order that keeps few tiles alive, arguments first."""
from __future__ import annotations

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param
from mcgen.passes.arrange import arrange, pressure


def test_a_sum_comes_before_the_next_tile():
    """k . (v S^T) and q . (y S^T): each product is summed at once, though what adds the sums comes last either way."""
    b = Builder()
    q, k, v, y = (b.load(Param(n, "token", a)) for n, a in (("q", ("K",)), ("k", ("K",)), ("v", ("V",)), ("y", ("V",))))
    state = b.param(Param("S", "starts", ("K", "V")))
    first, second = b.dot(v, state, ["V"]), b.dot(y, state, ["V"])
    both = b.map("mul", b.map("exp", first), b.map("exp", second))
    root = b.add(b.dot(k, first, ["K"]), b.dot(q, second, ["K"]), b.sum(both, ["K"]))
    order = arrange([root])
    places = {id(x): i for i, x in enumerate(order)}
    assert all(places[id(a)] < places[id(x)] for x in order for a in x.args)
    assert len(places) == len(order) and order[-1] is root
    sums = [x for x in order if x.op == "dot" and x["over"] == ("K",)]
    assert min(places[id(x)] for x in sums) < max(places[id(first)], places[id(second)])


def test_leaves_alone_are_kept():
    b = Builder()
    x = b.load(Param("x", "token", ("K",)))
    assert arrange([x]) == [x] and arrange([b.const(0.0)]) == [b.const(0.0)]


def test_pressure_counts_tiles_that_are_alive_at_once():
    """Of a chain two, what is made and of what, half of that where its axis is folded; of three that are multiplied with each other two
    of these products beside them; of a product what it reads too; of sums along a folded axis all."""
    b = Builder()
    x, y, z = (b.load(Param(n, "token", ("K",))) for n in "xyz")
    chain = b.map("log", b.map("exp", b.map("exp", b.map("exp", x))))
    assert pressure([chain]) == 2 and pressure([chain], ["K"]) == 1
    one, two, three = (b.map("exp", v) for v in (x, y, z))
    assert pressure([b.add(b.map("mul", one, two), b.map("mul", two, three), b.map("mul", three, one))]) == 5
    state = b.param(Param("S", "starts", ("K", "V")))
    assert pressure([b.dot(x, state, ["K"])]) == 3 and pressure([b.sum(x, ["K"])]) < 0.1
    pairs = [b.sum(b.dot(x, b.rename(b.map(fn, y), {"c": "d"}), ["K"]), ["d"]) for fn in ("exp", "tanh", "sigmoid", "abs", "log", "softplus")]
    assert pressure(pairs, ["K"]) == 6 and pressure(pairs) < 5
