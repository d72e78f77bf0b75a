"""swla on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    read = scale * S.T @ q
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, state_S_ptr, y_ptr, new_state_S_ptr, saved_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, saved.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    # spec line 18: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    S = state_S  # [K, V]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        decay = tl.exp(G.to(tl.float32))  # [c]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(q_c, S, PRECISION)  # [c, V]
        carried = decay[:, None] * product  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added = offset + c  # [c]
        mask3 = added >= 1  # [c]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked2 = tl.where(mask3[:, None], v_c_1, 0.0)  # [c, V]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        written = b_c[:, None] * masked2  # [c, V]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
        # spec line 18: read: scale * S.T @ q
        product2 = lib.dot(q_c, tl.trans(key), PRECISION)  # [c, d]
        P = reach * product2  # [c, d]
        recent = lib.dot(P, written, PRECISION)  # [c, V]
        added2 = recent + carried  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P2 = product3 * reach  # [c, d]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        written2 = l_c[:, None] * v_c  # [c, V]
        # spec line 18: read: scale * S.T @ q
        recent2 = lib.dot(P2, written2, PRECISION)  # [c, V]
        online = recent2 + added2  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        write = decay_after[:, None] * key  # [c, K]
        product4 = lib.dot(tl.trans(write), written, PRECISION)  # [K, V]
        write2 = k_c * decay_after[:, None]  # [c, K]
        product5 = lib.dot(tl.trans(write2), written2, PRECISION)  # [K, V]
        increment_S = tl.trans(product5) + tl.trans(product4)  # [V, K]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled = S * decay_of_row  # [K, V]
        next_S = scaled + tl.trans(increment_S)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        y = (size_K ** (-0.5)) * online  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        S = next_S
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, d_y_ptr, d_new_state_S_ptr, d_q_ptr, stored_d_k_0_ptr, stored_d_k_1_ptr, stored_d_v_0_ptr, stored_d_v_1_ptr, d_a_ptr, d_b_ptr, d_l_ptr, d_state_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, stored.d.k.0, stored.d.k.1, stored.d.v.0, stored.d.v.1, d.a, d.b, d.l, d.state.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_V = tl.arange(0, block_V)
    at_K = tl.arange(0, block_K)
    # spec line 18: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    mask2 = c[None, :] < c[:, None]  # [c, d]
    d_old_S = d_new_state_S  # [K, V]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        valid = c < count  # [c]
        mask3 = c < count  # [d]
        earlier = mask & mask3[None, :]  # [c, d]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        mask4 = a_c < 0.0  # [c]
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        mask5 = logfloor == (-120.0)  # [c]
        mask6 = logfloor > (-120.0)  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        added = offset + c  # [c]
        mask7 = added >= 1  # [c]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 18: read: scale * S.T @ q
        scaled = (size_K ** (-0.5)) * l_c  # [d]
        scaled2 = (size_K ** (-0.5)) * b_c  # [d]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        at_most = tl.minimum(a_c, (-1e-30))  # [c]
        at_least2 = tl.maximum(a_c, 1e-30)  # [c]
        masked = tl.where(mask4, at_most, at_least2)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        scaled3 = decay * (size_K ** (-0.5))  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        d_old_S2 = decay_of_row * d_old_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        scaled4 = decay[:, None] * d_y_c  # [c, V]
        product = lib.dot(tl.trans(q_c), scaled4, PRECISION)  # [K, V]
        scaled5 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added2 = d_old_S2 + scaled5  # [K, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S = tl.sum(tl.sum(saved_S * d_old_S, 1), 0)  # []
        # spec line 18: read: scale * S.T @ q
        product2 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_log_decay_part = decay_of_row * d_factor_S  # []
        # spec line 18: read: scale * S.T @ q
        product3 = tl.sum(q_c * product2, 1)  # [c]
        d_q_part = scaled3[:, None] * product2  # [c, K]
        scaled6 = decay * product3  # [c]
        d_G = (size_K ** (-0.5)) * scaled6  # [c]
        d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        key = tl.where(mask7[:, None], k_c_1, 0.0)  # [c, K]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked2 = tl.where(mask7[:, None], v_c_1, 0.0)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        product4 = lib.dot(d_y_c, tl.trans(masked2), PRECISION)  # [c, d]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product5 = lib.dot(masked2, tl.trans(d_old_S), PRECISION)  # [c, K]
        product6 = tl.sum(key * product5, 1)  # [c]
        d_write = b_c[:, None] * product5  # [c, K]
        d_key_part = decay_after[:, None] * d_write  # [c, K]
        d_decay_after_part = b_c * product6  # [c]
        scaled7 = decay_after * product6  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        product7 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product8 = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        product9 = tl.sum(k_c * product8, 1)  # [c]
        d_write2 = l_c[:, None] * product8  # [c, K]
        d_k_part = decay_after[:, None] * d_write2  # [c, K]
        d_decay_after_part2 = l_c * product9  # [c]
        d_decay_after = d_decay_after_part2 + d_decay_after_part  # [c]
        masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked3  # [c]
        scaled8 = decay_after * product9  # [c]
        d_log_decay_part3 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        d_log_decay_part4 = d_log_decay_part2.to(tl.float32) + d_log_decay_part3.to(tl.float32)  # [c]
        d_log_decay_part5 = d_log_decay_part + d_log_decay_part4  # [c]
        # spec line 18: read: scale * S.T @ q
        product10 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product11 = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product11  # [c, V]
        product12 = lib.dot(key, d_old_S, PRECISION)  # [c, V]
        d_written_part2 = decay_after[:, None] * product12  # [c, V]
        # spec line 18: read: scale * S.T @ q
        product13 = lib.dot(q_c, tl.trans(key), PRECISION)  # [c, d]
        scaled9 = product10 * product7  # [c, d]
        scaled10 = l_c[None, :] * scaled9  # [c, d]
        d_reach_part = (size_K ** (-0.5)) * scaled10  # [c, d]
        scaled11 = product13 * product4  # [c, d]
        scaled12 = (size_K ** (-0.5)) * scaled11  # [c, d]
        d_reach_part2 = b_c[None, :] * scaled12  # [c, d]
        d_reach = d_reach_part + d_reach_part2  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked4 = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked4.to(tl.float32))  # [c, d]
        scaled13 = reach * product4  # [c, d]
        scaled14 = reach * product7  # [c, d]
        scaled15 = reach * d_reach  # [c, d]
        d_gap = tl.where(earlier, scaled15, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked5 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part6 = tl.sum(masked5, 1)  # [c]
        d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
        masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
        scaled16 = 0.5 * masked6  # [c]
        masked7 = tl.where(mask6, masked6, 0.0)  # [c]
        masked8 = tl.where(mask5, scaled16, masked7)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_a = masked8 / masked  # [c]
        tl.store(d_a_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_a, mask=(c < count))
        product14 = tl.sum(product13 * scaled13, 0)  # [d]
        # spec line 18: read: scale * S.T @ q
        P = reach * product13  # [c, d]
        P2 = product10 * reach  # [c, d]
        product15 = lib.dot(tl.trans(P2), d_y_c, PRECISION)  # [d, V]
        scaled17 = (size_K ** (-0.5)) * product15  # [d, V]
        d_written = scaled17 + d_written_part  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_v = l_c[:, None] * d_written  # [c, V]
        tl.store(stored_d_v_0_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        # spec line 18: read: scale * S.T @ q
        product16 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        scaled18 = (size_K ** (-0.5)) * product16  # [d, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_written2 = scaled18 + d_written_part2  # [c, V]
        scaled19 = b_c[:, None] * d_written2  # [c, V]
        d_v2 = tl.where(mask7[:, None], scaled19, 0.0)  # [c, V]
        tl.store(stored_d_v_1_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v2, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        scaled20 = (size_K ** (-0.5)) * product14  # [c]
        d_b = scaled20 + scaled7  # [c]
        tl.store(d_b_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_b, mask=(c < count))
        product17 = tl.sum(product10 * scaled14, 0)  # [d]
        scaled21 = (size_K ** (-0.5)) * product17  # [c]
        d_l = scaled21 + scaled8  # [c]
        tl.store(d_l_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_l, mask=(c < count))
        # spec line 18: read: scale * S.T @ q
        scaled22 = b_c[None, :] * scaled13  # [c, d]
        product18 = lib.dot(scaled22, key, PRECISION)  # [c, K]
        d_q_part2 = (size_K ** (-0.5)) * product18  # [c, K]
        d_q_part3 = d_q_part + d_q_part2  # [c, K]
        product19 = lib.dot(tl.trans(scaled13), q_c, PRECISION)  # [d, K]
        product20 = lib.dot(tl.trans(scaled14), q_c, PRECISION)  # [d, K]
        scaled23 = l_c[None, :] * scaled14  # [c, d]
        product21 = lib.dot(scaled23, k_c, PRECISION)  # [c, K]
        d_q_part4 = (size_K ** (-0.5)) * product21  # [c, K]
        d_q = d_q_part3 + d_q_part4  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        scaled24 = scaled[:, None] * product20  # [d, K]
        d_k = scaled24 + d_k_part  # [c, K]
        tl.store(stored_d_k_0_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        scaled25 = scaled2[:, None] * product19  # [d, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_key = scaled25 + d_key_part  # [c, K]
        d_k2 = tl.where(mask7[:, None], d_key, 0.0)  # [c, K]
        tl.store(stored_d_k_1_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k2, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        d_old_S = added2
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 7, "tiles": ((7.5, 6.5), (12.25, 9.5)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'state.S', 'y', 'new.state.S', 'saved.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d.k.0', 'token', ('K',)), ('stored.d.k.1', 'token', ('K',)), ('stored.d.v.0', 'token', ('V',)), ('stored.d.v.1', 'token', ('V',))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 16, "tiles": ((18.0, 18.0), (30.0, 30.0)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'saved.S', 'd.y', 'd.new.state.S', 'd.q', 'stored.d.k.0', 'stored.d.k.1', 'stored.d.v.0', 'stored.d.v.1', 'd.a', 'd.b', 'd.l', 'd.state.S')},
    ],
    "shifted": [('d.k', (('stored.d.k.0', 0), ('stored.d.k.1', 1))), ('d.v', (('stored.d.v.0', 0), ('stored.d.v.1', 1)))],
}
