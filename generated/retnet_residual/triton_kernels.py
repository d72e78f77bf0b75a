"""retnet_residual on GPUs.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_0(k_ptr, v_ptr, g_ptr, state_S_ptr, cache_S_ptr, new_state_S_ptr, new_cache_S_ptr, saved_S_ptr, saved_sum_S_ptr, table_ptr, T, H, R, N,
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
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
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
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 15: S: exp(g) * S + outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled = S * decay_of_row  # [K, V]
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * decay_after[:, None]  # [c, K]
        increment_S = lib.dot(tl.trans(write), v_c, PRECISION)  # [K, V]
        next_S = scaled + increment_S  # [K, V]
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        # spec line 19: weight: 1
        masked = tl.where(completes2, next_S, 0.0)  # [K, V]
        added2 = sum_S + masked  # [K, V]
        S, sum_S = next_S, added2
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(q_ptr, k_ptr, v_ptr, g_ptr, saved_S_ptr, saved_sum_S_ptr, y_ptr, table_ptr, T, H, R, N,
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
    # spec line 16: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    valid = c < count  # [c]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    P = total * reach  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    recent = lib.dot(P, v_c, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total2  # [c, V]
    online = recent + carried  # [c, V]
    # spec line 19: weight: 1
    added = online + read_S  # [c, V]
    # spec line 16: read: scale * S.T @ q
    y = (size_K ** (-0.5)) * added  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, g_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, d_state_S_ptr, stored_d_cache_S_part_ptr, stored_d_increment_S_ptr, stored_out_ptr, table_ptr, T, H, R, N,
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
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
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
        # spec line 19: weight: 1
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 16: read: scale * S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 19: weight: 1
        added2 = at_end + d_end_sum_S  # [K, V]
        # spec line 16: read: scale * S.T @ q
        d_next_S = d_old_S + added2  # [K, V]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 15: S: exp(g) * S + outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 16: read: scale * S.T @ q
        scaled = decay[:, None] * d_y_c  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(tl.trans(q_c), scaled, PRECISION)  # [K, V]
        scaled2 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        added3 = d_old_S2 + scaled2  # [K, V]
        # spec line 19: weight: 1
        product2 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        scaled3 = (size_K ** (-0.5)) * product2  # [K, V]
        added4 = d_old_sum_S + scaled3  # [K, V]
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_sum_S, d_old_S = added4, added3
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_sum_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, g_ptr, d_y_ptr, stored_d_increment_S_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(k_c, stored_d_increment_S, PRECISION)
    # spec line 16: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    valid = c < count  # [c]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    P = total * reach  # [c, d]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    product = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_v_part = decay_after[:, None] * total2  # [c, V]
    # spec line 16: read: scale * S.T @ q
    scaled = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    d_v = scaled + d_v_part  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(q_ptr, k_ptr, v_ptr, g_ptr, saved_S_ptr, saved_sum_S_ptr, d_y_ptr, stored_d_increment_S_ptr, d_q_ptr, d_k_ptr, stored_d_write_ptr, stored_product_ptr, stored_product_2_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, d.k, stored.d_write, stored.product, stored.product.2."""
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
    total2 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    d_write = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total3 += lib.dot(d_y_c, tl.trans(v_c), PRECISION)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_write += lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)
    # spec line 16: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    tl.store(stored_d_write_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], d_write, mask=(at_K[None, :] < size_K))
    if (block_of_K == 0):
        tl.store(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total3)
    scaled = reach * total3  # [c, d]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_k_part = decay_after[:, None] * d_write  # [c, K]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 16: read: scale * S.T @ q
    product = lib.dot(tl.trans(scaled), q_c, PRECISION)  # [d, K]
    scaled2 = (size_K ** (-0.5)) * product  # [d, K]
    # spec line 15: S: exp(g) * S + outer(k, v)
    d_k = scaled2 + d_k_part  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 16: read: scale * S.T @ q
    product2 = lib.dot(scaled, k_c, PRECISION)  # [c, K]
    d_q_part = (size_K ** (-0.5)) * product2  # [c, K]
    # spec line 19: weight: 1
    d_q_part2 = (size_K ** (-0.5)) * total2  # [c, K]
    # spec line 16: read: scale * S.T @ q
    d_q_part3 = d_q_part2 + d_q_part  # [c, K]
    tl.store(stored_product_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], total, mask=(at_K[None, :] < size_K))
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled3 = decay * (size_K ** (-0.5))  # [c]
    d_q_part4 = scaled3[:, None] * total  # [c, K]
    d_q = d_q_part4 + d_q_part3  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, k_ptr, g_ptr, saved_S_ptr, stored_out_ptr, stored_product_2_ptr, stored_product_ptr, stored_d_write_ptr, stored_total_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.total."""
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
    d_factor_S = tl.zeros((), tl.float32)  # []
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    d_decay_after = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_out = tl.load(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out, 1), 0)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        stored_product = tl.load(stored_product_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [c, K]
        total2 += tl.sum(q_c * stored_product, 1)
        stored_d_write = tl.load(stored_d_write_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [c, K]
        d_decay_after += tl.sum(k_c * stored_d_write, 1)
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 16: read: scale * S.T @ q
    scaled = total * stored_product_2  # [c, d]
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    scaled2 = reach * scaled  # [c, d]
    scaled3 = (size_K ** (-0.5)) * scaled2  # [c, d]
    d_gap = tl.where(earlier, scaled3, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask3 = c[None, :] < c[:, None]  # [c, d]
    masked2 = tl.where(mask3, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked2, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled4 = decay * total2  # [c]
    d_G = (size_K ** (-0.5)) * scaled4  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp * masked3  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part3 + d_log_decay_part4.to(tl.float32)  # [c]
    total3 = tl.sum(log_decay, 0)  # []
    decay_of_row = tl.exp(total3)  # []
    d_log_decay_part6 = decay_of_row * d_factor_S  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
    # spec line 19: weight: 1
    total4 = tl.sum(masked4, 0)  # []
    tl.store(stored_total_ptr + (z * R + r) * (1), total4)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(d_new_cache_S_ptr, stored_d_cache_S_part_ptr, d_cache_S_ptr, table_ptr, T, H, R, N,
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
    # spec line 16: read: scale * S.T @ q
    d_cache_S_part = tl.where(kept, d_new_cache_S, 0.0)  # [K, V]
    stored_d_cache_S_part = tl.load(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 19: weight: 1
    d_cache_S = d_cache_S_part + stored_d_cache_S_part  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(g_ptr, stored_total_ptr, d_g_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr):
    """The rows one after the other: d.g."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    total = tl.zeros((), tl.float32)  # []
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        stored_total = tl.load(stored_total_ptr + (z * R + r) * (1)).to(tl.float32)  # []
        total += stored_total
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    mask = g == (-120.0)  # []
    scaled = 0.5 * total  # []
    mask2 = g > (-120.0)  # []
    masked = tl.where(mask2, total, 0.0)  # []
    d_g = tl.where(mask, scaled, masked)  # []
    tl.store(d_g_ptr + z * (1), d_g)

