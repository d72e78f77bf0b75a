"""Every operation of the tile program: its value against torch, its derivative against torch's autograd."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir import autodiff, functions
from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result

from . import test_channels as channels
from .helpers import CHUNK, M, ROWS, TOKENS, W, X, Y, gradients, tensors, value_of


SMOOTH = {"exp", "erf", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "abs", "sign", "neg"}
POSITIVE = {"log", "sqrt", "logfloor"}
PAIRS = {"add", "sub", "mul", "div", "minimum", "maximum"}


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def values_and_gradients(make, params, reference=None, given=None):
    b = Builder()
    given = tensors(params) if given is None else given
    value = make(b, *(b.load(p) if p.kind == "token" else b.param(p) for p in params))
    if reference is not None:
        close(value_of(value, params, given), reference(*(given[p.name] for p in params)))
    for got, want in zip(*gradients(b, value, params, given)):
        close(got, want)


@pytest.mark.parametrize("fn", sorted(SMOOTH | POSITIVE))
def test_unary(fn):
    given = tensors([X])
    if fn in POSITIVE:
        given["x"] = given["x"].abs() + 0.1
    torch_fn = {"neg": torch.neg, "logfloor": torch.log, "logsigmoid": torch.nn.functional.logsigmoid, "softplus": torch.nn.functional.softplus,
                "silu": torch.nn.functional.silu, "gelu": torch.nn.functional.gelu}.get(fn) or getattr(torch, fn)
    values_and_gradients(lambda b, x: b.map(fn, x), [X], torch_fn, given)


@pytest.mark.parametrize("fn", sorted(PAIRS))
def test_binary_with_broadcasting(fn):
    torch_fn = getattr(torch, fn)
    values_and_gradients(lambda b, x, y: b.map(fn, x, y), [X, Y], torch_fn)
    values_and_gradients(lambda b, x, w: b.map(fn, x, w), [X, W], lambda x, w: torch_fn(x, w[:, None]))


def test_every_function_is_tested():
    others = {"parity", "pow", "where", "choose", "float", "stop", "lt", "le", "gt", "ge", "eq", "ne", "and", "or"}
    digits = {"digit", "below", "ones", "carries", "two_to"}             # in test_merging
    assert set(functions.TABLE) == SMOOTH | POSITIVE | PAIRS | others | digits


def test_power_and_where():
    given = tensors([X, Y])
    values_and_gradients(lambda b, x: b.map("pow", x, b.const(3.0)), [X], lambda x: x ** 3)
    values_and_gradients(lambda b, x: b.map("pow", x, b.const(-1.5)), [X], lambda x: x ** -1.5, {"x": given["x"].abs() + 0.2})
    values_and_gradients(lambda b, x, y: b.where(b.map("lt", x, y), b.map("mul", x, y), y), [X, Y], lambda x, y: torch.where(x < y, x * y, y))


def test_stop_has_no_derivative_and_ties_are_halved():
    b = Builder()
    x = b.param(X)
    assert autodiff.vjp(b, [(b.map("stop", x), b.const(1.0))], [x]) == [b.zero()]
    given = {"x": torch.ones(2, 3, 2, dtype=torch.float64), "y": torch.ones(2, 3, 2, dtype=torch.float64)}
    values_and_gradients(lambda b, x, y: b.map("maximum", x, y), [X, Y], torch.maximum, given)


def test_a_floored_logarithm_keeps_the_gradient_of_a_product_at_zero():
    """d/da of exp(log a + log 2) is 2, at a = 0 too."""
    b = Builder()
    x = b.param(W)
    value = b.map("exp", b.map("add", b.map("logfloor", x), b.const(0.6931471805599453)))
    (derived,), _ = gradients(b, value, [W], {"w": torch.zeros(2, 2, dtype=torch.float64)})
    close(derived, torch.tensor([[2.0], [-1.0]], dtype=torch.float64).expand(2, 2))


def test_a_floored_logarithm_is_of_the_size():
    values_and_gradients(lambda b, x: b.map("logfloor", x), [X], lambda x: x.abs().log())


def test_parity_is_the_sign_of_so_many_negative_factors():
    b = Builder()
    counts = torch.arange(4.0, dtype=torch.float64).reshape(2, 2)
    assert value_of(b.map("parity", b.param(W)), [W], {"w": counts}).tolist() == [[1, -1], [1, -1]]


@pytest.mark.parametrize("over", [("K",), ("V",), ("K", "V")])
def test_sum(over):
    dims = [1 + "KV".index(a) for a in over]
    values_and_gradients(lambda b, x: b.sum(x, over), [X], lambda x: x.sum(dims))
    values_and_gradients(lambda b, x: b.map("mul", x, b.sum(b.map("exp", x), over)), [X])


@pytest.mark.parametrize("over, spelled", [(("K",), "zkv,zkv->zv"), (("V",), "zkv,zkv->zk"), (("K", "V"), "zkv,zkv->z")])
def test_dot(over, spelled):
    values_and_gradients(lambda b, x, y: b.dot(x, y, over), [X, Y], lambda x, y: torch.einsum(spelled, x, y))


def test_dot_over_axes_that_one_or_no_factor_has():
    values_and_gradients(lambda b, x, w: b.dot(x, w, ["K", "V"]), [X, W], lambda x, w: torch.einsum("zkv,zv->z", x, w))
    values_and_gradients(lambda b, w: b.dot(w, w, ["K", "V"]), [W], lambda w: 3 * (w * w).sum(1))


def test_max_is_a_value_only():
    b = Builder()
    given = tensors([X])
    close(value_of(b.max(b.param(X), "K"), [X], given), given["x"].amax(1))
    with pytest.raises(NotImplementedError, match="no derivative for max"):
        autodiff.vjp(b, [(b.max(b.param(X), "K"), b.const(1.0))], [b.param(X)])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_cumsum(reverse, exclusive):
    def running(x):
        x = x.flip(1) if reverse else x
        y = x.cumsum(1) - (x if exclusive else 0)
        return y.flip(1) if reverse else y
    values_and_gradients(lambda b, x: b.cumsum(x, "K", reverse, exclusive), [X], running)


def test_an_exclusive_running_sum_does_not_cancel():
    b = Builder()
    x = torch.tensor([[[1e-30] * 2, [1.0] * 2, [1.0] * 2]], dtype=torch.float64).expand(2, 3, 2)
    assert float(value_of(b.cumsum(b.param(X), "K", exclusive=True), [X], {"x": x})[0, 1, 0]) == 1e-30


@pytest.mark.parametrize("exclusive", [False, True])
def test_segsum(exclusive):
    T = Param("t", "token", ())
    given = tensors([T])

    def sums(t):
        out = torch.zeros(2, len(ROWS), CHUNK, CHUNK, dtype=torch.float64)
        for r, (start, count, _, _) in enumerate(ROWS):
            for c in range(CHUNK):
                for d in range(CHUNK):
                    at = [start + min(j, count - 1) for j in range(d + 1, c + (not exclusive))]
                    out[:, r, c, d] = t[:, at].sum(1)
        return out
    b = Builder()
    close(value_of(b.segsum(b.load(T), exclusive), [T], given), sums(given["t"]))
    whole = b.where(b.map("lt", b.iota("c"), b.row("count")), b.segsum(b.where(b.map("lt", b.iota("c"), b.row("count")), b.load(T)), exclusive))
    for got, want in zip(*gradients(b, whole, [T], given)):
        close(got, want)


def test_rename_there_and_back():
    def make(b, x):
        square = b.dot(x, b.rename(x, {"K": "K~"}), ["V"])
        return b.dot(square, b.rename(x, {"K": "K~"}), ["K~"])
    values_and_gradients(make, [X], lambda x: (x @ x.mT @ x).mT)


A, R = Param("a", "memory", ("K", "K~")), Param("r", "memory", ("K", "V"))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("right", [Param("x", "memory", ("K",)), R])
def test_dense_solve(transposed, right):
    params = [A, right]
    given = tensors(params)
    b = Builder()
    matrix = b.rename(b.param(A), {"K": "K~", "K~": "K"}) if transposed else b.param(A)
    value = b.dense_solve(matrix, b.param(right), "K", "K~")
    m = given["a"].mT if transposed else given["a"]
    torch.testing.assert_close(value_of(value, params, given), torch.linalg.solve(m, given[right.name]), rtol=1e-10, atol=1e-12)
    for got, wanted in zip(*gradients(b, value, params, given)):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("right", [Param("x", "memory", ("K",)), R])
def test_dense_solve_of_a_definite_matrix(right):
    """Its derivative is a system of the same matrix: two of one."""
    params = [A, right]
    given = tensors(params)
    b = Builder()
    square = b.dot(b.rename(b.param(A), {"K~": "K'"}), b.rename(b.param(A), {"K": "K~", "K~": "K'"}), ["K'"])
    value = b.dense_solve(square, b.param(right), "K", "K~", True)
    wanted = torch.linalg.solve(given["a"] @ given["a"].mT, given[right.name])
    torch.testing.assert_close(value_of(value, params, given), wanted, rtol=1e-8, atol=1e-9)
    for got, wanted in zip(*gradients(b, value, params, given)):
        torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-8)


def test_load_shift_and_short_rows():
    b = Builder()
    given = tensors([TOKENS])
    got = value_of(b.load(TOKENS, 2), [TOKENS], given)
    for r, (start, count, _, _) in enumerate(ROWS):
        at = [2 + start + min(c, count - 1) - 2 for c in range(CHUNK)]
        close(got[:, r], given["t"][:, at])
    zeros = value_of(b.load(TOKENS, 0, fill=0.0), [TOKENS], given)
    assert not zeros[:, 2, 2:].any() and not zeros[:, 3, 3:].any() and zeros[:, 3, :3].all()


# -- the cache ---------------------------------------------------------------------------------------------------------

def test_collect_expose_keep():
    """Rows 0 and 2 complete the segments 0 and 1; slot 2 stays."""
    S = Param("s", "starts", ("K",))
    b = Builder()
    given = tensors([S, M])
    s, m = given["s"], given["m"]
    collected = b.collect(b.param(S), b.param(M))
    close(value_of(collected, [S, M], given), torch.stack([s[:, 0], s[:, 2], m[:, 2]], 1))
    exposed = torch.zeros_like(s)
    exposed[:, 0], exposed[:, 2] = m[:, 0], m[:, 1]
    close(value_of(b.expose(b.param(M)), [M], given), exposed)
    close(value_of(b.keep(b.param(M)), [M], given), torch.cat([torch.zeros_like(m[:, :2]), m[:, 2:]], 1))
    for make in (lambda b, s, m: b.map("exp", b.collect(s, m)), lambda b, s, m: b.map("mul", b.expose(b.map("exp", m)), s),
                 lambda b, s, m: b.map("sigmoid", b.keep(m))):
        values_and_gradients(make, [S, M])


@pytest.mark.parametrize("op", ["take", "give"])
def test_memories_by_digit(op):
    """Rows lie in the segments 0, 1, 1, 2: the digit of 1 stands for slot 0, that of 2 for slot 1."""
    U = Param("u", "units", ("K",))
    values_and_gradients(lambda b, u: b.map("exp", b.take(u, b.iota("n"))) if op == "take" else
                         b.map("exp", b.give(b.map("tanh", b.spread(b.spread(b.sum(u, ["m"]), "n"), "r")), b.iota("n"))), [U])


def test_topk_ranks_past_slots_and_has_no_derivative():
    b = Builder()
    scores = torch.tensor([[[2.0] * 3, [2.0] * 3, [9.0] * 3]] * 2, dtype=torch.float64)
    spread = b.spread(b.spread(b.sum(b.param(M), ["K"]), "c"), "r")
    taken = b.where(b.topk(spread, 1), b.const(1.0))
    got = value_of(taken, [M], {"m": scores})[:, :, 0]            # [z, r, n]; rows lie in segments 0, 1, 1, 2
    assert got.tolist() == [[[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]] * 2
    assert autodiff.RULES["topk"](b, taken, taken) == (None,)


# -- loops -------------------------------------------------------------------------------------------------------------

def scan_of(b, x, s, reverse=False):
    """carry' = tanh(carry) * x + s_r; y_r = carry' * carry."""
    old, row, const = Param("old", "value", ("K",)), Param("row", "value", ("K",)), Param("const", "value", ("K",))
    after = b.map("add", b.map("mul", b.map("tanh", b.param(old)), b.param(const)), b.param(row))
    body = Program("body", (old, row, const), (Result("old", "value", ("K",), ((after, 0),)),
                                               Result("y", "value", ("K",), ((b.map("mul", after, b.param(old)), 0),))))
    return b.scan(body, [x], [s], [b.map("sigmoid", x)], reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("out", ["final", "start", "y", "all"])
def test_scan(reverse, out):
    A, S = Param("a", "memory", ("K",)), Param("s", "starts", ("K",))

    def pick(b, x, s):
        finals, starts, ys = scan_of(b, x, s, reverse)
        chosen = {"final": [finals[0]], "start": [starts[0]], "y": [ys[0]], "all": [finals[0], starts[0], ys[0]]}[out]
        return b.add(*(b.sum(b.map("exp", c), [a for a in c.axes if a == "r"]) for c in chosen))

    def loop(x, s):
        carry, starts, ys = x, {}, {}
        for r in reversed(range(len(ROWS))) if reverse else range(len(ROWS)):
            starts[r], after = carry, torch.tanh(carry) * torch.sigmoid(x) + s[:, r]
            ys[r], carry = after * carry, after
        stack = lambda d: torch.stack([d[r] for r in range(len(ROWS))], 1)
        parts = {"final": [carry.exp()], "start": [stack(starts).exp().sum(1)], "y": [stack(ys).exp().sum(1)]}
        return sum(sum(parts.values(), []) if out == "all" else parts[out])
    values_and_gradients(pick, [A, S], loop)


def test_slots_loop_sums_and_stacks():
    b = Builder()
    m, w = Param("one", "value", ("K",)), Param("k", "value", ())
    scaled = b.map("mul", b.param(m), b.param(w))
    body = Program("body", (m, w), (Result("total", "sum", ("K",), ((scaled, 0),)), Result("each", "stack", (), ((b.sum(scaled, ["K"]), 0),))))
    G = Param("g", "memory", ())
    given = tensors([M, G])
    total, each = b.slots(body, [b.param(M)], [b.param(G)])
    close(value_of(total, [M, G], given), given["m"].sum(1) * given["g"][:, None])
    close(value_of(each, [M, G], given), given["m"].sum(2) * given["g"][:, None])


def test_fan_out():
    """A value used many times gets the sum of its users' cotangents."""
    def make(b, x, y):
        z = b.map("mul", x, y)
        return b.add(b.map("exp", z), b.map("mul", z, z), b.dot(z, b.map("tanh", z), ["K"]), z)
    values_and_gradients(make, [X, Y])


