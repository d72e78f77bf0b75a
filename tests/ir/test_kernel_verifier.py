"""The kernel level: a whole kernel passes, and every kind of broken one is refused for its reason."""
from dataclasses import replace

import pytest

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_verifier import verify_kernel
from mcgen.ir.nodes import Param, Result
from mcgen.ir.verifier import BrokenProgram

Q, M, G = Param("q", "token", ("K",)), Param("m", "slots", ("K",)), Param("g", "head", ())
Y, S = Result("y", "token", ("K",), ()), Result("new.m", "slots", ("K",), ())
WIDE = Result("y", "token", ("V",), ())
KEPT = Result("saved.s", "starts", ("K",), ())


def num(x):
    return kr.Expr("num", attr=float(x))


def at(name, *axes, kind="tile", where=None, precise=False):
    return kr.Expr("ref", attr=kr.Ref(name, kind, axes, where, precise))


def ref(name, *axes, **more):
    return at(name, *axes, **more).attr


def mul(*args):
    return kr.Expr("mul", args)


ENDS = kr.Expr("eq", (kr.Expr("row", attr="count", dtype="i"), num(4)), dtype="b")
LOAD = kr.Load(ref("x", "c", "K"), Q, 0, None)
GAP = kr.Dot(ref("P", "c", "d"), at("x", "c", "K"), at("x", "d", "K"), ("K",), lower=True)
BACK = kr.Dot(ref("o", "c", "K"), at("P", "c", "d"), at("x", "d", "K"), ("d",), over_lower=True)
PAST = kr.Loop("past", (kr.Map(ref("w", "c", "n"), num(1)), kr.Map(ref("o", "c", "K"), mul(at("w", "c", "n"), at("m", "n", "K", kind="slots")), True)))
STORE = kr.Store(Y, mul(at("g", kind="head"), at("o", "c", "K")), 0, False)
SUM = kr.Reduce("sum", ref("s", "K"), at("x", "c", "K"), ("c",), True)
SEGMENT = kr.When(ENDS, (kr.Map(ref("new.m", "K", kind="slots", where="segment"), at("s", "K")), kr.Map(ref("s", "K"), num(0))))
SAVE = kr.Saving((kr.Map(ref("saved.s", "K", kind="starts"), at("s", "K")),))
START = kr.Map(ref("s", "K"), num(0))
COPY = kr.Map(ref("new.m", "n", "K", kind="slots"), at("m", "n", "K", kind="slots"))


def kernel(rows=(LOAD, GAP, BACK, PAST, STORE, SAVE, SUM, SEGMENT), before=(START, COPY), after=(), tiles=(), results=(Y, S, KEPT)):
    declared = [kr.Tile("x", ("c", "K")), kr.Tile("P", ("c", "d")), kr.Tile("o", ("c", "K")), kr.Tile("w", ("c", "n")), kr.Tile("s", ("K",)), *tiles]
    return kr.Kernel("hand", (Q, M, G), results, 2, False, declared, list(before), list(rows), list(after))


def test_a_whole_kernel_passes():
    verify_kernel(kernel())


def put(old, new, **more):
    """The whole kernel with one statement in another's place (None: without it)."""
    rows = kernel().rows
    return kernel([new if s is old else s for s in rows if new is not None or s is not old], **more)


