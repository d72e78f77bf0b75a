"""mlstm_residual on GPUs.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_0(k_ptr, v_ptr, i_ptr, g_ptr, state_S_ptr, state_n_ptr, new_state_S_ptr, new_state_n_ptr, new_cache_S_ptr, new_cache_n_ptr, saved_S_ptr, saved_n_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, new.state.n, new.cache.S, new.cache.n, saved.S, saved.n."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    state_n = tl.load(state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    S = state_S  # [K, V]
    n2 = state_n  # [K]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(saved_n_ptr + (z * R + r) * (size_K) + at_K, n2, mask=(at_K < size_K))
        valid = c < count  # [c]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        scaled = S * decay_of_row  # [K, V]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        scaled2 = n2 * decay_of_row  # [K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
        exp = tl.exp(G_after.to(tl.float32))  # [c]
        decay_after = tl.where(valid, exp, 0.0)  # [c]
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        exp2 = tl.exp(i_c)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * decay_after[:, None]  # [c, K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product = tl.sum(exp2[:, None] * write, 0)  # [K]
        increment_n = (size_K ** (-0.5)) * product  # [K]
        next_n = scaled2 + increment_n  # [K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        scaled3 = exp2[:, None] * v_c  # [c, V]
        product2 = lib.dot(tl.trans(write), scaled3, PRECISION)  # [K, V]
        increment_S = (size_K ** (-0.5)) * product2  # [K, V]
        next_S = scaled + increment_S  # [K, V]
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if completes & (block_of_V == 0):
            tl.store(new_cache_n_ptr + (z * N + segment) * (size_K) + at_K, next_n, mask=(at_K < size_K))
        S, n2 = next_S, next_n
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_state_n_ptr + z * (size_K) + at_K, n2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(q_ptr, new_cache_n_ptr, stored_read_n_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.read_n."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    read_n = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        read_n += lib.dot(q_c, tl.trans(new_cache_n), PRECISION)
    tl.store(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], read_n, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_2(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, new_cache_S_ptr, saved_S_ptr, saved_n_ptr, stored_read_n_ptr, y_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: y."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
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
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total3 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += tl.sum(q_c * saved_n[None, :], 1)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(q_c, saved_S, PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += lib.dot(q_c, tl.trans(k_c), PRECISION)
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    recalled = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_read_n2 = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
        for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
            at_K = block_of_K * block_K + tl.arange(0, block_K)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            q_c2 = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
            read_S += lib.dot(q_c2, new_cache_S, PRECISION)
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        masked = tl.where(mask, 1.0, 0.0)  # []
        abs = tl.abs(stored_read_n2)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        answer = ratio[:, None] * read_S  # [c, V]
        scaled = masked * answer  # [c, V]
        recalled += scaled
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least2 = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least2, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    P = total2 * reach  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    scaled2 = exp[:, None] * v_c  # [c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product = tl.sum(P * exp[None, :], 1)  # [c]
    product2 = lib.dot(P, scaled2, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c, V]
    carried = decay[:, None] * total  # [c, V]
    online = carried + recent  # [c, V]
    carried2 = decay * total3  # [c]
    recent2 = (size_K ** (-0.5)) * product  # [c]
    online2 = carried2 + recent2  # [c]
    abs2 = tl.abs(online2)  # [c]
    at_least3 = tl.maximum(1.0, abs2)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled3 = online * ratio2[:, None]  # [c, V]
    y = scaled3 + recalled  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, new_cache_n_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_product_6_ptr, stored_read_n_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product, stored.product.2, stored.product.3, stored.product.4, stored.product.5, stored.product.6, stored.read_n."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    at_K = tl.arange(0, block_K)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total += lib.dot(d_y_c, tl.trans(v_c), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        total2 += tl.sum(q_c * product, 1)
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product2 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product2)
    P = product2 * reach  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    tl.store(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled = exp[None, :] * total  # [c, d]
    product3 = tl.sum(P * scaled, 1)  # [c]
    product4 = tl.sum(P * exp[None, :], 1)  # [c]
    tl.store(stored_product_5_ptr + (z * R + r) * (C) + c, product4)
    tl.store(stored_product_ptr + (z * R + r) * (C) + c, total2)
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled2 = decay * total2  # [c]
    scaled3 = (size_K ** (-0.5)) * product3  # [c]
    added = scaled3 + scaled2  # [c]
    recent = (size_K ** (-0.5)) * product4  # [c]
    saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    product5 = tl.sum(q_c * saved_n[None, :], 1)  # [c]
    tl.store(stored_product_4_ptr + (z * R + r) * (C) + c, product5)
    carried = decay * product5  # [c]
    online = carried + recent  # [c]
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    scaled4 = ratio * ratio  # [c]
    minus = -scaled4  # [c]
    scaled5 = minus * added  # [c]
    mask3 = 1.0 > abs  # [c]
    mask4 = 1.0 == abs  # [c]
    masked2 = tl.where(mask3, 0.0, scaled5)  # [c]
    scaled6 = 0.5 * scaled5  # [c]
    masked3 = tl.where(mask4, scaled6, masked2)  # [c]
    sign = lib.sign(online)  # [c]
    d_online = sign * masked3  # [c]
    scaled7 = decay * d_online  # [c]
    new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    read_n = lib.dot(q_c, tl.trans(new_cache_n), PRECISION)  # [c, n]
    tl.store(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], read_n, mask=(slots[None, :] < N))
    product6 = tl.sum(q_c * scaled7[:, None], 0)  # [K]
    tl.store(stored_product_6_ptr + (z * R + r) * (size_K) + at_K, product6, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(new_cache_S_ptr, d_y_ptr, stored_read_n_ptr, stored_d_q_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.d_q_part."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    block_of_K = tl.program_id(2)
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    d_q_part = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_read_n2 = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total += lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        masked = tl.where(mask, 1.0, 0.0)  # []
        abs = tl.abs(stored_read_n2)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        scaled = masked * ratio  # [c]
        scaled2 = scaled[:, None] * total  # [c, K]
        d_q_part += scaled2
    tl.store(stored_d_q_part_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], d_q_part, mask=(at_K[None, :] < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(q_ptr, new_cache_S_ptr, d_y_ptr, stored_out_3_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.out.3."""
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
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        total = tl.zeros((C,), tl.float32)  # [c]
        for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
            at_K = block_of_K * block_K + tl.arange(0, block_K)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
            product = lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)  # [c, K]
            total += tl.sum(q_c * product, 1)
        tl.store(stored_out_3_ptr + (z * R + r) * (N * C) + n * (C) + c, total)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(k_ptr, i_ptr, g_ptr, new_cache_n_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_read_n_ptr, stored_out_3_ptr, stored_d_q_part_ptr, d_q_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
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
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_read_n)  # [c, n]
    at_least = tl.maximum(1.0, abs)  # [c, n]
    ratio = 1.0 / at_least  # [c, n]
    scaled = ratio * ratio  # [c, n]
    past = slots < segment  # [n]
    weight_cached = tl.where(past, 1.0, 0.0)  # [n]
    scaled2 = weight_cached[None, :] * scaled  # [c, n]
    minus = -scaled2  # [c, n]
    stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    masked = tl.where(past[None, :], stored_out_3, 0.0)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled3 = masked * minus  # [c, n]
    mask = 1.0 > abs  # [c, n]
    mask2 = 1.0 == abs  # [c, n]
    masked2 = tl.where(mask, 0.0, scaled3)  # [c, n]
    scaled4 = 0.5 * scaled3  # [c, n]
    masked3 = tl.where(mask2, scaled4, masked2)  # [c, n]
    sign = lib.sign(stored_read_n)  # [c, n]
    d_read_n = sign * masked3  # [c, n]
    new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    d_q_part = lib.dot(tl.where((slots[None, :] < N), d_read_n, 0.0), new_cache_n, PRECISION)  # [c, K]
    stored_d_q_part = tl.load(stored_d_q_part_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [c, K]
    d_q_part2 = stored_d_q_part + d_q_part  # [c, K]
    mask3 = c < count  # [d]
    mask4 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask4 & mask3[None, :]  # [c, d]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least2 = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least2, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked4 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked4.to(tl.float32))  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_3  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled5 = exp[None, :] * stored_product_2  # [c, d]
    product = tl.sum(P * scaled5, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled6 = decay * stored_product  # [c]
    scaled7 = (size_K ** (-0.5)) * product  # [c]
    added = scaled7 + scaled6  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_4  # [c]
    online = carried + recent  # [c]
    abs2 = tl.abs(online)  # [c]
    at_least3 = tl.maximum(1.0, abs2)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled8 = ratio2 * ratio2  # [c]
    minus2 = -scaled8  # [c]
    scaled9 = minus2 * added  # [c]
    mask5 = 1.0 > abs2  # [c]
    mask6 = 1.0 == abs2  # [c]
    masked5 = tl.where(mask5, 0.0, scaled9)  # [c]
    scaled10 = 0.5 * scaled9  # [c]
    masked6 = tl.where(mask6, scaled10, masked5)  # [c]
    sign2 = lib.sign(online)  # [c]
    d_online = sign2 * masked6  # [c]
    scaled11 = decay * d_online  # [c]
    saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_q_part3 = saved_n[None, :] * scaled11[:, None]  # [c, K]
    d_q_part4 = d_q_part3 + d_q_part2  # [c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled12 = written[None, :] * stored_product_2  # [c, d]
    d_P_part = ratio2[:, None] * scaled12  # [c, d]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    scaled13 = reach * d_P  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_q_part5 = lib.dot(scaled13, k_c, PRECISION)  # [c, K]
    d_q_part6 = d_q_part5 + d_q_part4  # [c, K]
    scaled14 = decay * ratio2  # [c]
    d_q_part7 = total * scaled14[:, None]  # [c, K]
    d_q = d_q_part7 + d_q_part6  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(q_ptr, d_y_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_read_n_ptr, stored_out_3_ptr, d_cache_S_ptr, d_cache_n_ptr, stored_d_cached_S_part_ptr, stored_d_cached_n_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.cache.S, d.cache.n, stored.d_cached_S_part, stored.d_cached_n_part."""
    n = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(2) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(2) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    kept = lib.keeps(rows_ptr, R, n, 256)
    d_cached_S_part = tl.zeros((block_K, block_V,), tl.float32)  # [K, V]
    d_cached_n_part = tl.zeros((block_K,), tl.float32)  # [K]
    for r in range(lib.first_row(rows_ptr, R, n), R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        past = n < segment  # []
        weight_cached = tl.where(past, 1.0, 0.0)  # []
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        d_answer = weight_cached * d_y_c  # [c, V]
        stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        abs = tl.abs(stored_read_n)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        d_read_S = d_answer * ratio[:, None]  # [c, V]
        sign = lib.sign(stored_read_n)  # [c]
        mask = 1.0 == abs  # [c]
        stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        masked = tl.where(past, stored_out_3, 0.0)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled = ratio * ratio  # [c]
        scaled2 = weight_cached * scaled  # [c]
        minus = -scaled2  # [c]
        scaled3 = masked * minus  # [c]
        scaled4 = 0.5 * scaled3  # [c]
        mask2 = 1.0 > abs  # [c]
        masked2 = tl.where(mask2, 0.0, scaled3)  # [c]
        masked3 = tl.where(mask, scaled4, masked2)  # [c]
        d_read_n = sign * masked3  # [c]
        d_cached_S_part += lib.dot(tl.trans(q_c), d_read_S, PRECISION)
        d_cached_n_part += tl.sum(q_c * d_read_n[:, None], 0)
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
    d_cache_S = tl.where(kept, d_cached_S, 0.0)  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    d_new_cache_n = tl.load(d_new_cache_n_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_cached_n = d_new_cache_n + d_cached_n_part  # [K]
    d_cache_n = tl.where(kept, d_cached_n, 0.0)  # [K]
    if (block_of_V == 0):
        tl.store(d_cache_n_ptr + (z * N + n) * (size_K) + at_K, d_cache_n, mask=(at_K < size_K))
    tl.store(stored_d_cached_S_part_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cached_S_part, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(stored_d_cached_n_part_ptr + (z * N + n) * (size_K) + at_K, d_cached_n_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(q_ptr, g_ptr, saved_n_ptr, d_y_ptr, d_new_state_S_ptr, d_new_state_n_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_product_5_ptr, stored_d_cached_S_part_ptr, stored_product_6_ptr, stored_d_cached_n_part_ptr, d_state_S_ptr, d_state_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_out_ptr, stored_out_2_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, d.state.n, stored.d_increment_n, stored.d_increment_S, stored.out, stored.out.2."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    block_of_V = tl.program_id(1)
    at_K = tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_new_state_n = tl.load(d_new_state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_cache_n = tl.load(d_new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_cached_n_part = tl.load(stored_d_cached_n_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cached_n = d_new_cache_n + stored_d_cached_n_part  # [n, K]
    d_old_S = d_new_state_S  # [K, V]
    d_old_n = d_new_state_n  # [K]
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
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        recent = (size_K ** (-0.5)) * stored_product_5  # [c]
        d_new_cache_n2 = tl.load(d_new_cache_n_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_cached_n_part2 = tl.load(stored_d_cached_n_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        d_cached_n2 = d_new_cache_n2 + stored_d_cached_n_part2  # [K]
        at_end = tl.where(completes, d_cached_n2, 0.0)  # [K]
        d_next_n = d_old_n + at_end  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row * d_next_n  # [K]
        stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        added = d_old_n2 + stored_product_6  # [K]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_d_cached_S_part = tl.load(stored_d_cached_S_part_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_cached_S = d_new_cache_S + stored_d_cached_S_part  # [K, V]
        at_end2 = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end2  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product = tl.sum(q_c * saved_n[None, :], 1)  # [c]
        carried = decay * product  # [c]
        online = carried + recent  # [c]
        abs = tl.abs(online)  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        d_online = d_y_c * ratio[:, None]  # [c, V]
        scaled = decay[:, None] * d_online  # [c, V]
        product2 = lib.dot(tl.trans(q_c), scaled, PRECISION)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        added2 = d_old_S2 + product2  # [K, V]
        if (block_of_V == 0):
            tl.store(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(stored_out_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_out_2_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S, d_old_n = added2, added
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(d_state_n_ptr + z * (size_K) + at_K, d_old_n, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(q_ptr, k_ptr, i_ptr, g_ptr, saved_n_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_product_3_ptr, stored_product_5_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    total2 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(k_c, stored_d_increment_S, PRECISION)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(q_c * saved_n[None, :], 1)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_3  # [c, d]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay * total2  # [c]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    recent = (size_K ** (-0.5)) * stored_product_5  # [c]
    online = carried + recent  # [c]
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    d_online = d_y_c * ratio[:, None]  # [c, V]
    product = lib.dot(tl.trans(P), d_online, PRECISION)  # [d, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_written_part = decay_after[:, None] * total  # [c, V]
    d_written = d_written_part + product  # [c, V]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    exp2 = tl.exp(i_c)  # [c]
    written = exp2 * (size_K ** (-0.5))  # [c]
    d_v = written[:, None] * d_written  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_7(q_ptr, v_ptr, i_ptr, g_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, d_k_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.k."""
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
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
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
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    P = reach * stored_product_3  # [c, d]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = exp[None, :] * stored_product_2  # [c, d]
    product = tl.sum(P * scaled, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_4  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    online = carried + recent  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled2 = decay * stored_product  # [c]
    scaled3 = (size_K ** (-0.5)) * product  # [c]
    added = scaled3 + scaled2  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    scaled4 = written[None, :] * stored_product_2  # [c, d]
    d_P_part = ratio[:, None] * scaled4  # [c, d]
    scaled5 = ratio * ratio  # [c]
    minus = -scaled5  # [c]
    scaled6 = minus * added  # [c]
    mask3 = 1.0 == abs  # [c]
    mask4 = 1.0 > abs  # [c]
    scaled7 = 0.5 * scaled6  # [c]
    masked2 = tl.where(mask4, 0.0, scaled6)  # [c]
    masked3 = tl.where(mask3, scaled7, masked2)  # [c]
    sign = lib.sign(online)  # [c]
    d_online = sign * masked3  # [c]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    scaled8 = reach * d_P  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product3 = lib.dot(tl.trans(scaled8), q_c, PRECISION)  # [d, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_write_part = written[:, None] * total  # [c, K]
    stored_d_increment_n = tl.load(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_write_part2 = written[:, None] * stored_d_increment_n[None, :]  # [c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_write = d_write_part + d_write_part2  # [c, K]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    d_k_part = decay_after[:, None] * d_write  # [c, K]
    d_k = product3 + d_k_part  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_8(k_ptr, v_ptr, i_ptr, g_ptr, saved_S_ptr, saved_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_out_ptr, stored_out_2_ptr, d_i_ptr, d_g_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.i, d.g."""
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
    total = tl.zeros((C,), tl.float32)  # [c]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    d_factor_S = tl.zeros((), tl.float32)  # []
    d_factor_n = tl.zeros((), tl.float32)  # []
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out_2, 1), 0)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        product = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(k_c * product, 1)
        stored_d_increment_n = tl.load(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        total2 += tl.sum(k_c * stored_d_increment_n[None, :], 1)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        stored_out = tl.load(stored_out_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        d_factor_n += tl.sum(saved_n * stored_out, 0)
    valid = c < count  # [c]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled = exp[None, :] * stored_product_2  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_3  # [c, d]
    product2 = tl.sum(P * scaled, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled2 = (size_K ** (-0.5)) * product2  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled3 = decay * stored_product  # [c]
    added = scaled2 + scaled3  # [c]
    product3 = tl.sum(exp[None, :] * P, 1)  # [c]
    recent = (size_K ** (-0.5)) * product3  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_4  # [c]
    online = carried + recent  # [c]
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    scaled4 = ratio * ratio  # [c]
    minus = -scaled4  # [c]
    scaled5 = minus * added  # [c]
    mask3 = 1.0 > abs  # [c]
    mask4 = 1.0 == abs  # [c]
    masked2 = tl.where(mask3, 0.0, scaled5)  # [c]
    scaled6 = 0.5 * scaled5  # [c]
    masked3 = tl.where(mask4, scaled6, masked2)  # [c]
    sign = lib.sign(online)  # [c]
    d_online = sign * masked3  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled7 = written[None, :] * stored_product_2  # [c, d]
    d_P_part = ratio[:, None] * scaled7  # [c, d]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    d_reach = stored_product_3 * d_P  # [c, d]
    scaled8 = reach * d_reach  # [c, d]
    d_gap = tl.where(earlier, scaled8, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask5 = c[None, :] < c[:, None]  # [c, d]
    masked4 = tl.where(mask5, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked4, 1)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled9 = stored_product_2 * ratio[:, None]  # [c, d]
    product4 = tl.sum(P * scaled9, 0)  # [d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product5 = tl.sum(P * d_online[:, None], 0)  # [d]
    d_decay_part = stored_product_4 * d_online  # [c]
    d_decay_part2 = stored_product * ratio  # [c]
    d_decay = d_decay_part2 + d_decay_part  # [c]
    d_G = decay * d_decay  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled10 = exp * total2  # [c]
    scaled11 = (size_K ** (-0.5)) * scaled10  # [c]
    scaled12 = exp * total  # [c]
    scaled13 = (size_K ** (-0.5)) * scaled12  # [c]
    d_decay_after = scaled13 + scaled11  # [c]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    masked5 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp2 * masked5  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part3 + d_log_decay_part4.to(tl.float32)  # [c]
    mask6 = g_c > (-120.0)  # [c]
    mask7 = g_c == (-120.0)  # [c]
    total3 = tl.sum(log_decay, 0)  # []
    d_decay_of_row = d_factor_S + d_factor_n  # []
    decay_of_row = tl.exp(total3)  # []
    d_log_decay_part6 = decay_of_row * d_decay_of_row  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
    masked7 = tl.where(mask6, masked6, 0.0)  # [c]
    scaled14 = 0.5 * masked6  # [c]
    d_g = tl.where(mask7, scaled14, masked7)  # [c]
    tl.store(d_g_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_g, mask=(c < count))
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_written_part = decay_after * total2  # [c]
    d_written_part2 = product5 + d_written_part  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled15 = decay_after * total  # [c]
    d_written_part3 = product4 + scaled15  # [c]
    d_written = d_written_part3 + d_written_part2  # [c]
    scaled16 = exp * d_written  # [c]
    d_i = (size_K ** (-0.5)) * scaled16  # [c]
    tl.store(d_i_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_i, mask=(c < count))

forward = {
    "scratch": [('stored.read_n', 'starts', ('n', 'c'))],
    "copies": [('new.cache.S', 'cache.S'), ('new.cache.n', 'cache.n')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('k', 'v', 'i', 'g', 'state.S', 'state.n', 'new.state.S', 'new.state.n', 'new.cache.S', 'new.cache.n', 'saved.S', 'saved.n')},
        {"run": forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 1, "tiles": ((3.0, 2.0), (3.0, 2.0)), "tensors": ('q', 'new.cache.n', 'stored.read_n')},
        {"run": forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.0, 3.5), (5.0, 3.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'new.cache.S', 'saved.S', 'saved.n', 'stored.read_n', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_increment_n', 'starts', ('K',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.product', 'starts', ('c',)), ('stored.product.2', 'starts', ('c', 'd')), ('stored.product.3', 'starts', ('c', 'd')), ('stored.product.4', 'starts', ('c',)), ('stored.out', 'starts', ('K',)), ('stored.out.2', 'starts', ('K', 'V')), ('stored.product.5', 'starts', ('c',)), ('stored.d_cached_S_part', 'slots', ('K', 'V')), ('stored.product.6', 'starts', ('K',)), ('stored.d_cached_n_part', 'slots', ('K',)), ('stored.read_n', 'starts', ('n', 'c')), ('stored.out.3', 'starts', ('n', 'c')), ('stored.d_q_part', 'starts', ('c', 'K'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.75, 4.75), (8.0, 6.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'new.cache.n', 'saved.S', 'saved.n', 'd.y', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.product.6', 'stored.read_n')},
        {"run": backward_1, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 1.75), (3.0, 1.75)), "tensors": ('new.cache.S', 'd.y', 'stored.read_n', 'stored.d_q_part')},
        {"run": backward_2, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 2.0), (5.0, 3.5)), "tensors": ('q', 'new.cache.S', 'd.y', 'stored.out.3')},
        {"run": backward_3, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((6.0, 5.5), (6.0, 5.5)), "tensors": ('k', 'i', 'g', 'new.cache.n', 'saved.S', 'saved.n', 'd.y', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.read_n', 'stored.out.3', 'stored.d_q_part', 'd.q')},
        {"run": backward_4, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.1, 1.08), (2.1, 1.08)), "tensors": ('q', 'd.y', 'd.new.cache.S', 'd.new.cache.n', 'stored.read_n', 'stored.out.3', 'd.cache.S', 'd.cache.n', 'stored.d_cached_S_part', 'stored.d_cached_n_part')},
        {"run": backward_5, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 2.25), (6.25, 4.0)), "tensors": ('q', 'g', 'saved.n', 'd.y', 'd.new.state.S', 'd.new.state.n', 'd.new.cache.S', 'd.new.cache.n', 'stored.product.5', 'stored.d_cached_S_part', 'stored.product.6', 'stored.d_cached_n_part', 'd.state.S', 'd.state.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.out', 'stored.out.2')},
        {"run": backward_6, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 3.0), (4.25, 3.0)), "tensors": ('q', 'k', 'i', 'g', 'saved.n', 'd.y', 'stored.d_increment_S', 'stored.product.3', 'stored.product.5', 'd.v')},
        {"run": backward_7, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((5.25, 5.25), (5.25, 5.25)), "tensors": ('q', 'v', 'i', 'g', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'd.k')},
        {"run": backward_8, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((8.0, 8.0), (10.0, 8.5)), "tensors": ('k', 'v', 'i', 'g', 'saved.S', 'saved.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.out', 'stored.out.2', 'd.i', 'd.g')},
    ],
    "shifted": [],
}