@pytest.mark.parametrize("op", sorted(autodiff.RULES))
def test_a_broken_derivative_is_seen(op, monkeypatch):
    """The comparison with autograd fails for each rule that is wrong: the tests above can fail."""
    tests = {"map": lambda: test_unary("tanh"), "sum": lambda: test_sum(("K",)), "dot": lambda: test_dot(("K",), "zkv,zkv->zv"),
             "cumsum": lambda: test_cumsum(False, True), "segsum": lambda: test_segsum(False), "rename": test_rename_there_and_back,
             "collect": test_collect_expose_keep, "expose": test_collect_expose_keep, "keep": test_collect_expose_keep,
             "dense_solve": lambda: test_dense_solve(False, R),
             "topk": test_topk_ranks_past_slots_and_has_no_derivative,
             "take": lambda: test_memories_by_digit("take"), "give": lambda: test_memories_by_digit("give"),
             "solve": lambda: channels.test_solve(False), "pair": channels.test_pair, "papply": lambda: channels.test_papply(False),
             "decayed": lambda: channels.test_decayed_and_cumprod(False), "cumprod": lambda: channels.test_decayed_and_cumprod(True)}
    right = autodiff.RULES[op]
    monkeypatch.setitem(autodiff.RULES, op, lambda b, y, g: tuple(None if x is None else b.map("mul", x, b.const(1.01)) for x in right(b, y, g))
                        if op != "topk" else (g,))
    with pytest.raises(AssertionError):
        tests[op]()

