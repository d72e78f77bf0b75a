"""The builder: equal values are one object, neutral elements vanish, zero folds everything linear in it."""
from __future__ import annotations

import pytest

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, dim_axis, dim_of, sort_axes

X, Y = Param("x", "memory", ("K", "V")), Param("y", "memory", ("K", "V"))


@pytest.fixture
def b():
    return Builder()


def test_equal_values_are_one_object(b):
    x, y = b.param(X), b.param(Y)
    assert b.map("mul", x, y) is b.map("mul", y, x) and b.map("sub", x, y) is not b.map("sub", y, x)
    assert b.dot(x, y, ["K"]) is b.dot(y, x, ["K"]) and b.const(1) is b.const(1.0)


def test_neutral_elements(b):
    x, zero, one = b.param(X), b.zero(), b.const(1.0)
    assert b.map("add", x, zero) is x and b.map("mul", one, x) is x and b.map("div", x, one) is x and b.map("sub", x, zero) is x
    assert b.map("sub", x, x) is zero and b.map("neg", b.map("neg", x)) is x and b.where(b.map("lt", x, one), x, x) is x
    assert b.map("mul", b.const(-1.0), x) is b.map("neg", x) and b.map("sub", zero, x) is b.map("neg", x)
    assert b.map("pow", x, b.const(2.0)) is b.map("mul", x, x) and b.map("pow", x, b.const(1.0)) is x and b.map("pow", x, zero) is one


def test_numbers_are_computed(b):
    three, four = b.const(3.0), b.const(4.0)
    assert [b.map(f, three, four)["value"] for f in ("add", "sub", "mul", "div")] == [7.0, -1.0, 12.0, 0.75]
    assert b.map("div", three, b.zero()).op == "map"                      # left for the program to say


def test_zero_folds_what_is_linear(b):
    x, zero = b.param(X), b.zero()
    assert b.map("mul", x, zero) is zero and b.sum(zero, ["K"]) is zero and b.dot(x, zero, ["K"]) is zero and b.cumsum(zero, "c") is zero
    assert b.segsum(zero) is zero and b.expose(zero) is zero and b.keep(zero) is zero


def test_sums(b):
    x, y = b.param(X), b.param(Y)
    assert b.sum(b.sum(x, ["K"]), ["V"]).axes == () and set(b.sum(b.sum(x, ["K"]), ["V"])["over"]) == {"K", "V"}
    assert b.sum(b.map("mul", x, y), ["K"]) is b.dot(x, y, ["K"])
    assert b.sum(x, ["3"]) is b.map("mul", x, b.const(3.0))              # constant along an axis that it lacks
    assert b.dot(x, b.const(1.0), ["K"]) is b.sum(x, ["K"])


def test_renames_compose(b):
    x = b.param(X)
    there = b.rename(x, {"K": "A"})
    assert b.rename(there, {"A": "K"}) is x and b.rename(there, {"A": "B"}) is b.rename(x, {"K": "B"})
    assert b.rename(b.iota("c"), {"c": "d"}) is b.iota("d") and b.rename(x, {"Q": "P"}) is x
    assert b.rename(x, {"K": "V", "V": "K"}).axes == ("V", "K")


def test_axes():
    assert sort_axes(["V", "d", "n", "K", "c", "r"]) == ("r", "c", "d", "n", "V", "K")
    assert dim_axis("c") == "c." and dim_of("c.") == "c" and dim_of("K~") == "K" and dim_axis(4) == "4"
