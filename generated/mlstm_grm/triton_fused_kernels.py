"""mlstm_grm on GPUs: one pass over the rows, where one can.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
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
def fused_forward_0(k_ptr, v_ptr, i_ptr, g_ptr, summary_partial_ptr, state_S_ptr, state_n_ptr, new_state_S_ptr, new_state_n_ptr, new_summary_ptr, new_summary_partial_ptr, new_cache_S_ptr, new_cache_n_ptr, saved_summary_partial_ptr, saved_S_ptr, saved_n_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, new.state.n, new.summary, new.summary.partial, new.cache.S, new.cache.n, saved.summary.partial, saved.S, saved.n."""
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
    summary_partial = tl.load(summary_partial_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    S = state_S  # [K, V]
    n2 = state_n  # [K]
    summary_partial2 = summary_partial  # [K]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        segment = tl.load(row_ptr + 2)
        offset = tl.load(row_ptr + 3)  # of its first token in the segment
        completes = (count > 0) & (count + offset == 256)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        if (block_of_V == 0):
            tl.store(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(saved_n_ptr + (z * R + r) * (size_K) + at_K, n2, mask=(at_K < size_K))
        valid = c < count  # [c]
        mask = count > 0  # []
        added = offset + count  # []
        mask2 = added == 256  # []
        completes2 = mask2 & mask  # []
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
        # spec line 24: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        sum_of_row = tl.sum(summand, 0)  # [K]
        partial = summary_partial2 + sum_of_row  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        product = tl.sum(exp2[:, None] * write, 0)  # [K]
        increment_n = (size_K ** (-0.5)) * product  # [K]
        next_n = scaled2 + increment_n  # [K]
        # spec line 24: summary: mean(k)
        next_partial = tl.where(completes2, 0.0, partial)  # [K]
        finished = partial * 0.00390625  # [K]
        if completes & (block_of_V == 0):
            tl.store(new_summary_ptr + (z * N + segment) * (size_K) + at_K, finished, mask=(at_K < size_K))
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
        S, n2, summary_partial2 = next_S, next_n, next_partial
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_state_n_ptr + z * (size_K) + at_K, n2, mask=(at_K < size_K))
    if (block_of_V == 0):
        tl.store(new_summary_partial_ptr + z * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_forward_1(q_ptr, k_ptr, u_ptr, new_summary_ptr, new_cache_n_ptr, saved_summary_partial_ptr, stored_read_n_ptr, stored_scaled_ptr, stored_weight_online_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.read_n, stored.scaled, stored.weight_online."""
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
    read_n = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        read_n += lib.dot(q_c, tl.trans(new_cache_n), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 24: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    tl.store(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], read_n, mask=(slots[None, :] < N))
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 26: weight: softmax(score)
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
def fused_forward_2(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, new_cache_S_ptr, saved_S_ptr, saved_n_ptr, stored_read_n_ptr, stored_scaled_ptr, stored_weight_online_ptr, y_ptr, table_ptr, T, H, R, N,
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
    stored_scaled = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    recalled = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_scaled2 = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        stored_read_n2 = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        read_S = tl.zeros((C, block_V,), tl.float32)  # [c, V]
        for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
            at_K = block_of_K * block_K + tl.arange(0, block_K)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            q_c2 = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
            read_S += lib.dot(q_c2, new_cache_S, PRECISION)
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        masked = tl.where(mask, stored_scaled2, 0.0)  # [c]
        abs = tl.abs(stored_read_n2)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        answer = ratio[:, None] * read_S  # [c, V]
        scaled = masked[:, None] * answer  # [c, V]
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    scaled4 = scaled3 * stored_weight_online[:, None]  # [c, V]
    y = scaled4 + recalled  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, u_ptr, new_summary_ptr, new_cache_n_ptr, saved_summary_partial_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, stored_product_6_ptr, stored_product_7_ptr, stored_product_8_ptr, stored_score_cached_ptr, stored_product_9_ptr, stored_read_n_2_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product.6, stored.product.7, stored.product.8, stored.score_cached, stored.product.9, stored.read_n.2."""
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
    valid = c < count  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    total = tl.zeros((C,), tl.float32)  # [c]
    total2 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total3 = tl.zeros((C,), tl.float32)  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total4 = tl.zeros((C,), tl.float32)  # [c]
    read_n = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(q_c * saved_n[None, :], 1)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += lib.dot(q_c, tl.trans(k_c), PRECISION)
        # spec line 24: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        total4 += tl.sum(q_c * product, 1)
        new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        read_n += lib.dot(q_c, tl.trans(new_cache_n), PRECISION)
    tl.store(stored_product_6_ptr + (z * R + r) * (C) + c, total)
    tl.store(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total2)
    tl.store(stored_product_8_ptr + (z * R + r) * (C) + c, total3)
    tl.store(stored_score_cached_ptr + (z * R + r) * (C * N) + c[:, None] * (N) + slots[None, :], score_cached, mask=(slots[None, :] < N))
    tl.store(stored_product_9_ptr + (z * R + r) * (C) + c, total4)
    tl.store(stored_read_n_2_ptr + (z * R + r) * (C * N) + c[:, None] * (N) + slots[None, :], read_n, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_1(v_ptr, i_ptr, g_ptr, d_y_ptr, stored_product_6_ptr, stored_product_7_ptr, stored_product_8_ptr, stored_score_cached_ptr, stored_product_9_ptr, stored_read_n_2_ptr, stored_masked_ptr, stored_product_3_ptr, stored_weight_online_ptr, stored_scaled_2_ptr, stored_read_n_ptr, stored_total_ptr, stored_difference_ptr, stored_largest_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_V: tl.constexpr, size_K: tl.constexpr, block_V: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.masked, stored.product.3, stored.weight_online, stored.scaled.2, stored.read_n, stored.total, stored.difference, stored.largest."""
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
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total += lib.dot(d_y_c, tl.trans(v_c), PRECISION)
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total)
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled = exp[None, :] * total  # [c, d]
    product = tl.sum(scaled * P, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled2 = decay * stored_product_9  # [c]
    scaled3 = (size_K ** (-0.5)) * product  # [c]
    added = scaled3 + scaled2  # [c]
    # spec line 24: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_8 = tl.load(stored_product_8_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio * stored_product_8  # [c]
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_score_cached = tl.load(stored_score_cached_ptr + (z * R + r) * (C * N) + c[:, None] * (N) + slots[None, :], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked2 = tl.where(past[None, :], stored_score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked2, float("-inf")), 1)  # [c]
    tl.store(stored_largest_ptr + (z * R + r) * (C) + c, largest)
    at_least2 = tl.maximum(score_online, largest)  # [c]
    difference = masked2 - at_least2[:, None]  # [c, n]
    tl.store(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], difference, mask=(slots[None, :] < N))
    difference2 = score_online - at_least2  # [c]
    exp_cached = tl.exp(difference)  # [c, n]
    exp_online = tl.exp(difference2)  # [c]
    total2 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total3 = exp_online + total2  # [c]
    tl.store(stored_total_ptr + (z * R + r) * (C) + c, total3)
    share = 1.0 / total3  # [c]
    scaled4 = exp_cached * share[:, None]  # [c, n]
    tl.store(stored_scaled_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled4, mask=(slots[None, :] < N))
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    carried = decay * stored_product_6  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    online = carried + recent  # [c]
    abs = tl.abs(online)  # [c]
    at_least3 = tl.maximum(1.0, abs)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled5 = ratio2 * weight_online  # [c]
    scaled6 = ratio2 * scaled5  # [c]
    minus = -scaled6  # [c]
    scaled7 = minus * added  # [c]
    mask3 = 1.0 > abs  # [c]
    mask4 = 1.0 == abs  # [c]
    masked3 = tl.where(mask3, 0.0, scaled7)  # [c]
    scaled8 = 0.5 * scaled7  # [c]
    masked4 = tl.where(mask4, scaled8, masked3)  # [c]
    tl.store(stored_masked_ptr + (z * R + r) * (C) + c, masked4)
    stored_read_n_2 = tl.load(stored_read_n_2_ptr + (z * R + r) * (C * N) + c[:, None] * (N) + slots[None, :], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    tl.store(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], stored_read_n_2, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_2(new_cache_S_ptr, d_y_ptr, stored_read_n_ptr, stored_total_ptr, stored_difference_ptr, stored_d_q_part_ptr, table_ptr, T, H, R, N,
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
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    share = 1.0 / stored_total  # [c]
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    d_q_part = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_read_n2 = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        stored_difference2 = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total += lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)
        # spec line 24: summary: mean(k)
        abs = tl.abs(stored_read_n2)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        mask = n < segment  # []
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        scaled2 = ratio * masked  # [c]
        scaled3 = scaled2[:, None] * total  # [c, K]
        d_q_part += scaled3
    tl.store(stored_d_q_part_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], d_q_part, mask=(at_K[None, :] < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_3(q_ptr, new_cache_S_ptr, d_y_ptr, stored_out_3_ptr, table_ptr, T, H, R, N,
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
            # spec line 24: summary: mean(k)
            product = lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)  # [c, K]
            total += tl.sum(q_c * product, 1)
        tl.store(stored_out_3_ptr + (z * R + r) * (N * C) + n * (C) + c, total)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_4(i_ptr, g_ptr, stored_product_3_ptr, stored_read_n_ptr, stored_out_3_ptr, stored_total_ptr, stored_difference_ptr, stored_largest_ptr, stored_product_8_ptr, stored_product_6_ptr, stored_product_7_ptr, stored_product_9_ptr, stored_d_score_online_ptr, stored_scaled_ptr, stored_d_read_n_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.d_score_online, stored.scaled, stored.d_read_n."""
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
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_read_n)  # [c, n]
    mask = 1.0 > abs  # [c, n]
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled = exp_cached * share[:, None]  # [c, n]
    weight_cached = tl.where(past[None, :], scaled, 0.0)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask2 = 1.0 == abs  # [c, n]
    at_least = tl.maximum(1.0, abs)  # [c, n]
    ratio = 1.0 / at_least  # [c, n]
    scaled2 = ratio * weight_cached  # [c, n]
    scaled3 = ratio * scaled2  # [c, n]
    minus = -scaled3  # [c, n]
    stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out_3, 0.0)  # [c, n]
    scaled4 = masked * minus  # [c, n]
    masked2 = tl.where(mask, 0.0, scaled4)  # [c, n]
    scaled5 = 0.5 * scaled4  # [c, n]
    masked3 = tl.where(mask2, scaled5, masked2)  # [c, n]
    sign = lib.sign(stored_read_n)  # [c, n]
    d_read_n = sign * masked3  # [c, n]
    tl.store(stored_d_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], d_read_n, mask=(slots[None, :] < N))
    # spec line 26: weight: softmax(score)
    d_weight_cached = ratio * masked  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled6 = exp[None, :] * stored_product_3  # [c, d]
    product = tl.sum(scaled6 * P, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled7 = (size_K ** (-0.5)) * product  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled8 = decay * stored_product_9  # [c]
    added = scaled8 + scaled7  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_6  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    online = carried + recent  # [c]
    abs2 = tl.abs(online)  # [c]
    at_least3 = tl.maximum(1.0, abs2)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    # spec line 26: weight: softmax(score)
    d_weight_online = ratio2 * added  # [c]
    # spec line 24: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio3 = 1.0 / seen  # [c]
    stored_product_8 = tl.load(stored_product_8_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio3 * stored_product_8  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least4 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least4  # [c]
    masked5 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    exp_online = tl.exp(difference)  # [c]
    d_share_part = exp_online * d_weight_online  # [c]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked5, 0.0), 1)  # [c]
    d_share = d_share_part2 + d_share_part  # [c]
    scaled9 = share * d_share  # [c]
    ratio4 = scaled9 / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked5  # [c, n]
    d_total = -ratio4  # [c]
    d_exp_cached = d_exp_cached_part + d_total[:, None]  # [c, n]
    scaled10 = exp_cached * d_exp_cached  # [c, n]
    tl.store(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled10, mask=(slots[None, :] < N))
    d_exp_online_part = share * d_weight_online  # [c]
    d_exp_online = d_exp_online_part + d_total  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    tl.store(stored_d_score_online_ptr + (z * R + r) * (C) + c, d_score_online)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_5(k_ptr, i_ptr, g_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_product_3_ptr, stored_read_n_ptr, stored_out_3_ptr, stored_total_ptr, stored_difference_ptr, stored_largest_ptr, stored_product_6_ptr, stored_product_7_ptr, stored_product_9_ptr, stored_product_8_ptr, d_u_ptr, table_ptr, T, H, R, N,
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled = exp[None, :] * stored_product_3  # [c, d]
    product = tl.sum(scaled * P, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    masked2 = tl.where(past[None, :], stored_out_3, 0.0)  # [c, n]
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    abs = tl.abs(stored_read_n)  # [c, n]
    at_least2 = tl.maximum(1.0, abs)  # [c, n]
    ratio = 1.0 / at_least2  # [c, n]
    # spec line 26: weight: softmax(score)
    d_weight_cached = ratio * masked2  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled2 = (size_K ** (-0.5)) * product  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled3 = decay * stored_product_9  # [c]
    added = scaled3 + scaled2  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_6  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    online = carried + recent  # [c]
    abs2 = tl.abs(online)  # [c]
    at_least3 = tl.maximum(1.0, abs2)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    # spec line 26: weight: softmax(score)
    d_weight_online = ratio2 * added  # [c]
    # spec line 24: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio3 = 1.0 / seen  # [c]
    stored_product_8 = tl.load(stored_product_8_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio3 * stored_product_8  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least4 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least4  # [c]
    exp_online = tl.exp(difference)  # [c]
    masked3 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    d_share_part = exp_online * d_weight_online  # [c]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked3, 0.0), 1)  # [c]
    d_share = d_share_part2 + d_share_part  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled4 = share * d_share  # [c]
    ratio4 = scaled4 / stored_total  # [c]
    d_total = -ratio4  # [c]
    d_exp_cached_part = share[:, None] * masked3  # [c, n]
    d_exp_cached = d_exp_cached_part + d_total[:, None]  # [c, n]
    scaled5 = exp_cached * d_exp_cached  # [c, n]
    d_score_cached = tl.where(past[None, :], scaled5, 0.0)  # [c, n]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 25: score: dot(u, summary)
    d_u_part = lib.dot(tl.where((slots[None, :] < N), d_score_cached, 0.0), new_summary, PRECISION)  # [c, K]
    # spec line 26: weight: softmax(score)
    d_exp_online_part = share * d_weight_online  # [c]
    d_exp_online = d_exp_online_part + d_total  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 24: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    summary_online = ratio3[:, None] * sum_so_far  # [c, K]
    # spec line 25: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, None]  # [c, K]
    d_u = d_u_part + d_u_part2  # [c, K]
    tl.store(d_u_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_u, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_6(k_ptr, i_ptr, g_ptr, new_cache_n_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, stored_product_3_ptr, stored_weight_online_ptr, stored_scaled_2_ptr, stored_read_n_ptr, stored_out_3_ptr, stored_d_q_part_ptr, stored_product_6_ptr, stored_product_7_ptr, stored_product_9_ptr, d_q_ptr, table_ptr, T, H, R, N,
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
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_scaled_2 = tl.load(stored_scaled_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    weight_cached = tl.where(past[None, :], stored_scaled_2, 0.0)  # [c, n]
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_read_n)  # [c, n]
    at_least = tl.maximum(1.0, abs)  # [c, n]
    ratio = 1.0 / at_least  # [c, n]
    scaled = ratio * weight_cached  # [c, n]
    scaled2 = ratio * scaled  # [c, n]
    minus = -scaled2  # [c, n]
    stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked = tl.where(past[None, :], stored_out_3, 0.0)  # [c, n]
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled5 = exp[None, :] * stored_product_3  # [c, d]
    product = tl.sum(scaled5 * P, 1)  # [c]
    product2 = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled6 = (size_K ** (-0.5)) * product  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled7 = decay * stored_product_9  # [c]
    added = scaled7 + scaled6  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_6  # [c]
    online = carried + recent  # [c]
    abs2 = tl.abs(online)  # [c]
    at_least3 = tl.maximum(1.0, abs2)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled8 = stored_weight_online * ratio2  # [c]
    scaled9 = ratio2 * scaled8  # [c]
    minus2 = -scaled9  # [c]
    scaled10 = added * minus2  # [c]
    mask5 = 1.0 > abs2  # [c]
    mask6 = 1.0 == abs2  # [c]
    masked5 = tl.where(mask5, 0.0, scaled10)  # [c]
    scaled11 = 0.5 * scaled10  # [c]
    masked6 = tl.where(mask6, scaled11, masked5)  # [c]
    sign2 = lib.sign(online)  # [c]
    d_online = sign2 * masked6  # [c]
    scaled12 = decay * d_online  # [c]
    saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_q_part3 = saved_n[None, :] * scaled12[:, None]  # [c, K]
    d_q_part4 = d_q_part2 + d_q_part3  # [c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled13 = written[None, :] * stored_product_3  # [c, d]
    d_P_part = scaled13 * scaled8[:, None]  # [c, d]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    scaled14 = reach * d_P  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_q_part5 = lib.dot(scaled14, k_c, PRECISION)  # [c, K]
    d_q_part6 = d_q_part5 + d_q_part4  # [c, K]
    scaled15 = decay * scaled8  # [c]
    d_q_part7 = total * scaled15[:, None]  # [c, K]
    d_q = d_q_part7 + d_q_part6  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_7(q_ptr, u_ptr, d_y_ptr, d_new_summary_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_scaled_ptr, stored_scaled_2_ptr, stored_read_n_ptr, stored_d_read_n_ptr, d_summary_ptr, d_cache_S_ptr, d_cache_n_ptr, stored_d_summaries_part_ptr, stored_d_cached_S_part_ptr, stored_d_cached_n_part_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.summary, d.cache.S, d.cache.n, stored.d_summaries_part, stored.d_cached_S_part, stored.d_cached_n_part."""
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
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 26: weight: softmax(score)
        past = n < segment  # []
        stored_scaled = tl.load(stored_scaled_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        weight_cached = tl.where(past, stored_scaled, 0.0)  # [c]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        abs = tl.abs(stored_read_n)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        stored_scaled_2 = tl.load(stored_scaled_2_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        # spec line 26: weight: softmax(score)
        weight_cached2 = tl.where(past, stored_scaled_2, 0.0)  # [c]
        d_answer = d_y_c * weight_cached2[:, None]  # [c, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_read_S = ratio[:, None] * d_answer  # [c, V]
        stored_d_read_n = tl.load(stored_d_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        d_summaries_part += tl.sum(u_c * weight_cached[:, None], 0)
        d_cached_S_part += lib.dot(tl.trans(q_c), d_read_S, PRECISION)
        d_cached_n_part += tl.sum(q_c * stored_d_read_n[:, None], 0)
    d_new_summary = tl.load(d_new_summary_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 25: score: dot(u, summary)
    d_summaries = d_new_summary + d_summaries_part  # [K]
    # spec line 24: summary: mean(k)
    d_summary = tl.where(kept, d_summaries, 0.0)  # [K]
    if (block_of_V == 0):
        tl.store(d_summary_ptr + (z * N + n) * (size_K) + at_K, d_summary, mask=(at_K < size_K))
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
    d_cache_S = tl.where(kept, d_cached_S, 0.0)  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    d_new_cache_n = tl.load(d_new_cache_n_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_cached_n = d_new_cache_n + d_cached_n_part  # [K]
    d_cache_n = tl.where(kept, d_cached_n, 0.0)  # [K]
    if (block_of_V == 0):
        tl.store(d_cache_n_ptr + (z * N + n) * (size_K) + at_K, d_cache_n, mask=(at_K < size_K))
    if (block_of_V == 0):
        tl.store(stored_d_summaries_part_ptr + (z * N + n) * (size_K) + at_K, d_summaries_part, mask=(at_K < size_K))
    tl.store(stored_d_cached_S_part_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cached_S_part, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(stored_d_cached_n_part_ptr + (z * N + n) * (size_K) + at_K, d_cached_n_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_8(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, u_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, d_new_state_S_ptr, d_new_state_n_ptr, d_new_summary_ptr, d_new_summary_partial_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_weight_online_ptr, stored_d_score_online_ptr, stored_d_summaries_part_ptr, stored_d_cached_S_part_ptr, stored_d_cached_n_part_ptr, d_summary_partial_ptr, d_state_S_ptr, d_state_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_d_sum_of_row_ptr, stored_out_ptr, stored_out_2_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.summary.partial, d.state.S, d.state.n, stored.d_increment_n, stored.d_increment_S, stored.d_sum_of_row, stored.out, stored.out.2."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    slots = tl.arange(0, SLOTS)
    at_K = tl.arange(0, block_K)
    at_V = tl.arange(0, block_V)
    d_new_summary_partial = tl.load(d_new_summary_partial_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_summary = tl.load(d_new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_summaries_part = tl.load(stored_d_summaries_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 25: score: dot(u, summary)
    d_summaries = d_new_summary + stored_d_summaries_part  # [n, K]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_n = tl.load(d_new_state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_cache_n = tl.load(d_new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_cached_n_part = tl.load(stored_d_cached_n_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    d_cached_n = d_new_cache_n + stored_d_cached_n_part  # [n, K]
    d_old_summary_partial = d_new_summary_partial  # [K]
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
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        valid = c < count  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        gap = G[:, None] - G[None, :]  # [c, d]
        masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
        reach = tl.exp(masked.to(tl.float32))  # [c, d]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = product * reach  # [c, d]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        product2 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        exp = tl.exp(i_c)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled = exp[None, :] * product2  # [c, d]
        product3 = tl.sum(P * scaled, 1)  # [c]
        product4 = tl.sum(P * exp[None, :], 1)  # [c]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product5 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        product6 = tl.sum(q_c * product5, 1)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        scaled2 = decay * product6  # [c]
        scaled3 = (size_K ** (-0.5)) * product3  # [c]
        added = scaled3 + scaled2  # [c]
        recent = (size_K ** (-0.5)) * product4  # [c]
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        product7 = tl.sum(q_c * saved_n[None, :], 1)  # [c]
        carried = decay * product7  # [c]
        online = carried + recent  # [c]
        abs = tl.abs(online)  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        scaled4 = ratio * stored_weight_online  # [c]
        scaled5 = ratio * scaled4  # [c]
        minus = -scaled5  # [c]
        scaled6 = added * minus  # [c]
        mask3 = 1.0 > abs  # [c]
        mask4 = 1.0 == abs  # [c]
        masked2 = tl.where(mask3, 0.0, scaled6)  # [c]
        scaled7 = 0.5 * scaled6  # [c]
        masked3 = tl.where(mask4, scaled7, masked2)  # [c]
        sign = lib.sign(online)  # [c]
        d_online = sign * masked3  # [c]
        # spec line 26: weight: softmax(score)
        scaled8 = d_y_c * stored_weight_online[:, None]  # [c, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_online2 = ratio[:, None] * scaled8  # [c, V]
        scaled9 = decay * d_online  # [c]
        scaled10 = decay[:, None] * d_online2  # [c, V]
        product8 = tl.sum(q_c * scaled9[:, None], 0)  # [K]
        product9 = lib.dot(tl.trans(q_c), scaled10, PRECISION)  # [K, V]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_d_cached_S_part = tl.load(stored_d_cached_S_part_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_cached_S = d_new_cache_S + stored_d_cached_S_part  # [K, V]
        at_end = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        added2 = d_old_S2 + product9  # [K, V]
        stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 25: score: dot(u, summary)
        d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
        # spec line 24: summary: mean(k)
        added3 = offset + c  # [c]
        number = added3.to(tl.float32)  # [c]
        seen = 1.0 + number  # [c]
        ratio2 = 1.0 / seen  # [c]
        product10 = tl.sum(ratio2[:, None] * d_summary_online, 0)  # [K]
        d_new_cache_n2 = tl.load(d_new_cache_n_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_cached_n_part2 = tl.load(stored_d_cached_n_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_cached_n2 = d_new_cache_n2 + stored_d_cached_n_part2  # [K]
        at_end2 = tl.where(completes, d_cached_n2, 0.0)  # [K]
        d_next_n = d_old_n + at_end2  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row * d_next_n  # [K]
        added4 = d_old_n2 + product8  # [K]
        added5 = offset + count  # []
        mask5 = added5 == 256  # []
        mask6 = count > 0  # []
        completes2 = mask5 & mask6  # []
        # spec line 24: summary: mean(k)
        d_partial_part = tl.where(completes2, 0.0, d_old_summary_partial)  # [K]
        d_new_summary2 = tl.load(d_new_summary_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_summaries_part2 = tl.load(stored_d_summaries_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 25: score: dot(u, summary)
        d_summaries2 = d_new_summary2 + stored_d_summaries_part2  # [K]
        # spec line 24: summary: mean(k)
        d_finished = tl.where(completes, d_summaries2, 0.0)  # [K]
        scaled11 = 0.00390625 * d_finished  # [K]
        d_partial = scaled11 + d_partial_part  # [K]
        added6 = d_partial + product10  # [K]
        tl.store(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, d_partial, mask=(at_K < size_K))
        tl.store(stored_out_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_out_2_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_summary_partial, d_old_S, d_old_n = added6, added2, added4
    tl.store(d_summary_partial_ptr + z * (size_K) + at_K, d_old_summary_partial, mask=(at_K < size_K))
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(d_state_n_ptr + z * (size_K) + at_K, d_old_n, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_9(q_ptr, k_ptr, i_ptr, g_ptr, saved_n_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_weight_online_ptr, stored_product_7_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay * total2  # [c]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product = tl.sum(exp[None, :] * P, 1)  # [c]
    recent = (size_K ** (-0.5)) * product  # [c]
    online = carried + recent  # [c]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    # spec line 26: weight: softmax(score)
    scaled = d_y_c * stored_weight_online[:, None]  # [c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    d_online = scaled * ratio[:, None]  # [c, V]
    product2 = lib.dot(tl.trans(P), d_online, PRECISION)  # [d, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    d_written_part = decay_after[:, None] * total  # [c, V]
    d_written = d_written_part + product2  # [c, V]
    written = exp * (size_K ** (-0.5))  # [c]
    d_v = written[:, None] * d_written  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_10(q_ptr, v_ptr, i_ptr, g_ptr, u_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_masked_ptr, stored_product_3_ptr, stored_weight_online_ptr, stored_d_sum_of_row_ptr, stored_d_score_online_ptr, stored_product_6_ptr, stored_product_7_ptr, d_k_ptr, table_ptr, T, H, R, N,
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
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product = tl.sum(exp[None, :] * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_6  # [c]
    recent = (size_K ** (-0.5)) * product  # [c]
    online = carried + recent  # [c]
    sign = lib.sign(online)  # [c]
    stored_masked = tl.load(stored_masked_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_online = stored_masked * sign  # [c]
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled = stored_weight_online * ratio  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled2 = written[None, :] * stored_product_3  # [c, d]
    d_P_part = scaled2 * scaled[:, None]  # [c, d]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    scaled3 = reach * d_P  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product2 = lib.dot(tl.trans(scaled3), q_c, PRECISION)  # [d, K]
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
    d_k_part2 = d_k_part + product2  # [c, K]
    stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 25: score: dot(u, summary)
    d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
    # spec line 24: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio2 = 1.0 / seen  # [c]
    d_sum_so_far = ratio2[:, None] * d_summary_online  # [c, K]
    d_summand_part = tl.cumsum(d_sum_so_far, 0, reverse=True)  # [c, K]
    stored_d_sum_of_row = tl.load(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_summand = stored_d_sum_of_row[None, :] + d_summand_part  # [c, K]
    d_k_part3 = tl.where(valid[:, None], d_summand, 0.0)  # [c, K]
    d_k = d_k_part3 + d_k_part2  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_11(k_ptr, v_ptr, i_ptr, g_ptr, saved_S_ptr, saved_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_product_3_ptr, stored_weight_online_ptr, stored_out_ptr, stored_out_2_ptr, stored_product_7_ptr, stored_product_6_ptr, stored_product_9_ptr, d_i_ptr, d_g_ptr, table_ptr, T, H, R, N,
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
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
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
    scaled = exp[None, :] * stored_product_3  # [c, d]
    stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_7  # [c, d]
    product2 = tl.sum(scaled * P, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled2 = (size_K ** (-0.5)) * product2  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled3 = decay * stored_product_9  # [c]
    added = scaled3 + scaled2  # [c]
    product3 = tl.sum(exp[None, :] * P, 1)  # [c]
    recent = (size_K ** (-0.5)) * product3  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_6  # [c]
    online = carried + recent  # [c]
    abs = tl.abs(online)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled4 = stored_weight_online * ratio  # [c]
    scaled5 = ratio * scaled4  # [c]
    minus = -scaled5  # [c]
    scaled6 = added * minus  # [c]
    mask3 = 1.0 > abs  # [c]
    mask4 = 1.0 == abs  # [c]
    masked2 = tl.where(mask3, 0.0, scaled6)  # [c]
    scaled7 = 0.5 * scaled6  # [c]
    masked3 = tl.where(mask4, scaled7, masked2)  # [c]
    sign = lib.sign(online)  # [c]
    d_online = sign * masked3  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled8 = written[None, :] * stored_product_3  # [c, d]
    d_P_part = scaled8 * scaled4[:, None]  # [c, d]
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    d_reach = stored_product_7 * d_P  # [c, d]
    scaled9 = reach * d_reach  # [c, d]
    d_gap = tl.where(earlier, scaled9, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask5 = c[None, :] < c[:, None]  # [c, d]
    masked4 = tl.where(mask5, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked4, 1)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled10 = stored_product_3 * scaled4[:, None]  # [c, d]
    product4 = tl.sum(P * scaled10, 0)  # [d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product5 = tl.sum(P * d_online[:, None], 0)  # [d]
    d_decay_part = stored_product_6 * d_online  # [c]
    d_decay_part2 = stored_product_9 * scaled4  # [c]
    d_decay = d_decay_part2 + d_decay_part  # [c]
    d_G = decay * d_decay  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled11 = exp * total2  # [c]
    scaled12 = (size_K ** (-0.5)) * scaled11  # [c]
    scaled13 = exp * total  # [c]
    scaled14 = (size_K ** (-0.5)) * scaled13  # [c]
    d_decay_after = scaled14 + scaled12  # [c]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    masked5 = tl.where(valid, d_decay_after, 0.0)  # [c]
    d_G_after = exp2 * masked5  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part4.to(tl.float32) + d_log_decay_part3  # [c]
    mask6 = g_c > (-120.0)  # [c]
    mask7 = g_c == (-120.0)  # [c]
    total3 = tl.sum(log_decay, 0)  # []
    d_decay_of_row = d_factor_S + d_factor_n  # []
    decay_of_row = tl.exp(total3)  # []
    d_log_decay_part6 = decay_of_row * d_decay_of_row  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked6 = tl.where(valid, d_log_decay, 0.0)  # [c]
    masked7 = tl.where(mask6, masked6, 0.0)  # [c]
    scaled15 = 0.5 * masked6  # [c]
    d_g = tl.where(mask7, scaled15, masked7)  # [c]
    tl.store(d_g_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_g, mask=(c < count))
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_written_part = decay_after * total2  # [c]
    d_written_part2 = d_written_part + product5  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled16 = decay_after * total  # [c]
    d_written_part3 = scaled16 + product4  # [c]
    d_written = d_written_part3 + d_written_part2  # [c]
    scaled17 = exp * d_written  # [c]
    d_i = (size_K ** (-0.5)) * scaled17  # [c]
    tl.store(d_i_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_i, mask=(c < count))

forward = {
    "scratch": [('stored.read_n', 'starts', ('n', 'c')), ('stored.scaled', 'starts', ('n', 'c')), ('stored.weight_online', 'starts', ('c',))],
    "copies": [('new.summary', 'summary'), ('new.cache.S', 'cache.S'), ('new.cache.n', 'cache.n')],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('k', 'v', 'i', 'g', 'summary.partial', 'state.S', 'state.n', 'new.state.S', 'new.state.n', 'new.summary', 'new.summary.partial', 'new.cache.S', 'new.cache.n', 'saved.summary.partial', 'saved.S', 'saved.n')},
        {"run": fused_forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 2, "tiles": ((3.25, 2.25), (3.25, 2.25)), "tensors": ('q', 'k', 'u', 'new.summary', 'new.cache.n', 'saved.summary.partial', 'stored.read_n', 'stored.scaled', 'stored.weight_online')},
        {"run": fused_forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((5.0, 3.5), (5.0, 3.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'new.cache.S', 'saved.S', 'saved.n', 'stored.read_n', 'stored.scaled', 'stored.weight_online', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_increment_n', 'starts', ('K',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.masked', 'starts', ('c',)), ('stored.product.3', 'starts', ('c', 'd')), ('stored.weight_online', 'starts', ('c',)), ('stored.d_sum_of_row', 'starts', ('K',)), ('stored.d_score_online', 'starts', ('c',)), ('stored.out', 'starts', ('K',)), ('stored.out.2', 'starts', ('K', 'V')), ('stored.d_summaries_part', 'slots', ('K',)), ('stored.d_cached_S_part', 'slots', ('K', 'V')), ('stored.d_cached_n_part', 'slots', ('K',)), ('stored.scaled', 'starts', ('n', 'c')), ('stored.scaled.2', 'starts', ('n', 'c')), ('stored.read_n', 'starts', ('n', 'c')), ('stored.d_read_n', 'starts', ('n', 'c')), ('stored.out.3', 'starts', ('n', 'c')), ('stored.d_q_part', 'starts', ('c', 'K')), ('stored.total', 'starts', ('c',)), ('stored.difference', 'starts', ('n', 'c')), ('stored.largest', 'starts', ('c',)), ('stored.product.6', 'starts', ('c',)), ('stored.product.7', 'starts', ('c', 'd')), ('stored.product.8', 'starts', ('c',)), ('stored.score_cached', 'starts', ('c', 'n')), ('stored.product.9', 'starts', ('c',)), ('stored.read_n.2', 'starts', ('c', 'n'))],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.0, 3.75), (6.0, 4.0)), "tensors": ('q', 'k', 'u', 'new.summary', 'new.cache.n', 'saved.summary.partial', 'saved.S', 'saved.n', 'd.y', 'stored.product.6', 'stored.product.7', 'stored.product.8', 'stored.score_cached', 'stored.product.9', 'stored.read_n.2')},
        {"run": fused_backward_1, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('V', 'K'),
         "products": 1, "tiles": ((3.5, 3.5), (3.5, 3.5)), "tensors": ('v', 'i', 'g', 'd.y', 'stored.product.6', 'stored.product.7', 'stored.product.8', 'stored.score_cached', 'stored.product.9', 'stored.read_n.2', 'stored.masked', 'stored.product.3', 'stored.weight_online', 'stored.scaled.2', 'stored.read_n', 'stored.total', 'stored.difference', 'stored.largest')},
        {"run": fused_backward_2, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.25, 3.0), (4.25, 3.0)), "tensors": ('new.cache.S', 'd.y', 'stored.read_n', 'stored.total', 'stored.difference', 'stored.d_q_part')},
        {"run": fused_backward_3, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 2.0), (5.0, 3.5)), "tensors": ('q', 'new.cache.S', 'd.y', 'stored.out.3')},
        {"run": fused_backward_4, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((6.5, 6.5), (6.5, 6.5)), "tensors": ('i', 'g', 'stored.product.3', 'stored.read_n', 'stored.out.3', 'stored.total', 'stored.difference', 'stored.largest', 'stored.product.8', 'stored.product.6', 'stored.product.7', 'stored.product.9', 'stored.d_score_online', 'stored.scaled', 'stored.d_read_n')},
        {"run": fused_backward_5, "grid": 'rows', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 1, "tiles": ((4.25, 3.5), (4.25, 3.5)), "tensors": ('k', 'i', 'g', 'new.summary', 'saved.summary.partial', 'stored.product.3', 'stored.read_n', 'stored.out.3', 'stored.total', 'stored.difference', 'stored.largest', 'stored.product.6', 'stored.product.7', 'stored.product.9', 'stored.product.8', 'd.u')},
        {"run": fused_backward_6, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((6.0, 5.5), (6.0, 5.5)), "tensors": ('k', 'i', 'g', 'new.cache.n', 'saved.S', 'saved.n', 'd.y', 'stored.product.3', 'stored.weight_online', 'stored.scaled.2', 'stored.read_n', 'stored.out.3', 'stored.d_q_part', 'stored.product.6', 'stored.product.7', 'stored.product.9', 'd.q')},
        {"run": fused_backward_7, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.02, 1.0), (2.02, 1.0)), "tensors": ('q', 'u', 'd.y', 'd.new.summary', 'd.new.cache.S', 'd.new.cache.n', 'stored.scaled', 'stored.scaled.2', 'stored.read_n', 'stored.d_read_n', 'd.summary', 'd.cache.S', 'd.cache.n', 'stored.d_summaries_part', 'stored.d_cached_S_part', 'stored.d_cached_n_part')},
        {"run": fused_backward_8, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tiles": ((7.5, 7.5), (18.5, 18.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'u', 'saved.S', 'saved.n', 'd.y', 'd.new.state.S', 'd.new.state.n', 'd.new.summary', 'd.new.summary.partial', 'd.new.cache.S', 'd.new.cache.n', 'stored.weight_online', 'stored.d_score_online', 'stored.d_summaries_part', 'stored.d_cached_S_part', 'stored.d_cached_n_part', 'd.summary.partial', 'd.state.S', 'd.state.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.d_sum_of_row', 'stored.out', 'stored.out.2')},
        {"run": fused_backward_9, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.5, 3.0), (4.5, 3.0)), "tensors": ('q', 'k', 'i', 'g', 'saved.n', 'd.y', 'stored.d_increment_S', 'stored.weight_online', 'stored.product.7', 'd.v')},
        {"run": fused_backward_10, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.5, 3.5), (4.5, 3.5)), "tensors": ('q', 'v', 'i', 'g', 'u', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.masked', 'stored.product.3', 'stored.weight_online', 'stored.d_sum_of_row', 'stored.d_score_online', 'stored.product.6', 'stored.product.7', 'd.k')},
        {"run": fused_backward_11, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((8.0, 8.0), (10.0, 8.5)), "tensors": ('k', 'v', 'i', 'g', 'saved.S', 'saved.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.product.3', 'stored.weight_online', 'stored.out', 'stored.out.2', 'stored.product.7', 'stored.product.6', 'stored.product.9', 'd.i', 'd.g')},
    ],
    "shifted": [],
}
