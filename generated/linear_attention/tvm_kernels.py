"""linear_attention on the CPU.

Written by mcgen: build it again instead of changing it. One pass over the chunk table's rows for every sequence and
head, on tiles; `mcgen.runtime.tvm` compiles the functions. Axes: c and d tokens of a row, n cached memories, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
"""


def forward(k, save):
    q = k.token("q", "K")
    k2 = k.token("k", "K")
    v = k.token("v", "V")
    state_S = k.memory("state.S", "K", "V")
    y = k.token("y", "V", out=True)
    new_state_S = k.memory("new.state.S", "K", "V", out=True)
    if save:
        saved_S = k.starts("saved.S", "K", "V", out=True)
    with k.sequences():
        S = k.tile("S", "K", "V")
        x = k.tile("x")
        p = k.tile("p", "c", "V")
        x2 = k.tile("x2", "c", "d")
        q_c = k.tile("q_c", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        v_c = k.tile("v_c", "c", "V")
        p2 = k.tile("p2", "c", "V")
        k.map(S["K", "V"], state_S["K", "V"])
        k.map(x(), float(k.sizes["K"]) ** (-0.5))
        with k.rows():
            k.load(q_c["c", "K"], q)
            k.load(k_c["c", "K"], k2)
            k.dot(x2["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.load(v_c["c", "V"], v)
            k.dot(p["c", "V"], x2["c", "d"], v_c["d", "V"], over="d", over_lower=True)
            k.dot(p2["c", "V"], q_c["c", "K"], S["K", "V"], over="K")
            k.store(y, (x() * (p["c", "V"] + p2["c", "V"])))
            if save:
                k.map(saved_S["K", "V"], S["K", "V"])
            k.dot(S["K", "V"], v_c["c", "V"], k_c["c", "K"], over="c", accumulate=True, scale=k.where((k.iota("c") < k.count), 1.0, 0.0))
        k.map(new_state_S["K", "V"], S["K", "V"])


def backward(k):
    q = k.token("q", "K")
    k2 = k.token("k", "K")
    v = k.token("v", "V")
    state_S = k.memory("state.S", "K", "V")
    saved_S = k.starts("saved.S", "K", "V")
    d_y = k.token("d.y", "V")
    d_new_state_S = k.memory("d.new.state.S", "K", "V")
    d_q = k.token("d.q", "K", out=True)
    d_k = k.token("d.k", "K", out=True)
    d_v = k.token("d.v", "V", out=True)
    d_state_S = k.memory("d.state.S", "K", "V", out=True)
    with k.sequences():
        d_old_S_20 = k.tile("d_old_S_20", "K", "V")
        p = k.tile("p", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        x = k.tile("x", "c", "d")
        v_c = k.tile("v_c", "c", "V")
        d_y_c = k.tile("d_y_c", "c", "V")
        x2 = k.tile("x2")
        p2 = k.tile("p2", "c", "K")
        p3 = k.tile("p3", "d", "K")
        q_c = k.tile("q_c", "c", "K")
        p4 = k.tile("p4", "c", "K")
        x3 = k.tile("x3", "d", "V")
        x4 = k.tile("x4", "c", "d")
        p5 = k.tile("p5", "c", "V")
        k.map(d_old_S_20["K", "V"], d_new_state_S["K", "V"])
        k.map(x2(), float(k.sizes["K"]) ** (-0.5))
        with k.rows(reverse=True):
            k.load(k_c["c", "K"], k2)
            k.load(v_c["c", "V"], v)
            k.load(d_y_c["c", "V"], d_y, fill=0.0)
            k.dot(x["c", "d"], v_c["d", "V"], d_y_c["c", "V"], over="V", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), (x2() * acc), 0.0), lower=True)
            k.dot(p["c", "K"], k_c["d", "K"], x["c", "d"], over="d", over_lower=True)
            k.dot(p2["c", "K"], d_y_c["c", "V"], saved_S["K", "V"], over="V")
            k.store(d_q, (p["c", "K"] + (x2() * p2["c", "K"])))
            k.load(q_c["c", "K"], q)
            k.dot(p3["d", "K"], q_c["c", "K"], x["c", "d"], over="c", over_lower=True)
            k.dot(p4["c", "K"], v_c["c", "V"], d_old_S_20["K", "V"], over="V")
            k.store(d_k, (p3["c", "K"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * p4["c", "K"])))
            k.dot(x4["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.dot(x3["d", "V"], x4["c", "d"], d_y_c["c", "V"], over="c", scale=x2(), over_lower=True)
            k.dot(p5["c", "V"], k_c["c", "K"], d_old_S_20["K", "V"], over="K")
            k.store(d_v, (x3["c", "V"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * p5["c", "V"])))
            k.dot(d_old_S_20["K", "V"], q_c["c", "K"], d_y_c["c", "V"], over="c", accumulate=True, scale=x2())
        k.map(d_state_S["K", "V"], d_old_S_20["K", "V"])
