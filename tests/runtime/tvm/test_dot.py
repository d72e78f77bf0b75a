"""Products in all operand orders and sizes, triangles, scales and selected rows, against float64."""
import itertools
import math

import pytest
import torch

from .helpers import NO_ROWS, close, run, table_of


def product(dst, a, b, accumulate, tiles):
    """A kernel D[dst] (+)= sum over x of A[a] B[b], from parameters or through scratch tiles."""
    def fn(k):
        A, B, D = k.memory("A", *a), k.memory("B", *b), k.memory("D", *dst, inout=True)
        with k.sequences():
            if tiles:
                a_, b_, d_ = k.tile("a_", *a), k.tile("b_", *b), k.tile("d_", *dst)
                k.map(a_[a], A[a])
                k.map(b_[b], B[b])
                k.map(d_[dst], D[dst])
                k.dot(d_[dst], a_[a], b_[b], over="x", accumulate=accumulate)
                k.map(D[dst], d_[dst])
            else:
                k.dot(D[dst], A[a], B[b], over="x", accumulate=accumulate)
    return fn


ORDERS = list(itertools.product(("pq", "qp"), ("px", "xp"), ("xq", "qx")))
SIZES = [(1, 1, 1), (3, 16, 33), (16, 3, 1), (33, 64, 16), (64, 33, 3), (1, 64, 64), (65, 5, 17)]


@pytest.mark.parametrize("sizes", SIZES)
def test_orders(sizes):
    extent = dict(zip("pqx", sizes))
    torch.manual_seed(sum(sizes))
    for number, (dst, a, b) in enumerate(ORDERS):
        tensors = {name: torch.randn(1, 1, *(extent[x] for x in axes)) for name, axes in (("A", a), ("B", b), ("D", dst))}
        accumulate = bool(number % 2)
        got = run(product(tuple(dst), tuple(a), tuple(b), accumulate, number % 3 == 0), extent,
                  {x: tensors[x] for x in "AB"}, {"D": tensors["D"]})["D"]
        wanted = torch.einsum(f"{a},{b}->{dst}", tensors["A"][0, 0].double(), tensors["B"][0, 0].double())
        close(got[0, 0], wanted + accumulate * tensors["D"][0, 0].double())


@pytest.mark.parametrize("C, K", [(1, 3), (5, 8), (16, 16), (37, 20), (64, 64)])
def test_triangles(C, K):
    """lower and over_lower, straight and transposed, with an epilogue."""
    def fn(k):
        q, r = k.memory("q", "c", "K"), k.memory("r", "c", "K")
        P, Pt, O, Ot, Q = (k.memory(n, *axes, out=True) for n, axes in (("P", "cd"), ("Pt", "dc"), ("O", "cK"), ("Ot", "dK"), ("Q", "Kc")))
        with k.sequences():
            p, pt = k.tile("p", "c", "d"), k.tile("pt", "d", "c")
            weigh = lambda acc: acc * k.exp(k.f32(k.iota("d") - k.iota("c")) * 0.1)
            k.dot(p["c", "d"], q["c", "K"], r["d", "K"], over="K", then=weigh, lower=True)
            k.dot(pt["d", "c"], q["c", "K"], r["d", "K"], over="K", then=weigh, lower=True)
            k.dot(O["c", "K"], p["c", "d"], r["d", "K"], over="d", over_lower=True)
            k.dot(Ot["d", "K"], p["c", "d"], q["c", "K"], over="c", over_lower=True)
            k.dot(Q["K", "c"], r["d", "K"], p["c", "d"], over="d", over_lower=True)
            k.map(P["c", "d"], p["c", "d"])
            k.map(Pt["d", "c"], pt["d", "c"])
    torch.manual_seed(C)
    q, r = torch.randn(1, 1, C, K), torch.randn(1, 1, C, K)
    out = run(fn, {"#chunk": C, "K": K}, {"q": q, "r": r}, {"P": torch.ones(1, 1, C, C), "Pt": torch.ones(1, 1, C, C), "O": torch.ones(1, 1, C, K),
                                                      "Ot": torch.ones(1, 1, C, K), "Q": torch.ones(1, 1, K, C)})
    q, r, i = q[0, 0].double(), r[0, 0].double(), torch.arange(C).double()
    p = ((q @ r.T) * torch.exp((i[None] - i[:, None]) * 0.1)).tril()
    for name, wanted in (("P", p), ("Pt", p.T), ("O", p @ r), ("Ot", p.T @ q), ("Q", (p @ r).T)):
        close(out[name][0, 0], wanted)


