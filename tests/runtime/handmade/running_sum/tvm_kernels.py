"""S: S + x      read: S"""


def forward(k, save):
    x, start = k.token("x", "K"), k.memory("state.S", "K")
    y, end = k.token("y", "K", out=True), k.memory("new.state.S", "K", out=True)
    with k.sequences():
        S, rows, sums = k.tile("S", "K"), k.tile("rows", "c", "K"), k.tile("sums", "c", "K")
        k.map(S["K"], start["K"])
        with k.rows():
            k.load(rows["c", "K"], x, fill=0.0)
            k.cumsum(sums["c", "K"], rows["c", "K"], axis="c")
            k.map(sums["c", "K"], sums["c", "K"] + S["K"])
            k.store(y, sums["c", "K"])
            k.sum(S["K"], rows["c", "K"], over="c", accumulate=True)
        k.map(end["K"], S["K"])


def backward(k):
    d_y, d_end = k.token("d.y", "K"), k.memory("d.new.state.S", "K")
    d_x, d_start = k.token("d.x", "K", out=True), k.memory("d.state.S", "K", out=True)
    with k.sequences():
        S, rows, sums = k.tile("S", "K"), k.tile("rows", "c", "K"), k.tile("sums", "c", "K")
        k.map(S["K"], d_end["K"])
        with k.rows(reverse=True):
            k.load(rows["c", "K"], d_y, fill=0.0)
            k.cumsum(sums["c", "K"], rows["c", "K"], axis="c", reverse=True)
            k.map(sums["c", "K"], sums["c", "K"] + S["K"])
            k.store(d_x, sums["c", "K"])
            k.sum(S["K"], rows["c", "K"], over="c", accumulate=True)
        k.map(d_start["K"], S["K"])
