"""Two whole kernels written by hand: chunked attention with a scalar decay, and the same with cached segments under a softmax gate.

Per head, with S_t = e^{g_t} S_{t-1} + k_t v_t^T:
  decay    y_t = S_t^T q_t
  gated    y_t = w_on S_t^T q_t + sum_{n < segment} w_n M_n^T q_t,   w = softmax(u . [mean of the segment's keys up to t; summaries])
"""


def decay_forward(k):
    q, k_in, v, g = k.token("q", "K"), k.token("k", "K"), k.token("v", "V"), k.token("g")
    S0 = k.memory("S0", "K", "V")
    y, SN = k.token("y", "V", out=True), k.memory("SN", "K", "V", out=True)
    with k.sequences():
        S = k.tile("S", "K", "V")
        q_, k_, v_, o = k.tile("q_", "c", "K"), k.tile("k_", "c", "K"), k.tile("v_", "c", "V"), k.tile("o", "c", "V")
        G, P = k.tile("G", "c", dtype="f64"), k.tile("P", "c", "d")
        from_start, to_end, whole = k.tile("from_start", "c"), k.tile("to_end", "c"), k.tile("whole", dtype="f64")
        k.map(S["K", "V"], S0["K", "V"])
        with k.rows():
            k.load(q_["c", "K"], q)
            k.load(k_["c", "K"], k_in, fill=0.0)
            k.load(v_["c", "V"], v)
            k.load(from_start["c"], g, fill=0.0)
            k.cumsum(G["c"], from_start["c"], axis="c")
            k.sum(whole(), from_start["c"], over="c")
            k.map(from_start["c"], k.exp(k.f32(G["c"])))                  # exp(G_t)
            k.map(to_end["c"], k.exp(k.f32(whole() - G["c"])))            # exp(G_C - G_t)
            k.dot(P["c", "d"], q_["c", "K"], k_["d", "K"], over="K", lower=True,
                  then=lambda acc: acc * k.exp(k.f32(k.where(k.iota("c") >= k.iota("d"), G["c"] - G["d"], -1e4))))
            k.dot(o["c", "V"], P["c", "d"], v_["d", "V"], over="d", over_lower=True)
            k.dot(o["c", "V"], q_["c", "K"], S["K", "V"], over="K", scale=from_start["c"], accumulate=True)
            k.store(y, o["c", "V"])
            k.map(S["K", "V"], S["K", "V"] * k.exp(k.f32(whole())))
            k.dot(S["K", "V"], k_["c", "K"], v_["c", "V"], over="c", scale=to_end["c"], accumulate=True)
        k.map(SN["K", "V"], S["K", "V"])


def gated_forward(segment):
    """The forward pass with segments of this many tokens; caches M and summaries, saves each row's start."""
    def forward(k):
        q, k_in, v, u, g = k.token("q", "K"), k.token("k", "K"), k.token("v", "V"), k.token("u", "K"), k.token("g")
        S0 = k.memory("S0", "K", "V")
        y = k.token("y", "V", out=True)
        M, summaries = k.slots("M", "K", "V", out=True), k.slots("summaries", "K", out=True)
        S_starts, sum_starts = k.starts("S_starts", "K", "V", out=True), k.starts("sum_starts", "K", out=True)
        with k.sequences():
            S, total = k.tile("S", "K", "V"), k.tile("total", "K")
            t = gate_tiles(k)
            v_, o, P = k.tile("v_", "c", "V"), k.tile("o", "c", "V"), k.tile("P", "c", "d")
            k.map(S["K", "V"], S0["K", "V"])
            k.map(total["K"], 0.0)
            with k.rows():
                k.map(S_starts["K", "V"], S["K", "V"])
                k.map(sum_starts["K"], total["K"])
                k.load(v_["c", "V"], v)
                gates(k, t, q, k_in, u, g, summaries, sum_starts)
                k.dot(P["c", "d"], t.q["c", "K"], t.k["d", "K"], over="K", lower=True,
                      then=lambda acc: acc * t.w_on["c"] * decay(k, t.G))
                k.dot(o["c", "V"], P["c", "d"], v_["d", "V"], over="d", over_lower=True)
                k.dot(o["c", "V"], t.q["c", "K"], S["K", "V"], over="K", scale=t.from_start["c"] * t.w_on["c"], accumulate=True)
                with k.loop("n", 0, k.segment):
                    k.dot(o["c", "V"], t.q["c", "K"], M.at("n")["K", "V"], over="K", scale=t.w["c", "n"], accumulate=True)
                k.store(y, o["c", "V"])
                k.map(S["K", "V"], S["K", "V"] * k.exp(k.f32(t.whole())))
                k.dot(S["K", "V"], t.k["c", "K"], v_["c", "V"], over="c", scale=t.to_end["c"], accumulate=True)
                k.sum(total["K"], t.k["c", "K"], over="c", accumulate=True)
                with k.when(k.offset + k.count == segment):
                    k.map(M.at(k.segment)["K", "V"], S["K", "V"])
                    k.map(summaries.at(k.segment)["K"], total["K"] * (1.0 / segment))
                    k.map(total["K"], 0.0)
    return forward