forward = {
    "scratch": [],
    "copies": [('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('k', 'v', 'g', 'state.S', 'cache.S', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
        {"run": forward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.5, 3.5), (4.5, 3.5)), "tensors": ('q', 'k', 'v', 'g', 'saved.S', 'saved.sum.S', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.total', 'starts', ()), ('stored.d_cache.S_part', 'memory', ('K', 'V')), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.out', 'starts', ('K', 'V')), ('stored.d_write', 'starts', ('c', 'K')), ('stored.product', 'starts', ('c', 'K')), ('stored.product.2', 'starts', ('c', 'd'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('q', 'g', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.state.S', 'stored.d_cache.S_part', 'stored.d_increment_S', 'stored.out')},
        {"run": backward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((4.25, 3.25), (4.25, 3.25)), "tensors": ('q', 'k', 'g', 'd.y', 'stored.d_increment_S', 'd.v')},
        {"run": backward_2, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 6, "tiles": ((5.75, 4.25), (5.75, 4.25)), "tensors": ('q', 'k', 'v', 'g', 'saved.S', 'saved.sum.S', 'd.y', 'stored.d_increment_S', 'd.q', 'd.k', 'stored.d_write', 'stored.product', 'stored.product.2')},
        {"run": backward_3, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.25, 4.25), (4.25, 4.25)), "tensors": ('q', 'k', 'g', 'saved.S', 'stored.out', 'stored.product.2', 'stored.product', 'stored.d_write', 'stored.total')},
        {"run": backward_4, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tiles": ((1.02, 0.25), (1.02, 0.25)), "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
        {"run": backward_5, "grid": 'loop', "blocked": (), "folded": (), "dims": (),
         "products": 0, "tiles": ((0.0, 0.0), (0.0, 0.0)), "tensors": ('g', 'stored.total', 'd.g')},
    ],
    "shifted": [],
}
