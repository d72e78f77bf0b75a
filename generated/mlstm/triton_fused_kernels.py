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
        valid = c < count  # [c]
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        exp = tl.exp(i_c)  # [c]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        scaled = n2 * decay_of_row  # [K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp2 = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp2, 0.0)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled2 = S * decay_of_row  # [K, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * decay_after[:, None]  # [c, K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product = tl.sum(exp[:, None] * write, 0)  # [K]
        increment_n = (size_K ** (-0.5)) * product  # [K]
        next_n = scaled + increment_n  # [K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled3 = exp[:, None] * v_c  # [c, V]
        product2 = lib.dot(tl.trans(write), scaled3, PRECISION)  # [K, V]
        increment_S = (size_K ** (-0.5)) * product2  # [K, V]
        next_S = scaled2 + increment_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        product4 = lib.dot(q_c, S, PRECISION)  # [c, V]
        carried = decay[:, None] * product4  # [c, V]
        product5 = tl.sum(q_c * n2[None, :], 1)  # [c]
        carried2 = decay * product5  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        P = product3 * reach  # [c, d]
        product6 = lib.dot(P, scaled3, PRECISION)  # [c, V]
        recent = (size_K ** (-0.5)) * product6  # [c, V]
        online = recent + carried  # [c, V]
        product7 = tl.sum(P * exp[None, :], 1)  # [c]
        recent2 = (size_K ** (-0.5)) * product7  # [c]
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
        mask3 = c < count  # [d]
        earlier = mask & mask3[None, :]  # [c, d]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        mask4 = g_c == (-120.0)  # [c]
        mask5 = g_c > (-120.0)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_factor_n = tl.sum(saved_n * d_old_n, 0)  # []
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        exp = tl.exp(i_c)  # [c]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row * d_old_n  # [K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        written = exp * (size_K ** (-0.5))  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp2 = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp2, 0.0)  # [c]
        d_old_S2 = decay_of_row * d_old_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product = tl.sum(q_c * saved_n[None, :], 1)  # [c]
        carried = decay * product  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product2 = tl.sum(k_c * d_old_n[None, :], 1)  # [c]
        d_written_part = decay_after * product2  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled = exp * product2  # [c]
        scaled2 = (size_K ** (-0.5)) * scaled  # [c]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_write_part = written[:, None] * d_old_n[None, :]  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product4 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        product5 = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        product6 = tl.sum(k_c * product5, 1)  # [c]
        d_write_part2 = written[:, None] * product5  # [c, K]
        d_write = d_write_part2 + d_write_part  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        scaled3 = decay_after * product6  # [c]
        scaled4 = exp * product6  # [c]
        scaled5 = (size_K ** (-0.5)) * scaled4  # [c]
        d_decay_after = scaled5 + scaled2  # [c]
        masked = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp2 * masked  # [c]
        d_log_decay_part = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled6 = exp[None, :] * product4  # [c, d]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_factor_S = tl.sum(tl.sum(saved_S * d_old_S, 1), 0)  # []
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product7 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        product8 = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_written_part2 = decay_after[:, None] * product8  # [c, V]
        d_decay_of_row = d_factor_S + d_factor_n  # []
        d_log_decay_part2 = decay_of_row * d_decay_of_row  # []
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product9 = tl.sum(q_c * product7, 1)  # [c]
        scaled7 = decay * product9  # [c]
        scaled8 = written[None, :] * product4  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked2.to(tl.float32))  # [c, d]
        P = product3 * reach  # [c, d]
        product10 = tl.sum(P * scaled6, 1)  # [c]
        scaled9 = (size_K ** (-0.5)) * product10  # [c]
        added = scaled9 + scaled7  # [c]
        product11 = tl.sum(P * exp[None, :], 1)  # [c]
        recent = (size_K ** (-0.5)) * product11  # [c]
        online = carried + recent  # [c]
        abs = tl.abs(online)  # [c]
        sign = lib.sign(online)  # [c]
        mask6 = 1.0 == abs  # [c]
        mask7 = 1.0 > abs  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        d_online = d_y_c * ratio[:, None]  # [c, V]
        d_P_part = ratio[:, None] * scaled8  # [c, d]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled10 = ratio[:, None] * product4  # [c, d]
        product12 = tl.sum(P * scaled10, 0)  # [d]
        d_written_part3 = product12 + scaled3  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_decay_part = ratio * product9  # [c]
        scaled11 = ratio * ratio  # [c]
        minus = -scaled11  # [c]
        scaled12 = minus * added  # [c]
        scaled13 = decay * ratio  # [c]
        d_q_part = scaled13[:, None] * product7  # [c, K]
        scaled14 = 0.5 * scaled12  # [c]
        masked3 = tl.where(mask7, 0.0, scaled12)  # [c]
        masked4 = tl.where(mask6, scaled14, masked3)  # [c]
        d_online2 = sign * masked4  # [c]
        d_decay_part2 = product * d_online2  # [c]
        d_decay = d_decay_part + d_decay_part2  # [c]
        d_G = decay * d_decay  # [c]
        scaled15 = decay * d_online2  # [c]
        product13 = tl.sum(q_c * scaled15[:, None], 0)  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        added2 = d_old_n2 + product13  # [K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product14 = tl.sum(P * d_online2[:, None], 0)  # [d]
        product15 = lib.dot(tl.trans(P), d_online, PRECISION)  # [d, V]
        scaled16 = decay[:, None] * d_online  # [c, V]
        product16 = lib.dot(tl.trans(q_c), scaled16, PRECISION)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        added3 = d_old_S2 + product16  # [K, V]
        d_written = product15 + d_written_part2  # [c, V]
        d_v = written[:, None] * d_written  # [c, V]
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_written_part4 = product14 + d_written_part  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_written2 = d_written_part3 + d_written_part4  # [c]
        scaled17 = exp * d_written2  # [c]
        d_i = (size_K ** (-0.5)) * scaled17  # [c]
        tl.store(d_i_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_i, mask=(c < count))
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_log_decay_part3 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        d_q_part2 = saved_n[None, :] * scaled15[:, None]  # [c, K]
        d_P_part2 = written[None, :] * d_online2[:, None]  # [c, d]
        d_P = d_P_part + d_P_part2  # [c, d]
        d_reach = product3 * d_P  # [c, d]
        scaled18 = reach * d_P  # [c, d]
        d_q_part3 = lib.dot(scaled18, k_c, PRECISION)  # [c, K]
        d_q_part4 = d_q_part2 + d_q_part3  # [c, K]
        d_q = d_q_part + d_q_part4  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        product17 = lib.dot(tl.trans(scaled18), q_c, PRECISION)  # [d, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_k = product17 + d_k_part  # [c, K]
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled19 = reach * d_reach  # [c, d]
        d_gap = tl.where(earlier, scaled19, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked5 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part4 = tl.sum(masked5, 1)  # [c]
        d_log_decay_part5 = d_log_decay_part4 + d_log_decay_part3.to(tl.float32)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_log_decay_part6 = d_log_decay_part5 + d_log_decay_part.to(tl.float32)  # [c]
        d_log_decay = d_log_decay_part2 + d_log_decay_part6  # [c]
        masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
        scaled20 = 0.5 * masked6  # [c]
        masked7 = tl.where(mask5, masked6, 0.0)  # [c]
        d_g = tl.where(mask4, scaled20, masked7)  # [c]
        tl.store(d_g_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_g, mask=(c < count))
        d_old_S, d_old_n = added3, added2
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(d_state_n_ptr + z * (size_K) + at_K, d_old_n, mask=(at_K < size_K))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.25, 5.25), (9.25, 8.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'state.S', 'state.n', 'y', 'new.state.S', 'new.state.n', 'saved.S', 'saved.n')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 9, "tiles": ((15.25, 15.25), (25.75, 25.75)), "tensors": ('q', 'k', 'v', 'i', 'g', 'saved.S', 'saved.n', 'd.y', 'd.new.state.S', 'd.new.state.n', 'd.q', 'd.k', 'd.v', 'd.i', 'd.g', 'd.state.S', 'd.state.n')},
    ],
    "shifted": [],
}
