"""mlstm on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, state_S_ptr, state_n_ptr, y_ptr, new_state_S_ptr, new_state_n_ptr, saved_S_ptr, saved_n_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, new.state.n, saved.S, saved.n."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_K = tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    state_n = tl.load(state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    S = state_S  # [K, V]
    n2 = state_n  # [K]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(saved_n_ptr + (z * R + r) * (size_K) + at_K, n2, mask=(at_K < size_K))
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        valid = c < count  # [c]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        P = product * reach  # [c, d]
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        exp = tl.exp(i_c)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        scaled = exp[:, None] * v_c  # [c, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product2 = lib.dot(P, scaled, PRECISION)  # [c, V]
        recent = (size_K ** (-0.5)) * product2  # [c, V]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp2 = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp2, 0.0)  # [c]
        write = k_c * decay_after[:, None]  # [c, K]
        product3 = lib.dot(tl.trans(write), scaled, PRECISION)  # [K, V]
        increment_S = (size_K ** (-0.5)) * product3  # [K, V]
        scaled2 = S * decay_of_row  # [K, V]
        next_S = scaled2 + increment_S  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product4 = lib.dot(q_c, S, PRECISION)  # [c, V]
        carried = decay[:, None] * product4  # [c, V]
        online = recent + carried  # [c, V]
        product5 = tl.sum(P * exp[None, :], 1)  # [c]
        recent2 = (size_K ** (-0.5)) * product5  # [c]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product6 = tl.sum(exp[:, None] * write, 0)  # [K]
        increment_n = (size_K ** (-0.5)) * product6  # [K]
        scaled3 = n2 * decay_of_row  # [K]
        next_n = scaled3 + increment_n  # [K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product7 = tl.sum(q_c * n2[None, :], 1)  # [c]
        carried2 = decay * product7  # [c]
        online2 = recent2 + carried2  # [c]
        abs = tl.abs(online2)  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        y = online * ratio[:, None]  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        S, n2 = next_S, next_n
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_state_n_ptr + z * (size_K) + at_K, n2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, d_new_state_S_ptr, d_new_state_n_ptr, d_q_ptr, d_k_ptr, d_v_ptr, d_i_ptr, d_g_ptr, d_state_S_ptr, d_state_n_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, d.k, d.v, d.i, d.g, d.state.S, d.state.n."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_K = tl.arange(0, block_K)
    at_V = tl.arange(0, block_V)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_new_state_n = tl.load(d_new_state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    mask2 = c[None, :] < c[:, None]  # [c, d]
    d_old_S = d_new_state_S  # [K, V]
    d_old_n = d_new_state_n  # [K]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        valid = c < count  # [c]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        product = tl.sum(q_c * saved_n[None, :], 1)  # [c]
        carried = decay * product  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product2 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        mask3 = c < count  # [d]
        earlier = mask & mask3[None, :]  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        P = product2 * reach  # [c, d]
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        exp = tl.exp(i_c)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product3 = tl.sum(P * exp[None, :], 1)  # [c]
        recent = (size_K ** (-0.5)) * product3  # [c]
        online = carried + recent  # [c]
        abs = tl.abs(online)  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        scaled = decay * ratio  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product4 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part = scaled[:, None] * product4  # [c, K]
        sign = lib.sign(online)  # [c]
        mask4 = 1.0 == abs  # [c]
        scaled2 = ratio * ratio  # [c]
        minus = -scaled2  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product5 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        scaled3 = exp[None, :] * product5  # [c, d]
        product6 = tl.sum(P * scaled3, 1)  # [c]
        scaled4 = (size_K ** (-0.5)) * product6  # [c]
        product7 = tl.sum(q_c * product4, 1)  # [c]
        scaled5 = decay * product7  # [c]
        added = scaled4 + scaled5  # [c]
        scaled6 = minus * added  # [c]
        scaled7 = 0.5 * scaled6  # [c]
        mask5 = 1.0 > abs  # [c]
        masked2 = tl.where(mask5, 0.0, scaled6)  # [c]
        masked3 = tl.where(mask4, scaled7, masked2)  # [c]
        d_online = sign * masked3  # [c]
        scaled8 = decay * d_online  # [c]
        d_q_part2 = saved_n[None, :] * scaled8[:, None]  # [c, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        written = exp * (size_K ** (-0.5))  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled9 = written[None, :] * product5  # [c, d]
        d_P_part = ratio[:, None] * scaled9  # [c, d]
        d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
        d_P = d_P_part + d_P_part2  # [c, d]
        scaled10 = reach * d_P  # [c, d]
        d_q_part3 = lib.dot(scaled10, k_c, PRECISION)  # [c, K]
        d_q_part4 = d_q_part2 + d_q_part3  # [c, K]
        d_q = d_q_part + d_q_part4  # [c, K]
        product8 = lib.dot(tl.trans(scaled10), q_c, PRECISION)  # [d, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp2 = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp2, 0.0)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_online2 = d_y_c * ratio[:, None]  # [c, V]
        scaled11 = decay[:, None] * d_online2  # [c, V]
        product9 = lib.dot(tl.trans(q_c), scaled11, PRECISION)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_old_S  # [K, V]
        added2 = d_old_S2 + product9  # [K, V]
        product10 = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        d_write_part = written[:, None] * product10  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product11 = tl.sum(q_c * scaled8[:, None], 0)  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row * d_old_n  # [K]
        added3 = d_old_n2 + product11  # [K]
        d_write_part2 = written[:, None] * d_old_n[None, :]  # [c, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_write = d_write_part + d_write_part2  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        d_k = product8 + d_k_part  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product12 = lib.dot(tl.trans(P), d_online2, PRECISION)  # [d, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        product13 = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product13  # [c, V]
        d_written = product12 + d_written_part  # [c, V]
        d_v = written[:, None] * d_written  # [c, V]
        scaled12 = ratio[:, None] * product5  # [c, d]
        product14 = tl.sum(P * scaled12, 0)  # [d]
        product15 = tl.sum(k_c * product10, 1)  # [c]
        scaled13 = decay_after * product15  # [c]
        d_written_part2 = product14 + scaled13  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product16 = tl.sum(P * d_online[:, None], 0)  # [d]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product17 = tl.sum(k_c * d_old_n[None, :], 1)  # [c]
        d_written_part3 = decay_after * product17  # [c]
        d_written_part4 = product16 + d_written_part3  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_written2 = d_written_part2 + d_written_part4  # [c]
        scaled14 = exp * d_written2  # [c]
        d_i = (size_K ** (-0.5)) * scaled14  # [c]
        mask6 = g_c == (-120.0)  # [c]
        d_factor_S = tl.sum(tl.sum(saved_S * d_old_S, 1), 0)  # []
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_factor_n = tl.sum(saved_n * d_old_n, 0)  # []
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_decay_of_row = d_factor_S + d_factor_n  # []
        d_log_decay_part = decay_of_row * d_decay_of_row  # []
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_reach = product2 * d_P  # [c, d]
        scaled15 = reach * d_reach  # [c, d]
        d_gap = tl.where(earlier, scaled15, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked4 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part2 = tl.sum(masked4, 1)  # [c]
        d_decay_part = ratio * product7  # [c]
        d_decay_part2 = product * d_online  # [c]
        d_decay = d_decay_part + d_decay_part2  # [c]
        d_G = decay * d_decay  # [c]
        d_log_decay_part3 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(tl.float32)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled16 = exp * product15  # [c]
        scaled17 = (size_K ** (-0.5)) * scaled16  # [c]
        scaled18 = exp * product17  # [c]
        scaled19 = (size_K ** (-0.5)) * scaled18  # [c]
        d_decay_after = scaled17 + scaled19  # [c]
        masked5 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp2 * masked5  # [c]
        d_log_decay_part5 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(tl.float32)  # [c]
        d_log_decay = d_log_decay_part + d_log_decay_part6  # [c]
        masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
        scaled20 = 0.5 * masked6  # [c]
        mask7 = g_c > (-120.0)  # [c]
        masked7 = tl.where(mask7, masked6, 0.0)  # [c]
        d_g = tl.where(mask6, scaled20, masked7)  # [c]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        tl.store(d_i_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_i, mask=(c < count))
        tl.store(d_g_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_g, mask=(c < count))
        d_old_S, d_old_n = added2, added3
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(d_state_n_ptr + z * (size_K) + at_K, d_old_n, mask=(at_K < size_K))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tensors": ('q', 'k', 'v', 'i', 'g', 'state.S', 'state.n', 'y', 'new.state.S', 'new.state.n', 'saved.S', 'saved.n')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 9, "tensors": ('q', 'k', 'v', 'i', 'g', 'saved.S', 'saved.n', 'd.y', 'd.new.state.S', 'd.new.state.n', 'd.q', 'd.k', 'd.v', 'd.i', 'd.g', 'd.state.S', 'd.state.n')},
    ],
    "shifted": [],
}
