"""mamba2_residual on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, state_S_ptr, cache_S_ptr, y_ptr, new_state_S_ptr, new_cache_S_ptr, saved_S_ptr, saved_sum_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, new.cache.S, saved.S, saved.sum.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_K = tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
    # spec line 15: read: S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
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
        carried = product2 * decay[:, None]  # [c, V]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        written = dt_c[:, None] * v_c  # [c, V]
        # spec line 15: read: S.T @ q
        recent = lib.dot(P, written, PRECISION)  # [c, V]
        online = carried + recent  # [c, V]
        # spec line 18: weight: 1
        read_S = lib.dot(q_c, sum_S, PRECISION)  # [c, V]
        y = online + read_S  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
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
        added = offset + count  # []
        mask3 = added == 256  # []
        mask4 = count > 0  # []
        completes2 = mask3 & mask4  # []
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        # spec line 18: weight: 1
        masked2 = tl.where(completes2, next_S, 0.0)  # [K, V]
        added2 = sum_S + masked2  # [K, V]
        S, sum_S = next_S, added2
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, saved_sum_S_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, d_q_ptr, d_k_ptr, d_v_ptr, d_dt_ptr, d_A_ptr, d_state_S_ptr, stored_d_cache_S_part_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, d.k, d.v, d.dt, d.A, d.state.S, stored.d_cache.S_part."""
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
    d_old_sum_S = tl.full((block_K, block_V,), 0.0, tl.float32)  # [K, V]
    d_old_S = d_new_state_S  # [K, V]
    d_A = tl.zeros((), tl.float32)  # []
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        added = offset + count  # []
        mask3 = added == 256  # []
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 18: weight: 1
        product = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        added2 = d_old_sum_S + product  # [K, V]
        mask4 = count > 0  # []
        completes2 = mask3 & mask4  # []
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 15: read: S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 18: weight: 1
        added3 = at_end + d_end_sum_S  # [K, V]
        # spec line 15: read: S.T @ q
        d_next_S = d_old_S + added3  # [K, V]
        valid = c < count  # [c]
        dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        scaled = A * dt_c  # [c]
        at_least = tl.maximum(scaled, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 15: read: S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        scaled2 = decay[:, None] * d_y_c  # [c, V]
        product2 = lib.dot(tl.trans(q_c), scaled2, PRECISION)  # [K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        added4 = d_old_S2 + product2  # [K, V]
        # spec line 15: read: S.T @ q
        mask5 = c < count  # [d]
        earlier = mask & mask5[None, :]  # [c, d]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: weight: 1
        d_q_part = lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 15: read: S.T @ q
        product3 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        scaled3 = reach * product3  # [c, d]
        scaled4 = dt_c[None, :] * scaled3  # [c, d]
        d_q_part2 = lib.dot(scaled4, k_c, PRECISION)  # [c, K]
        d_q_part3 = d_q_part + d_q_part2  # [c, K]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product4 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part4 = decay[:, None] * product4  # [c, K]
        d_q = d_q_part4 + d_q_part3  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        product5 = lib.dot(v_c, tl.trans(d_next_S), PRECISION)  # [c, K]
        # spec line 15: read: S.T @ q
        product6 = lib.dot(tl.trans(scaled3), q_c, PRECISION)  # [d, K]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        d_write = dt_c[:, None] * product5  # [c, K]
        d_k_part = decay_after[:, None] * d_write  # [c, K]
        # spec line 15: read: S.T @ q
        scaled5 = dt_c[:, None] * product6  # [d, K]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_k = scaled5 + d_k_part  # [c, K]
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 15: read: S.T @ q
        d_decay = tl.sum(q_c * product4, 1)  # [c]
        product7 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        scaled6 = product7 * product3  # [c, d]
        scaled7 = reach * scaled6  # [c, d]
        P = product7 * reach  # [c, d]
        product8 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_factor_S = tl.sum(tl.sum(saved_S * d_next_S, 1), 0)  # []
        product9 = tl.sum(k_c * product5, 1)  # [c]
        product10 = tl.sum(k_c * product6, 1)  # [d]
        product11 = lib.dot(k_c, d_next_S, PRECISION)  # [c, V]
        d_written_part = decay_after[:, None] * product11  # [c, V]
        d_written = product8 + d_written_part  # [c, V]
        # spec line 15: read: S.T @ q
        scaled8 = dt_c[None, :] * scaled7  # [c, d]
        d_gap = tl.where(earlier, scaled8, 0.0)  # [c, d]
        running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
        masked2 = tl.where(mask2, running, 0.0)  # [c, d]
        d_log_decay_part = tl.sum(masked2, 1)  # [c]
        d_G = decay * d_decay  # [c]
        d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
        d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_decay_after = dt_c * product9  # [c]
        masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
        d_G_after = exp * masked3  # [c]
        d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
        d_log_decay_part5 = d_log_decay_part3 + d_log_decay_part4.to(tl.float32)  # [c]
        mask6 = scaled == (-120.0)  # [c]
        mask7 = scaled > (-120.0)  # [c]
        d_log_decay_part6 = decay_of_row * d_factor_S  # []
        d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
        masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
        scaled9 = 0.5 * masked4  # [c]
        masked5 = tl.where(mask7, masked4, 0.0)  # [c]
        masked6 = tl.where(mask6, scaled9, masked5)  # [c]
        scaled10 = decay_after * product9  # [c]
        d_dt_part = product10 + scaled10  # [c]
        d_v = dt_c[:, None] * d_written  # [c, V]
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        # spec line 18: weight: 1
        product12 = tl.sum(dt_c * masked6, 0)  # []
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_dt_part2 = A * masked6  # [c]
        d_dt = d_dt_part2 + d_dt_part  # [c]
        tl.store(d_dt_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_dt, mask=(c < count))
        d_A += product12
        d_old_sum_S, d_old_S = added2, added4
    tl.store(d_A_ptr + z * (1), d_A)
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
    # spec line 15: read: S.T @ q
    d_cache_S_part = tl.where(kept, d_new_cache_S, 0.0)  # [K, V]
    stored_d_cache_S_part = tl.load(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 18: weight: 1
    d_cache_S = d_cache_S_part + stored_d_cache_S_part  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 5, "tiles": ((5.5, 5.0), (9.25, 7.0)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'state.S', 'cache.S', 'y', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_cache.S_part', 'memory', ('K', 'V'))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 11, "tiles": ((11.25, 11.25), (19.25, 19.25)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'saved.S', 'saved.sum.S', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.q', 'd.k', 'd.v', 'd.dt', 'd.A', 'd.state.S', 'stored.d_cache.S_part')},
        {"run": fused_backward_1, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tiles": ((1.02, 0.25), (1.02, 0.25)), "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
    ],
    "shifted": [],
}
