"""retnet_grm on GPUs.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_0(k_ptr, v_ptr, g_ptr, state_S_ptr, summary_partial_ptr, new_state_S_ptr, new_summary_ptr, new_summary_partial_ptr, new_cache_S_ptr, saved_S_ptr, saved_summary_partial_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, new.summary, new.summary.partial, new.cache.S, saved.S, saved.summary.partial."""
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
    summary_partial = tl.load(summary_partial_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    S = state_S  # [K, V]
    summary_partial2 = summary_partial  # [K]
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
            tl.store(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))
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
        # spec line 21: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        sum_of_row = tl.sum(summand, 0)  # [K]
        partial = summary_partial2 + sum_of_row  # [K]
        next_partial = tl.where(completes2, 0.0, partial)  # [K]
        finished = partial * 0.00390625  # [K]
        if completes & (block_of_V == 0):
            tl.store(new_summary_ptr + (z * N + segment) * (size_K) + at_K, finished, mask=(at_K < size_K))
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        S, summary_partial2 = next_S, next_partial
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_summary_partial_ptr + z * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(k_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_scaled_ptr, stored_weight_online_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.scaled, stored.weight_online."""
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
    valid = c < count  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 21: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 22: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 23: weight: softmax(score)
    past = slots < segment  # [n]
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked, float("-inf")), 1)  # [c]
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = masked - at_least[:, None]  # [c, n]
    difference2 = score_online - at_least  # [c]
    exp_cached = tl.exp(difference)  # [c, n]
    exp_online = tl.exp(difference2)  # [c]
    total2 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total3 = exp_online + total2  # [c]
    share = 1.0 / total3  # [c]
    scaled = exp_cached * share[:, None]  # [c, n]
    tl.store(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled, mask=(slots[None, :] < N))
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_2(q_ptr, k_ptr, v_ptr, g_ptr, new_cache_S_ptr, saved_S_ptr, stored_scaled_ptr, stored_weight_online_ptr, y_ptr, table_ptr, T, H, R, N,
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
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(q_c, saved_S, PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += lib.dot(q_c, tl.trans(k_c), PRECISION)
    stored_scaled = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    recalled = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_scaled2 = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
        for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
            at_K = block_of_K * block_K + tl.arange(0, block_K)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            q_c2 = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
            read_S += lib.dot(q_c2, new_cache_S, PRECISION)
        # spec line 23: weight: softmax(score)
        mask = n < segment  # []
        masked = tl.where(mask, stored_scaled2, 0.0)  # [c]
        scaled = masked[:, None] * read_S  # [c, V]
        recalled += scaled
    # spec line 16: read: scale * S.T @ q
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    P = total2 * reach  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    recent = lib.dot(P, v_c, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total  # [c, V]
    online = carried + recent  # [c, V]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    scaled2 = online * stored_weight_online[:, None]  # [c, V]
    mixed = scaled2 + recalled  # [c, V]
    # spec line 16: read: scale * S.T @ q
    y = (size_K ** (-0.5)) * mixed  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, k_ptr, v_ptr, g_ptr, u_ptr, new_summary_ptr, saved_S_ptr, saved_summary_partial_ptr, d_y_ptr, stored_weight_online_ptr, stored_total_2_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_largest_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.weight_online, stored.total.2, stored.difference, stored.product.2, stored.product.3, stored.product.4, stored.largest."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    at_V = tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    segment = tl.load(row_ptr + 2)
    offset = tl.load(row_ptr + 3)  # of its first token in the segment
    completes = (count > 0) & (count + offset == 256)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    # spec line 16: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    product = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    scaled = reach * product  # [c, d]
    total = tl.zeros((C,), tl.float32)  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    total3 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product2 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(q_c * product2, 1)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(scaled, k_c, PRECISION)  # [c, K]
        total3 += tl.sum(q_c * product3, 1)
        # spec line 21: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    tl.store(stored_product_3_ptr + (z * R + r) * (C) + c, total3)
    tl.store(stored_product_2_ptr + (z * R + r) * (C) + c, total2)
    tl.store(stored_product_4_ptr + (z * R + r) * (C) + c, total)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 22: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 23: weight: softmax(score)
    past = slots < segment  # [n]
    masked2 = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked2, float("-inf")), 1)  # [c]
    tl.store(stored_largest_ptr + (z * R + r) * (C) + c, largest)
    at_least2 = tl.maximum(largest, score_online)  # [c]
    difference = masked2 - at_least2[:, None]  # [c, n]
    tl.store(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], difference, mask=(slots[None, :] < N))
    exp_cached = tl.exp(difference)  # [c, n]
    total4 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    difference2 = score_online - at_least2  # [c]
    exp_online = tl.exp(difference2)  # [c]
    total5 = exp_online + total4  # [c]
    tl.store(stored_total_2_ptr + (z * R + r) * (C) + c, total5)
    share = 1.0 / total5  # [c]
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, v_ptr, g_ptr, u_ptr, new_cache_S_ptr, saved_S_ptr, saved_summary_partial_ptr, d_y_ptr, stored_total_2_ptr, stored_difference_ptr, stored_largest_ptr, d_q_ptr, stored_out_2_ptr, stored_product_6_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, stored.out.2, stored.product.6."""
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
    total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total2 += lib.dot(d_y_c, tl.trans(v_c), PRECISION)
    stored_total_2 = tl.load(stored_total_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    share = 1.0 / stored_total_2  # [c]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    over_n = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_difference2 = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total3 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c2 = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total3 += lib.dot(d_y_c2, tl.trans(new_cache_S), PRECISION)
        # spec line 16: read: scale * S.T @ q
        mask = n < segment  # []
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        scaled2 = masked[:, None] * total3  # [c, K]
        over_n += scaled2
        product = tl.sum(q_c * total3, 1)  # [c]
        tl.store(stored_out_2_ptr + (z * R + r) * (N * C) + n * (C) + c, product)
    valid = c < count  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 21: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 22: score: dot(u, summary)
    product2 = tl.sum(u_c * sum_so_far, 1)  # [c]
    # spec line 16: read: scale * S.T @ q
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    tl.store(stored_product_6_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total2)
    scaled3 = reach * total2  # [c, d]
    product3 = lib.dot(scaled3, k_c, PRECISION)  # [c, K]
    # spec line 21: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 22: score: dot(u, summary)
    score_online = ratio * product2  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    at_least2 = tl.maximum(score_online, stored_largest)  # [c]
    difference = score_online - at_least2  # [c]
    exp_online = tl.exp(difference)  # [c]
    weight_online = share * exp_online  # [c]
    # spec line 16: read: scale * S.T @ q
    scaled4 = (size_K ** (-0.5)) * weight_online  # [c]
    d_q_part = product3 * scaled4[:, None]  # [c, K]
    d_q_part2 = (size_K ** (-0.5)) * over_n  # [c, K]
    d_q_part3 = d_q_part + d_q_part2  # [c, K]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled5 = decay * weight_online  # [c]
    scaled6 = (size_K ** (-0.5)) * scaled5  # [c]
    d_q_part4 = total * scaled6[:, None]  # [c, K]
    d_q = d_q_part4 + d_q_part3  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(q_ptr, d_y_ptr, d_new_cache_S_ptr, stored_total_2_ptr, stored_difference_ptr, d_cache_S_ptr, stored_product_5_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.cache.S, stored.product.5."""
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
    total = tl.zeros((block_K, block_V,), tl.float32)  # [K, V]
    for r in range(lib.first_row(rows_ptr, R, n), R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 23: weight: softmax(score)
        past = n < segment  # []
        stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        exp_cached = tl.exp(stored_difference)  # [c]
        stored_total_2 = tl.load(stored_total_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        share = 1.0 / stored_total_2  # [c]
        scaled = exp_cached * share  # [c]
        weight_cached = tl.where(past, scaled, 0.0)  # [c]
        # spec line 16: read: scale * S.T @ q
        scaled2 = d_y_c * weight_cached[:, None]  # [c, V]
        total += lib.dot(tl.trans(q_c), scaled2, PRECISION)
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_cached_S_part = (size_K ** (-0.5)) * total  # [K, V]
    d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
    d_cache_S = tl.where(kept, d_cached_S, 0.0)  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_product_5_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], total, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, g_ptr, d_y_ptr, d_new_state_S_ptr, d_new_cache_S_ptr, stored_total_2_ptr, stored_product_4_ptr, stored_largest_ptr, stored_product_5_ptr, d_state_S_ptr, stored_d_increment_S_ptr, stored_out_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, stored.d_increment_S, stored.out."""
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
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 15: S: exp(g) * S + outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 16: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        stored_total_2 = tl.load(stored_total_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        # spec line 23: weight: softmax(score)
        share = 1.0 / stored_total_2  # [c]
        # spec line 21: summary: mean(k)
        added = offset + c  # [c]
        number = added.to(tl.float32)  # [c]
        seen = 1.0 + number  # [c]
        ratio = 1.0 / seen  # [c]
        stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        # spec line 22: score: dot(u, summary)
        score_online = ratio * stored_product_4  # [c]
        stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        # spec line 23: weight: softmax(score)
        at_least2 = tl.maximum(stored_largest, score_online)  # [c]
        difference = score_online - at_least2  # [c]
        exp_online = tl.exp(difference)  # [c]
        weight_online = share * exp_online  # [c]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_product_5 = tl.load(stored_product_5_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 16: read: scale * S.T @ q
        d_cached_S_part = (size_K ** (-0.5)) * stored_product_5  # [K, V]
        d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
        at_end = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 16: read: scale * S.T @ q
        scaled = d_y_c * weight_online[:, None]  # [c, V]
        scaled2 = decay[:, None] * scaled  # [c, V]
        product = lib.dot(tl.trans(q_c), scaled2, PRECISION)  # [K, V]
        scaled3 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        added2 = d_old_S2 + scaled3  # [K, V]
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S = added2
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(g_ptr, stored_total_2_ptr, stored_out_2_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_largest_ptr, stored_d_score_online_ptr, stored_scaled_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.d_score_online, stored.scaled."""
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
    # spec line 21: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: score: dot(u, summary)
    score_online = ratio * stored_product_4  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    at_least = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least  # [c]
    valid = c < count  # [c]
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least2 = tl.maximum(g, (-120.0))  # []
    log_decay = tl.where(valid, at_least2, 0.0)  # [c]
    # spec line 16: read: scale * S.T @ q
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    scaled = decay * stored_product_2  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    added2 = stored_product_3 + scaled  # [c]
    exp_online = tl.exp(difference)  # [c]
    scaled2 = exp_online * added2  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled2  # [c]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    past = slots < segment  # [n]
    stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out_2, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked  # [c, n]
    masked2 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = d_share_part + d_share_part2  # [c]
    stored_total_2 = tl.load(stored_total_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total_2  # [c]
    scaled3 = share * d_share  # [c]
    ratio2 = scaled3 / stored_total_2  # [c]
    d_total = -ratio2  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled4 = exp_cached * d_exp_cached  # [c, n]
    tl.store(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled4, mask=(slots[None, :] < N))
    scaled5 = share * added2  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled5  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    tl.store(stored_d_score_online_ptr + (z * R + r) * (C) + c, d_score_online)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(k_ptr, g_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_total_2_ptr, stored_out_2_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_largest_ptr, d_u_ptr, stored_product_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: d.u, stored.product."""
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
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    at_least = tl.maximum(g, (-120.0))  # []
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 16: read: scale * S.T @ q
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    scaled = decay * stored_product_2  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    added = stored_product_3 + scaled  # [c]
    # spec line 21: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: score: dot(u, summary)
    score_online = ratio * stored_product_4  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 23: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    past = slots < segment  # [n]
    stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out_2, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked  # [c, n]
    masked2 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    exp_online = tl.exp(difference)  # [c]
    scaled2 = exp_online * added  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled2  # [c]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = d_share_part + d_share_part2  # [c]
    stored_total_2 = tl.load(stored_total_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total_2  # [c]
    scaled3 = share * d_share  # [c]
    ratio2 = scaled3 / stored_total_2  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled4 = exp_cached * d_exp_cached  # [c, n]
    d_score_cached = tl.where(past[None, :], scaled4, 0.0)  # [c, n]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 22: score: dot(u, summary)
    d_u_part = lib.dot(tl.where((slots[None, :] < N), d_score_cached, 0.0), new_summary, PRECISION)  # [c, K]
    # spec line 23: weight: softmax(score)
    scaled5 = share * added  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled5  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 22: score: dot(u, summary)
    d_summary_online = u_c * d_score_online[:, None]  # [c, K]
    # spec line 21: summary: mean(k)
    product = tl.sum(ratio[:, None] * d_summary_online, 0)  # [K]
    tl.store(stored_product_ptr + (z * R + r) * (size_K) + at_K, product, mask=(at_K < size_K))
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    summary_online = ratio[:, None] * sum_so_far  # [c, K]
    # spec line 22: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, None]  # [c, K]
    d_u = d_u_part + d_u_part2  # [c, K]
    tl.store(d_u_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_u, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(q_ptr, k_ptr, g_ptr, d_y_ptr, stored_weight_online_ptr, stored_d_increment_S_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    scaled = d_y_c * stored_weight_online[:, None]  # [c, V]
    product = lib.dot(tl.trans(P), scaled, PRECISION)  # [d, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_v_part = decay_after[:, None] * total2  # [c, V]
    # spec line 16: read: scale * S.T @ q
    scaled2 = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    d_v = scaled2 + d_v_part  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_7(q_ptr, k_ptr, v_ptr, g_ptr, saved_S_ptr, stored_weight_online_ptr, stored_d_increment_S_ptr, stored_out_ptr, stored_product_6_ptr, stored_product_2_ptr, stored_total_ptr, table_ptr, T, H, R, N,
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
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    d_factor_S = tl.zeros((), tl.float32)  # []
    d_decay_after = tl.zeros((C,), tl.float32)  # [c]
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_out = tl.load(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out, 1), 0)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 15: S: exp(g) * S + outer(k, v)
        d_write = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_decay_after += tl.sum(k_c * d_write, 1)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 16: read: scale * S.T @ q
    scaled = total * stored_product_6  # [c, d]
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled3 = (size_K ** (-0.5)) * stored_weight_online  # [c]
    scaled4 = scaled3[:, None] * scaled2  # [c, d]
    d_gap = tl.where(earlier, scaled4, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask3 = c[None, :] < c[:, None]  # [c, d]
    masked2 = tl.where(mask3, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked2, 1)  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled5 = stored_weight_online * stored_product_2  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled6 = decay * scaled5  # [c]
    d_G = (size_K ** (-0.5)) * scaled6  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    masked3 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp * masked3  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part4.to(tl.float32) + d_log_decay_part3  # [c]
    total2 = tl.sum(log_decay, 0)  # []
    decay_of_row = tl.exp(total2)  # []
    d_log_decay_part6 = decay_of_row * d_factor_S  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
    # spec line 16: read: scale * S.T @ q
    total3 = tl.sum(masked4, 0)  # []
    tl.store(stored_total_ptr + (z * R + r) * (1), total3)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_8(u_ptr, d_new_summary_ptr, stored_scaled_ptr, d_summary_ptr, stored_d_summaries_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.summary, stored.d_summaries_part."""
    n = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(2)
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    kept = lib.keeps(rows_ptr, R, n, 256)
    d_summaries_part = tl.zeros((block_K,), tl.float32)  # [K]
    for r in range(lib.first_row(rows_ptr, R, n), R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 23: weight: softmax(score)
        past = n < segment  # []
        stored_scaled = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        weight_cached = tl.where(past, stored_scaled, 0.0)  # [c]
        d_summaries_part += tl.sum(u_c * weight_cached[:, None], 0)
    d_new_summary = tl.load(d_new_summary_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 22: score: dot(u, summary)
    d_summaries = d_new_summary + d_summaries_part  # [K]
    # spec line 21: summary: mean(k)
    d_summary = tl.where(kept, d_summaries, 0.0)  # [K]
    tl.store(d_summary_ptr + (z * N + n) * (size_K) + at_K, d_summary, mask=(at_K < size_K))
    tl.store(stored_d_summaries_part_ptr + (z * N + n) * (size_K) + at_K, d_summaries_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_9(g_ptr, d_new_summary_ptr, d_new_summary_partial_ptr, stored_total_ptr, stored_product_ptr, stored_d_summaries_part_ptr, d_g_ptr, d_summary_partial_ptr, stored_d_sum_of_row_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """The rows one after the other, from the last to the first: d.g, d.summary.partial, stored.d_sum_of_row."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    slots = tl.arange(0, SLOTS)
    block_of_K = tl.program_id(1)
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    d_new_summary_partial = tl.load(d_new_summary_partial_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_summary = tl.load(d_new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_summaries_part = tl.load(stored_d_summaries_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 22: score: dot(u, summary)
    d_summaries = d_new_summary + stored_d_summaries_part  # [n, K]
    d_old_summary_partial = d_new_summary_partial  # [K]
    total = tl.zeros((), tl.float32)  # []
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        added = offset + count  # []
        mask = added == 256  # []
        mask2 = count > 0  # []
        completes2 = mask & mask2  # []
        # spec line 21: summary: mean(k)
        d_partial_part = tl.where(completes2, 0.0, d_old_summary_partial)  # [K]
        d_new_summary2 = tl.load(d_new_summary_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_summaries_part2 = tl.load(stored_d_summaries_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 22: score: dot(u, summary)
        d_summaries2 = d_new_summary2 + stored_d_summaries_part2  # [K]
        # spec line 21: summary: mean(k)
        d_finished = tl.where(completes, d_summaries2, 0.0)  # [K]
        scaled = 0.00390625 * d_finished  # [K]
        d_partial = scaled + d_partial_part  # [K]
        stored_product = tl.load(stored_product_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        added2 = d_partial + stored_product  # [K]
        stored_total = tl.load(stored_total_ptr + (z * R + r) * (1)).to(tl.float32)  # []
        tl.store(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, d_partial, mask=(at_K < size_K))
        total += stored_total
        d_old_summary_partial = added2
    g = tl.load(g_ptr + h * (1)).to(tl.float32)  # []
    mask3 = g == (-120.0)  # []
    scaled2 = 0.5 * total  # []
    mask4 = g > (-120.0)  # []
    masked = tl.where(mask4, total, 0.0)  # []
    d_g = tl.where(mask3, scaled2, masked)  # []
    if (block_of_K == 0):
        tl.store(d_g_ptr + z * (1), d_g)
    tl.store(d_summary_partial_ptr + z * (size_K) + at_K, d_old_summary_partial, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_10(q_ptr, v_ptr, g_ptr, u_ptr, stored_d_sum_of_row_ptr, stored_d_score_online_ptr, stored_weight_online_ptr, stored_d_increment_S_ptr, stored_product_6_ptr, d_k_ptr, table_ptr, T, H, R, N,
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
    d_write = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
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
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = reach * stored_product_6  # [c, d]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled2 = stored_weight_online[:, None] * scaled  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(scaled2), q_c, PRECISION)  # [d, K]
    stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 22: score: dot(u, summary)
    d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
    # spec line 21: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    d_sum_so_far = ratio[:, None] * d_summary_online  # [c, K]
    d_summand_part = tl.cumsum(d_sum_so_far, 0, reverse=True)  # [c, K]
    stored_d_sum_of_row = tl.load(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_summand = stored_d_sum_of_row[None, :] + d_summand_part  # [c, K]
    # spec line 16: read: scale * S.T @ q
    scaled3 = (size_K ** (-0.5)) * product  # [d, K]
    # spec line 21: summary: mean(k)
    d_k_part = tl.where(valid[:, None], d_summand, 0.0)  # [c, K]
    # spec line 16: read: scale * S.T @ q
    d_k_part2 = d_k_part + scaled3  # [c, K]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_k_part3 = decay_after[:, None] * d_write  # [c, K]
    d_k = d_k_part3 + d_k_part2  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

forward = {
    "scratch": [('stored.scaled', 'starts', ('n', 'c')), ('stored.weight_online', 'starts', ('c',))],
    "copies": [('new.summary', 'summary'), ('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('k', 'v', 'g', 'state.S', 'summary.partial', 'new.state.S', 'new.summary', 'new.summary.partial', 'new.cache.S', 'saved.S', 'saved.summary.partial')},
        {"run": forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 1, "tiles": ((3.25, 2.25), (3.25, 2.25)), "tensors": ('k', 'u', 'new.summary', 'saved.summary.partial', 'stored.scaled', 'stored.weight_online')},
        {"run": forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.5, 3.5), (4.5, 3.5)), "tensors": ('q', 'k', 'v', 'g', 'new.cache.S', 'saved.S', 'stored.scaled', 'stored.weight_online', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_sum_of_row', 'starts', ('K',)), ('stored.d_score_online', 'starts', ('c',)), ('stored.weight_online', 'starts', ('c',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.total', 'starts', ()), ('stored.product', 'starts', ('K',)), ('stored.d_summaries_part', 'slots', ('K',)), ('stored.scaled', 'starts', ('n', 'c')), ('stored.out', 'starts', ('K', 'V')), ('stored.total.2', 'starts', ('c',)), ('stored.out.2', 'starts', ('n', 'c')), ('stored.difference', 'starts', ('n', 'c')), ('stored.product.2', 'starts', ('c',)), ('stored.product.3', 'starts', ('c',)), ('stored.product.4', 'starts', ('c',)), ('stored.largest', 'starts', ('c',)), ('stored.product.5', 'slots', ('K', 'V')), ('stored.product.6', 'starts', ('c', 'd'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.25, 4.0), (6.0, 6.0)), "tensors": ('q', 'k', 'v', 'g', 'u', 'new.summary', 'saved.S', 'saved.summary.partial', 'd.y', 'stored.weight_online', 'stored.total.2', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.largest')},
        {"run": backward_1, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.0, 5.0), (7.75, 7.0)), "tensors": ('q', 'k', 'v', 'g', 'u', 'new.cache.S', 'saved.S', 'saved.summary.partial', 'd.y', 'stored.total.2', 'stored.difference', 'stored.largest', 'd.q', 'stored.out.2', 'stored.product.6')},
        {"run": backward_2, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.02, 1.02), (2.02, 1.02)), "tensors": ('q', 'd.y', 'd.new.cache.S', 'stored.total.2', 'stored.difference', 'd.cache.S', 'stored.product.5')},
        {"run": backward_3, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('q', 'g', 'd.y', 'd.new.state.S', 'd.new.cache.S', 'stored.total.2', 'stored.product.4', 'stored.largest', 'stored.product.5', 'd.state.S', 'stored.d_increment_S', 'stored.out')},
        {"run": backward_4, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((3.25, 3.25), (3.25, 3.25)), "tensors": ('g', 'stored.total.2', 'stored.out.2', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.largest', 'stored.d_score_online', 'stored.scaled')},
        {"run": backward_5, "grid": 'rows', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 1, "tiles": ((4.25, 3.5), (4.25, 3.5)), "tensors": ('k', 'g', 'u', 'new.summary', 'saved.summary.partial', 'stored.total.2', 'stored.out.2', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.largest', 'd.u', 'stored.product')},
        {"run": backward_6, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((4.25, 3.25), (4.25, 3.25)), "tensors": ('q', 'k', 'g', 'd.y', 'stored.weight_online', 'stored.d_increment_S', 'd.v')},
        {"run": backward_7, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.0, 4.0), (5.0, 4.0)), "tensors": ('q', 'k', 'v', 'g', 'saved.S', 'stored.weight_online', 'stored.d_increment_S', 'stored.out', 'stored.product.6', 'stored.product.2', 'stored.total')},
        {"run": backward_8, "grid": 'slots', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((1.03, 0.52), (1.03, 0.52)), "tensors": ('u', 'd.new.summary', 'stored.scaled', 'd.summary', 'stored.d_summaries_part')},
        {"run": backward_9, "grid": 'loop', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((2.0, 1.0), (2.0, 1.0)), "tensors": ('g', 'd.new.summary', 'd.new.summary.partial', 'stored.total', 'stored.product', 'stored.d_summaries_part', 'd.g', 'd.summary.partial', 'stored.d_sum_of_row')},
        {"run": backward_10, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 2.25), (4.25, 2.25)), "tensors": ('q', 'v', 'g', 'u', 'stored.d_sum_of_row', 'stored.d_score_online', 'stored.weight_online', 'stored.d_increment_S', 'stored.product.6', 'd.k')},
    ],
    "shifted": [],
}