def test_vectors_and_expressions():
    """No matrix at all, a vector result, an operand that is an expression, two summed axes."""
    def fn(k):
        A, z, w = k.memory("A", "c", "K"), k.memory("z", "K"), k.memory("w", "c")
        s, v, D, e = k.memory("s", "c", out=True), k.memory("v", "K", out=True), k.memory("D", "c", "d", out=True), k.memory("e", out=True)
        with k.sequences():
            k.dot(s["c"], A["c", "K"], z["K"], over="K")
            k.dot(v["K"], A["c", "K"], w["c"], over="c", then=lambda acc: -acc)
            k.dot(D["c", "d"], A["c", "K"] * k.exp(z["K"]), A["d", "K"] + 1.0, over="K", scale=w["c"])
            k.dot(e(), A["c", "K"], A["c", "K"], over=("c", "K"))
    C, K = 19, 21
    A, z, w = torch.randn(1, 1, C, K), torch.randn(1, 1, K), torch.randn(1, 1, C)
    out = run(fn, {"#chunk": C, "K": K}, {"A": A, "z": z, "w": w},
              {"s": torch.ones(1, 1, C), "v": torch.ones(1, 1, K), "D": torch.ones(1, 1, C, C), "e": torch.ones(1, 1)})
    A, z, w = A[0, 0].double(), z[0, 0].double(), w[0, 0].double()
    close(out["s"][0, 0], A @ z)
    close(out["v"][0, 0], -(A.T @ w))
    close(out["D"][0, 0], w[:, None] * ((A * z.exp()) @ (A + 1).T))
    close(out["e"][0, 0], (A * A).sum())


@pytest.mark.parametrize("C, K, V, N", [(16, 16, 16, 5), (37, 12, 20, 3), (8, 2, 3, 2)])
def test_selected_rows(C, K, V, N):
    """Only selected rows are read from each memory, and only they reach its gradient."""
    def fn(k):
        q, M, w, sel = k.token("q", "K"), k.slots("M", "K", "V"), k.memory("w", "c", "n_"), k.memory("sel", "c", "n_")
        dy = k.memory("dy", "c", "V")
        y, dM, dq = k.memory("y", "c", "V", out=True), k.slots("dM", "K", "V", inout=True), k.memory("dq", "K", "c", out=True)
        with k.sequences(), k.rows():
            q_, w_, s_ = k.tile("q_", "c", "K"), k.tile("w_", "c", "n"), k.tile("s_", "c", "n")
            k.load(q_["c", "K"], q)
            k.map(w_["c", "n"], w["c", "n"])
            k.map(s_["c", "n"], sel["c", "n"])
            k.map(y["c", "V"], 0.0)
            k.map(dq["K", "c"], 0.0)
            with k.loop("n", 0, k.slots_count):
                how = dict(accumulate=True, scale=w_["c", "n"], rows=s_["c", "n"])
                k.dot(y["c", "V"], q_["c", "K"], M.at("n")["K", "V"], over="K", **how)
                k.dot(dM.at("n")["K", "V"], q_["c", "K"], dy["c", "V"], over="c", **how)
                k.dot(dq["K", "c"], M.at("n")["K", "V"], dy["c", "V"], over="V", **how)
    torch.manual_seed(C)
    sel = (torch.rand(1, 1, C, N) < 0.4).float()
    sel[..., 0] = 0
    q, M, w, dy = torch.randn(1, C, 1, K), torch.randn(1, 1, N, K, V), torch.randn(1, 1, C, N), torch.randn(1, 1, C, V)
    dM = torch.randn(1, 1, N, K, V)
    out = run(fn, {"#chunk": C, "K": K, "V": V, "n_": N}, {"q": q, "M": M, "w": w, "sel": sel, "dy": dy},
              {"y": torch.ones(1, 1, C, V), "dM": dM, "dq": torch.ones(1, 1, K, C)}, table_of(1, C, C, C))
    Q, G, a = q[0, :, 0].double(), dy[0, 0].double(), (sel * w)[0, 0].double()
    close(out["y"][0, 0], torch.einsum("ck,nkv,cn->cv", Q, M[0, 0].double(), a))
    close(out["dM"][0, 0], dM[0, 0].double() + torch.einsum("ck,cv,cn->nkv", Q, G, a))
    close(out["dq"][0, 0], torch.einsum("nkv,cv,cn->kc", M[0, 0].double(), G, a))


