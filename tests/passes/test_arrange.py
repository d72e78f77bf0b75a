"""Statements in an order that keeps few tiles alive, arguments first."""
from __future__ import annotations

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param
from mcgen.passes.arrange import SIDE, Pressure, arrange


def test_arguments_come_first_and_few_tiles_are_alive():
    """k . (v S^T), q . (y S^T) and what is elementwise of both products: four tiles at once; depth first it is five."""
    b = Builder()
    q, k, v, y = (b.load(Param(n, "token", a)) for n, a in (("q", ("K",)), ("k", ("K",)), ("v", ("V",)), ("y", ("V",))))
    state = b.param(Param("S", "starts", ("K", "V")))
    first, second = b.dot(v, state, ["V"]), b.dot(y, state, ["V"])
    both = b.map("mul", b.map("exp", first), b.map("exp", second))
    root = b.add(b.dot(k, first, ["K"]), b.dot(q, second, ["K"]), b.sum(both, ["K"]))
    found = arrange([root])
    places = {id(x): i for i, x in enumerate(found)}
    assert all(places[id(a)] < places[id(x)] for x in found for a in x.args)
    assert len(places) == len(found) and found[-1] is root
    alive = Pressure([root])
    assert alive.tiles() == 4 and alive.graph.needs(alive.graph.values)[0] == 5 * SIDE * SIDE


def test_leaves_alone_are_kept():
    b = Builder()
    x = b.load(Param("x", "token", ("K",)))
    assert arrange([x]) == [x] and arrange([b.const(0.0)]) == [b.const(0.0)]


def test_a_product_is_made_last_where_a_tile_is_free_by_then():
    """Of a sum of two products the one of which an argument is there from the start and ends there comes first."""
    b = Builder()
    x, y, z = (b.load(Param(n, "token", a)) for n, a in (("x", ("K",)), ("y", ("V",)), ("z", ("K",))))
    state = b.param(Param("S", "starts", ("K", "V")))
    free, then = b.dot(b.map("exp", x), b.map("exp", y), ["c"]), b.dot(b.map("tanh", z), b.dot(z, state, ["K"]), ["c"])
    for root in (b.add(free, then), b.add(then, free)):
        places = {id(v): i for i, v in enumerate(arrange([root], held=[state]))}
        assert places[id(then)] < places[id(free)]


def test_what_stands_for_another_is_no_statement():
    b = Builder()
    x, inner = b.load(Param("x", "token", ("K",))), b.param(Param("body.x", "token", ("K",)))
    made, root = b.map("exp", x), b.map("tanh", inner)
    assert arrange([root], {id(inner): made}) == [x, made, inner, root] and arrange([root], {id(inner): None}) == [inner, root]


def test_pressure_counts_tiles_that_are_alive_at_once():
    """A chain needs one tile, half of that where its axis is cut; a product what it reads and what it makes; what is used again stays. Sums
    along a folded axis stay all the while, what is stored at once does not."""
    b = Builder()
    x, y, z = (b.load(Param(n, "token", ("K",))) for n in "xyz")
    chain = b.map("log", b.map("exp", b.map("exp", x)))
    assert Pressure([chain]).tiles() == 1 and Pressure([chain]).tiles({"K": 0.5}) == 0.5
    one, two, three = (b.map("exp", v) for v in (x, y, z))
    assert Pressure([b.add(b.map("mul", one, two), b.map("mul", two, three), b.map("mul", three, one))]).tiles() == 4
    state = b.param(Param("S", "starts", ("K", "V")))
    assert Pressure([b.dot(x, state, ["K"])]).tiles() == 3 and Pressure([b.dot(x, state, ["K"])]).tiles({"V": 2}) == 5
    pairs = [b.dot(b.map(fn, x), b.rename(y, {"c": "d"}), ["K"]) for fn in ("exp", "tanh", "sigmoid", "abs", "log", "softplus")]
    assert Pressure(pairs).tiles({"K": 1}, ["K"]) == 6 and Pressure(pairs).tiles() == 4


def test_a_vector_lies_in_many_threads_and_float64_takes_twice_the_room():
    b = Builder()
    g = b.load(Param("g", "token", ()))
    assert Pressure([b.map("exp", g)]).tiles() == 0.25
    sums = b.cumsum(g, "c")
    assert Pressure([b.map("exp", b.map("sub", sums, b.rename(sums, {"c": "d"})))]).tiles() >= 2