def gated_backward(segment):
    """Gradients of sum(dy * y); dM and dsummaries come in as zeros and are accumulated."""
    def backward(k):
        q, k_in, v, u, g = k.token("q", "K"), k.token("k", "K"), k.token("v", "V"), k.token("u", "K"), k.token("g")
        y, dy = k.token("y", "V"), k.token("dy", "V")
        M, summaries = k.slots("M", "K", "V"), k.slots("summaries", "K")
        S_starts, sum_starts = k.starts("S_starts", "K", "V"), k.starts("sum_starts", "K")
        dM, dsummaries = k.slots("dM", "K", "V", inout=True), k.slots("dsummaries", "K", inout=True)
        dq, dk, dv, du = (k.token("d" + name, axis, out=True) for name, axis in zip("qkvu", "KKVK"))
        dg, dS0 = k.token("dg", out=True), k.memory("dS0", "K", "V", out=True)
        with k.sequences():
            dS, dtotal, S = k.tile("dS", "K", "V"), k.tile("dtotal", "K"), k.tile("S", "K", "V")
            t = gate_tiles(k)
            v_, dy_, y_, dyw = (k.tile(name, "c", "V") for name in ("v_", "dy_", "y_", "dyw"))
            A, dA = k.tile("A", "c", "d"), k.tile("dA", "c", "d")
            dq_, dk_, du_, dk_end, E = (k.tile(name, "c", "K") for name in ("dq_", "dk_", "du_", "dk_end", "E"))
            dv_, D, dw = k.tile("dv_", "c", "V"), k.tile("D", "c"), k.tile("dw", "c")
            ds, ds_on = k.tile("ds", "c", "n"), k.tile("ds_on", "c")
            dG, dg_, last = k.tile("dG", "c"), k.tile("dg_", "c"), k.tile("last")
            k.map(dS["K", "V"], 0.0)
            k.map(dtotal["K"], 0.0)
            with k.rows(reverse=True):
                k.load(v_["c", "V"], v)
                k.load(dy_["c", "V"], dy, fill=0.0)
                k.load(y_["c", "V"], y)
                gates(k, t, q, k_in, u, g, summaries, sum_starts)
                k.map(S["K", "V"], S_starts["K", "V"])
                with k.when(k.offset + k.count == segment):
                    k.map(dS["K", "V"], dM.at(k.segment)["K", "V"], accumulate=True)
                    k.map(dtotal["K"], dsummaries.at(k.segment)["K"] * (1.0 / segment))
                # the gate: ds_i = w_i (dw_i - <dy, y>), and all ds of a token sum to 0
                k.sum(D["c"], dy_["c", "V"] * y_["c", "V"], over="V")
                k.map(dq_["c", "K"], 0.0)
                k.map(du_["c", "K"], 0.0)
                k.map(ds_on["c"], 0.0)
                with k.loop("n", 0, k.segment):
                    k.dot(E["c", "K"], dy_["c", "V"], M.at("n")["K", "V"], over="V")
                    k.sum(dw["c"], E["c", "K"] * t.q["c", "K"], over="K")
                    k.map(dq_["c", "K"], t.w["c", "n"] * E["c", "K"], accumulate=True)
                    k.map(ds["c", "n"], t.w["c", "n"] * (dw["c"] - D["c"]))
                    k.map(ds_on["c"], -ds["c", "n"], accumulate=True)
                    k.dot(dM.at("n")["K", "V"], t.q["c", "K"], dy_["c", "V"], over="c", scale=t.w["c", "n"], accumulate=True)
                    k.map(du_["c", "K"], ds["c", "n"] * summaries.at("n")["K"], accumulate=True)
                    k.sum(dsummaries.at("n")["K"], ds["c", "n"] * t.u["c", "K"], over="c", accumulate=True)
                # the online memory
                k.map(dyw["c", "V"], dy_["c", "V"] * t.w_on["c"])
                k.dot(A["c", "d"], t.q["c", "K"], t.k["d", "K"], over="K", lower=True, then=lambda acc: acc * decay(k, t.G))
                k.dot(dA["c", "d"], dyw["c", "V"], v_["d", "V"], over="V", lower=True, then=lambda acc: acc * decay(k, t.G))
                k.dot(E["c", "K"], dA["c", "d"], t.k["d", "K"], over="d", over_lower=True)
                k.dot(E["c", "K"], dyw["c", "V"], S["K", "V"], over="V", scale=t.from_start["c"], accumulate=True)
                k.sum(dG["c"], t.q["c", "K"] * E["c", "K"], over="K")
                k.map(dq_["c", "K"], E["c", "K"], accumulate=True)
                k.dot(dk_end["c", "K"], v_["c", "V"], dS["K", "V"], over="V", scale=t.to_end["c"])
                k.dot(dk_["c", "K"], dA["d", "c"], t.q["d", "K"], over="d", over_lower=True)
                k.map(dk_["c", "K"], dk_end["c", "K"], accumulate=True)
                k.sum(dG["c"], -t.k["c", "K"] * dk_["c", "K"], over="K", accumulate=True)
                k.sum(last(), t.k["c", "K"] * dk_end["c", "K"], over=("c", "K"))
                k.sum(last(), S["K", "V"] * dS["K", "V"] * k.exp(k.f32(t.whole())), over=("K", "V"), accumulate=True)
                k.cumsum(dg_["c"], dG["c"] + k.where(k.iota("c") == k.count - 1, last(), 0.0), axis="c", reverse=True)
                k.dot(dv_["c", "V"], A["d", "c"], dyw["d", "V"], over="d", over_lower=True)
                k.dot(dv_["c", "V"], t.k["c", "K"], dS["K", "V"], over="K", scale=t.to_end["c"], accumulate=True)
                k.map(dS["K", "V"], dS["K", "V"] * k.exp(k.f32(t.whole())))
                k.dot(dS["K", "V"], t.q["c", "K"], dyw["c", "V"], over="c", scale=t.from_start["c"], accumulate=True)
                # the running mean: a key is in the mean of every later token of its segment
                k.map(du_["c", "K"], ds_on["c"] * t.mean["c", "K"], accumulate=True)
                k.cumsum(E["c", "K"], ds_on["c"] * t.u["c", "K"] / (k.f32(k.offset + k.iota("c")) + 1.0), axis="c", reverse=True)
                k.map(dk_["c", "K"], E["c", "K"] + dtotal["K"], accumulate=True)
                k.sum(dtotal["K"], ds_on["c"] * t.u["c", "K"] / (k.f32(k.offset + k.iota("c")) + 1.0), over="c", accumulate=True)
                with k.when(k.offset == 0):
                    k.map(dtotal["K"], 0.0)
                for out, tile in ((dq, dq_), (dk, dk_), (du, du_)):
                    k.store(out, tile["c", "K"])
                k.store(dv, dv_["c", "V"])
                k.store(dg, dg_["c"])
            k.map(dS0["K", "V"], dS["K", "V"])
    return backward


