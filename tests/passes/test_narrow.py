"""Axes that were given to values for the sake of derivatives go; results and their axes stay."""
import torch

from mcgen.ir.builder import Builder
from mcgen.ir.interpreter import run
from mcgen.ir.nodes import Param, Program, Result
from mcgen.ir.printer import print_program
from mcgen.ir.verifier import verify_program
from mcgen.passes.narrow import narrow

from .test_apart import compiled, whole


def spread_program(b):
    a, x, y = (b.param(Param(n, "levels" if n == "y" else "value", axes)) for n, axes in (("a", ("K",)), ("x", ("K",)), ("y", ("K",))))
    a, x = b.spread(a, "l"), b.spread(x, "l")
    made = {"product": b.mul(a, x, y), "alone": b.map("exp", b.map("add", a, x)), "in_all": b.dot(a, x, ["l", "K"]),
            "of_each": b.sum(b.map("mul", a, x), ["K"]), "turned": b.where(b.map("ge", b.iota("l"), b.zero()), y)}
    results = tuple(Result(n, "value", v.axes, ((v, 0),)) for n, v in made.items())
    return Program("p", (Param("a", "value", ("K",)), Param("x", "value", ("K",)), Param("y", "levels", ("K",))), results)


def test_before_and_after():
    b = Builder()
    made = narrow(spread_program(b), b)
    verify_program(made)
    a, x, y = (b.param(p) for p in made.params)
    product, alone, in_all, of_each, turned = made.roots()
    assert product is b.mul(a, x, y) and turned is y
    assert alone is b.spread(b.map("exp", b.map("add", a, x)), "l")
    assert of_each is b.spread(b.sum(b.map("mul", a, x), ["K"]), "l")
    assert "iota" not in print_program(Program("p", made.params, made.results[:1]))


def test_values_stay():
    b = Builder()
    torch.manual_seed(0)
    inputs = {n: torch.randn(1, *shape, dtype=torch.float64) for n, shape in (("a", (3,)), ("x", (3,)), ("y", (4, 3)))}
    before, after = (run(p, inputs, torch.tensor([[[0, 1, 0, 0]]]), 1, {"K": 3, "l": 4}) for p in (spread_program(b), narrow(spread_program(b), b)))
    assert all(torch.allclose(before[n].expand_as(after[n]), after[n]) for n in before)


def test_no_token_tests_its_level():
    """Where the branch that is taken differs from level to level."""
    state = compiled("branches")
    for program in (state.forward, state.backward):
        assert not [v for v in whole(program) if v.op == "map" and v["fn"] == "ge" and v.args[0].op == "iota" and v.args[0]["axis"] == "l"]
