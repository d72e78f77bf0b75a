"""swla_residual on GPUs.

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
def forward_0(k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, state_S_ptr, cache_S_ptr, new_state_S_ptr, new_cache_S_ptr, saved_S_ptr, saved_sum_S_ptr, table_ptr, T, H, R, N,
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
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        number = segment.to(tl.float32)  # []
        scaled = 256.0 * number  # []
        added = offset + count  # []
        mask2 = added == 256  # []
        completes2 = mask2 & mask  # []
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled2 = S * decay_of_row  # [K, V]
        l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        added2 = offset + c  # [c]
        number2 = added2.to(tl.float32)  # [c]
        added3 = scaled + number2  # [c]
        mask3 = added3 >= 1.0  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        written = l_c[:, None] * v_c  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * decay_after[:, None]  # [c, K]
        product = lib.dot(tl.trans(write), written, PRECISION)  # [K, V]
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked = tl.where(mask3[:, None], v_c_1, 0.0)  # [c, V]
        written2 = b_c[:, None] * masked  # [c, V]
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
        write2 = decay_after[:, None] * key  # [c, K]
        product2 = lib.dot(tl.trans(write2), written2, PRECISION)  # [K, V]
        increment_S = tl.trans(product) + tl.trans(product2)  # [V, K]
        next_S = scaled2 + tl.trans(increment_S)  # [K, V]
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        masked2 = tl.where(completes2, next_S, 0.0)  # [K, V]
        added4 = sum_S + masked2  # [K, V]
        S, sum_S = next_S, added4
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, saved_sum_S_ptr, y_ptr, table_ptr, T, H, R, N,
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    number = segment.to(tl.float32)  # []
    scaled = 256.0 * number  # []
    added = offset + c  # [c]
    number2 = added.to(tl.float32)  # [c]
    added2 = scaled + number2  # [c]
    mask = added2 >= 1.0  # [c]
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total3 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        total2 += lib.dot(q_c, tl.trans(key), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total3 += lib.dot(q_c, saved_S, PRECISION)
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        read_S += lib.dot(q_c, saved_sum_S, PRECISION)
    # spec line 18: read: scale * S.T @ q
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    mask3 = c < count  # [d]
    earlier = mask2 & mask3[None, :]  # [c, d]
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
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    written = l_c[:, None] * v_c  # [c, V]
    # spec line 18: read: scale * S.T @ q
    P = total * reach  # [c, d]
    recent = lib.dot(P, written, PRECISION)  # [c, V]
    P2 = reach * total2  # [c, d]
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked2 = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    written2 = b_c[:, None] * masked2  # [c, V]
    # spec line 18: read: scale * S.T @ q
    recent2 = lib.dot(P2, written2, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total3  # [c, V]
    added3 = recent2 + carried  # [c, V]
    online = recent + added3  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added4 = online + read_S  # [c, V]
    # spec line 18: read: scale * S.T @ q
    y = (size_K ** (-0.5)) * added4  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, a_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, d_state_S_ptr, stored_d_cache_S_part_ptr, stored_d_increment_S_ptr, stored_out_ptr, table_ptr, T, H, R, N,
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
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_end_sum_S = tl.where(completes2, d_old_sum_S, 0.0)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        at_end = tl.where(completes, d_new_cache_S, 0.0)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added2 = at_end + d_end_sum_S  # [K, V]
        # spec line 18: read: scale * S.T @ q
        d_next_S = d_old_S + added2  # [K, V]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        scaled = decay[:, None] * d_y_c  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(tl.trans(q_c), scaled, PRECISION)  # [K, V]
        scaled2 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added3 = d_old_S2 + scaled2  # [K, V]
        product2 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        scaled3 = (size_K ** (-0.5)) * product2  # [K, V]
        added4 = d_old_sum_S + scaled3  # [K, V]
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_sum_S, d_old_S = added4, added3
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_d_cache_S_part_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_sum_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, v_ptr, saved_S_ptr, d_y_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product, stored.product.2, stored.product.3, stored.product.4, stored.product.5."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    number = segment.to(tl.float32)  # []
    scaled = 256.0 * number  # []
    added = offset + c  # [c]
    number2 = added.to(tl.float32)  # [c]
    added2 = scaled + number2  # [c]
    mask = added2 >= 1.0  # [c]
    total = tl.zeros((C,), tl.float32)  # [c]
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(q_c * product, 1)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        total2 += lib.dot(q_c, tl.trans(key), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(k_c), PRECISION)
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    masked = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    # spec line 18: read: scale * S.T @ q
    product2 = lib.dot(d_y_c, tl.trans(masked), PRECISION)  # [c, d]
    tl.store(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product2)
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    product3 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    tl.store(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product3)
    tl.store(stored_product_ptr + (z * R + r) * (C) + c, total)
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total2)
    tl.store(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total3)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(k_ptr, a_ptr, b_ptr, l_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_product_5_ptr, stored_product_3_ptr, stored_d_v_0_ptr, stored_d_v_1_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.d.v.0, stored.d.v.1."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled = 256.0 * number2  # []
    added2 = scaled + number  # [c]
    mask = added2 >= 1.0  # [c]
    total = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    total2 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(key, stored_d_increment_S, PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(k_c, stored_d_increment_S, PRECISION)
    # spec line 18: read: scale * S.T @ q
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P = reach * stored_product_3  # [c, d]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    product = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
    scaled2 = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_written_part = decay_after[:, None] * total2  # [c, V]
    d_written = d_written_part + scaled2  # [c, V]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P2 = reach * stored_product_5  # [c, d]
    product2 = lib.dot(tl.trans(P2), d_y_c, PRECISION)  # [d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_written_part2 = decay_after[:, None] * total  # [c, V]
    # spec line 18: read: scale * S.T @ q
    scaled3 = (size_K ** (-0.5)) * product2  # [d, V]
    d_written2 = d_written_part2 + scaled3  # [c, V]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    scaled4 = b_c[:, None] * d_written  # [c, V]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_v = l_c[:, None] * d_written2  # [c, V]
    tl.store(stored_d_v_0_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
    d_v2 = tl.where(mask[:, None], scaled4, 0.0)  # [c, V]
    tl.store(stored_d_v_1_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v2, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, v_ptr, a_ptr, b_ptr, l_ptr, stored_d_increment_S_ptr, stored_product_4_ptr, stored_product_2_ptr, stored_d_k_0_ptr, stored_d_k_1_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.d.k.0, stored.d.k.1."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled = 256.0 * number2  # []
    added2 = scaled + number  # [c]
    mask = added2 >= 1.0  # [c]
    total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    total2 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        masked = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(masked, tl.trans(stored_d_increment_S), PRECISION)
        v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total += lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)
    valid = c < count  # [c]
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    mask3 = c < count  # [d]
    earlier = mask2 & mask3[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_write = l_c[:, None] * total  # [c, K]
    # spec line 18: read: scale * S.T @ q
    scaled2 = (size_K ** (-0.5)) * l_c  # [d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled3 = reach * stored_product_4  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(scaled3), q_c, PRECISION)  # [d, K]
    scaled4 = scaled2[:, None] * product  # [d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_k_part = decay_after[:, None] * d_write  # [c, K]
    # spec line 18: read: scale * S.T @ q
    d_k = d_k_part + scaled4  # [c, K]
    tl.store(stored_d_k_0_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled5 = reach * stored_product_2  # [c, d]
    product2 = lib.dot(tl.trans(scaled5), q_c, PRECISION)  # [d, K]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_write2 = b_c[:, None] * total2  # [c, K]
    d_key_part = decay_after[:, None] * d_write2  # [c, K]
    # spec line 18: read: scale * S.T @ q
    scaled6 = (size_K ** (-0.5)) * b_c  # [d]
    scaled7 = scaled6[:, None] * product2  # [d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_key = d_key_part + scaled7  # [c, K]
    d_k2 = tl.where(mask[:, None], d_key, 0.0)  # [c, K]
    tl.store(stored_d_k_1_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k2, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(k_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, saved_sum_S_ptr, d_y_ptr, stored_product_2_ptr, stored_product_4_ptr, d_q_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q."""
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
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
        saved_sum_S = tl.load(saved_sum_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(d_y_c, tl.trans(saved_sum_S), PRECISION)
    # spec line 18: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
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
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = reach * stored_product_4  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled2 = l_c[None, :] * scaled  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(scaled2, k_c, PRECISION)  # [c, K]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled3 = reach * stored_product_2  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled4 = b_c[None, :] * scaled3  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled5 = 256.0 * number2  # []
    added2 = scaled5 + number  # [c]
    mask3 = added2 >= 1.0  # [c]
    k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    key = tl.where(mask3[:, None], k_c_1, 0.0)  # [c, K]
    # spec line 18: read: scale * S.T @ q
    product2 = lib.dot(scaled4, key, PRECISION)  # [c, K]
    d_q_part = (size_K ** (-0.5)) * product2  # [c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_q_part2 = (size_K ** (-0.5)) * total2  # [c, K]
    # spec line 18: read: scale * S.T @ q
    d_q_part3 = d_q_part2 + d_q_part  # [c, K]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled6 = decay * (size_K ** (-0.5))  # [c]
    d_q_part4 = scaled6[:, None] * total  # [c, K]
    d_q_part5 = d_q_part4 + d_q_part3  # [c, K]
    d_q_part6 = (size_K ** (-0.5)) * product  # [c, K]
    d_q = d_q_part5 + d_q_part6  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, stored_d_increment_S_ptr, stored_product_ptr, stored_out_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, d_a_ptr, d_b_ptr, d_l_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.a, d.b, d.l."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled = 256.0 * number2  # []
    added2 = scaled + number  # [c]
    mask = added2 >= 1.0  # [c]
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    masked = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    d_factor_S = tl.zeros((), tl.float32)  # []
    total = tl.zeros((C,), tl.float32)  # [c]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        stored_out = tl.load(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out, 1), 0)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product = lib.dot(masked, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        total2 += tl.sum(key * product, 1)
        product2 = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(k_c * product2, 1)
    valid = c < count  # [c]
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled2 = reach * stored_product_2  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product3 = tl.sum(stored_product_3 * scaled2, 0)  # [d]
    # spec line 18: read: scale * S.T @ q
    scaled3 = stored_product_2 * stored_product_3  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled4 = reach * stored_product_4  # [c, d]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product4 = tl.sum(stored_product_5 * scaled4, 0)  # [d]
    # spec line 18: read: scale * S.T @ q
    scaled5 = stored_product_4 * stored_product_5  # [c, d]
    scaled6 = (size_K ** (-0.5)) * scaled3  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_reach_part = b_c[None, :] * scaled6  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled7 = l_c[None, :] * scaled5  # [c, d]
    d_reach_part2 = (size_K ** (-0.5)) * scaled7  # [c, d]
    d_reach = d_reach_part2 + d_reach_part  # [c, d]
    scaled8 = reach * d_reach  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_decay_after_part = b_c * total2  # [c]
    d_decay_after_part2 = l_c * total  # [c]
    d_decay_after = d_decay_after_part2 + d_decay_after_part  # [c]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    # spec line 18: read: scale * S.T @ q
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled9 = decay * stored_product  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp * masked3  # [c]
    # spec line 18: read: scale * S.T @ q
    d_G = (size_K ** (-0.5)) * scaled9  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_log_decay_part = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    # spec line 18: read: scale * S.T @ q
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_log_decay_part3 = d_log_decay_part2.to(tl.float32) + d_log_decay_part.to(tl.float32)  # [c]
    # spec line 18: read: scale * S.T @ q
    d_gap = tl.where(earlier, scaled8, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask4 = c[None, :] < c[:, None]  # [c, d]
    masked4 = tl.where(mask4, running, 0.0)  # [c, d]
    d_log_decay_part4 = tl.sum(masked4, 1)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    scaled10 = decay_after * total  # [c]
    scaled11 = (size_K ** (-0.5)) * product4  # [c]
    d_l = scaled11 + scaled10  # [c]
    tl.store(d_l_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_l, mask=(c < count))
    scaled12 = decay_after * total2  # [c]
    scaled13 = (size_K ** (-0.5)) * product3  # [c]
    d_b = scaled13 + scaled12  # [c]
    tl.store(d_b_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_b, mask=(c < count))
    mask5 = a_c < 0.0  # [c]
    at_least2 = tl.maximum(a_c, 1e-30)  # [c]
    at_most = tl.minimum(a_c, (-1e-30))  # [c]
    masked5 = tl.where(mask5, at_most, at_least2)  # [c]
    total3 = tl.sum(log_decay, 0)  # []
    decay_of_row = tl.exp(total3)  # []
    d_log_decay_part5 = decay_of_row * d_factor_S  # []
    d_log_decay_part6 = d_log_decay_part5 + d_log_decay_part3  # [c]
    # spec line 18: read: scale * S.T @ q
    d_log_decay = d_log_decay_part4 + d_log_decay_part6  # [c]
    mask6 = logfloor > (-120.0)  # [c]
    mask7 = logfloor == (-120.0)  # [c]
    masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
    masked7 = tl.where(mask6, masked6, 0.0)  # [c]
    scaled14 = 0.5 * masked6  # [c]
    masked8 = tl.where(mask7, scaled14, masked7)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_a = masked8 / masked5  # [c]
    tl.store(d_a_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_a, mask=(c < count))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(d_new_cache_S_ptr, stored_d_cache_S_part_ptr, d_cache_S_ptr, table_ptr, T, H, R, N,
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
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 1.75), (4.25, 1.75)), "tensors": ('k', 'v', 'a', 'b', 'l', 'state.S', 'cache.S', 'new.state.S', 'new.cache.S', 'saved.S', 'saved.sum.S')},
        {"run": forward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 6, "tiles": ((5.5, 4.0), (5.5, 4.0)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'saved.S', 'saved.sum.S', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d.k.0', 'token', ('K',)), ('stored.d.k.1', 'token', ('K',)), ('stored.d.v.0', 'token', ('V',)), ('stored.d.v.1', 'token', ('V',)), ('stored.d_cache.S_part', 'memory', ('K', 'V')), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.product', 'starts', ('c',)), ('stored.out', 'starts', ('K', 'V')), ('stored.product.2', 'starts', ('c', 'd')), ('stored.product.3', 'starts', ('c', 'd')), ('stored.product.4', 'starts', ('c', 'd')), ('stored.product.5', 'starts', ('c', 'd'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('q', 'a', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'd.state.S', 'stored.d_cache.S_part', 'stored.d_increment_S', 'stored.out')},
        {"run": backward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 5, "tiles": ((4.0, 3.5), (6.0, 5.5)), "tensors": ('q', 'k', 'v', 'saved.S', 'd.y', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5')},
        {"run": backward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.25, 3.5), (6.25, 3.5)), "tensors": ('k', 'a', 'b', 'l', 'd.y', 'stored.d_increment_S', 'stored.product.5', 'stored.product.3', 'stored.d.v.0', 'stored.d.v.1')},
        {"run": backward_3, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.5, 4.25), (6.5, 4.25)), "tensors": ('q', 'v', 'a', 'b', 'l', 'stored.d_increment_S', 'stored.product.4', 'stored.product.2', 'stored.d.k.0', 'stored.d.k.1')},
        {"run": backward_4, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.5, 3.5), (5.5, 3.5)), "tensors": ('k', 'a', 'b', 'l', 'saved.S', 'saved.sum.S', 'd.y', 'stored.product.2', 'stored.product.4', 'd.q')},
        {"run": backward_5, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((7.25, 7.25), (7.25, 7.25)), "tensors": ('k', 'v', 'a', 'b', 'l', 'saved.S', 'stored.d_increment_S', 'stored.product', 'stored.out', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'd.a', 'd.b', 'd.l')},
        {"run": backward_6, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 0, "tiles": ((1.02, 0.25), (1.02, 0.25)), "tensors": ('d.new.cache.S', 'stored.d_cache.S_part', 'd.cache.S')},
    ],
    "shifted": [('d.k', (('stored.d.k.0', 0), ('stored.d.k.1', 1))), ('d.v', (('stored.d.v.0', 0), ('stored.d.v.1', 1)))],
}
