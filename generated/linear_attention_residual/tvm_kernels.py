"""linear_attention_residual on the CPU.

Written by mcgen: build it again instead of changing it. One pass over the chunk table's rows for every sequence and
head, on tiles; `mcgen.runtime.tvm` compiles the functions. Axes: c and d tokens of a row, n cached memories, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""


def forward(k, save):
    q = k.token("q", "K")
    k2 = k.token("k", "K")
    v = k.token("v", "V")
    state_S = k.memory("state.S", "K", "V")
    cache_S = k.slots("cache.S", "K", "V")
    y = k.token("y", "V", out=True)
    new_state_S = k.memory("new.state.S", "K", "V", out=True)
    new_cache_S = k.slots("new.cache.S", "K", "V", out=True)
    if save:
        saved_S = k.starts("saved.S", "K", "V", out=True)
        saved_sum_S = k.starts("saved.sum.S", "K", "V", out=True)
    with k.sequences():
        S = k.tile("S", "K", "V")
        sum_S = k.tile("sum_S", "K", "V")
        s = k.tile("s", "K", "V")
        x = k.tile("x")
        p = k.tile("p", "c", "V")
        x2 = k.tile("x2", "c", "d")
        q_c = k.tile("q_c", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        v_c = k.tile("v_c", "c", "V")
        p2 = k.tile("p2", "c", "V")
        p3 = k.tile("p3", "c", "V")
        k.map(new_cache_S["n", "K", "V"], cache_S["n", "K", "V"])
        k.map(S["K", "V"], state_S["K", "V"])
        k.sum(s["K", "V"], cache_S["n", "K", "V"], over="n")
        k.map(sum_S["K", "V"], s["K", "V"])
        k.map(x(), float(k.sizes["K"]) ** (-0.5))
        with k.rows():
            k.load(q_c["c", "K"], q)
            k.load(k_c["c", "K"], k2)
            k.dot(x2["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.load(v_c["c", "V"], v)
            k.dot(p["c", "V"], x2["c", "d"], v_c["d", "V"], over="d", over_lower=True)
            k.dot(p2["c", "V"], q_c["c", "K"], S["K", "V"], over="K")
            k.dot(p3["c", "V"], q_c["c", "K"], sum_S["K", "V"], over="K")
            k.store(y, (x() * ((p["c", "V"] + p2["c", "V"]) + p3["c", "V"])))
            if save:
                k.map(saved_S["K", "V"], S["K", "V"])
            if save:
                k.map(saved_sum_S["K", "V"], sum_S["K", "V"])
            k.dot(S["K", "V"], v_c["c", "V"], k_c["c", "K"], over="c", accumulate=True, scale=k.where((k.iota("c") < k.count), 1.0, 0.0))
            with k.when(((k.count > 0) & ((k.count + k.offset) == 256))):
                k.map(sum_S["K", "V"], S["K", "V"], accumulate=True)
                k.map(new_cache_S.at(k.segment)["K", "V"], S["K", "V"])
        k.map(new_state_S["K", "V"], S["K", "V"])


def backward(k):
    q = k.token("q", "K")
    k2 = k.token("k", "K")
    v = k.token("v", "V")
    state_S = k.memory("state.S", "K", "V")
    cache_S = k.slots("cache.S", "K", "V")
    saved_S = k.starts("saved.S", "K", "V")
    saved_sum_S = k.starts("saved.sum.S", "K", "V")
    d_y = k.token("d.y", "V")
    d_new_state_S = k.memory("d.new.state.S", "K", "V")
    d_new_cache_S = k.slots("d.new.cache.S", "K", "V")
    d_q = k.token("d.q", "K", out=True)
    d_k = k.token("d.k", "K", out=True)
    d_v = k.token("d.v", "V", out=True)
    d_state_S = k.memory("d.state.S", "K", "V", out=True)
    d_cache_S = k.slots("d.cache.S", "K", "V", out=True)
    with k.sequences():
        d_old_sum_S_50 = k.tile("d_old_sum_S_50", "K", "V")
        d_old_S_20 = k.tile("d_old_S_20", "K", "V")
        kept = k.tile("kept", "n")
        p = k.tile("p", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        x = k.tile("x", "c", "d")
        v_c = k.tile("v_c", "c", "V")
        d_y_c = k.tile("d_y_c", "c", "V")
        x2 = k.tile("x2")
        p2 = k.tile("p2", "c", "K")
        p3 = k.tile("p3", "c", "K")
        p4 = k.tile("p4", "d", "K")
        q_c = k.tile("q_c", "c", "K")
        p5 = k.tile("p5", "c", "K")
        x3 = k.tile("x3", "d", "V")
        x4 = k.tile("x4", "c", "d")
        p6 = k.tile("p6", "c", "V")
        p7 = k.tile("p7", "K", "V")
        k.map(d_old_sum_S_50["K", "V"], 0.0)
        k.map(d_old_S_20["K", "V"], d_new_state_S["K", "V"])
        k.map(kept["n"], 1.0)
        k.map(x2(), float(k.sizes["K"]) ** (-0.5))
        with k.rows(reverse=True):
            k.load(k_c["c", "K"], k2)
            k.load(v_c["c", "V"], v)
            k.load(d_y_c["c", "V"], d_y, fill=0.0)
            k.dot(x["c", "d"], v_c["d", "V"], d_y_c["c", "V"], over="V", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), (x2() * acc), 0.0), lower=True)
            k.dot(p["c", "K"], k_c["d", "K"], x["c", "d"], over="d", over_lower=True)
            k.dot(p2["c", "K"], d_y_c["c", "V"], saved_sum_S["K", "V"], over="V")
            k.dot(p3["c", "K"], d_y_c["c", "V"], saved_S["K", "V"], over="V")
            k.store(d_q, ((p["c", "K"] + (x2() * p2["c", "K"])) + (x2() * p3["c", "K"])))
            k.load(q_c["c", "K"], q)
            k.dot(p4["d", "K"], q_c["c", "K"], x["c", "d"], over="c", over_lower=True)
            with k.when(((k.count > 0) & ((k.count + k.offset) == 256))):
                with k.loop("n", k.segment, k.segment + 1):
                    k.map(d_old_S_20["K", "V"], d_new_cache_S.at("n")["K", "V"], accumulate=True)
                k.map(d_old_S_20["K", "V"], d_old_sum_S_50["K", "V"], accumulate=True)
            k.dot(p5["c", "K"], v_c["c", "V"], d_old_S_20["K", "V"], over="V")
            k.store(d_k, (p4["c", "K"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * p5["c", "K"])))
            k.dot(x4["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.dot(x3["d", "V"], x4["c", "d"], d_y_c["c", "V"], over="c", scale=x2(), over_lower=True)
            k.dot(p6["c", "V"], k_c["c", "K"], d_old_S_20["K", "V"], over="K")
            k.store(d_v, (x3["c", "V"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * p6["c", "V"])))
            k.dot(p7["K", "V"], q_c["c", "K"], d_y_c["c", "V"], over="c")
            k.map(d_old_sum_S_50["K", "V"], (x2() * p7["K", "V"]), accumulate=True)
            k.map(d_old_S_20["K", "V"], ((x2() * p7["K", "V"]) + d_old_S_20["K", "V"]))
            with k.when(((k.count > 0) & ((k.count + k.offset) == 256))):
                with k.loop("n", k.segment, k.segment + 1):
                    k.map(kept["n"], 0.0)
        k.map(d_state_S["K", "V"], d_old_S_20["K", "V"])
        k.map(d_cache_S["n", "K", "V"], (k.where((kept["n"] > 0.0), d_new_cache_S["n", "K", "V"], 0.0) + d_old_sum_S_50["K", "V"]))
