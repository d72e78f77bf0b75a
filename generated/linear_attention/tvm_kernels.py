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
        scale = k.tile("scale")
        recent = k.tile("recent", "c", "V")
        P = k.tile("P", "c", "d")
        q_c = k.tile("q_c", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        v_c = k.tile("v_c", "c", "V")
        carried = k.tile("carried", "c", "V")
        k.map(S["K", "V"], state_S["K", "V"])
        # spec line 10: scale: K**-0.5
        k.map(scale(), float(k.sizes["K"]) ** (-0.5))
        with k.rows():
            k.load(q_c["c", "K"], q)
            k.load(k_c["c", "K"], k2)
            # spec line 15: read: scale * S.T @ q
            k.dot(P["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.load(v_c["c", "V"], v)
            k.dot(recent["c", "V"], P["c", "d"], v_c["d", "V"], over="d", over_lower=True)
            k.dot(carried["c", "V"], q_c["c", "K"], S["K", "V"], over="K")
            k.store(y, (scale() * (recent["c", "V"] + carried["c", "V"])))
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
        d_old_S = k.tile("d_old_S", "K", "V")
        d_q_part = k.tile("d_q_part", "c", "K")
        k_c = k.tile("k_c", "c", "K")
        masked = k.tile("masked", "c", "d")
        v_c = k.tile("v_c", "c", "V")
        d_y_c = k.tile("d_y_c", "c", "V")
        scale = k.tile("scale")
        product = k.tile("product", "c", "K")
        product2 = k.tile("product2", "d", "K")
        q_c = k.tile("q_c", "c", "K")
        d_write = k.tile("d_write", "c", "K")
        scaled = k.tile("scaled", "d", "V")
        P = k.tile("P", "c", "d")
        product3 = k.tile("product3", "c", "V")
        k.map(d_old_S["K", "V"], d_new_state_S["K", "V"])
        # spec line 10: scale: K**-0.5
        k.map(scale(), float(k.sizes["K"]) ** (-0.5))
        with k.rows(reverse=True):
            k.load(k_c["c", "K"], k2)
            k.load(v_c["c", "V"], v)
            k.load(d_y_c["c", "V"], d_y, fill=0.0)
            # spec line 15: read: scale * S.T @ q
            k.dot(masked["c", "d"], v_c["d", "V"], d_y_c["c", "V"], over="V", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), (scale() * acc), 0.0), lower=True)
            k.dot(d_q_part["c", "K"], k_c["d", "K"], masked["c", "d"], over="d", over_lower=True)
            k.dot(product["c", "K"], d_y_c["c", "V"], saved_S["K", "V"], over="V")
            k.store(d_q, (d_q_part["c", "K"] + (scale() * product["c", "K"])))
            k.load(q_c["c", "K"], q)
            k.dot(product2["d", "K"], q_c["c", "K"], masked["c", "d"], over="c", over_lower=True)
            # spec line 14: S: S + outer(k, v)
            k.dot(d_write["c", "K"], v_c["c", "V"], d_old_S["K", "V"], over="V")
            k.store(d_k, (product2["c", "K"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * d_write["c", "K"])))
            # spec line 15: read: scale * S.T @ q
            k.dot(P["c", "d"], q_c["c", "K"], k_c["d", "K"], over="K", then=lambda acc: k.where(((k.iota("c") >= k.iota("d")) & (k.iota("d") < k.count)), acc, 0.0), lower=True)
            k.dot(scaled["d", "V"], P["c", "d"], d_y_c["c", "V"], over="c", scale=scale(), over_lower=True)
            # spec line 14: S: S + outer(k, v)
            k.dot(product3["c", "V"], k_c["c", "K"], d_old_S["K", "V"], over="K")
            k.store(d_v, (scaled["c", "V"] + (k.where((k.iota("c") < k.count), 1.0, 0.0) * product3["c", "V"])))
            with k.product(("K", "V"), q_c["c", "K"], d_y_c["c", "V"], over="c") as acc:
                k.map(d_old_S["K", "V"], (scale() * acc), accumulate=True)
        k.map(d_state_S["K", "V"], d_old_S["K", "V"])
