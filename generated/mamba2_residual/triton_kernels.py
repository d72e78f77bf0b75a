"""mamba2_residual on GPUs.

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
def forward_0(k_ptr, v_ptr, dt_ptr, A_ptr, state_S_ptr, cache_S_ptr, new_state_S_ptr, new_cache_S_ptr, saved_S_ptr, saved_sum_S_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, new.cache.S, saved.S, saved.sum.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
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
        valid = c < count  # [c]
        mask = count > 0  # []
        added = offset + count  # []
        mask2 = added == 256  # []
        completes2 = mask2 & mask  # []
        dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        scaled = A * dt_c  # [c]
        at_least = tl.maximum(scaled, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled2 = S * decay_of_row  # [K, V]
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        written = dt_c[:, None] * v_c  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * decay_after[:, None]  # [c, K]
        increment_S = lib.dot(tl.trans(write), written, PRECISION)  # [K, V]
        next_S = scaled2 + increment_S  # [K, V]
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        # spec line 18: weight: 1
        masked = tl.where(completes2, next_S, 0.0)  # [K, V]
        added2 = sum_S + masked  # [K, V]
        S, sum_S = next_S, added2
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, saved_sum_S_ptr, y_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: y."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(2)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(q_c, saved_S, PRECISION)
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        read_S += lib.dot(q_c, saved_sum_S, PRECISION)
    # spec line 15: read: S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    valid = c < count  # [c]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
    dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A * dt_c  # [c]
    at_least = tl.maximum(scaled, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 15: read: S.T @ q
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    P = total * reach  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    written = dt_c[:, None] * v_c  # [c, V]
    # spec line 15: read: S.T @ q
    recent = lib.dot(P, written, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total2  # [c, V]
    online = recent + carried  # [c, V]
    # spec line 18: weight: 1
    y = online + read_S  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, dt_ptr, A_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, d_state_S_ptr, stored_d_cache_S_part_ptr, stored_d_increment_S_ptr, stored_out_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, stored.d_cache.S_part, stored.d_increment_S, stored.out."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
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
        added = offset + count  # []
        mask = added == 256  # []
        mask2 = count > 0  # []
        completes2 = mask & mask2  # []
        # spec line 18: weight: 1
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 15: read: S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 18: weight: 1
        added2 = at_end + d_end_sum_S  # [K, V]
        # spec line 15: read: S.T @ q
        d_next_S = d_old_S + added2  # [K, V]
        dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        scaled = A * dt_c  # [c]
        at_least = tl.maximum(scaled, (-120.0))  # [c]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 15: read: S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 15: read: S.T @ q
        scaled2 = decay[:, None] * d_y_c  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(tl.trans(q_c), scaled2, PRECISION)  # [K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        added3 = d_old_S2 + product  # [K, V]
        # spec line 18: weight: 1
        product2 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        added4 = d_old_sum_S + product2  # [K, V]
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_sum_S, d_old_S = added4, added3
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_sum_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, d_y_ptr, stored_product_2_ptr, stored_d_decay_ptr, stored_product_3_ptr, stored_product_4_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product.2, stored.d_decay, stored.product.3, stored.product.4."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_V = tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 15: read: S.T @ q
    product = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
    dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A * dt_c  # [c]
    at_least = tl.maximum(scaled, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 15: read: S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    scaled2 = reach * product  # [c, d]
    total = tl.zeros((C,), tl.float32)  # [d]
    d_decay = tl.zeros((C,), tl.float32)  # [c]
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product2 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_decay += tl.sum(q_c * product2, 1)
        product3 = lib.dot(tl.trans(scaled2), q_c, PRECISION)  # [d, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(k_c * product3, 1)
        total2 += lib.dot(q_c, tl.trans(k_c), PRECISION)
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product)
    tl.store(stored_d_decay_ptr + (z * R + r) * (C) + c, d_decay)
    tl.store(stored_product_2_ptr + (z * R + r) * (C) + c, total)
    tl.store(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total2)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(k_ptr, dt_ptr, A_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_product_4_ptr, d_v_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.v."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(2)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(k_c, stored_d_increment_S, PRECISION)
    # spec line 15: read: S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
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
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_4  # [c, d]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    product = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_written_part = decay_after[:, None] * total  # [c, V]
    d_written = d_written_part + product  # [c, V]
    d_v = dt_c[:, None] * d_written  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, saved_sum_S_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_product_3_ptr, d_q_ptr, d_k_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, d.k."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(2)
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    d_q_part = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    total2 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_q_part += lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)
    # spec line 15: read: S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
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
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled2 = reach * stored_product_3  # [c, d]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    d_write = dt_c[:, None] * total2  # [c, K]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_k_part = decay_after[:, None] * d_write  # [c, K]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 15: read: S.T @ q
    product = lib.dot(tl.trans(scaled2), q_c, PRECISION)  # [d, K]
    scaled3 = dt_c[:, None] * product  # [d, K]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    d_k = d_k_part + scaled3  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    # spec line 15: read: S.T @ q
    scaled4 = dt_c[None, :] * scaled2  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_q_part2 = lib.dot(scaled4, k_c, PRECISION)  # [c, K]
    d_q_part3 = d_q_part + d_q_part2  # [c, K]
    decay = tl.exp(G.to(tl.float32))  # [c]
    d_q_part4 = decay[:, None] * total  # [c, K]
    d_q = d_q_part4 + d_q_part3  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(k_ptr, v_ptr, dt_ptr, A_ptr, saved_S_ptr, stored_d_increment_S_ptr, stored_product_2_ptr, stored_d_decay_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_out_ptr, d_dt_ptr, stored_product_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.dt, stored.product."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_V = tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    d_factor_S = tl.zeros((), tl.float32)  # []
    total = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_out = tl.load(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out, 1), 0)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        product = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(k_c * product, 1)
    valid = c < count  # [c]
    A = tl.load(A_ptr + h * (1)).to(tl.float32)  # []
    dt_c = lib.tokens(tl.load(dt_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled = A * dt_c  # [c]
    at_least = tl.maximum(scaled, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 15: read: S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled2 = stored_product_3 * stored_product_4  # [c, d]
    scaled3 = reach * scaled2  # [c, d]
    mask3 = c[None, :] < c[:, None]  # [c, d]
    scaled4 = dt_c[None, :] * scaled3  # [c, d]
    d_gap = tl.where(earlier, scaled4, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    masked2 = tl.where(mask3, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked2, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_d_decay = tl.load(stored_d_decay_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_G = decay * stored_d_decay  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    d_decay_after = dt_c * total  # [c]
    masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp * masked3  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part3 + d_log_decay_part4.to(tl.float32)  # [c]
    mask4 = scaled == (-120.0)  # [c]
    mask5 = scaled > (-120.0)  # [c]
    total2 = tl.sum(log_decay, 0)  # []
    decay_of_row = tl.exp(total2)  # []
    d_log_decay_part6 = decay_of_row * d_factor_S  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
    scaled5 = 0.5 * masked4  # [c]
    masked5 = tl.where(mask5, masked4, 0.0)  # [c]
    masked6 = tl.where(mask4, scaled5, masked5)  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    scaled6 = decay_after * total  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [d]
    d_dt_part = stored_product_2 + scaled6  # [c]
    # spec line 18: weight: 1
    product2 = tl.sum(dt_c * masked6, 0)  # []
    tl.store(stored_product_ptr + (z * R + r) * (1), product2)
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    d_dt_part2 = A * masked6  # [c]
    d_dt = d_dt_part2 + d_dt_part  # [c]
    tl.store(d_dt_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_dt, mask=(c < count))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(d_new_cache_S_ptr, stored_d_cache_S_part_ptr, d_cache_S_ptr, table_ptr, T, H, R, N,
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

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(stored_product_ptr, d_A_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr):
    """The rows one after the other: d.A."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    d_A = tl.zeros((), tl.float32)  # []
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        stored_product = tl.load(stored_product_ptr + (z * R + r) * (1)).to(tl.float32)  # []
        d_A += stored_product
    tl.store(d_A_ptr + z * (1), d_A)

