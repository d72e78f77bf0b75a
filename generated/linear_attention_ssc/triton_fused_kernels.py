"""linear_attention_ssc on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = S + outer(k, v)
    read = scale * S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    select = top 4
    mix = reads
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_0(k_ptr, v_ptr, state_S_ptr, summary_partial_ptr, new_state_S_ptr, new_summary_ptr, new_summary_partial_ptr, new_cache_S_ptr, saved_S_ptr, saved_summary_partial_ptr, table_ptr, T, H, R, N,
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
        # spec line 14: S: S + outer(k, v)
        inside = tl.where(valid, 1.0, 0.0)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * inside[:, None]  # [c, K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        increment_S = lib.dot(tl.trans(write), v_c, PRECISION)  # [K, V]
        next_S = S + increment_S  # [K, V]
        # spec line 20: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        sum_of_row = tl.sum(summand, 0)  # [K]
        partial = summary_partial2 + sum_of_row  # [K]
        added = offset + count  # []
        mask = added == 256  # []
        mask2 = count > 0  # []
        completes2 = mask & mask2  # []
        finished = partial * 0.00390625  # [K]
        if completes & (block_of_V == 0):
            tl.store(new_summary_ptr + (z * N + segment) * (size_K) + at_K, finished, mask=(at_K < size_K))
        next_partial = tl.where(completes2, 0.0, partial)  # [K]
        if completes:
            tl.store(new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        S, summary_partial2 = next_S, next_partial
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_summary_partial_ptr + z * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_1(k_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_weight_cached_ptr, stored_weight_online_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.weight_cached, stored.weight_online."""
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
        # spec line 20: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    # spec line 22: weight: softmax(score)
    past = slots < segment  # [n]
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    taking = lib.topk(masked, (slots < segment), 4)  # [c, n]
    # spec line 20: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 21: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 22: weight: softmax(score)
    masked2 = tl.where(taking, score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked2, float("-inf")), 1)  # [c]
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = score_online - at_least  # [c]
    difference2 = masked2 - at_least[:, None]  # [c, n]
    exp_online = tl.exp(difference)  # [c]
    exp_cached = tl.exp(difference2)  # [c, n]
    total2 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total3 = exp_online + total2  # [c]
    share = 1.0 / total3  # [c]
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    scaled = exp_cached * share[:, None]  # [c, n]
    weight_cached = tl.where(taking, scaled, 0.0)  # [c, n]
    tl.store(stored_weight_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], weight_cached, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_2(q_ptr, k_ptr, v_ptr, new_cache_S_ptr, saved_S_ptr, stored_weight_cached_ptr, stored_weight_online_ptr, y_ptr, table_ptr, T, H, R, N,
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
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    carried = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        carried += lib.dot(q_c, saved_S, PRECISION)
    stored_weight_cached = tl.load(stored_weight_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    recalled = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_weight_cached2 = tl.load(stored_weight_cached_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
        for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
            at_K = block_of_K * block_K + tl.arange(0, block_K)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            q_c2 = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
            read_S += lib.dot(q_c2, new_cache_S, PRECISION)
        # spec line 22: weight: softmax(score)
        scaled = stored_weight_cached2[:, None] * read_S  # [c, V]
        recalled += scaled
    # spec line 15: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    P = tl.where(earlier, total, 0.0)  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    recent = lib.dot(P, v_c, PRECISION)  # [c, V]
    online = recent + carried  # [c, V]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: weight: softmax(score)
    scaled2 = online * stored_weight_online[:, None]  # [c, V]
    mixed = scaled2 + recalled  # [c, V]
    # spec line 15: read: scale * S.T @ q
    y = (size_K ** (-0.5)) * mixed  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, u_ptr, new_summary_ptr, saved_S_ptr, saved_summary_partial_ptr, d_y_ptr, stored_weight_online_ptr, stored_weight_cached_ptr, stored_total_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_largest_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.weight_online, stored.weight_cached, stored.total, stored.taking, stored.difference, stored.product.2, stored.product.3, stored.product.4, stored.product.5, stored.largest."""
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
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    valid = c < count  # [c]
    total = tl.zeros((C,), tl.float32)  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 15: read: scale * S.T @ q
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(q_c * product, 1)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(k_c), PRECISION)
        # spec line 20: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 15: read: scale * S.T @ q
    product2 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product2)
    tl.store(stored_product_2_ptr + (z * R + r) * (C) + c, total2)
    tl.store(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total3)
    tl.store(stored_product_5_ptr + (z * R + r) * (C) + c, total)
    # spec line 22: weight: softmax(score)
    past = slots < segment  # [n]
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    taking = lib.topk(masked, (slots < segment), 4)  # [c, n]
    # spec line 20: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 21: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 22: weight: softmax(score)
    masked2 = tl.where(taking, score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked2, float("-inf")), 1)  # [c]
    tl.store(stored_largest_ptr + (z * R + r) * (C) + c, largest)
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = masked2 - at_least[:, None]  # [c, n]
    tl.store(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], difference, mask=(slots[None, :] < N))
    difference2 = score_online - at_least  # [c]
    exp_cached = tl.exp(difference)  # [c, n]
    exp_online = tl.exp(difference2)  # [c]
    total4 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total5 = exp_online + total4  # [c]
    tl.store(stored_total_ptr + (z * R + r) * (C) + c, total5)
    share = 1.0 / total5  # [c]
    scaled = exp_cached * share[:, None]  # [c, n]
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    weight_cached = tl.where(taking, scaled, 0.0)  # [c, n]
    tl.store(stored_weight_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], weight_cached, mask=(slots[None, :] < N))
    masked3 = tl.where(taking, 1.0, 0.0)  # [c, n]
    tl.store(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], masked3, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_1(q_ptr, k_ptr, u_ptr, new_cache_S_ptr, saved_S_ptr, saved_summary_partial_ptr, d_y_ptr, stored_total_ptr, stored_taking_ptr, stored_difference_ptr, stored_largest_ptr, stored_product_3_ptr, d_q_ptr, stored_out_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, stored.out."""
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
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: weight: softmax(score)
    share = 1.0 / stored_total  # [c]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    over_n = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_taking2 = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        stored_difference2 = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total2 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c2 = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total2 += lib.dot(d_y_c2, tl.trans(new_cache_S), PRECISION)
        # spec line 15: read: scale * S.T @ q
        mask = stored_taking2 > 0.5  # [c]
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        # spec line 14: S: S + outer(k, v)
        scaled2 = total2 * masked[:, None]  # [c, K]
        over_n += scaled2
        # spec line 15: read: scale * S.T @ q
        product = tl.sum(q_c * total2, 1)  # [c]
        tl.store(stored_out_ptr + (z * R + r) * (N * C) + n * (C) + c, product)
    valid = c < count  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 20: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 21: score: dot(u, summary)
    product2 = tl.sum(u_c * sum_so_far, 1)  # [c]
    # spec line 20: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 21: score: dot(u, summary)
    score_online = ratio * product2  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: weight: softmax(score)
    at_least = tl.maximum(score_online, stored_largest)  # [c]
    difference = score_online - at_least  # [c]
    exp_online = tl.exp(difference)  # [c]
    weight_online = share * exp_online  # [c]
    # spec line 15: read: scale * S.T @ q
    scaled3 = (size_K ** (-0.5)) * weight_online  # [c]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    mask3 = c < count  # [d]
    earlier = mask2 & mask3[None, :]  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    d_P = scaled3[:, None] * stored_product_3  # [c, d]
    masked2 = tl.where(earlier, d_P, 0.0)  # [c, d]
    d_q_part = lib.dot(masked2, k_c, PRECISION)  # [c, K]
    d_q_part2 = (size_K ** (-0.5)) * over_n  # [c, K]
    d_q_part3 = d_q_part2 + d_q_part  # [c, K]
    d_q_part4 = total * scaled3[:, None]  # [c, K]
    d_q = d_q_part4 + d_q_part3  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_2(stored_total_ptr, stored_out_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_largest_ptr, stored_d_score_online_ptr, stored_d_score_cached_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.d_score_online, stored.d_score_cached."""
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
    # spec line 15: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = tl.where(earlier, stored_product_4, 0.0)  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 22: weight: softmax(score)
    product = tl.sum(stored_product_3 * P, 1)  # [c]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    mask3 = stored_taking > 0.5  # [c, n]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    added = stored_product_2 + product  # [c]
    # spec line 20: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 21: score: dot(u, summary)
    score_online = ratio * stored_product_5  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: weight: softmax(score)
    at_least = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least  # [c]
    exp_online = tl.exp(difference)  # [c]
    scaled = exp_online * added  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled  # [c]
    past = slots < segment  # [n]
    stored_out = tl.load(stored_out_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked  # [c, n]
    masked2 = tl.where(mask3, d_weight_cached, 0.0)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = d_share_part2 + d_share_part  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled2 = share * d_share  # [c]
    ratio2 = scaled2 / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_exp_cached_part + d_total[:, None]  # [c, n]
    scaled3 = exp_cached * d_exp_cached  # [c, n]
    scaled4 = share * added  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled4  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    tl.store(stored_d_score_online_ptr + (z * R + r) * (C) + c, d_score_online)
    d_score_cached = tl.where(mask3, scaled3, 0.0)  # [c, n]
    tl.store(stored_d_score_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], d_score_cached, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_3(k_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_total_ptr, stored_out_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_largest_ptr, d_u_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: d.u."""
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
    # spec line 15: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = tl.where(earlier, stored_product_4, 0.0)  # [c, d]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 22: weight: softmax(score)
    product = tl.sum(stored_product_3 * P, 1)  # [c]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    mask3 = stored_taking > 0.5  # [c, n]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    added = stored_product_2 + product  # [c]
    # spec line 20: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 21: score: dot(u, summary)
    score_online = ratio * stored_product_5  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 22: weight: softmax(score)
    at_least = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least  # [c]
    exp_online = tl.exp(difference)  # [c]
    scaled = exp_online * added  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled  # [c]
    past = slots < segment  # [n]
    stored_out = tl.load(stored_out_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked  # [c, n]
    masked2 = tl.where(mask3, d_weight_cached, 0.0)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = d_share_part2 + d_share_part  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled2 = share * d_share  # [c]
    ratio2 = scaled2 / stored_total  # [c]
    d_total = -ratio2  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_exp_cached = d_exp_cached_part + d_total[:, None]  # [c, n]
    scaled3 = exp_cached * d_exp_cached  # [c, n]
    d_score_cached = tl.where(mask3, scaled3, 0.0)  # [c, n]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 21: score: dot(u, summary)
    d_u_part = lib.dot(tl.where((slots[None, :] < N), d_score_cached, 0.0), new_summary, PRECISION)  # [c, K]
    # spec line 22: weight: softmax(score)
    scaled4 = share * added  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled4  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    valid = c < count  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 20: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    summary_online = ratio[:, None] * sum_so_far  # [c, K]
    # spec line 21: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, None]  # [c, K]
    d_u = d_u_part + d_u_part2  # [c, K]
    tl.store(d_u_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_u, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_4(q_ptr, u_ptr, d_y_ptr, d_new_summary_ptr, d_new_cache_S_ptr, stored_d_score_cached_ptr, stored_weight_cached_ptr, d_summary_ptr, d_cache_S_ptr, stored_product_ptr, stored_d_summaries_part_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.summary, d.cache.S, stored.product, stored.d_summaries_part."""
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
    d_summaries_part = tl.zeros((block_K,), tl.float32)  # [K]
    total = tl.zeros((block_K, block_V,), tl.float32)  # [K, V]
    for r in range(lib.first_row(rows_ptr, R, n), R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        stored_d_score_cached = tl.load(stored_d_score_cached_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        stored_weight_cached = tl.load(stored_weight_cached_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        # spec line 15: read: scale * S.T @ q
        scaled = d_y_c * stored_weight_cached[:, None]  # [c, V]
        d_summaries_part += tl.sum(u_c * stored_d_score_cached[:, None], 0)
        total += lib.dot(tl.trans(q_c), scaled, PRECISION)
    d_new_summary = tl.load(d_new_summary_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 21: score: dot(u, summary)
    d_summaries = d_new_summary + d_summaries_part  # [K]
    # spec line 20: summary: mean(k)
    d_summary = tl.where(kept, d_summaries, 0.0)  # [K]
    if (block_of_V == 0):
        tl.store(d_summary_ptr + (z * N + n) * (size_K) + at_K, d_summary, mask=(at_K < size_K))
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 15: read: scale * S.T @ q
    d_cached_S_part = (size_K ** (-0.5)) * total  # [K, V]
    d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
    d_cache_S = tl.where(kept, d_cached_S, 0.0)  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_product_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], total, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(stored_d_summaries_part_ptr + (z * N + n) * (size_K) + at_K, d_summaries_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_5(q_ptr, u_ptr, d_y_ptr, d_new_state_S_ptr, d_new_summary_ptr, d_new_summary_partial_ptr, d_new_cache_S_ptr, stored_d_score_online_ptr, stored_weight_online_ptr, stored_product_ptr, stored_d_summaries_part_ptr, d_state_S_ptr, d_summary_partial_ptr, stored_d_sum_of_row_ptr, stored_d_increment_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, d.summary.partial, stored.d_sum_of_row, stored.d_increment_S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_new_summary_partial = tl.load(d_new_summary_partial_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_summary = tl.load(d_new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_summaries_part = tl.load(stored_d_summaries_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 21: score: dot(u, summary)
    d_summaries = d_new_summary + stored_d_summaries_part  # [n, K]
    d_old_S = d_new_state_S  # [K, V]
    d_old_summary_partial = d_new_summary_partial  # [K]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_product = tl.load(stored_product_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 15: read: scale * S.T @ q
        d_cached_S_part = (size_K ** (-0.5)) * stored_product  # [K, V]
        d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
        at_end = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end  # [K, V]
        stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        scaled = d_y_c * stored_weight_online[:, None]  # [c, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(tl.trans(q_c), scaled, PRECISION)  # [K, V]
        scaled2 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 14: S: S + outer(k, v)
        added = d_next_S + scaled2  # [K, V]
        stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 21: score: dot(u, summary)
        d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
        # spec line 20: summary: mean(k)
        added2 = offset + c  # [c]
        number = added2.to(tl.float32)  # [c]
        seen = 1.0 + number  # [c]
        ratio = 1.0 / seen  # [c]
        product2 = tl.sum(ratio[:, None] * d_summary_online, 0)  # [K]
        added3 = offset + count  # []
        mask = added3 == 256  # []
        d_new_summary2 = tl.load(d_new_summary_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_summaries_part2 = tl.load(stored_d_summaries_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 21: score: dot(u, summary)
        d_summaries2 = d_new_summary2 + stored_d_summaries_part2  # [K]
        # spec line 20: summary: mean(k)
        d_finished = tl.where(completes, d_summaries2, 0.0)  # [K]
        scaled3 = 0.00390625 * d_finished  # [K]
        mask2 = count > 0  # []
        completes2 = mask & mask2  # []
        d_partial_part = tl.where(completes2, 0.0, d_old_summary_partial)  # [K]
        d_partial = scaled3 + d_partial_part  # [K]
        added4 = d_partial + product2  # [K]
        if (block_of_V == 0):
            tl.store(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, d_partial, mask=(at_K < size_K))
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S, d_old_summary_partial = added, added4
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(d_summary_partial_ptr + z * (size_K) + at_K, d_old_summary_partial, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_6(k_ptr, d_y_ptr, stored_weight_online_ptr, stored_d_increment_S_ptr, stored_product_4_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    # spec line 15: read: scale * S.T @ q
    scaled = d_y_c * stored_weight_online[:, None]  # [c, V]
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = tl.where(earlier, stored_product_4, 0.0)  # [c, d]
    product = lib.dot(tl.trans(P), scaled, PRECISION)  # [d, V]
    valid = c < count  # [c]
    # spec line 14: S: S + outer(k, v)
    inside = tl.where(valid, 1.0, 0.0)  # [c]
    d_v_part = inside[:, None] * total  # [c, V]
    # spec line 15: read: scale * S.T @ q
    scaled2 = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 14: S: S + outer(k, v)
    d_v = d_v_part + scaled2  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_7(q_ptr, v_ptr, u_ptr, stored_d_sum_of_row_ptr, stored_d_score_online_ptr, stored_weight_online_ptr, stored_d_increment_S_ptr, stored_product_3_ptr, d_k_ptr, table_ptr, T, H, R, N,
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 15: read: scale * S.T @ q
    scaled = (size_K ** (-0.5)) * stored_weight_online  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    d_P = scaled[:, None] * stored_product_3  # [c, d]
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    masked = tl.where(earlier, d_P, 0.0)  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(masked), q_c, PRECISION)  # [d, K]
    stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 21: score: dot(u, summary)
    d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
    # spec line 20: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    d_sum_so_far = ratio[:, None] * d_summary_online  # [c, K]
    d_summand_part = tl.cumsum(d_sum_so_far, 0, reverse=True)  # [c, K]
    stored_d_sum_of_row = tl.load(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_summand = stored_d_sum_of_row[None, :] + d_summand_part  # [c, K]
    valid = c < count  # [c]
    d_k_part = tl.where(valid[:, None], d_summand, 0.0)  # [c, K]
    # spec line 15: read: scale * S.T @ q
    d_k_part2 = d_k_part + product  # [c, K]
    # spec line 14: S: S + outer(k, v)
    inside = tl.where(valid, 1.0, 0.0)  # [c]
    d_k_part3 = inside[:, None] * d_write  # [c, K]
    d_k = d_k_part3 + d_k_part2  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

forward = {
    "scratch": [('stored.weight_cached', 'starts', ('n', 'c')), ('stored.weight_online', 'starts', ('c',))],
    "copies": [('new.summary', 'summary'), ('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.0, 1.75), (4.0, 1.75)), "tensors": ('k', 'v', 'state.S', 'summary.partial', 'new.state.S', 'new.summary', 'new.summary.partial', 'new.cache.S', 'saved.S', 'saved.summary.partial')},
        {"run": fused_forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 1, "tiles": ((3.25, 2.25), (3.25, 2.25)), "tensors": ('k', 'u', 'new.summary', 'saved.summary.partial', 'stored.weight_cached', 'stored.weight_online')},
        {"run": fused_forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.0, 2.5), (4.0, 2.5)), "tensors": ('q', 'k', 'v', 'new.cache.S', 'saved.S', 'stored.weight_cached', 'stored.weight_online', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_sum_of_row', 'starts', ('K',)), ('stored.d_score_online', 'starts', ('c',)), ('stored.weight_online', 'starts', ('c',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.product', 'slots', ('K', 'V')), ('stored.d_summaries_part', 'slots', ('K',)), ('stored.d_score_cached', 'starts', ('n', 'c')), ('stored.weight_cached', 'starts', ('n', 'c')), ('stored.total', 'starts', ('c',)), ('stored.out', 'starts', ('n', 'c')), ('stored.taking', 'starts', ('n', 'c')), ('stored.difference', 'starts', ('n', 'c')), ('stored.product.2', 'starts', ('c',)), ('stored.product.3', 'starts', ('c', 'd')), ('stored.product.4', 'starts', ('c', 'd')), ('stored.product.5', 'starts', ('c',)), ('stored.largest', 'starts', ('c',))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((3.25, 3.0), (5.0, 5.0)), "tensors": ('q', 'k', 'v', 'u', 'new.summary', 'saved.S', 'saved.summary.partial', 'd.y', 'stored.weight_online', 'stored.weight_cached', 'stored.total', 'stored.taking', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.largest')},
        {"run": fused_backward_1, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((5.25, 4.25), (7.5, 7.25)), "tensors": ('q', 'k', 'u', 'new.cache.S', 'saved.S', 'saved.summary.partial', 'd.y', 'stored.total', 'stored.taking', 'stored.difference', 'stored.largest', 'stored.product.3', 'd.q', 'stored.out')},
        {"run": fused_backward_2, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((3.25, 3.25), (3.25, 3.25)), "tensors": ('stored.total', 'stored.out', 'stored.taking', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.largest', 'stored.d_score_online', 'stored.d_score_cached')},
        {"run": fused_backward_3, "grid": 'rows', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 1, "tiles": ((4.25, 3.5), (4.25, 3.5)), "tensors": ('k', 'new.summary', 'saved.summary.partial', 'stored.total', 'stored.out', 'stored.taking', 'stored.difference', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.largest', 'd.u')},
        {"run": fused_backward_4, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.02, 1.02), (2.02, 1.02)), "tensors": ('q', 'u', 'd.y', 'd.new.summary', 'd.new.cache.S', 'stored.d_score_cached', 'stored.weight_cached', 'd.summary', 'd.cache.S', 'stored.product', 'stored.d_summaries_part')},
        {"run": fused_backward_5, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 1.25), (3.0, 1.25)), "tensors": ('q', 'u', 'd.y', 'd.new.state.S', 'd.new.summary', 'd.new.summary.partial', 'd.new.cache.S', 'stored.d_score_online', 'stored.weight_online', 'stored.product', 'stored.d_summaries_part', 'd.state.S', 'd.summary.partial', 'stored.d_sum_of_row', 'stored.d_increment_S')},
        {"run": fused_backward_6, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.0, 2.0), (4.0, 2.0)), "tensors": ('k', 'd.y', 'stored.weight_online', 'stored.d_increment_S', 'stored.product.4', 'd.v')},
        {"run": fused_backward_7, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.0, 2.0), (4.0, 2.0)), "tensors": ('q', 'v', 'u', 'stored.d_sum_of_row', 'stored.d_score_online', 'stored.weight_online', 'stored.d_increment_S', 'stored.product.3', 'd.k')},
    ],
    "shifted": [],
}
