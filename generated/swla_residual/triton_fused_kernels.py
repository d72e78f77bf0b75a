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
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        written = l_c[:, None] * v_c  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 18: read: scale * S.T @ q
        product = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        valid = c < count  # [c]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        P = product * reach  # [c, d]
        recent = lib.dot(P, written, PRECISION)  # [c, V]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        write = k_c * decay_after[:, None]  # [c, K]
        product2 = lib.dot(tl.trans(written), write, PRECISION)  # [V, K]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        number = segment.to(tl.float32)  # []
        scaled = 256.0 * number  # []
        added = offset + c  # [c]
        number2 = added.to(tl.float32)  # [c]
        added2 = scaled + number2  # [c]
        mask3 = added2 >= 1.0  # [c]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked2 = tl.where(mask3[:, None], v_c_1, 0.0)  # [c, V]
        written2 = b_c[:, None] * masked2  # [c, V]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
        write2 = decay_after[:, None] * key  # [c, K]
        product3 = lib.dot(tl.trans(written2), write2, PRECISION)  # [V, K]
        increment_S = product2 + product3  # [V, K]
        scaled2 = S * decay_of_row  # [K, V]
        next_S = scaled2 + tl.trans(increment_S)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        product4 = lib.dot(q_c, S, PRECISION)  # [c, V]
        carried = decay[:, None] * product4  # [c, V]
        product5 = lib.dot(q_c, tl.trans(key), PRECISION)  # [c, d]
        P2 = reach * product5  # [c, d]
        recent2 = lib.dot(P2, written2, PRECISION)  # [c, V]
        added3 = carried + recent2  # [c, V]
        online = recent + added3  # [c, V]
        added4 = offset + count  # []
        mask4 = added4 == 256  # []
        mask5 = count > 0  # []
        completes2 = mask4 & mask5  # []
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        masked3 = tl.where(completes2, next_S, 0.0)  # [K, V]
        added5 = sum_S + masked3  # [K, V]
        read_S = lib.dot(q_c, sum_S, PRECISION)  # [c, V]
        added6 = online + read_S  # [c, V]
        # spec line 18: read: scale * S.T @ q
        y = (size_K ** (-0.5)) * added6  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        S, sum_S = next_S, added5
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
        valid = c < count  # [c]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        scaled = decay * (size_K ** (-0.5))  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part = scaled[:, None] * product  # [c, K]
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product2 = lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)  # [c, K]
        d_q_part2 = (size_K ** (-0.5)) * product2  # [c, K]
        number = segment.to(tl.float32)  # []
        scaled2 = 256.0 * number  # []
        added = offset + c  # [c]
        number2 = added.to(tl.float32)  # [c]
        added2 = scaled2 + number2  # [c]
        mask3 = added2 >= 1.0  # [c]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 18: read: scale * S.T @ q
        mask4 = c < count  # [d]
        earlier = mask & mask4[None, :]  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        masked2 = tl.where(mask3[:, None], v_c_1, 0.0)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        product3 = lib.dot(d_y_c, tl.trans(masked2), PRECISION)  # [c, d]
        scaled3 = reach * product3  # [c, d]
        scaled4 = b_c[None, :] * scaled3  # [c, d]
        product4 = lib.dot(scaled4, key, PRECISION)  # [c, K]
        d_q_part3 = (size_K ** (-0.5)) * product4  # [c, K]
        d_q_part4 = d_q_part2 + d_q_part3  # [c, K]
        d_q_part5 = d_q_part + d_q_part4  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product5 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        scaled5 = reach * product5  # [c, d]
        scaled6 = l_c[None, :] * scaled5  # [c, d]
        product6 = lib.dot(scaled6, k_c, PRECISION)  # [c, K]
        d_q_part6 = (size_K ** (-0.5)) * product6  # [c, K]
        d_q = d_q_part5 + d_q_part6  # [c, K]
        scaled7 = (size_K ** (-0.5)) * l_c  # [d]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product7 = lib.dot(tl.trans(scaled5), q_c, PRECISION)  # [d, K]
        scaled8 = scaled7[:, None] * product7  # [d, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product8 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        scaled9 = (size_K ** (-0.5)) * product8  # [K, V]
        added3 = offset + count  # []
        mask5 = added3 == 256  # []
        mask6 = count > 0  # []
        completes2 = mask5 & mask6  # []
        added4 = d_old_sum_S + scaled9  # [K, V]
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        added5 = at_end + d_end_sum_S  # [K, V]
        # spec line 18: read: scale * S.T @ q
        scaled10 = decay[:, None] * d_y_c  # [c, V]
        product9 = lib.dot(tl.trans(q_c), scaled10, PRECISION)  # [K, V]
        scaled11 = (size_K ** (-0.5)) * product9  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 18: read: scale * S.T @ q
        d_next_S = d_old_S + added5  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        added6 = d_old_S2 + scaled11  # [K, V]
        product10 = lib.dot(v_c, tl.trans(d_next_S), PRECISION)  # [c, K]
        d_write = l_c[:, None] * product10  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        # spec line 18: read: scale * S.T @ q
        d_k = scaled8 + d_k_part  # [c, K]
        scaled12 = (size_K ** (-0.5)) * b_c  # [d]
        product11 = lib.dot(tl.trans(scaled3), q_c, PRECISION)  # [d, K]
        scaled13 = scaled12[:, None] * product11  # [d, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product12 = lib.dot(masked2, tl.trans(d_next_S), PRECISION)  # [c, K]
        d_write2 = b_c[:, None] * product12  # [c, K]
        d_key_part = decay_after[:, None] * d_write2  # [c, K]
        d_key = scaled13 + d_key_part  # [c, K]
        d_k2 = tl.where(mask3[:, None], d_key, 0.0)  # [c, K]
        # spec line 18: read: scale * S.T @ q
        product13 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = product13 * reach  # [c, d]
        product14 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        scaled14 = (size_K ** (-0.5)) * product14  # [d, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product15 = lib.dot(k_c, d_next_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product15  # [c, V]
        # spec line 18: read: scale * S.T @ q
        d_written = scaled14 + d_written_part  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_v = l_c[:, None] * d_written  # [c, V]
        # spec line 18: read: scale * S.T @ q
        product16 = lib.dot(q_c, tl.trans(key), PRECISION)  # [c, d]
        P2 = reach * product16  # [c, d]
        product17 = lib.dot(tl.trans(P2), d_y_c, PRECISION)  # [d, V]
        scaled15 = (size_K ** (-0.5)) * product17  # [d, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product18 = lib.dot(key, d_next_S, PRECISION)  # [c, V]
        d_written_part2 = decay_after[:, None] * product18  # [c, V]
        d_written2 = scaled15 + d_written_part2  # [c, V]
        scaled16 = b_c[:, None] * d_written2  # [c, V]
        d_v2 = tl.where(mask3[:, None], scaled16, 0.0)  # [c, V]
        mask7 = logfloor == (-120.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        scaled17 = product13 * product5  # [c, d]
        scaled18 = l_c[None, :] * scaled17  # [c, d]
        d_reach_part = (size_K ** (-0.5)) * scaled18  # [c, d]
        scaled19 = product16 * product3  # [c, d]
        scaled20 = (size_K ** (-0.5)) * scaled19  # [c, d]
        d_reach_part2 = b_c[None, :] * scaled20  # [c, d]
        d_reach = d_reach_part + d_reach_part2  # [c, d]
        scaled21 = reach * d_reach  # [c, d]
        d_gap = tl.where(earlier, scaled21, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked3 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part = tl.sum(masked3, 1)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_factor_S = tl.sum(tl.sum(saved_S * d_next_S, 1), 0)  # []
        d_log_decay_part2 = decay_of_row * d_factor_S  # []
        # spec line 18: read: scale * S.T @ q
        product19 = tl.sum(q_c * product, 1)  # [c]
        scaled22 = decay * product19  # [c]
        d_G = (size_K ** (-0.5)) * scaled22  # [c]
        d_log_decay_part3 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product20 = tl.sum(k_c * product10, 1)  # [c]
        d_decay_after_part = l_c * product20  # [c]
        product21 = tl.sum(key * product12, 1)  # [c]
        d_decay_after_part2 = b_c * product21  # [c]
        d_decay_after = d_decay_after_part + d_decay_after_part2  # [c]
        masked4 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked4  # [c]
        d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        d_log_decay_part5 = d_log_decay_part3.to(tl.float32) + d_log_decay_part4.to(tl.float32)  # [c]
        d_log_decay_part6 = d_log_decay_part2 + d_log_decay_part5  # [c]
        # spec line 18: read: scale * S.T @ q
        d_log_decay = d_log_decay_part + d_log_decay_part6  # [c]
        masked5 = tl.where(valid, d_log_decay, 0.0)  # [c]
        scaled23 = 0.5 * masked5  # [c]
        mask8 = logfloor > (-120.0)  # [c]
        masked6 = tl.where(mask8, masked5, 0.0)  # [c]
        masked7 = tl.where(mask7, scaled23, masked6)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        mask9 = a_c < 0.0  # [c]
        at_most = tl.minimum(a_c, (-1e-30))  # [c]
        at_least2 = tl.maximum(a_c, 1e-30)  # [c]
        masked8 = tl.where(mask9, at_most, at_least2)  # [c]
        d_a = masked7 / masked8  # [c]
        product22 = tl.sum(product16 * scaled3, 0)  # [d]
        scaled24 = (size_K ** (-0.5)) * product22  # [c]
        scaled25 = decay_after * product21  # [c]
        d_b = scaled24 + scaled25  # [c]
        product23 = tl.sum(product13 * scaled5, 0)  # [d]
        scaled26 = (size_K ** (-0.5)) * product23  # [c]
        scaled27 = decay_after * product20  # [c]
        d_l = scaled26 + scaled27  # [c]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        tl.store(stored_d_k_0_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        tl.store(stored_d_k_1_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k2, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        tl.store(stored_d_v_0_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        tl.store(stored_d_v_1_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v2, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        tl.store(d_a_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_a, mask=(c < count))
        tl.store(d_b_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_b, mask=(c < count))
        tl.store(d_l_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_l, mask=(c < count))
        d_old_sum_S, d_old_S = added4, added6
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
         "products": 8, "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'state.S', 'cache.S', 'y', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d.k.0', 'token', ('K',)), ('stored.d.k.1', 'token', ('K',)), ('stored.d.v.0', 'token', ('V',)), ('stored.d.v.1', 'token', ('V',)), ('stored.d_cache.S_part', 'memory', ('K', 'V'))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 18, "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'saved.S', 'saved.sum.S', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.q', 'stored.d.k.0', 'stored.d.k.1', 'stored.d.v.0', 'stored.d.v.1', 'd.a', 'd.b', 'd.l', 'd.state.S', 'stored.d_cache.S_part')},
        {"run": fused_backward_1, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
    ],
    "shifted": [('d.k', (('stored.d.k.0', 0), ('stored.d.k.1', 1))), ('d.v', (('stored.d.v.0', 0), ('stored.d.v.1', 1)))],
}
