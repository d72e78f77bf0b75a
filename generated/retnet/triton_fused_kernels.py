"""retnet on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, g_ptr, state_S_ptr, y_ptr, new_state_S_ptr, saved_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, saved.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    # spec line 16: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    S = state_S  # [K, V]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = product * reach  # [c, d]
        decay = tl.exp(G.to(tl.float32))  # [c]
        product2 = lib.dot(q_c, S, PRECISION)  # [c, V]
        carried = decay[:, None] * product2  # [c, V]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        recent = lib.dot(P, v_c, PRECISION)  # [c, V]
        online = recent + carried  # [c, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        write = k_c * decay_after[:, None]  # [c, K]
        increment_S = lib.dot(tl.trans(write), v_c, PRECISION)  # [K, V]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled = S * decay_of_row  # [K, V]
        next_S = scaled + increment_S  # [K, V]
        # spec line 16: read: scale * S.T @ q
        y = (size_K ** (-0.5)) * online  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        S = next_S
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, g_ptr, saved_S_ptr, d_y_ptr, d_new_state_S_ptr, d_q_ptr, d_k_ptr, d_v_ptr, d_g_ptr, d_state_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, d.k, d.v, d.g, d.state.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_V = tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    # spec line 16: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    mask2 = c[None, :] < c[:, None]  # [c, d]
    d_old_S = d_new_state_S  # [K, V]
    total = tl.zeros((), tl.float32)  # []
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        mask3 = c < count  # [d]
        earlier = mask & mask3[None, :]  # [c, d]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        # spec line 15: S: exp(g) * S + outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_v_part = decay_after[:, None] * product  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 16: read: scale * S.T @ q
        product2 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = product2 * reach  # [c, d]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        product3 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        scaled = (size_K ** (-0.5)) * product3  # [d, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        d_v = scaled + d_v_part  # [c, V]
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 16: read: scale * S.T @ q
        product4 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        scaled2 = reach * product4  # [c, d]
        product5 = lib.dot(tl.trans(scaled2), q_c, PRECISION)  # [d, K]
        scaled3 = (size_K ** (-0.5)) * product5  # [d, K]
        # spec line 15: S: exp(g) * S + outer(k, v)
        d_write = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        d_k = scaled3 + d_k_part  # [c, K]
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        d_decay_after = tl.sum(k_c * d_write, 1)  # [c]
        # spec line 16: read: scale * S.T @ q
        product6 = lib.dot(scaled2, k_c, PRECISION)  # [c, K]
        decay = tl.exp(G.to(tl.float32))  # [c]
        d_q_part = (size_K ** (-0.5)) * product6  # [c, K]
        scaled4 = decay * (size_K ** (-0.5))  # [c]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product7 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part2 = scaled4[:, None] * product7  # [c, K]
        d_q = d_q_part2 + d_q_part  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        scaled5 = product2 * product4  # [c, d]
        scaled6 = reach * scaled5  # [c, d]
        product8 = tl.sum(q_c * product7, 1)  # [c]
        scaled7 = decay[:, None] * d_y_c  # [c, V]
        product9 = lib.dot(tl.trans(q_c), scaled7, PRECISION)  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        d_factor_S = tl.sum(tl.sum(saved_S * d_old_S, 1), 0)  # []
        total2 = tl.sum(log_decay, 0)  # []
        # spec line 16: read: scale * S.T @ q
        scaled8 = (size_K ** (-0.5)) * product9  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        decay_of_row = tl.exp(total2)  # []
        d_old_S2 = decay_of_row * d_old_S  # [K, V]
        added = d_old_S2 + scaled8  # [K, V]
        # spec line 16: read: scale * S.T @ q
        scaled9 = (size_K ** (-0.5)) * scaled6  # [c, d]
        d_gap = tl.where(earlier, scaled9, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked2 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part = tl.sum(masked2, 1)  # [c]
        scaled10 = decay * product8  # [c]
        d_G = (size_K ** (-0.5)) * scaled10  # [c]
        d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
        # spec line 15: S: exp(g) * S + outer(k, v)
        masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked3  # [c]
        d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        d_log_decay_part5 = d_log_decay_part3 + d_log_decay_part4.to(tl.float32)  # [c]
        d_log_decay_part6 = decay_of_row * d_factor_S  # []
        d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
        masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
        total += tl.sum(masked4, 0)
        d_old_S = added
    mask4 = g == (-120.0)  # []
    scaled11 = 0.5 * total  # []
    mask5 = g > (-120.0)  # []
    masked5 = tl.where(mask5, total, 0.0)  # []
    d_g = tl.where(mask4, scaled11, masked5)  # []
    tl.store(d_g_ptr + z * (1), d_g)
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.5, 5.0), (7.5, 7.0)), "tensors": ('q', 'k', 'v', 'g', 'state.S', 'y', 'new.state.S', 'saved.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 9, "tiles": ((9.75, 9.75), (17.75, 17.75)), "tensors": ('q', 'k', 'v', 'g', 'saved.S', 'd.y', 'd.new.state.S', 'd.q', 'd.k', 'd.v', 'd.g', 'd.state.S')},
    ],
    "shifted": [],
}
