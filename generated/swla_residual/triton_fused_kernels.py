"""swla_residual on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, state_S_ptr, cache_S_ptr, y_ptr, new_state_S_ptr, new_cache_S_ptr, saved_S_ptr, saved_sum_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, new.cache.S, saved.S, saved.sum.S."""
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
    over_n = tl.zeros((block_K, block_V,), tl.float32)  # [K, V]
    for slot in range(0, N):
        n = tl.full((), slot, tl.int32)
        cache_S = tl.load(cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        over_n += cache_S
    S = state_S  # [K, V]
    sum_S = over_n  # [K, V]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], sum_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
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
        number = added.to(tl.float32)  # [c]
        number2 = segment.to(tl.float32)  # []
        scaled = 256.0 * number2  # []
        added2 = scaled + number  # [c]
        mask3 = added2 >= 1.0  # [c]
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
        added3 = carried + recent  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P2 = product3 * reach  # [c, d]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        written2 = l_c[:, None] * v_c  # [c, V]
        # spec line 18: read: scale * S.T @ q
        recent2 = lib.dot(P2, written2, PRECISION)  # [c, V]
        online = recent2 + added3  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        read_S = lib.dot(q_c, sum_S, PRECISION)  # [c, V]
        added4 = online + read_S  # [c, V]
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
        scaled2 = S * decay_of_row  # [K, V]
        next_S = scaled2 + tl.trans(increment_S)  # [K, V]
        added5 = offset + count  # []
        mask4 = added5 == 256  # []
        mask5 = count > 0  # []
        completes2 = mask4 & mask5  # []
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        masked3 = tl.where(completes2, next_S, 0.0)  # [K, V]
        added6 = sum_S + masked3  # [K, V]
        # spec line 18: read: scale * S.T @ q
        y = (size_K ** (-0.5)) * added4  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        S, sum_S = next_S, added6
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, saved_sum_S_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, d_q_ptr, stored_d_k_0_ptr, stored_d_k_1_ptr, stored_d_v_0_ptr, stored_d_v_1_ptr, d_a_ptr, d_b_ptr, d_l_ptr, d_state_S_ptr, stored_d_cache_S_part_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, stored.d.k.0, stored.d.k.1, stored.d.v.0, stored.d.v.1, d.a, d.b, d.l, d.state.S, stored.d_cache.S_part."""
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
    d_old_sum_S = tl.full((block_K, block_V,), 0.0, tl.float32)  # [K, V]
    d_old_S = d_new_state_S  # [K, V]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added = offset + c  # [c]
        number = added.to(tl.float32)  # [c]
        number2 = segment.to(tl.float32)  # []
        scaled = 256.0 * number2  # []
        added2 = scaled + number  # [c]
        mask3 = added2 >= 1.0  # [c]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked = tl.where(mask3[:, None], v_c_1, 0.0)  # [c, V]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 18: read: scale * S.T @ q
        product = lib.dot(q_c, tl.trans(key), PRECISION)  # [c, d]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        product2 = lib.dot(d_y_c, tl.trans(masked), PRECISION)  # [c, d]
        scaled2 = product * product2  # [c, d]
        scaled3 = (size_K ** (-0.5)) * scaled2  # [c, d]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        d_reach_part = b_c[None, :] * scaled3  # [c, d]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product4 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        scaled4 = product3 * product4  # [c, d]
        scaled5 = l_c[None, :] * scaled4  # [c, d]
        d_reach_part2 = (size_K ** (-0.5)) * scaled5  # [c, d]
        d_reach = d_reach_part2 + d_reach_part  # [c, d]
        mask4 = c < count  # [d]
        earlier = mask & mask4[None, :]  # [c, d]
        valid = c < count  # [c]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked2.to(tl.float32))  # [c, d]
        added3 = offset + count  # []
        mask5 = added3 == 256  # []
        mask6 = count > 0  # []
        completes2 = mask5 & mask6  # []
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added4 = at_end + d_end_sum_S  # [K, V]
        # spec line 18: read: scale * S.T @ q
        d_next_S = d_old_S + added4  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        product5 = lib.dot(key, d_next_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product5  # [c, V]
        # spec line 18: read: scale * S.T @ q
        P = reach * product  # [c, d]
        product6 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        scaled6 = (size_K ** (-0.5)) * product6  # [d, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_written = scaled6 + d_written_part  # [c, V]
        product7 = lib.dot(k_c, d_next_S, PRECISION)  # [c, V]
        d_written_part2 = decay_after[:, None] * product7  # [c, V]
        # spec line 18: read: scale * S.T @ q
        P2 = product3 * reach  # [c, d]
        product8 = lib.dot(tl.trans(P2), d_y_c, PRECISION)  # [d, V]
        scaled7 = (size_K ** (-0.5)) * product8  # [d, V]
        d_written2 = scaled7 + d_written_part2  # [c, V]
        scaled8 = reach * product2  # [c, d]
        scaled9 = (size_K ** (-0.5)) * b_c  # [d]
        product9 = lib.dot(tl.trans(scaled8), q_c, PRECISION)  # [d, K]
        scaled10 = scaled9[:, None] * product9  # [d, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product10 = lib.dot(masked, tl.trans(d_next_S), PRECISION)  # [c, K]
        d_write = b_c[:, None] * product10  # [c, K]
        d_key_part = decay_after[:, None] * d_write  # [c, K]
        d_key = scaled10 + d_key_part  # [c, K]
        # spec line 18: read: scale * S.T @ q
        scaled11 = reach * d_reach  # [c, d]
        scaled12 = reach * product4  # [c, d]
        scaled13 = (size_K ** (-0.5)) * l_c  # [d]
        product11 = lib.dot(tl.trans(scaled12), q_c, PRECISION)  # [d, K]
        scaled14 = scaled13[:, None] * product11  # [d, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product12 = lib.dot(v_c, tl.trans(d_next_S), PRECISION)  # [c, K]
        d_write2 = l_c[:, None] * product12  # [c, K]
        d_k_part = decay_after[:, None] * d_write2  # [c, K]
        # spec line 18: read: scale * S.T @ q
        d_k = scaled14 + d_k_part  # [c, K]
        tl.store(stored_d_k_0_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product13 = tl.sum(product3 * scaled12, 0)  # [d]
        product14 = tl.sum(k_c * product12, 1)  # [c]
        # spec line 18: read: scale * S.T @ q
        scaled15 = l_c[None, :] * scaled12  # [c, d]
        product15 = lib.dot(scaled15, k_c, PRECISION)  # [c, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product16 = tl.sum(product * scaled8, 0)  # [d]
        product17 = tl.sum(key * product10, 1)  # [c]
        # spec line 18: read: scale * S.T @ q
        scaled16 = b_c[None, :] * scaled8  # [c, d]
        product18 = lib.dot(scaled16, key, PRECISION)  # [c, K]
        d_q_part = (size_K ** (-0.5)) * product18  # [c, K]
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product19 = lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)  # [c, K]
        d_q_part2 = (size_K ** (-0.5)) * product19  # [c, K]
        # spec line 18: read: scale * S.T @ q
        d_q_part3 = d_q_part2 + d_q_part  # [c, K]
        decay = tl.exp(G.to(tl.float32))  # [c]
        scaled17 = decay * (size_K ** (-0.5))  # [c]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product20 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part4 = scaled17[:, None] * product20  # [c, K]
        d_q_part5 = d_q_part4 + d_q_part3  # [c, K]
        d_q_part6 = (size_K ** (-0.5)) * product15  # [c, K]
        d_q = d_q_part5 + d_q_part6  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_factor_S = tl.sum(tl.sum(saved_S * d_next_S, 1), 0)  # []
        total = tl.sum(log_decay, 0)  # []
        # spec line 18: read: scale * S.T @ q
        scaled18 = decay[:, None] * d_y_c  # [c, V]
        product21 = lib.dot(tl.trans(q_c), scaled18, PRECISION)  # [K, V]
        scaled19 = (size_K ** (-0.5)) * product21  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        added5 = d_old_S2 + scaled19  # [K, V]
        # spec line 18: read: scale * S.T @ q
        product22 = tl.sum(q_c * product20, 1)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product23 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        scaled20 = (size_K ** (-0.5)) * product23  # [K, V]
        added6 = d_old_sum_S + scaled20  # [K, V]
        d_decay_after_part = b_c * product17  # [c]
        d_decay_after_part2 = l_c * product14  # [c]
        d_decay_after = d_decay_after_part2 + d_decay_after_part  # [c]
        masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked3  # [c]
        # spec line 18: read: scale * S.T @ q
        scaled21 = decay * product22  # [c]
        d_G = (size_K ** (-0.5)) * scaled21  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_log_decay_part = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        # spec line 18: read: scale * S.T @ q
        d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_log_decay_part3 = d_log_decay_part2.to(tl.float32) + d_log_decay_part.to(tl.float32)  # [c]
        # spec line 18: read: scale * S.T @ q
        d_gap = tl.where(earlier, scaled11, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked4 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part4 = tl.sum(masked4, 1)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        scaled22 = decay_after * product14  # [c]
        scaled23 = (size_K ** (-0.5)) * product13  # [c]
        d_l = scaled23 + scaled22  # [c]
        tl.store(d_l_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_l, mask=(c < count))
        scaled24 = decay_after * product17  # [c]
        scaled25 = (size_K ** (-0.5)) * product16  # [c]
        d_b = scaled25 + scaled24  # [c]
        tl.store(d_b_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_b, mask=(c < count))
        mask7 = a_c < 0.0  # [c]
        at_least2 = tl.maximum(a_c, 1e-30)  # [c]
        at_most = tl.minimum(a_c, (-1e-30))  # [c]
        masked5 = tl.where(mask7, at_most, at_least2)  # [c]
        d_log_decay_part5 = decay_of_row * d_factor_S  # []
        d_log_decay_part6 = d_log_decay_part5 + d_log_decay_part3  # [c]
        # spec line 18: read: scale * S.T @ q
        d_log_decay = d_log_decay_part4 + d_log_decay_part6  # [c]
        mask8 = logfloor > (-120.0)  # [c]
        mask9 = logfloor == (-120.0)  # [c]
        masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
        masked7 = tl.where(mask8, masked6, 0.0)  # [c]
        scaled26 = 0.5 * masked6  # [c]
        masked8 = tl.where(mask9, scaled26, masked7)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_a = masked8 / masked5  # [c]
        tl.store(d_a_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_a, mask=(c < count))
        scaled27 = b_c[:, None] * d_written  # [c, V]
        d_v = l_c[:, None] * d_written2  # [c, V]
        tl.store(stored_d_v_0_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        d_v2 = tl.where(mask3[:, None], scaled27, 0.0)  # [c, V]
        tl.store(stored_d_v_1_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v2, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        d_k2 = tl.where(mask3[:, None], d_key, 0.0)  # [c, K]
        tl.store(stored_d_k_1_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k2, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        d_old_sum_S, d_old_S = added6, added5
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_sum_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_1(d_new_cache_S_ptr, stored_d_cache_S_part_ptr, d_cache_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.cache.S."""
    n = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    block_of_K = tl.program_id(2) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(2) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    kept = lib.keeps(rows_ptr, R, n, 256)
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 18: read: scale * S.T @ q
    d_cache_S_part = tl.where(kept, d_new_cache_S, 0.0)  # [K, V]
    stored_d_cache_S_part = tl.load(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_cache_S = d_cache_S_part + stored_d_cache_S_part  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 8, "tiles": ((7.5, 6.5), (12.25, 9.5)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'state.S', 'cache.S', 'y', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d.k.0', 'token', ('K',)), ('stored.d.k.1', 'token', ('K',)), ('stored.d.v.0', 'token', ('V',)), ('stored.d.v.1', 'token', ('V',)), ('stored.d_cache.S_part', 'memory', ('K', 'V'))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 18, "tiles": ((18.0, 18.0), (30.0, 30.0)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'saved.S', 'saved.sum.S', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.q', 'stored.d.k.0', 'stored.d.k.1', 'stored.d.v.0', 'stored.d.v.1', 'd.a', 'd.b', 'd.l', 'd.state.S', 'stored.d_cache.S_part')},
        {"run": fused_backward_1, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tiles": ((1.02, 0.25), (1.02, 0.25)), "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
    ],
    "shifted": [('d.k', (('stored.d.k.0', 0), ('stored.d.k.1', 1))), ('d.v', (('stored.d.v.0', 0), ('stored.d.v.1', 1)))],
}
