"""mlstm_soup on GPUs.

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
    mix = states
    segments of 256 tokens, carry
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_0(k_ptr, v_ptr, i_ptr, g_ptr, state_S_ptr, summary_partial_ptr, state_n_ptr, new_state_S_ptr, new_state_n_ptr, new_summary_ptr, new_summary_partial_ptr, new_cache_S_ptr, new_cache_n_ptr, saved_S_ptr, saved_summary_partial_ptr, saved_n_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, new.state.n, new.summary, new.summary.partial, new.cache.S, new.cache.n, saved.S, saved.summary.partial, saved.n."""
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
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))
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
def forward_1(q_ptr, k_ptr, i_ptr, g_ptr, u_ptr, new_summary_ptr, new_cache_n_ptr, saved_summary_partial_ptr, saved_n_ptr, stored_scaled_ptr, stored_weight_online_ptr, stored_mixed_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.scaled, stored.weight_online, stored.mixed."""
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
    read_n = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(q_c * saved_n[None, :], 1)
        new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        read_n += lib.dot(q_c, tl.trans(new_cache_n), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(k_c), PRECISION)
        # spec line 24: summary: mean(k)
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
    total4 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total5 = exp_online + total4  # [c]
    share = 1.0 / total5  # [c]
    scaled = exp_cached * share[:, None]  # [c, n]
    tl.store(stored_scaled_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled, mask=(slots[None, :] < N))
    weight_cached = tl.where(past[None, :], scaled, 0.0)  # [c, n]
    recalled = tl.sum(tl.where((slots[None, :] < N), read_n * weight_cached, 0.0), 1)  # [c]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least2 = tl.maximum(g_c, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least2, 0.0)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    P = total3 * reach  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product = tl.sum(P * exp[None, :], 1)  # [c]
    # spec line 26: weight: softmax(score)
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay * total2  # [c]
    recent = (size_K ** (-0.5)) * product  # [c]
    online = carried + recent  # [c]
    # spec line 26: weight: softmax(score)
    scaled2 = weight_online * online  # [c]
    mixed = recalled + scaled2  # [c]
    tl.store(stored_mixed_ptr + (z * R + r) * (C) + c, mixed)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_2(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, new_cache_S_ptr, saved_S_ptr, stored_scaled_ptr, stored_weight_online_ptr, stored_mixed_ptr, y_ptr, table_ptr, T, H, R, N,
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
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        masked = tl.where(mask, stored_scaled2, 0.0)  # [c]
        scaled = masked[:, None] * read_S  # [c, V]
        recalled += scaled
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
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
    product = lib.dot(P, scaled2, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total  # [c, V]
    recent = (size_K ** (-0.5)) * product  # [c, V]
    online = carried + recent  # [c, V]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    scaled3 = online * stored_weight_online[:, None]  # [c, V]
    mixed = scaled3 + recalled  # [c, V]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_mixed)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    y = ratio[:, None] * mixed  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(k_ptr, u_ptr, new_summary_ptr, new_cache_n_ptr, saved_summary_partial_ptr, stored_product_13_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: stored.product.13."""
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
    valid = c < count  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 24: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 25: score: dot(u, summary)
    product = tl.sum(u_c * sum_so_far, 1)  # [c]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    score_cached = lib.dot(u_c, tl.trans(new_summary), PRECISION)  # [c, n]
    # spec line 24: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio * product  # [c]
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked, float("-inf")), 1)  # [c]
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = masked - at_least[:, None]  # [c, n]
    difference2 = score_online - at_least  # [c]
    exp_cached = tl.exp(difference)  # [c, n]
    exp_online = tl.exp(difference2)  # [c]
    total = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total2 = exp_online + total  # [c]
    share = 1.0 / total2  # [c]
    scaled = exp_cached * share[:, None]  # [c, n]
    weight_cached = tl.where(past[None, :], scaled, 0.0)  # [c, n]
    new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = lib.dot(tl.where((slots[None, :] < N), weight_cached, 0.0), new_cache_n, PRECISION)  # [c, K]
    tl.store(stored_product_13_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], product2, mask=(at_K[None, :] < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, v_ptr, i_ptr, g_ptr, u_ptr, new_summary_ptr, new_cache_n_ptr, saved_S_ptr, saved_summary_partial_ptr, saved_n_ptr, d_y_ptr, stored_scaled_ptr, stored_mixed_ptr, stored_weight_online_ptr, stored_scaled_3_ptr, stored_total_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, stored_product_10_ptr, stored_product_11_ptr, stored_product_12_ptr, stored_read_n_ptr, stored_product_14_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.scaled, stored.mixed, stored.weight_online, stored.scaled.3, stored.total, stored.difference, stored.product.9, stored.largest, stored.product.10, stored.product.11, stored.product.12, stored.read_n, stored.product.14."""
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
    read_n = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total4 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total4 += tl.sum(q_c * product, 1)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        total2 += tl.sum(q_c * saved_n[None, :], 1)
        new_cache_n = tl.load(new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        read_n += lib.dot(q_c, tl.trans(new_cache_n), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(k_c), PRECISION)
        # spec line 24: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    tl.store(stored_product_9_ptr + (z * R + r) * (C) + c, total)
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
    tl.store(stored_largest_ptr + (z * R + r) * (C) + c, largest)
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = score_online - at_least  # [c]
    difference2 = masked - at_least[:, None]  # [c, n]
    tl.store(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], difference2, mask=(slots[None, :] < N))
    exp_online = tl.exp(difference)  # [c]
    exp_cached = tl.exp(difference2)  # [c, n]
    total5 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total6 = exp_online + total5  # [c]
    tl.store(stored_total_ptr + (z * R + r) * (C) + c, total6)
    share = 1.0 / total6  # [c]
    tl.store(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], read_n, mask=(slots[None, :] < N))
    scaled = exp_cached * share[:, None]  # [c, n]
    tl.store(stored_scaled_3_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled, mask=(slots[None, :] < N))
    weight_cached = tl.where(past[None, :], scaled, 0.0)  # [c, n]
    recalled = tl.sum(tl.where((slots[None, :] < N), read_n * weight_cached, 0.0), 1)  # [c]
    tl.store(stored_product_10_ptr + (z * R + r) * (C) + c, total4)
    tl.store(stored_product_14_ptr + (z * R + r) * (C) + c, total2)
    tl.store(stored_product_12_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total3)
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least2 = tl.maximum(g_c, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least2, 0.0)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    P = total3 * reach  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = tl.sum(P * exp[None, :], 1)  # [c]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    product3 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    tl.store(stored_product_11_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product3)
    # spec line 26: weight: softmax(score)
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay * total2  # [c]
    recent = (size_K ** (-0.5)) * product2  # [c]
    online = carried + recent  # [c]
    # spec line 26: weight: softmax(score)
    scaled2 = weight_online * online  # [c]
    mixed = recalled + scaled2  # [c]
    tl.store(stored_mixed_ptr + (z * R + r) * (C) + c, mixed)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(mixed)  # [c]
    at_least3 = tl.maximum(1.0, abs)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled3 = weight_online * ratio2  # [c]
    tl.store(stored_scaled_ptr + (z * R + r) * (C) + c, scaled3)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(new_cache_S_ptr, d_y_ptr, stored_total_ptr, stored_difference_ptr, stored_out_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.out."""
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
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    over_n = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_difference2 = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total += lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        scaled2 = masked[:, None] * total  # [c, K]
        over_n += scaled2
    tl.store(stored_out_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], over_n, mask=(at_K[None, :] < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, i_ptr, g_ptr, new_cache_S_ptr, d_y_ptr, stored_mixed_ptr, stored_total_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, stored_product_10_ptr, stored_product_11_ptr, stored_product_12_ptr, stored_product_14_ptr, stored_product_8_ptr, stored_d_read_n_ptr, stored_d_share_part_ptr, stored_out_4_ptr, stored_d_exp_online_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product.8, stored.d_read_n, stored.d_share_part, stored.out.4, stored.d_exp_online_part."""
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
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    share = 1.0 / stored_total  # [c]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    over_n = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for slot in range(0, segment):
        n = tl.full((), slot, tl.int32)
        stored_difference2 = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        total = tl.zeros((C, block_K,), tl.float32)  # [c, K]
        for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
            at_V = block_of_V * block_V + tl.arange(0, block_V)
            new_cache_S = tl.load(new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
            d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
            total += lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        mask = n < segment  # []
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        scaled2 = masked[:, None] * total  # [c, K]
        over_n += scaled2
        product = tl.sum(q_c * total, 1)  # [c]
        tl.store(stored_out_4_ptr + (z * R + r) * (N * C) + n * (C) + c, product)
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    stored_product_12 = tl.load(stored_product_12_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_12  # [c, d]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp2 = tl.exp(i_c)  # [c]
    stored_product_11 = tl.load(stored_product_11_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 26: weight: softmax(score)
    scaled3 = exp2[None, :] * stored_product_11  # [c, d]
    product2 = tl.sum(P * scaled3, 1)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product3 = tl.sum(exp2[None, :] * P, 1)  # [c]
    product4 = tl.sum(q_c * over_n, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_10 = tl.load(stored_product_10_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    scaled4 = decay * stored_product_10  # [c]
    scaled5 = (size_K ** (-0.5)) * product2  # [c]
    added = scaled5 + scaled4  # [c]
    # spec line 24: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    exp_online = tl.exp(difference)  # [c]
    weight_online = share * exp_online  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled6 = weight_online * added  # [c]
    added3 = scaled6 + product4  # [c]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    abs = tl.abs(stored_mixed)  # [c]
    at_least3 = tl.maximum(1.0, abs)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled7 = ratio2 * ratio2  # [c]
    minus = -scaled7  # [c]
    scaled8 = minus * added3  # [c]
    mask4 = 1.0 > abs  # [c]
    mask5 = 1.0 == abs  # [c]
    masked3 = tl.where(mask4, 0.0, scaled8)  # [c]
    scaled9 = 0.5 * scaled8  # [c]
    masked4 = tl.where(mask5, scaled9, masked3)  # [c]
    sign = lib.sign(stored_mixed)  # [c]
    d_mixed = sign * masked4  # [c]
    # spec line 26: weight: softmax(score)
    d_online = weight_online * d_mixed  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled10 = decay * d_online  # [c]
    product5 = tl.sum(q_c * scaled10[:, None], 0)  # [K]
    tl.store(stored_product_8_ptr + (z * R + r) * (size_K) + at_K, product5, mask=(at_K < size_K))
    stored_product_14 = tl.load(stored_product_14_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    carried = decay * stored_product_14  # [c]
    recent = (size_K ** (-0.5)) * product3  # [c]
    online = carried + recent  # [c]
    # spec line 26: weight: softmax(score)
    d_weight_online_part = ratio2 * added  # [c]
    d_weight_online_part2 = d_mixed * online  # [c]
    d_weight_online = d_weight_online_part + d_weight_online_part2  # [c]
    d_share_part = exp_online * d_weight_online  # [c]
    tl.store(stored_d_share_part_ptr + (z * R + r) * (C) + c, d_share_part)
    d_exp_online_part = share * d_weight_online  # [c]
    tl.store(stored_d_exp_online_part_ptr + (z * R + r) * (C) + c, d_exp_online_part)
    exp_cached = tl.exp(stored_difference)  # [c, n]
    scaled11 = exp_cached * share[:, None]  # [c, n]
    past = slots < segment  # [n]
    weight_cached = tl.where(past[None, :], scaled11, 0.0)  # [c, n]
    d_read_n = weight_cached * d_mixed[:, None]  # [c, n]
    tl.store(stored_d_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], d_read_n, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(q_ptr, k_ptr, i_ptr, g_ptr, saved_S_ptr, saved_n_ptr, d_y_ptr, stored_mixed_ptr, stored_total_ptr, stored_product_9_ptr, stored_largest_ptr, stored_product_10_ptr, stored_product_11_ptr, stored_product_12_ptr, stored_product_13_ptr, stored_read_n_ptr, stored_out_ptr, d_q_ptr, stored_d_online_ptr, stored_d_weight_cached_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, stored.d_online, stored.d_weight_cached_part."""
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
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    stored_product_12 = tl.load(stored_product_12_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    P = reach * stored_product_12  # [c, d]
    stored_product_11 = tl.load(stored_product_11_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 26: weight: softmax(score)
    scaled = exp[None, :] * stored_product_11  # [c, d]
    product = tl.sum(P * scaled, 1)  # [c]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    stored_out = tl.load(stored_out_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = tl.sum(q_c * stored_out, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_10 = tl.load(stored_product_10_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    scaled2 = decay * stored_product_10  # [c]
    scaled3 = (size_K ** (-0.5)) * product  # [c]
    added = scaled3 + scaled2  # [c]
    # spec line 24: summary: mean(k)
    added2 = offset + c  # [c]
    number = added2.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    exp_online = tl.exp(difference)  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    weight_online = share * exp_online  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled4 = weight_online * added  # [c]
    added3 = product2 + scaled4  # [c]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    abs = tl.abs(stored_mixed)  # [c]
    at_least3 = tl.maximum(1.0, abs)  # [c]
    ratio2 = 1.0 / at_least3  # [c]
    scaled5 = ratio2 * ratio2  # [c]
    minus = -scaled5  # [c]
    scaled6 = minus * added3  # [c]
    mask3 = 1.0 > abs  # [c]
    mask4 = 1.0 == abs  # [c]
    masked2 = tl.where(mask3, 0.0, scaled6)  # [c]
    scaled7 = 0.5 * scaled6  # [c]
    masked3 = tl.where(mask4, scaled7, masked2)  # [c]
    sign = lib.sign(stored_mixed)  # [c]
    d_mixed = sign * masked3  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** (-0.5))  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled8 = written[None, :] * stored_product_11  # [c, d]
    scaled9 = ratio2 * weight_online  # [c]
    d_P_part = scaled9[:, None] * scaled8  # [c, d]
    # spec line 26: weight: softmax(score)
    d_online = weight_online * d_mixed  # [c]
    tl.store(stored_d_online_ptr + (z * R + r) * (C) + c, d_online)
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_P_part2 = written[None, :] * d_online[:, None]  # [c, d]
    d_P = d_P_part + d_P_part2  # [c, d]
    scaled10 = reach * d_P  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_q_part = lib.dot(scaled10, k_c, PRECISION)  # [c, K]
    scaled11 = decay * d_online  # [c]
    stored_product_13 = tl.load(stored_product_13_ptr + (z * R + r) * (C * size_K) + c[:, None] * (size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [c, K]
    d_q_part2 = stored_product_13 * d_mixed[:, None]  # [c, K]
    saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_q_part3 = saved_n[None, :] * scaled11[:, None]  # [c, K]
    d_q_part4 = d_q_part2 + d_q_part3  # [c, K]
    d_q_part5 = ratio2[:, None] * stored_out  # [c, K]
    d_q_part6 = d_q_part5 + d_q_part4  # [c, K]
    d_q_part7 = d_q_part6 + d_q_part  # [c, K]
    scaled12 = decay * scaled9  # [c]
    d_q_part8 = total * scaled12[:, None]  # [c, K]
    d_q = d_q_part8 + d_q_part7  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    stored_read_n = tl.load(stored_read_n_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 26: weight: softmax(score)
    d_weight_cached_part = stored_read_n * d_mixed[:, None]  # [c, n]
    tl.store(stored_d_weight_cached_part_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], d_weight_cached_part, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(stored_mixed_ptr, stored_total_ptr, stored_d_share_part_ptr, stored_d_weight_cached_part_ptr, stored_out_4_ptr, stored_difference_ptr, stored_d_exp_online_part_ptr, stored_product_9_ptr, stored_largest_ptr, stored_d_score_online_ptr, stored_scaled_2_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr):
    """A program for every row of the chunk table: stored.d_score_online, stored.scaled.2."""
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
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_mixed)  # [c]
    at_least = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least  # [c]
    stored_out_4 = tl.load(stored_out_4_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 26: weight: softmax(score)
    masked = tl.where(past[None, :], stored_out_4, 0.0)  # [c, n]
    d_weight_cached_part = ratio[:, None] * masked  # [c, n]
    stored_d_weight_cached_part = tl.load(stored_d_weight_cached_part_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    d_weight_cached = stored_d_weight_cached_part + d_weight_cached_part  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    masked2 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    stored_d_share_part = tl.load(stored_d_share_part_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_share_part = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = stored_d_share_part + d_share_part  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled = share * d_share  # [c]
    ratio2 = scaled / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled2 = exp_cached * d_exp_cached  # [c, n]
    tl.store(stored_scaled_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], scaled2, mask=(slots[None, :] < N))
    # spec line 24: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio3 = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio3 * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    stored_d_exp_online_part = tl.load(stored_d_exp_online_part_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_exp_online = stored_d_exp_online_part + d_total  # [c]
    exp_online = tl.exp(difference)  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    tl.store(stored_d_score_online_ptr + (z * R + r) * (C) + c, d_score_online)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(k_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_mixed_ptr, stored_total_ptr, stored_d_share_part_ptr, stored_d_weight_cached_part_ptr, stored_out_4_ptr, stored_difference_ptr, stored_d_exp_online_part_ptr, stored_product_9_ptr, stored_largest_ptr, d_u_ptr, stored_product_7_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: d.u, stored.product.7."""
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
    # spec line 26: weight: softmax(score)
    past = slots < segment  # [n]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    abs = tl.abs(stored_mixed)  # [c]
    at_least = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least  # [c]
    stored_out_4 = tl.load(stored_out_4_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    # spec line 26: weight: softmax(score)
    masked = tl.where(past[None, :], stored_out_4, 0.0)  # [c, n]
    d_weight_cached_part = ratio[:, None] * masked  # [c, n]
    stored_d_weight_cached_part = tl.load(stored_d_weight_cached_part_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    d_weight_cached = stored_d_weight_cached_part + d_weight_cached_part  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    masked2 = tl.where(past[None, :], d_weight_cached, 0.0)  # [c, n]
    stored_d_share_part = tl.load(stored_d_share_part_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_share_part = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked2, 0.0), 1)  # [c]
    d_share = stored_d_share_part + d_share_part  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled = share * d_share  # [c]
    ratio2 = scaled / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked2  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled2 = exp_cached * d_exp_cached  # [c, n]
    d_score_cached = tl.where(past[None, :], scaled2, 0.0)  # [c, n]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 25: score: dot(u, summary)
    d_u_part = lib.dot(tl.where((slots[None, :] < N), d_score_cached, 0.0), new_summary, PRECISION)  # [c, K]
    valid = c < count  # [c]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 24: summary: mean(k)
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio3 = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: score: dot(u, summary)
    score_online = ratio3 * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    stored_d_exp_online_part = tl.load(stored_d_exp_online_part_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_exp_online = stored_d_exp_online_part + d_total  # [c]
    exp_online = tl.exp(difference)  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    # spec line 24: summary: mean(k)
    summary_online = ratio3[:, None] * sum_so_far  # [c, K]
    # spec line 25: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, None]  # [c, K]
    d_u = d_u_part + d_u_part2  # [c, K]
    tl.store(d_u_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_u, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_summary_online = u_c * d_score_online[:, None]  # [c, K]
    # spec line 24: summary: mean(k)
    product = tl.sum(ratio3[:, None] * d_summary_online, 0)  # [K]
    tl.store(stored_product_7_ptr + (z * R + r) * (size_K) + at_K, product, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_7(q_ptr, u_ptr, d_y_ptr, d_new_summary_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_mixed_ptr, stored_scaled_2_ptr, stored_scaled_3_ptr, stored_d_read_n_ptr, d_summary_ptr, d_cache_S_ptr, d_cache_n_ptr, stored_d_cached_S_part_ptr, stored_d_summaries_part_ptr, stored_d_cached_n_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.summary, d.cache.S, d.cache.n, stored.d_cached_S_part, stored.d_summaries_part, stored.d_cached_n_part."""
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
        stored_scaled_2 = tl.load(stored_scaled_2_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        d_score_cached = tl.where(past, stored_scaled_2, 0.0)  # [c]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        abs = tl.abs(stored_mixed)  # [c]
        at_least = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least  # [c]
        d_mixed = d_y_c * ratio[:, None]  # [c, V]
        stored_scaled_3 = tl.load(stored_scaled_3_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        # spec line 26: weight: softmax(score)
        weight_cached = tl.where(past, stored_scaled_3, 0.0)  # [c]
        d_read_S = d_mixed * weight_cached[:, None]  # [c, V]
        stored_d_read_n = tl.load(stored_d_read_n_ptr + (z * R + r) * (N * C) + n * (C) + c).to(tl.float32)  # [c]
        d_summaries_part += tl.sum(u_c * d_score_cached[:, None], 0)
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
    tl.store(stored_d_cached_S_part_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cached_S_part, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(stored_d_summaries_part_ptr + (z * N + n) * (size_K) + at_K, d_summaries_part, mask=(at_K < size_K))
    if (block_of_V == 0):
        tl.store(stored_d_cached_n_part_ptr + (z * N + n) * (size_K) + at_K, d_cached_n_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_8(q_ptr, g_ptr, d_y_ptr, d_new_state_S_ptr, d_new_state_n_ptr, d_new_summary_ptr, d_new_summary_partial_ptr, d_new_cache_S_ptr, d_new_cache_n_ptr, stored_mixed_ptr, stored_weight_online_ptr, stored_d_cached_S_part_ptr, stored_product_7_ptr, stored_d_summaries_part_ptr, stored_product_8_ptr, stored_d_cached_n_part_ptr, d_state_S_ptr, d_summary_partial_ptr, d_state_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_d_sum_of_row_ptr, stored_out_2_ptr, stored_out_3_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, d.summary.partial, d.state.n, stored.d_increment_n, stored.d_increment_S, stored.d_sum_of_row, stored.out.2, stored.out.3."""
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
    # spec line 25: score: dot(u, summary)
    d_summaries = d_new_summary + stored_d_summaries_part  # [n, K]
    d_new_state_n = tl.load(d_new_state_n_ptr + z * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_new_cache_n = tl.load(d_new_cache_n_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    stored_d_cached_n_part = tl.load(stored_d_cached_n_part_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cached_n = d_new_cache_n + stored_d_cached_n_part  # [n, K]
    d_old_S = d_new_state_S  # [K, V]
    d_old_summary_partial = d_new_summary_partial  # [K]
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
        mask = count > 0  # []
        added = offset + count  # []
        mask2 = added == 256  # []
        completes2 = mask2 & mask  # []
        # spec line 24: summary: mean(k)
        d_partial_part = tl.where(completes2, 0.0, d_old_summary_partial)  # [K]
        g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        at_least = tl.maximum(g_c, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        abs = tl.abs(stored_mixed)  # [c]
        at_least2 = tl.maximum(1.0, abs)  # [c]
        ratio = 1.0 / at_least2  # [c]
        d_new_summary2 = tl.load(d_new_summary_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_summaries_part2 = tl.load(stored_d_summaries_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 25: score: dot(u, summary)
        d_summaries2 = d_new_summary2 + stored_d_summaries_part2  # [K]
        # spec line 24: summary: mean(k)
        d_finished = tl.where(completes, d_summaries2, 0.0)  # [K]
        scaled = 0.00390625 * d_finished  # [K]
        d_partial = scaled + d_partial_part  # [K]
        stored_product_7 = tl.load(stored_product_7_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        added2 = d_partial + stored_product_7  # [K]
        d_new_cache_n2 = tl.load(d_new_cache_n_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_cached_n_part2 = tl.load(stored_d_cached_n_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_cached_n2 = d_new_cache_n2 + stored_d_cached_n_part2  # [K]
        at_end = tl.where(completes, d_cached_n2, 0.0)  # [K]
        d_next_n = d_old_n + at_end  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row * d_next_n  # [K]
        stored_product_8 = tl.load(stored_product_8_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        added3 = d_old_n2 + stored_product_8  # [K]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_d_cached_S_part = tl.load(stored_d_cached_S_part_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_cached_S = d_new_cache_S + stored_d_cached_S_part  # [K, V]
        at_end2 = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end2  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_mixed = d_y_c * ratio[:, None]  # [c, V]
        # spec line 26: weight: softmax(score)
        d_online = stored_weight_online[:, None] * d_mixed  # [c, V]
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        scaled2 = decay[:, None] * d_online  # [c, V]
        product = lib.dot(tl.trans(q_c), scaled2, PRECISION)  # [K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        added4 = d_old_S2 + product  # [K, V]
        if (block_of_V == 0):
            tl.store(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        if (block_of_V == 0):
            tl.store(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, d_partial, mask=(at_K < size_K))
        if (block_of_V == 0):
            tl.store(stored_out_2_ptr + (z * R + r) * (size_K) + at_K, d_next_n, mask=(at_K < size_K))
        tl.store(stored_out_3_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S, d_old_summary_partial, d_old_n = added4, added2, added3
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(d_summary_partial_ptr + z * (size_K) + at_K, d_old_summary_partial, mask=(at_K < size_K))
    if (block_of_V == 0):
        tl.store(d_state_n_ptr + z * (size_K) + at_K, d_old_n, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_9(k_ptr, v_ptr, i_ptr, saved_S_ptr, saved_n_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_out_2_ptr, stored_out_3_ptr, stored_product_4_ptr, stored_d_decay_after_ptr, stored_d_factor_S_ptr, stored_d_factor_n_ptr, stored_product_6_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product.4, stored.d_decay_after, stored.d_factor.S, stored.d_factor.n, stored.product.6."""
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
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    written = exp * (size_K ** (-0.5))  # [c]
    total = tl.zeros((C,), tl.float32)  # [c]
    d_decay_after = tl.zeros((C,), tl.float32)  # [c]
    d_factor_S = tl.zeros((), tl.float32)  # []
    d_factor_n = tl.zeros((), tl.float32)  # []
    total2 = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_out_3 = tl.load(stored_out_3_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_factor_S += tl.sum(tl.sum(saved_S * stored_out_3, 1), 0)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        d_write_part = written[:, None] * product  # [c, K]
        stored_d_increment_n = tl.load(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_write_part2 = written[:, None] * stored_d_increment_n[None, :]  # [c, K]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_write = d_write_part + d_write_part2  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_decay_after += tl.sum(k_c * d_write, 1)
        total += tl.sum(k_c * stored_d_increment_n[None, :], 1)
        product2 = lib.dot(k_c, stored_d_increment_S, PRECISION)  # [c, V]
        total2 += tl.sum(v_c * product2, 1)
        saved_n = tl.load(saved_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        d_factor_n += tl.sum(saved_n * stored_out_2, 0)
    tl.store(stored_d_factor_S_ptr + (z * R + r) * (1), d_factor_S)
    tl.store(stored_product_6_ptr + (z * R + r) * (C) + c, total2)
    tl.store(stored_d_decay_after_ptr + (z * R + r) * (C) + c, d_decay_after)
    tl.store(stored_product_4_ptr + (z * R + r) * (C) + c, total)
    tl.store(stored_d_factor_n_ptr + (z * R + r) * (1), d_factor_n)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_10(i_ptr, g_ptr, stored_mixed_ptr, stored_weight_online_ptr, stored_product_4_ptr, stored_d_decay_after_ptr, stored_d_factor_S_ptr, stored_d_factor_n_ptr, stored_product_6_ptr, stored_product_11_ptr, stored_product_12_ptr, stored_product_10_ptr, stored_d_online_ptr, stored_product_14_ptr, d_i_ptr, d_g_ptr, table_ptr, T, H, R, N,
                C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: d.i, d.g."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
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
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    abs = tl.abs(stored_mixed)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled = stored_weight_online * ratio  # [c]
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    written = exp * (size_K ** (-0.5))  # [c]
    stored_product_11 = tl.load(stored_product_11_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled2 = written[None, :] * stored_product_11  # [c, d]
    d_P_part = scaled[:, None] * scaled2  # [c, d]
    stored_d_online = tl.load(stored_d_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_P_part2 = written[None, :] * stored_d_online[:, None]  # [c, d]
    d_P = d_P_part2 + d_P_part  # [c, d]
    stored_product_12 = tl.load(stored_product_12_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    d_reach = stored_product_12 * d_P  # [c, d]
    P = reach * stored_product_12  # [c, d]
    scaled3 = reach * d_reach  # [c, d]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled4 = scaled[:, None] * stored_product_11  # [c, d]
    product = tl.sum(P * scaled4, 0)  # [d]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = tl.sum(stored_d_online[:, None] * P, 0)  # [d]
    mask3 = c[None, :] < c[:, None]  # [c, d]
    d_gap = tl.where(earlier, scaled3, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    masked2 = tl.where(mask3, running, 0.0)  # [c, d]
    d_log_decay_part = tl.sum(masked2, 1)  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product_10 = tl.load(stored_product_10_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_decay_part = scaled * stored_product_10  # [c]
    stored_product_14 = tl.load(stored_product_14_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_decay_part2 = stored_d_online * stored_product_14  # [c]
    d_decay = d_decay_part + d_decay_part2  # [c]
    d_G = decay * d_decay  # [c]
    d_log_decay_part2 = tl.cumsum(d_G.to(tl.float64), 0, reverse=True)  # [c]
    d_log_decay_part3 = d_log_decay_part + d_log_decay_part2.to(tl.float32)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    stored_d_decay_after = tl.load(stored_d_decay_after_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    masked3 = tl.where(valid, stored_d_decay_after, 0.0)  # [c]
    d_G_after = exp2 * masked3  # [c]
    d_log_decay_part4 = lib.sums_before(d_G_after.to(tl.float64), False)  # [c]
    d_log_decay_part5 = d_log_decay_part4.to(tl.float32) + d_log_decay_part3  # [c]
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled5 = decay_after * stored_product_6  # [c]
    d_written_part = scaled5 + product  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_written_part2 = decay_after * stored_product_4  # [c]
    d_written_part3 = d_written_part2 + product2  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_written = d_written_part + d_written_part3  # [c]
    scaled6 = exp * d_written  # [c]
    mask4 = g_c == (-120.0)  # [c]
    mask5 = g_c > (-120.0)  # [c]
    total = tl.sum(log_decay, 0)  # []
    stored_d_factor_S = tl.load(stored_d_factor_S_ptr + (z * R + r) * (1)).to(tl.float32)  # []
    stored_d_factor_n = tl.load(stored_d_factor_n_ptr + (z * R + r) * (1)).to(tl.float32)  # []
    d_decay_of_row = stored_d_factor_S + stored_d_factor_n  # []
    decay_of_row = tl.exp(total)  # []
    d_log_decay_part6 = decay_of_row * d_decay_of_row  # []
    d_log_decay = d_log_decay_part6 + d_log_decay_part5  # [c]
    masked4 = tl.where(valid, d_log_decay, 0.0)  # [c]
    scaled7 = 0.5 * masked4  # [c]
    masked5 = tl.where(mask5, masked4, 0.0)  # [c]
    d_g = tl.where(mask4, scaled7, masked5)  # [c]
    tl.store(d_g_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_g, mask=(c < count))
    d_i = (size_K ** (-0.5)) * scaled6  # [c]
    tl.store(d_i_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_i, mask=(c < count))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_11(k_ptr, i_ptr, g_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_mixed_ptr, stored_weight_online_ptr, stored_product_12_ptr, d_v_ptr, table_ptr, T, H, R, N,
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
    stored_product_12 = tl.load(stored_product_12_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_12  # [c, d]
    stored_mixed = tl.load(stored_mixed_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    abs = tl.abs(stored_mixed)  # [c]
    at_least2 = tl.maximum(1.0, abs)  # [c]
    ratio = 1.0 / at_least2  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    d_mixed = d_y_c * ratio[:, None]  # [c, V]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 26: weight: softmax(score)
    d_online = stored_weight_online[:, None] * d_mixed  # [c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
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
def backward_12(q_ptr, v_ptr, i_ptr, g_ptr, u_ptr, stored_d_increment_n_ptr, stored_d_increment_S_ptr, stored_d_sum_of_row_ptr, stored_d_score_online_ptr, stored_d_online_ptr, stored_scaled_ptr, stored_product_11_ptr, d_k_ptr, table_ptr, T, H, R, N,
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
    i_c = lib.tokens(tl.load(i_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = tl.exp(i_c)  # [c]
    written = exp * (size_K ** (-0.5))  # [c]
    d_write_part = written[:, None] * total  # [c, K]
    stored_d_increment_n = tl.load(stored_d_increment_n_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_write_part2 = written[:, None] * stored_d_increment_n[None, :]  # [c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_write = d_write_part + d_write_part2  # [c, K]
    valid = c < count  # [c]
    g_c = lib.tokens(tl.load(g_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    at_least = tl.maximum(g_c, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    stored_product_11 = tl.load(stored_product_11_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = written[None, :] * stored_product_11  # [c, d]
    stored_scaled = tl.load(stored_scaled_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_P_part = stored_scaled[:, None] * scaled  # [c, d]
    stored_d_online = tl.load(stored_d_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_P_part2 = written[None, :] * stored_d_online[:, None]  # [c, d]
    d_P = d_P_part2 + d_P_part  # [c, d]
    scaled2 = reach * d_P  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(scaled2), q_c, PRECISION)  # [d, K]
    stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 25: score: dot(u, summary)
    d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
    # spec line 24: summary: mean(k)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    d_sum_so_far = ratio[:, None] * d_summary_online  # [c, K]
    d_summand_part = tl.cumsum(d_sum_so_far, 0, reverse=True)  # [c, K]
    stored_d_sum_of_row = tl.load(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_summand = stored_d_sum_of_row[None, :] + d_summand_part  # [c, K]
    d_k_part = tl.where(valid[:, None], d_summand, 0.0)  # [c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_k_part2 = d_k_part + product  # [c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp2 = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp2, 0.0)  # [c]
    d_k_part3 = decay_after[:, None] * d_write  # [c, K]
    d_k = d_k_part3 + d_k_part2  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

forward = {
    "scratch": [('stored.scaled', 'starts', ('n', 'c')), ('stored.weight_online', 'starts', ('c',)), ('stored.mixed', 'starts', ('c',))],
    "copies": [('new.summary', 'summary'), ('new.cache.S', 'cache.S'), ('new.cache.n', 'cache.n')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((4.25, 2.0), (4.25, 2.0)), "tensors": ('k', 'v', 'i', 'g', 'state.S', 'summary.partial', 'state.n', 'new.state.S', 'new.state.n', 'new.summary', 'new.summary.partial', 'new.cache.S', 'new.cache.n', 'saved.S', 'saved.summary.partial', 'saved.n')},
        {"run": forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 3, "tiles": ((5.5, 4.5), (5.5, 4.5)), "tensors": ('q', 'k', 'i', 'g', 'u', 'new.summary', 'new.cache.n', 'saved.summary.partial', 'saved.n', 'stored.scaled', 'stored.weight_online', 'stored.mixed')},
        {"run": forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.5, 3.5), (4.5, 3.5)), "tensors": ('q', 'k', 'v', 'i', 'g', 'new.cache.S', 'saved.S', 'stored.scaled', 'stored.weight_online', 'stored.mixed', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_increment_n', 'starts', ('K',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.d_sum_of_row', 'starts', ('K',)), ('stored.d_score_online', 'starts', ('c',)), ('stored.d_online', 'starts', ('c',)), ('stored.scaled', 'starts', ('c',)), ('stored.mixed', 'starts', ('c',)), ('stored.weight_online', 'starts', ('c',)), ('stored.out', 'starts', ('c', 'K')), ('stored.out.2', 'starts', ('K',)), ('stored.out.3', 'starts', ('K', 'V')), ('stored.product.4', 'starts', ('c',)), ('stored.d_decay_after', 'starts', ('c',)), ('stored.d_factor.S', 'starts', ()), ('stored.d_factor.n', 'starts', ()), ('stored.product.6', 'starts', ('c',)), ('stored.d_cached_S_part', 'slots', ('K', 'V')), ('stored.product.7', 'starts', ('K',)), ('stored.d_summaries_part', 'slots', ('K',)), ('stored.product.8', 'starts', ('K',)), ('stored.d_cached_n_part', 'slots', ('K',)), ('stored.scaled.2', 'starts', ('n', 'c')), ('stored.scaled.3', 'starts', ('n', 'c')), ('stored.d_read_n', 'starts', ('n', 'c')), ('stored.total', 'starts', ('c',)), ('stored.d_share_part', 'starts', ('c',)), ('stored.d_weight_cached_part', 'starts', ('n', 'c')), ('stored.out.4', 'starts', ('n', 'c')), ('stored.difference', 'starts', ('n', 'c')), ('stored.d_exp_online_part', 'starts', ('c',)), ('stored.product.9', 'starts', ('c',)), ('stored.largest', 'starts', ('c',)), ('stored.product.10', 'starts', ('c',)), ('stored.product.11', 'starts', ('c', 'd')), ('stored.product.12', 'starts', ('c', 'd')), ('stored.product.13', 'starts', ('c', 'K')), ('stored.read_n', 'starts', ('n', 'c')), ('stored.product.14', 'starts', ('c',))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 2, "tiles": ((3.25, 3.25), (5.25, 5.25)), "tensors": ('k', 'u', 'new.summary', 'new.cache.n', 'saved.summary.partial', 'stored.product.13')},
        {"run": backward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 5, "tiles": ((5.75, 5.5), (7.75, 6.75)), "tensors": ('q', 'k', 'v', 'i', 'g', 'u', 'new.summary', 'new.cache.n', 'saved.S', 'saved.summary.partial', 'saved.n', 'd.y', 'stored.scaled', 'stored.mixed', 'stored.weight_online', 'stored.scaled.3', 'stored.total', 'stored.difference', 'stored.product.9', 'stored.largest', 'stored.product.10', 'stored.product.11', 'stored.product.12', 'stored.read_n', 'stored.product.14')},
        {"run": backward_2, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 2.0), (3.25, 2.0)), "tensors": ('new.cache.S', 'd.y', 'stored.total', 'stored.difference', 'stored.out')},
        {"run": backward_3, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((5.25, 5.25), (6.5, 6.5)), "tensors": ('q', 'i', 'g', 'new.cache.S', 'd.y', 'stored.mixed', 'stored.total', 'stored.difference', 'stored.product.9', 'stored.largest', 'stored.product.10', 'stored.product.11', 'stored.product.12', 'stored.product.14', 'stored.product.8', 'stored.d_read_n', 'stored.d_share_part', 'stored.out.4', 'stored.d_exp_online_part')},
        {"run": backward_4, "grid": 'rows', "blocked": (), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((5.25, 5.25), (9.0, 9.0)), "tensors": ('q', 'k', 'i', 'g', 'saved.S', 'saved.n', 'd.y', 'stored.mixed', 'stored.total', 'stored.product.9', 'stored.largest', 'stored.product.10', 'stored.product.11', 'stored.product.12', 'stored.product.13', 'stored.read_n', 'stored.out', 'd.q', 'stored.d_online', 'stored.d_weight_cached_part')},
        {"run": backward_5, "grid": 'rows', "blocked": (), "folded": (), "dims": (),
         "products": 0, "tiles": ((2.75, 2.75), (2.75, 2.75)), "tensors": ('stored.mixed', 'stored.total', 'stored.d_share_part', 'stored.d_weight_cached_part', 'stored.out.4', 'stored.difference', 'stored.d_exp_online_part', 'stored.product.9', 'stored.largest', 'stored.d_score_online', 'stored.scaled.2')},
        {"run": backward_6, "grid": 'rows', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 1, "tiles": ((3.25, 2.75), (3.25, 2.75)), "tensors": ('k', 'u', 'new.summary', 'saved.summary.partial', 'stored.mixed', 'stored.total', 'stored.d_share_part', 'stored.d_weight_cached_part', 'stored.out.4', 'stored.difference', 'stored.d_exp_online_part', 'stored.product.9', 'stored.largest', 'd.u', 'stored.product.7')},
        {"run": backward_7, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.02, 1.02), (2.02, 1.02)), "tensors": ('q', 'u', 'd.y', 'd.new.summary', 'd.new.cache.S', 'd.new.cache.n', 'stored.mixed', 'stored.scaled.2', 'stored.scaled.3', 'stored.d_read_n', 'd.summary', 'd.cache.S', 'd.cache.n', 'stored.d_cached_S_part', 'stored.d_summaries_part', 'stored.d_cached_n_part')},
        {"run": backward_8, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('q', 'g', 'd.y', 'd.new.state.S', 'd.new.state.n', 'd.new.summary', 'd.new.summary.partial', 'd.new.cache.S', 'd.new.cache.n', 'stored.mixed', 'stored.weight_online', 'stored.d_cached_S_part', 'stored.product.7', 'stored.d_summaries_part', 'stored.product.8', 'stored.d_cached_n_part', 'd.state.S', 'd.summary.partial', 'd.state.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.d_sum_of_row', 'stored.out.2', 'stored.out.3')},
        {"run": backward_9, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 3.25), (7.25, 5.75)), "tensors": ('k', 'v', 'i', 'saved.S', 'saved.n', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.out.2', 'stored.out.3', 'stored.product.4', 'stored.d_decay_after', 'stored.d_factor.S', 'stored.d_factor.n', 'stored.product.6')},
        {"run": backward_10, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((5.75, 5.75), (5.75, 5.75)), "tensors": ('i', 'g', 'stored.mixed', 'stored.weight_online', 'stored.product.4', 'stored.d_decay_after', 'stored.d_factor.S', 'stored.d_factor.n', 'stored.product.6', 'stored.product.11', 'stored.product.12', 'stored.product.10', 'stored.d_online', 'stored.product.14', 'd.i', 'd.g')},
        {"run": backward_11, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 2.25), (4.25, 2.25)), "tensors": ('k', 'i', 'g', 'd.y', 'stored.d_increment_S', 'stored.mixed', 'stored.weight_online', 'stored.product.12', 'd.v')},
        {"run": backward_12, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((4.25, 3.75), (4.25, 3.75)), "tensors": ('q', 'v', 'i', 'g', 'u', 'stored.d_increment_n', 'stored.d_increment_S', 'stored.d_sum_of_row', 'stored.d_score_online', 'stored.d_online', 'stored.scaled', 'stored.product.11', 'd.k')},
    ],
    "shifted": [],
}
