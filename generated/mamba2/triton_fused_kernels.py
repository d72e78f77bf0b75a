"""mamba2 on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, state_S_ptr, y_ptr, new_state_S_ptr, saved_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, saved.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    # spec line 15: read: S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
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
        dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        scaled = A * dt_c  # [c]
        at_least = tl.maximum(scaled, (-120.0))  # [c]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 15: read: S.T @ q
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
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        written = dt_c[:, None] * v_c  # [c, V]
        # spec line 15: read: S.T @ q
        recent = lib.dot(P, written, PRECISION)  # [c, V]
        online = recent + carried  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], online, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        write = k_c * decay_after[:, None]  # [c, K]
        increment_S = lib.dot(tl.trans(write), written, PRECISION)  # [K, V]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled2 = S * decay_of_row  # [K, V]
        next_S = scaled2 + increment_S  # [K, V]
        S = next_S
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, d_y_ptr, d_new_state_S_ptr, d_q_ptr, d_k_ptr, d_v_ptr, d_dt_ptr, d_A_ptr, d_state_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, d.k, d.v, d.dt, d.A, d.state.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_V = tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
    # spec line 15: read: S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    mask2 = c[None, :] < c[:, None]  # [c, d]
    d_old_S = d_new_state_S  # [K, V]
    d_A = tl.zeros((), tl.float32)  # []
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        valid = c < count  # [c]
        mask3 = c < count  # [d]
        earlier = mask & mask3[None, :]  # [c, d]
        dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        scaled = A * dt_c  # [c]
        mask4 = scaled == (-120.0)  # [c]
        mask5 = scaled > (-120.0)  # [c]
        at_least = tl.maximum(scaled, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 15: read: S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        d_old_S2 = decay_of_row * d_old_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 15: read: S.T @ q
        scaled2 = decay[:, None] * d_y_c  # [c, V]
        product = lib.dot(tl.trans(q_c), scaled2, PRECISION)  # [K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        added = d_old_S2 + product  # [K, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S = tl.sum(tl.sum(saved_S * d_old_S, 1), 0)  # []
        d_log_decay_part = decay_of_row * d_factor_S  # []
        # spec line 15: read: S.T @ q
        product2 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_decay = tl.sum(q_c * product2, 1)  # [c]
        d_G = decay * d_decay  # [c]
        d_q_part = decay[:, None] * product2  # [c, K]
        d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product4 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        product5 = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        product6 = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product6  # [c, V]
        product7 = tl.sum(k_c * product5, 1)  # [c]
        d_write = dt_c[:, None] * product5  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        scaled3 = decay_after * product7  # [c]
        d_decay_after = dt_c * product7  # [c]
        masked = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked  # [c]
        d_log_decay_part3 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        # spec line 15: read: S.T @ q
        scaled4 = product3 * product4  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked2.to(tl.float32))  # [c, d]
        scaled5 = reach * scaled4  # [c, d]
        scaled6 = dt_c[None, :] * scaled5  # [c, d]
        d_gap = tl.where(earlier, scaled6, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked3 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part4 = tl.sum(masked3, 1)  # [c]
        d_log_decay_part5 = d_log_decay_part4 + d_log_decay_part2.to(tl.float32)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_log_decay_part6 = d_log_decay_part5 + d_log_decay_part3.to(tl.float32)  # [c]
        d_log_decay = d_log_decay_part + d_log_decay_part6  # [c]
        masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
        # spec line 15: read: S.T @ q
        scaled7 = reach * product4  # [c, d]
        product8 = lib.dot(tl.trans(scaled7), q_c, PRECISION)  # [d, K]
        scaled8 = dt_c[None, :] * scaled7  # [c, d]
        d_q_part2 = lib.dot(scaled8, k_c, PRECISION)  # [c, K]
        d_q = d_q_part + d_q_part2  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        P = product3 * reach  # [c, d]
        product9 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_written = product9 + d_written_part  # [c, V]
        d_v = dt_c[:, None] * d_written  # [c, V]
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        product10 = tl.sum(k_c * product8, 1)  # [d]
        # spec line 15: read: S.T @ q
        scaled9 = dt_c[:, None] * product8  # [d, K]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_k = scaled9 + d_k_part  # [c, K]
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        d_dt_part = product10 + scaled3  # [c]
        scaled10 = 0.5 * masked4  # [c]
        masked5 = tl.where(mask5, masked4, 0.0)  # [c]
        masked6 = tl.where(mask4, scaled10, masked5)  # [c]
        product11 = tl.sum(dt_c * masked6, 0)  # []
        d_dt_part2 = A * masked6  # [c]
        d_dt = d_dt_part2 + d_dt_part  # [c]
        tl.store(d_dt_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_dt, mask=(c < count))
        d_A += product11
        d_old_S = added
    tl.store(d_A_ptr + z * (1), d_A)
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.5, 5.0), (7.5, 7.0)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'state.S', 'y', 'new.state.S', 'saved.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 9, "tiles": ((11.25, 11.25), (19.25, 19.25)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'saved.S', 'd.y', 'd.new.state.S', 'd.q', 'd.k', 'd.v', 'd.dt', 'd.A', 'd.state.S')},
    ],
    "shifted": [],
}