forward = {
    "scratch": [],
    "copies": [('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('k', 'v', 'dt', 'A', 'state.S', 'cache.S', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
        {"run": forward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.75, 3.75), (4.75, 3.75)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'saved.S', 'saved.sum.S', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.product', 'starts', ()), ('stored.d_cache.S_part', 'memory', ('K', 'V')), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.product.2', 'starts', ('d',)), ('stored.d_decay', 'starts', ('c',)), ('stored.product.3', 'starts', ('c', 'd')), ('stored.product.4', 'starts', ('c', 'd')), ('stored.out', 'starts', ('K', 'V'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('q', 'dt', 'A', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.state.S', 'stored.d_cache.S_part', 'stored.d_increment_S', 'stored.out')},
        {"run": backward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.0, 3.5), (6.0, 5.5)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'saved.S', 'd.y', 'stored.product.2', 'stored.d_decay', 'stored.product.3', 'stored.product.4')},
        {"run": backward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.5, 2.5), (4.5, 2.5)), "tensors": ('k', 'dt', 'A', 'd.y', 'stored.d_increment_S', 'stored.product.4', 'd.v')},
        {"run": backward_3, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 5, "tiles": ((4.75, 3.5), (4.75, 3.5)), "tensors": ('q', 'k', 'v', 'dt', 'A', 'saved.S', 'saved.sum.S', 'd.y', 'stored.d_increment_S', 'stored.product.3', 'd.q', 'd.k')},
        {"run": backward_4, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.5, 4.5), (5.0, 4.5)), "tensors": ('k', 'v', 'dt', 'A', 'saved.S', 'stored.d_increment_S', 'stored.product.2', 'stored.d_decay', 'stored.product.3', 'stored.product.4', 'stored.out', 'd.dt', 'stored.product')},
        {"run": backward_5, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tiles": ((1.02, 0.25), (1.02, 0.25)), "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
        {"run": backward_6, "grid": 'loop', "blocked": (), "folded": (), "dims": (),
         "products": 0, "tiles": ((0.0, 0.0), (0.0, 0.0)), "tensors": ('stored.product', 'd.A')},
    ],
    "shifted": [],
}
