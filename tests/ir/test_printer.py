"""The text of a program, and that the verifier refuses broken ones."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result, scan_axis
from mcgen.ir.printer import print_program
from mcgen.ir.verifier import BrokenProgram, verify_program

GOLDEN = Path(__file__).parent / "golden"
X, T, M = Param("x", "memory", ("K", "V")), Param("t", "token", ("K",), delay=1), Param("m", "slots", ("K",))


def every_op() -> Program:
    b = Builder()
    x, t, m = b.param(X), b.load(T, 1), b.param(M)
    valid = b.map("lt", b.iota("c"), b.row("count"))
    y = b.where(valid, b.dot(t, x, ["K"]), b.const(-0.5))
    old, add = Param("old", "value", ("K",)), Param("add", "value", ("K",))
    body = Program("carry", (old, add), (Result("old", "value", ("K",), ((b.map("add", b.param(old), b.param(add)), 0),)),))
    finals, starts, _ = b.scan(body, [b.max(x, "V")], [b.sum(t, ["c"])], [], reverse=True)
    at, one_t = Param("at_f", "value", ("r", "K")), Param("x_t", "value", ("r", "K"))
    token = Program("tokens", (at, one_t), (Result("at_f", "value", ("r", "K"), ((b.map("mul", b.param(at), b.param(one_t)), 0),)),))
    (last,), _, _ = b.scan(token, [starts[0]], [t], [], count=b.row("count"))
    cached = b.collect(starts[0], b.keep(m))
    gap = b.segsum(b.sum(t, ["K"]), exclusive=True)
    chosen = b.topk(b.spread(b.dot(t, m, ["K"]), "c"), 2)
    one = Param("one", "value", ("K",))
    each = b.slots(Program("loop", (one,), (Result("out0", "sum", ("K",), ((b.map("exp", b.param(one)), 0),)),)), [m], [])
    tokens = b.map("add", y, b.map("mul", b.sum(gap, ["d"]), b.sum(b.where(chosen, b.const(1.0)), ["n"])))
    square = b.dot(x, b.rename(x, {"K": "K~"}), ["V"])
    solved = b.dense_solve(square, b.max(x, "V"), "K", "K~")
    return Program("every", (X, T, M), (
        Result("y", "token", ("V",), ((tokens, 0), (b.cumsum(y, "c", reverse=True), 1)), delay=1), Result("f", "memory", ("K",), ((finals[0], 0),)),
        Result("new_m", "slots", ("K",), ((cached, 0),)), Result("s", "memory", ("K",), ((b.map("mul", each[0], b.size("K")), 0),)),
        Result("e", "starts", ("K",), ((b.expose(m), 0),)), Result("q", "memory", ("K", "K~"), ((square, 0),)),
        Result("l", "starts", ("K",), ((last, 0),)), Result("i", "memory", ("K~",), ((solved, 0),))), "chunk", 4)


def test_text(golden):
    program = every_op()
    verify_program(program)
    golden(GOLDEN / "every_op.ir", print_program(program))
    assert print_program(program) == print_program(every_op())


def broken(make):
    b = Builder()
    value = make(b, b.param(X), b.load(T), b.param(M))
    axes = value.axes
    kind, own = ("slots", axes[1:]) if axes[:1] == ("n",) else ("starts", axes[1:]) if axes[:1] == ("r",) else ("memory", axes)
    return Program("broken", (X, T, M), (Result("out", kind, own, ((value, 0),)),))


WRONG = {
    "unknown function": lambda b, x, t, m: b.make("map", (x,), x.axes, fn="cosh"),
    "not the union": lambda b, x, t, m: b.make("map", (x, x), ("K",), fn="add"),
    "reduces an axis that is not there": lambda b, x, t, m: b.make("sum", (x,), ("K",), over=("c",)),
    "sums an axis that is not in both": lambda b, x, t, m: b.make("dot", (x, m), ("n", "K"), over=("V",)),
    "an axis twice": lambda b, x, t, m: b.make("rename", (x,), ("K", "K"), moves=(("V", "K"),)),
    "unknown operation": lambda b, x, t, m: b.make("swirl", (x,), x.axes),
    "no parameter": lambda b, x, t, m: b.param(Param("absent", "memory", ("K",))),
    "cumsum over": lambda b, x, t, m: b.make("cumsum", (x,), ("K",), axis="V", reverse=False, exclusive=False),
    "segsum over": lambda b, x, t, m: b.make("segsum", (x,), x.axes, exclusive=False),
    "collect over": lambda b, x, t, m: b.make("collect", (m, m), m.axes),
    "expose over": lambda b, x, t, m: b.make("expose", (m,), m.axes),
    "solve over": lambda b, x, t, m: b.make("dense_solve", (x, m), ("n", "V"), row="K", column="n"),
    "topk over": lambda b, x, t, m: b.make("topk", (m,), m.axes, "b", k=1),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_broken_value_is_named(words):
    with pytest.raises(BrokenProgram, match=words):
        verify_program(broken(WRONG[words]))


def test_broken_loops_and_results():
    program = every_op()
    loops = {v.op: v for v in program.order() if v.op == "slots" or v.op == "scan" and scan_axis(v) == "r"}
    tokens, = (v for v in program.order() if v.op == "scan" and scan_axis(v) == "c")

    def within(loop):
        b = Builder()
        return Program("broken", program.params, (Result("out", "memory", ("K",), ((b.make("out", (loop,), ("K",), kind="final", index=0), 0),)),))

    scan, body = loops["scan"], loops["scan"]["body"]
    attrs = {k: v for k, v in scan.attrs if k != "body"}
    b = Builder()
    inner = dict(tokens.attrs)
    plain = replace(inner["body"], params=tuple(replace(p, axes=("K",)) for p in inner["body"].params))
    for made in (b.make("scan", tokens.args[:2], (), **inner), b.make("scan", (*tokens.args[:2], tokens.args[1]), (), **inner),
                 b.make("scan", tokens.args, (), **{**inner, "body": plain}),
                 b.make("scan", scan.args[:1], (), body=body, **attrs),
                 b.make("scan", scan.args, (), body=replace(body, results=()), **attrs),
                 b.make("scan", scan.args, (), body=replace(body, params=(replace(body.params[0], axes=()), body.params[1])), **attrs)):
        with pytest.raises(BrokenProgram):
            verify_program(within(made))
    with pytest.raises(BrokenProgram, match="too many"):
        verify_program(replace(program, results=(replace(program.results[1], axes=()),)))
    with pytest.raises(BrokenProgram, match="no parameter"):
        verify_program(replace(program, params=()))