class gate_tiles:
    """Scratch of `gates`."""

    def __init__(self, k):
        self.q, self.k, self.u, self.mean = (k.tile(name, "c", "K") for name in ("q_", "k_", "u_", "mean"))
        self.G, self.whole = k.tile("G", "c", dtype="f64"), k.tile("whole", dtype="f64")
        self.from_start, self.to_end = k.tile("from_start", "c"), k.tile("to_end", "c")
        self.w, self.w_on, self.top, self.norm = k.tile("w", "c", "n"), k.tile("w_on", "c"), k.tile("top", "c"), k.tile("norm", "c")


def gates(k, t, q, k_in, u, g, summaries, sum_starts):
    """Loads a row's tokens; its decays, and the softmax over the online memory and the cached ones."""
    k.load(t.q["c", "K"], q)
    k.load(t.k["c", "K"], k_in, fill=0.0)
    k.load(t.u["c", "K"], u)
    k.load(t.from_start["c"], g, fill=0.0)
    k.cumsum(t.G["c"], t.from_start["c"], axis="c")
    k.sum(t.whole(), t.from_start["c"], over="c")
    k.map(t.from_start["c"], k.exp(k.f32(t.G["c"])))
    k.map(t.to_end["c"], k.exp(k.f32(t.whole() - t.G["c"])))
    k.cumsum(t.mean["c", "K"], t.k["c", "K"], axis="c")
    k.map(t.mean["c", "K"], (t.mean["c", "K"] + sum_starts["K"]) / (k.f32(k.offset + k.iota("c")) + 1.0))
    known = {"n": k.segment}
    k.dot(t.w_on["c"], t.u["c", "K"], t.mean["c", "K"], over="K")
    k.dot(t.w["c", "n"], t.u["c", "K"], summaries["n", "K"], over="K", upto=known)
    k.max(t.top["c"], t.w["c", "n"], over="n", upto=known)
    k.map(t.top["c"], k.maximum(t.top["c"], t.w_on["c"]))
    k.map(t.w["c", "n"], k.exp(t.w["c", "n"] - t.top["c"]), upto=known)
    k.map(t.w_on["c"], k.exp(t.w_on["c"] - t.top["c"]))
    k.sum(t.norm["c"], t.w["c", "n"], over="n", upto=known)
    k.map(t.norm["c"], 1.0 / (t.norm["c"] + t.w_on["c"]))
    k.map(t.w["c", "n"], t.w["c", "n"] * t.norm["c"], upto=known)
    k.map(t.w_on["c"], t.w_on["c"] * t.norm["c"])


def decay(k, G):
    """exp(G_c - G_d) where c >= d; the mask comes before the exponential."""
    return k.exp(k.f32(k.where(k.iota("c") >= k.iota("d"), G["c"] - G["d"], -1e4)))