@pytest.mark.parametrize("C, V", [(1, 4), (7, 3), (16, 16), (50, 33), (64, 64), (33, 1)])
def test_solve(C, V):
    def fn(k):
        L, x, z = k.memory("L", "c", "d"), k.memory("x", "c", "V", inout=True), k.memory("z", "c", "V", inout=True)
        with k.sequences():
            k.solve(x["c", "V"], L["c", "d"])
            k.solve(z["c", "V"], L["c", "d"], transposed=True)
    torch.manual_seed(C)
    L, x = torch.randn(1, 1, C, C) / C ** 0.5, torch.randn(1, 1, C, V)
    out = run(fn, {"#chunk": C, "V": V}, {"L": L}, {"x": x, "z": x.clone()}, NO_ROWS)
    I = torch.eye(C, dtype=torch.float64) - L[0, 0].double().tril(-1)
    close(out["x"][0, 0], torch.linalg.solve(I, x[0, 0].double()), 1e-5)
    close(out["z"][0, 0], torch.linalg.solve(I.T, x[0, 0].double()), 1e-5)


@pytest.mark.parametrize("C, K, V", [(4, 8, 3), (5, 20, 7), (33, 16, 64), (64, 37, 5), (3, 3, 3)])
def test_products_that_are_not_stored(C, K, V):
    """Maps and sums on the elements of a product: in registers, and through scratch where no vector fits."""
    def fn(k):
        y, m, q, w = k.memory("y", "c", "V"), k.memory("m", "V", "K"), k.memory("q", "c", "K"), k.memory("w", "c")
        total, plain, sums, more = (k.memory(n, *axes, inout=True) for n, axes in (("total", "cK"), ("plain", "cK"), ("sums", "c"), ("more", "c")))
        with k.sequences(), k.product(("c", "K"), y["c", "V"], m["V", "K"], over="V") as acc:
            k.map(total["c", "K"], w["c"] * acc, accumulate=True)
            k.map(plain["c", "K"], acc)
            k.sum(sums["c"], acc * q["c", "K"], over="K")
            k.sum(more["c"], acc, over="K", accumulate=True)
    torch.manual_seed(C)
    shapes = {"y": (C, V), "m": (V, K), "q": (C, K), "w": (C,), "total": (C, K), "plain": (C, K), "sums": (C,), "more": (C,)}
    given = {name: torch.randn(1, 1, *shape) for name, shape in shapes.items()}
    inputs = {name: given[name] for name in ("y", "m", "q", "w")}
    outputs = {name: given[name].clone() for name in ("total", "plain", "sums", "more")}
    got = run(fn, {"#chunk": C, "K": K, "V": V}, inputs, outputs)
    y, m, q, w, total, _, _, more = (x[0, 0].double() for x in given.values())
    close(got["plain"][0, 0], y @ m)
    close(got["total"][0, 0], total + w[:, None] * (y @ m))
    close(got["sums"][0, 0], ((y @ m) * q).sum(1))
    close(got["more"][0, 0], more + (y @ m).sum(1))


@pytest.mark.parametrize("K, V", [(1, 1), (5, None), (8, 3), (33, 17), (64, None), (64, 64)])
def test_dense_solve(K, V):
    """A zero pivot in the first step: rows must change places."""
    own = () if V is None else ("V",)

    def fn(k):
        A, b, x = k.memory("A", "K", "K~"), k.memory("b", "K", *own), k.memory("x", "K~", *own, out=True)
        z = k.memory("z", *own, "K", out=True)
        with k.sequences():
            k.dense_solve(x["K~", *own], A["K", "K~"], b["K", *own], row="K", column="K~")
            k.dense_solve(z[*own, "K"], A["K", "K~"], x["K~", *own], row="K~", column="K")
    torch.manual_seed(K)
    A, b = torch.randn(1, 1, K, K), torch.randn(1, 1, K, *([V] if V else []))
    if K > 1:
        A[..., 0, 0] = 0
    out = run(fn, {"K": K, "V": V or 1}, {"A": A, "b": b}, {"x": torch.empty_like(b), "z": torch.empty(1, 1, *([V] if V else []), K)}, NO_ROWS)
    a, r = A[0, 0].double(), b[0, 0].double()
    x = torch.linalg.solve(a, r)
    close(out["x"][0, 0], x, 1e-5)
    z = torch.linalg.solve(a.T, out["x"][0, 0].double())
    close(out["z"][0, 0], z.T if V else z, 1e-5)