BROKEN = {
    "no tile z": put(GAP, replace(GAP, left=at("z", "c", "K"))),
    "x is read before it is written": put(LOAD, None),
    "o is added to before it is written": put(BACK, None),
    "s is read before it is written": kernel(before=(COPY,)),
    "s is added to before it is written": put(SAVE, None, before=(COPY,), results=(Y, S)),
    r"x is over \[c, K\], not \[c, V\]": put(STORE, replace(STORE, value=at("x", "c", "V"), result=WIDE), results=(WIDE, S, KEPT)),
    r"s is over \[K\], not \[\]": put(SUM, replace(SUM, dst=ref("s"), over=("c", "K"))),
    "no loop over d": put(STORE, replace(STORE, value=at("x", "d", "K"))),
    "no loop over n": put(STORE, replace(STORE, value=at("w", "c", "n"))),
    "reduces the axis d, which is not there": put(SUM, replace(SUM, over=("c", "d"))),
    "reduces the axis V, which is not there": put(GAP, replace(GAP, over=("V",))),
    "sums over an axis of the target: c, K": put(SUM, replace(SUM, over=("c", "K"))),
    "a product over nothing": put(GAP, replace(GAP, over=())),
    "q is token, not head": put(STORE, replace(STORE, value=at("q", "c", "K", kind="head"))),
    "m is a parameter, and written": kernel(before=(START, COPY, kr.Map(ref("m", "n", "K", kind="slots"), num(0)))),
    "q is no token result": put(STORE, replace(STORE, result=Q)),
    "an axis twice in what is written": put(GAP, kr.Map(ref("P", "c", "c"), num(0))),
    "saved.s exists only when saving": put(SAVE, SAVE.body[0]),
    "saved.s has an element a row": kernel(after=(kr.Saving((kr.Map(ref("saved.s", "K", kind="starts"), num(0)),)),)),
    "new.m at segment": kernel(before=(START, COPY, SEGMENT.body[0])),
    "new.m at n": put(SEGMENT, kr.When(ENDS, (kr.Map(ref("new.m", "K", kind="slots", where="n"), num(0)),))),
    "a condition on the row": put(SEGMENT, replace(SEGMENT, condition=kr.Expr("gt", (at("x", "c", "K"), num(0)), dtype="b"))),
    "no loop over past here": kernel(before=(START, COPY, kr.Loop("past", ()))),
    "no loop over future here": put(PAST, replace(PAST, kind="future")),
    "a loop over slots in another": put(PAST, replace(PAST, body=(PAST,))),
    "tokens are loaded in a row": kernel(before=(START, COPY, LOAD)),
    "tokens are stored in a row": kernel(after=(STORE,)),
    "q has other axes": put(LOAD, replace(LOAD, dst=ref("s", "K"))),
    "no function frob of 1": put(STORE, replace(STORE, value=kr.Expr("frob", (num(1),)))),
    "no function exp of 2": put(STORE, replace(STORE, value=kr.Expr("exp", (num(1), num(1))))),
    "no row has a colour here": put(STORE, replace(STORE, value=kr.Expr("row", attr="colour", dtype="i"))),
    "no row has a count here": kernel(before=(START, COPY, kr.Map(ref("s", "K"), kr.Expr("row", attr="count", dtype="i")))),
    "the sum of a product stands in what follows on it alone": put(STORE, replace(STORE, value=at("acc", kind="acc"))),
    "an epilogue of a sum that goes on": put(GAP, replace(GAP, then=at("acc", kind="acc"), accumulate=True)),
    "the lower triangle of what is no": put(BACK, replace(BACK, lower=True)),
    "no token-by-token matrix among": put(GAP, replace(GAP, over_lower=True)),
    "x is not float64": put(GAP, replace(GAP, left=at("x", "c", "K", precise=True))),
    "x is declared twice": kernel(tiles=[kr.Tile("x", ("c",))]),
    "the result new.m is never written": put(SEGMENT, None, before=(START,)),
    "a choice is over all slots": put(PAST, kr.Topk(ref("o", "c", "K"), ref("x", "c", "K"), 2)),
    "no reduction max": put(SUM, replace(SUM, kind="max")),
    "no axis n": put(SUM, kr.Cumsum(ref("x", "c", "K"), at("x", "c", "K"), "n", False, False)),
    "unknown statement": put(SUM, "x"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_kernel_is_refused(message):
    with pytest.raises(BrokenProgram, match=message):
        verify_kernel(BROKEN[message])


PRODUCT = kr.Product(("c", "K"), at("P", "c", "d"), at("x", "d", "K"), ("d",), (
    kr.Map(ref("o", "c", "K"), mul(num(2), at("acc", "c", "K", kind="acc")), True), kr.Reduce("sum", ref("t", "c"), mul(at("acc", "c", "K", kind="acc"), at("x", "c", "K")), ("K",))))


def with_product(*body, **changes):
    return put(SUM, replace(PRODUCT, body=body or PRODUCT.body, **changes), tiles=[kr.Tile("t", ("c",))])


def test_a_product_that_is_never_stored():
    verify_kernel(with_product())
    first, last = PRODUCT.body
    verify_kernel(with_product(replace(first, value=mul(first.value, at("o", "c", "K")), accumulate=False)))
    for broken, message in ((with_product(replace(first, dst=ref("P", "c", "d"))), "goes over other axes"), (with_product(replace(last, kind="max")), "no part of a product"),
                            (with_product(replace(last, over=("c",), dst=ref("s", "K"))), "goes over other axes"), (with_product(LOAD), "no part of a product"),
                            (with_product(first, replace(last, value=mul(at("acc", "c", "K", kind="acc"), at("o", "c", "K")))), "reads what its product's"),
                            (with_product(replace(last, value=mul(at("acc", "c", "K", kind="acc"), at("t", "c")))), "reads what its product's"),
                            (with_product(replace(first, dst=ref("x", "c", "K"))), "writes a factor"), (with_product(over=("c",)), "sums over an axis"),
                            (with_product(replace(first, value=at("acc", kind="acc"))), "the sum of a product"), (with_product(over=()), "a product over nothing"),
                            (with_product(over=("n",)), "over the slots")):
        with pytest.raises(BrokenProgram, match=message):
            verify_kernel(broken)


SKIPPED = {
    "under a condition": kr.When(ENDS, (kr.Map(ref("o", "c", "K"), num(0)),)),
    "in a loop": kr.Loop("past", (kr.Map(ref("o", "c", "K"), num(0)),)),
    "when saving": kr.Saving((kr.Map(ref("o", "c", "K"), num(0)),)),
}


@pytest.mark.parametrize("skipped", SKIPPED.values(), ids=SKIPPED)
def test_what_may_be_skipped_writes_nothing_for_sure(skipped):
    with pytest.raises(BrokenProgram, match="o is (read|added to) before it is written"):
        verify_kernel(put(BACK, skipped))


def test_a_call_may_have_no_rows():
    with pytest.raises(BrokenProgram, match="x is read before it is written"):
        verify_kernel(kernel(after=(kr.Reduce("sum", ref("s", "K"), at("x", "c", "K"), ("c",)),)))


def test_an_element_a_slot_is_there_after_its_loop():
    total = kr.Reduce("sum", ref("o", "c", "K"), mul(at("w", "c", "n"), at("x", "c", "K")), ("n",))
    verify_kernel(put(SUM, total))