@pytest.mark.parametrize("K, V", [(1, 1), (1, None), (5, None), (5, 2), (8, None), (8, 3), (16, None), (20, None), (33, 17), (64, None), (64, 64), (70, 9)])
def test_dense_solve_of_a_definite_matrix(K, V):
    """By its upper half alone, as well as float64 can: to its condition. No pivot is chosen: the first is small."""
    own = () if V is None else ("V",)

    def fn(k):
        A, b, x = k.memory("A", "K", "K~"), k.memory("b", "K", *own), k.memory("x", "K~", *own, out=True)
        with k.sequences():
            k.dense_solve(x["K~", *own], A["K", "K~"], b["K", *own], row="K", column="K~", definite=True)
    torch.manual_seed(K)
    half = torch.randn(K, K, dtype=torch.float64) / K ** 0.5
    half[0] *= 1e-3
    A = (half @ half.T + torch.diag(torch.linspace(1e-6, 1, K, dtype=torch.float64))).float()
    b = torch.randn(1, 1, K, *([V] if V else []))
    given = {"A": (A.triu() + torch.full((K, K), 1e3).tril(-1)).reshape(1, 1, K, K), "b": b}
    out = run(fn, {"K": K, "V": V or 1}, given, {"x": torch.empty_like(b)}, NO_ROWS)
    close(out["x"][0, 0], torch.linalg.solve(A.double(), b[0, 0].double()), 1e-6)


def test_a_dense_solve_of_every_slot():
    """One after the other, with right sides of their own or the same."""
    def fn(k):
        A, b, one = k.slots("A", "K", "K~"), k.slots("b", "K", "V"), k.memory("one", "K", "V")
        x, y = k.slots("x", "K~", "V", out=True), k.slots("y", "V", "K~", out=True)
        with k.sequences():
            k.dense_solve(x["n", "K~", "V"], A["n", "K", "K~"], b["n", "K", "V"], row="K", column="K~")
            k.dense_solve(y["n", "V", "K~"], A["n", "K", "K~"], one["K", "V"], row="K", column="K~")
    torch.manual_seed(0)
    A, b, one = torch.randn(1, 1, 3, 9, 9), torch.randn(1, 1, 3, 9, 5), torch.randn(1, 1, 9, 5)
    out = run(fn, {"K": 9, "V": 5}, {"A": A, "b": b, "one": one}, {"x": torch.empty_like(b), "y": torch.empty(1, 1, 3, 5, 9)}, NO_ROWS)
    close(out["x"], torch.linalg.solve(A.double(), b.double()), 1e-4)
    close(out["y"], torch.linalg.solve(A.double(), one.double()[:, :, None]).mT, 1e-4)


@pytest.mark.parametrize("definite", [False, True])
def test_a_dense_solve_of_no_numbers_has_no_solution(definite):
    """And touches no row that isn't there."""
    def fn(k):
        A, b, x = k.memory("A", "K", "K~"), k.memory("b", "K"), k.memory("x", "K~", out=True)
        with k.sequences():
            k.dense_solve(x["K~"], A["K", "K~"], b["K"], row="K", column="K~", definite=definite)
    A, b = torch.full((1, 1, 20, 20), math.nan), torch.ones(1, 1, 20)
    assert run(fn, {"K": 20}, {"A": A, "b": b}, {"x": torch.empty(1, 1, 20)}, NO_ROWS)["x"].isnan().all()
    A = torch.eye(20).reshape(1, 1, 20, 20).clone()
    A[..., 5, 17] = A[..., 17, 5] = math.nan
    assert run(fn, {"K": 20}, {"A": A, "b": b}, {"x": torch.empty(1, 1, 20)}, NO_ROWS)["x"].isnan().all()
