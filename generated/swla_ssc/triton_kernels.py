"""swla_ssc on GPUs.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
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
def forward_0(k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, state_S_ptr, summary_partial_ptr, new_state_S_ptr, new_summary_ptr, new_summary_partial_ptr, new_cache_S_ptr, saved_S_ptr, saved_summary_partial_ptr, table_ptr, T, H, R, N,
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
        # spec line 23: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        sum_of_row = tl.sum(summand, 0)  # [K]
        partial = summary_partial2 + sum_of_row  # [K]
        next_partial = tl.where(completes2, 0.0, partial)  # [K]
        finished = partial * 0.00390625  # [K]
        if completes & (block_of_V == 0):
            tl.store(new_summary_ptr + (z * N + segment) * (size_K) + at_K, finished, mask=(at_K < size_K))
        v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
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
        S, summary_partial2 = next_S, next_partial
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(new_summary_partial_ptr + z * (size_K) + at_K, summary_partial2, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(k_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_weight_cached_ptr, stored_weight_online_ptr, table_ptr, T, H, R, N,
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
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 23: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    # spec line 25: weight: softmax(score)
    past = slots < segment  # [n]
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    taking = lib.topk(masked, (slots < segment), 4)  # [c, n]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 25: weight: softmax(score)
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
def forward_2(q_ptr, k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, new_cache_S_ptr, saved_S_ptr, stored_weight_cached_ptr, stored_weight_online_ptr, y_ptr, table_ptr, T, H, R, N,
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled = 256.0 * number2  # []
    added2 = scaled + number  # [c]
    mask = added2 >= 1.0  # [c]
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(key), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(q_c, saved_S, PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
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
        # spec line 25: weight: softmax(score)
        scaled2 = stored_weight_cached2[:, None] * read_S  # [c, V]
        recalled += scaled2
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask2 = c < count  # [d]
    mask3 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask3 & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked2 = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    written = b_c[:, None] * masked2  # [c, V]
    # spec line 18: read: scale * S.T @ q
    P = reach * total3  # [c, d]
    recent = lib.dot(P, written, PRECISION)  # [c, V]
    decay = tl.exp(G.to(tl.float32))  # [c]
    carried = decay[:, None] * total2  # [c, V]
    added3 = carried + recent  # [c, V]
    P2 = total * reach  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    written2 = l_c[:, None] * v_c  # [c, V]
    # spec line 18: read: scale * S.T @ q
    recent2 = lib.dot(P2, written2, PRECISION)  # [c, V]
    online = recent2 + added3  # [c, V]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    scaled3 = online * stored_weight_online[:, None]  # [c, V]
    mixed = scaled3 + recalled  # [c, V]
    # spec line 18: read: scale * S.T @ q
    y = (size_K ** (-0.5)) * mixed  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, k_ptr, v_ptr, a_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, d_y_ptr, stored_product_6_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.product.6."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    number = segment.to(tl.float32)  # []
    scaled = 256.0 * number  # []
    added = offset + c  # [c]
    number2 = added.to(tl.float32)  # [c]
    added2 = scaled + number2  # [c]
    mask = added2 >= 1.0  # [c]
    valid = c < count  # [c]
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(key), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 23: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    # spec line 18: read: scale * S.T @ q
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    mask3 = c < count  # [d]
    earlier = mask2 & mask3[None, :]  # [c, d]
    # spec line 25: weight: softmax(score)
    past = slots < segment  # [n]
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number2  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * total2  # [c]
    # spec line 25: weight: softmax(score)
    masked = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    taking = lib.topk(masked, (slots < segment), 4)  # [c, n]
    masked2 = tl.where(taking, score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked2, float("-inf")), 1)  # [c]
    at_least2 = tl.maximum(largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    exp_online = tl.exp(difference)  # [c]
    difference2 = masked2 - at_least2[:, None]  # [c, n]
    exp_cached = tl.exp(difference2)  # [c, n]
    total3 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total4 = exp_online + total3  # [c]
    share = 1.0 / total4  # [c]
    weight_online = exp_online * share  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked3 = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    # spec line 18: read: scale * S.T @ q
    product = lib.dot(d_y_c, tl.trans(masked3), PRECISION)  # [c, d]
    scaled2 = weight_online[:, None] * product  # [c, d]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked4 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked4.to(tl.float32))  # [c, d]
    P = reach * total  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product2 = tl.sum(P * scaled2, 0)  # [d]
    tl.store(stored_product_6_ptr + (z * R + r) * (C) + c, product2)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, v_ptr, u_ptr, new_summary_ptr, saved_S_ptr, saved_summary_partial_ptr, d_y_ptr, stored_weight_online_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_weight_cached_ptr, stored_total_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.weight_online, stored.product, stored.product.2, stored.product.3, stored.product.4, stored.product.5, stored.weight_cached, stored.total, stored.taking, stored.difference, stored.product.9, stored.largest."""
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
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = offset + c  # [c]
    number = added.to(tl.float32)  # [c]
    number2 = segment.to(tl.float32)  # []
    scaled = 256.0 * number2  # []
    added2 = scaled + number  # [c]
    mask = added2 >= 1.0  # [c]
    valid = c < count  # [c]
    total = tl.zeros((C,), tl.float32)  # [c]
    score_cached = tl.zeros((C, SLOTS,), tl.float32)  # [c, n]
    total2 = tl.zeros((C,), tl.float32)  # [c]
    total3 = tl.zeros((C, C,), tl.float32)  # [c, d]
    total4 = tl.zeros((C, C,), tl.float32)  # [c, d]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        product = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total2 += tl.sum(q_c * product, 1)
        k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        key = tl.where(mask[:, None], k_c_1, 0.0)  # [c, K]
        total3 += lib.dot(q_c, tl.trans(key), PRECISION)
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total4 += lib.dot(q_c, tl.trans(k_c), PRECISION)
        # spec line 23: summary: mean(k)
        summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
        running = tl.cumsum(summand, 0)  # [c, K]
        saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
        u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(u_c * sum_so_far, 1)
        new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
        score_cached += lib.dot(u_c, tl.trans(new_summary), PRECISION)
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 18: read: scale * S.T @ q
    product2 = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
    tl.store(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product2)
    v_c_1 = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked = tl.where(mask[:, None], v_c_1, 0.0)  # [c, V]
    # spec line 18: read: scale * S.T @ q
    product3 = lib.dot(d_y_c, tl.trans(masked), PRECISION)  # [c, d]
    tl.store(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], product3)
    tl.store(stored_product_ptr + (z * R + r) * (C) + c, total2)
    tl.store(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total3)
    tl.store(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :], total4)
    tl.store(stored_product_9_ptr + (z * R + r) * (C) + c, total)
    # spec line 25: weight: softmax(score)
    past = slots < segment  # [n]
    masked2 = tl.where(past[None, :], score_cached, (-1e+30))  # [c, n]
    taking = lib.topk(masked2, (slots < segment), 4)  # [c, n]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * total  # [c]
    # spec line 25: weight: softmax(score)
    masked3 = tl.where(taking, score_cached, (-1e+30))  # [c, n]
    largest = tl.max(tl.where((slots[None, :] < N), masked3, float("-inf")), 1)  # [c]
    tl.store(stored_largest_ptr + (z * R + r) * (C) + c, largest)
    at_least = tl.maximum(largest, score_online)  # [c]
    difference = masked3 - at_least[:, None]  # [c, n]
    tl.store(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], difference, mask=(slots[None, :] < N))
    difference2 = score_online - at_least  # [c]
    exp_cached = tl.exp(difference)  # [c, n]
    exp_online = tl.exp(difference2)  # [c]
    total5 = tl.sum(tl.where((slots[None, :] < N), exp_cached, 0.0), 1)  # [c]
    total6 = exp_online + total5  # [c]
    tl.store(stored_total_ptr + (z * R + r) * (C) + c, total6)
    share = 1.0 / total6  # [c]
    scaled2 = exp_cached * share[:, None]  # [c, n]
    weight_online = exp_online * share  # [c]
    tl.store(stored_weight_online_ptr + (z * R + r) * (C) + c, weight_online)
    weight_cached = tl.where(taking, scaled2, 0.0)  # [c, n]
    tl.store(stored_weight_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], weight_cached, mask=(slots[None, :] < N))
    masked4 = tl.where(taking, 1.0, 0.0)  # [c, n]
    tl.store(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], masked4, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(k_ptr, a_ptr, b_ptr, l_ptr, new_cache_S_ptr, saved_S_ptr, d_y_ptr, stored_product_2_ptr, stored_product_4_ptr, stored_total_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, d_q_ptr, table_ptr, T, H, R, N,
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
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    share = 1.0 / stored_total  # [c]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
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
        # spec line 18: read: scale * S.T @ q
        mask = stored_taking2 > 0.5  # [c]
        exp = tl.exp(stored_difference2)  # [c]
        scaled = exp * share  # [c]
        masked = tl.where(mask, scaled, 0.0)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        scaled2 = total2 * masked[:, None]  # [c, K]
        over_n += scaled2
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    valid = c < count  # [c]
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
    scaled3 = reach * stored_product_2  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled4 = b_c[None, :] * scaled3  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    number = segment.to(tl.float32)  # []
    scaled5 = 256.0 * number  # []
    added = offset + c  # [c]
    number2 = added.to(tl.float32)  # [c]
    added2 = scaled5 + number2  # [c]
    mask4 = added2 >= 1.0  # [c]
    k_c_1 = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    key = tl.where(mask4[:, None], k_c_1, 0.0)  # [c, K]
    # spec line 18: read: scale * S.T @ q
    product = lib.dot(scaled4, key, PRECISION)  # [c, K]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number2  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    exp_online = tl.exp(difference)  # [c]
    weight_online = share * exp_online  # [c]
    # spec line 18: read: scale * S.T @ q
    d_q_part = (size_K ** (-0.5)) * over_n  # [c, K]
    scaled6 = (size_K ** (-0.5)) * weight_online  # [c]
    d_q_part2 = scaled6[:, None] * product  # [c, K]
    d_q_part3 = d_q_part2 + d_q_part  # [c, K]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled7 = decay * weight_online  # [c]
    scaled8 = (size_K ** (-0.5)) * scaled7  # [c]
    d_q_part4 = total * scaled8[:, None]  # [c, K]
    d_q_part5 = d_q_part4 + d_q_part3  # [c, K]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled9 = reach * stored_product_4  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled10 = l_c[None, :] * scaled9  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product2 = lib.dot(scaled10, k_c, PRECISION)  # [c, K]
    d_q_part6 = scaled6[:, None] * product2  # [c, K]
    d_q = d_q_part6 + d_q_part5  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_3(q_ptr, new_cache_S_ptr, d_y_ptr, stored_out_2_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: stored.out.2."""
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
            # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
            product = lib.dot(d_y_c, tl.trans(new_cache_S), PRECISION)  # [c, K]
            total += tl.sum(q_c * product, 1)
        tl.store(stored_out_2_ptr + (z * R + r) * (N * C) + n * (C) + c, total)

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_4(a_ptr, b_ptr, l_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_total_ptr, stored_out_2_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, stored_d_score_online_ptr, stored_d_score_cached_ptr, table_ptr, T, H, R, N,
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
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = l_c[None, :] * stored_product_4  # [c, d]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_5  # [c, d]
    # spec line 25: weight: softmax(score)
    product = tl.sum(P * scaled, 1)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P2 = reach * stored_product_3  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 25: weight: softmax(score)
    scaled2 = b_c[None, :] * stored_product_2  # [c, d]
    product2 = tl.sum(P2 * scaled2, 1)  # [c]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    mask3 = stored_taking > 0.5  # [c, n]
    # spec line 18: read: scale * S.T @ q
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    scaled3 = decay * stored_product  # [c]
    added = product + scaled3  # [c]
    added2 = product2 + added  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added3 = offset + c  # [c]
    number = added3.to(tl.float32)  # [c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    past = slots < segment  # [n]
    stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked2 = tl.where(past[None, :], stored_out_2, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked2  # [c, n]
    masked3 = tl.where(mask3, d_weight_cached, 0.0)  # [c, n]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    exp_online = tl.exp(difference)  # [c]
    scaled4 = exp_online * added2  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled4  # [c]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked3, 0.0), 1)  # [c]
    d_share = d_share_part + d_share_part2  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled5 = share * d_share  # [c]
    ratio2 = scaled5 / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked3  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled6 = exp_cached * d_exp_cached  # [c, n]
    scaled7 = share * added2  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled7  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    tl.store(stored_d_score_online_ptr + (z * R + r) * (C) + c, d_score_online)
    d_score_cached = tl.where(mask3, scaled6, 0.0)  # [c, n]
    tl.store(stored_d_score_cached_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], d_score_cached, mask=(slots[None, :] < N))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_5(k_ptr, a_ptr, b_ptr, l_ptr, u_ptr, new_summary_ptr, saved_summary_partial_ptr, stored_product_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_total_ptr, stored_out_2_ptr, stored_taking_ptr, stored_difference_ptr, stored_product_9_ptr, stored_largest_ptr, d_u_ptr, stored_product_8_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, block_K: tl.constexpr):
    """A program for every row of the chunk table: d.u, stored.product.8."""
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
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    valid = c < count  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask = c < count  # [d]
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    earlier = mask2 & mask[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled = l_c[None, :] * stored_product_4  # [c, d]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_5  # [c, d]
    # spec line 25: weight: softmax(score)
    product = tl.sum(P * scaled, 1)  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P2 = reach * stored_product_3  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 25: weight: softmax(score)
    scaled2 = b_c[None, :] * stored_product_2  # [c, d]
    product2 = tl.sum(P2 * scaled2, 1)  # [c]
    stored_taking = tl.load(stored_taking_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    mask3 = stored_taking > 0.5  # [c, n]
    # spec line 18: read: scale * S.T @ q
    decay = tl.exp(G.to(tl.float32))  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    scaled3 = decay * stored_product  # [c]
    added = product + scaled3  # [c]
    added2 = product2 + added  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added3 = offset + c  # [c]
    number = added3.to(tl.float32)  # [c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    stored_product_9 = tl.load(stored_product_9_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 24: score: dot(u, summary)
    score_online = ratio * stored_product_9  # [c]
    stored_largest = tl.load(stored_largest_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 25: weight: softmax(score)
    at_least2 = tl.maximum(stored_largest, score_online)  # [c]
    difference = score_online - at_least2  # [c]
    past = slots < segment  # [n]
    stored_out_2 = tl.load(stored_out_2_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    masked2 = tl.where(past[None, :], stored_out_2, 0.0)  # [c, n]
    d_weight_cached = (size_K ** (-0.5)) * masked2  # [c, n]
    masked3 = tl.where(mask3, d_weight_cached, 0.0)  # [c, n]
    exp_online = tl.exp(difference)  # [c]
    scaled4 = exp_online * added2  # [c]
    d_share_part = (size_K ** (-0.5)) * scaled4  # [c]
    stored_difference = tl.load(stored_difference_ptr + (z * R + r) * (N * C) + slots[None, :] * (C) + c[:, None], mask=(slots[None, :] < N), other=0.0).to(tl.float32)  # [c, n]
    exp_cached = tl.exp(stored_difference)  # [c, n]
    d_share_part2 = tl.sum(tl.where((slots[None, :] < N), exp_cached * masked3, 0.0), 1)  # [c]
    d_share = d_share_part + d_share_part2  # [c]
    stored_total = tl.load(stored_total_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    share = 1.0 / stored_total  # [c]
    scaled5 = share * d_share  # [c]
    ratio2 = scaled5 / stored_total  # [c]
    d_exp_cached_part = share[:, None] * masked3  # [c, n]
    d_total = -ratio2  # [c]
    d_exp_cached = d_total[:, None] + d_exp_cached_part  # [c, n]
    scaled6 = exp_cached * d_exp_cached  # [c, n]
    d_score_cached = tl.where(mask3, scaled6, 0.0)  # [c, n]
    new_summary = tl.load(new_summary_ptr + z * N * (size_K) + slots[:, None] * (size_K) + at_K[None, :], mask=(slots[:, None] < N) & (at_K[None, :] < size_K), other=0.0).to(tl.float32)  # [n, K]
    # spec line 24: score: dot(u, summary)
    d_u_part = lib.dot(tl.where((slots[None, :] < N), d_score_cached, 0.0), new_summary, PRECISION)  # [c, K]
    # spec line 25: weight: softmax(score)
    scaled7 = share * added2  # [c]
    d_exp_online_part = (size_K ** (-0.5)) * scaled7  # [c]
    d_exp_online = d_total + d_exp_online_part  # [c]
    d_score_online = exp_online * d_exp_online  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 24: score: dot(u, summary)
    d_summary_online = u_c * d_score_online[:, None]  # [c, K]
    # spec line 23: summary: mean(k)
    product3 = tl.sum(ratio[:, None] * d_summary_online, 0)  # [K]
    tl.store(stored_product_8_ptr + (z * R + r) * (size_K) + at_K, product3, mask=(at_K < size_K))
    k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    summand = tl.where(valid[:, None], k_c, 0.0)  # [c, K]
    running = tl.cumsum(summand, 0)  # [c, K]
    saved_summary_partial = tl.load(saved_summary_partial_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    sum_so_far = running + saved_summary_partial[None, :]  # [c, K]
    summary_online = ratio[:, None] * sum_so_far  # [c, K]
    # spec line 24: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, None]  # [c, K]
    d_u = d_u_part + d_u_part2  # [c, K]
    tl.store(d_u_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_u, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_6(q_ptr, u_ptr, d_y_ptr, d_new_summary_ptr, d_new_cache_S_ptr, stored_d_score_cached_ptr, stored_weight_cached_ptr, d_summary_ptr, d_cache_S_ptr, stored_product_7_ptr, stored_d_summaries_part_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every cached memory, its rows one after the other: d.summary, d.cache.S, stored.product.7, stored.d_summaries_part."""
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
        # spec line 18: read: scale * S.T @ q
        scaled = d_y_c * stored_weight_cached[:, None]  # [c, V]
        d_summaries_part += tl.sum(u_c * stored_d_score_cached[:, None], 0)
        total += lib.dot(tl.trans(q_c), scaled, PRECISION)
    d_new_summary = tl.load(d_new_summary_ptr + (z * N + n) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    # spec line 24: score: dot(u, summary)
    d_summaries = d_new_summary + d_summaries_part  # [K]
    # spec line 23: summary: mean(k)
    d_summary = tl.where(kept, d_summaries, 0.0)  # [K]
    if (block_of_V == 0):
        tl.store(d_summary_ptr + (z * N + n) * (size_K) + at_K, d_summary, mask=(at_K < size_K))
    d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    # spec line 18: read: scale * S.T @ q
    d_cached_S_part = (size_K ** (-0.5)) * total  # [K, V]
    d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
    d_cache_S = tl.where(kept, d_cached_S, 0.0)  # [K, V]
    tl.store(d_cache_S_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_cache_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    tl.store(stored_product_7_ptr + (z * N + n) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], total, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(stored_d_summaries_part_ptr + (z * N + n) * (size_K) + at_K, d_summaries_part, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_7(q_ptr, a_ptr, d_y_ptr, d_new_state_S_ptr, d_new_summary_ptr, d_new_summary_partial_ptr, d_new_cache_S_ptr, stored_weight_online_ptr, stored_product_7_ptr, stored_product_8_ptr, stored_d_summaries_part_ptr, d_state_S_ptr, d_summary_partial_ptr, stored_d_sum_of_row_ptr, stored_d_increment_S_ptr, stored_out_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, d.summary.partial, stored.d_sum_of_row, stored.d_increment_S, stored.out."""
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
    # spec line 24: score: dot(u, summary)
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
        valid = c < count  # [c]
        mask = count > 0  # []
        added = offset + count  # []
        mask2 = added == 256  # []
        completes2 = mask2 & mask  # []
        # spec line 23: summary: mean(k)
        d_partial_part = tl.where(completes2, 0.0, d_old_summary_partial)  # [K]
        a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
        at_least = tl.maximum(logfloor, (-120.0))  # [c]
        log_decay = tl.where(valid, at_least, 0.0)  # [c]
        total = tl.sum(log_decay, 0)  # []
        decay_of_row = tl.exp(total)  # []
        # spec line 18: read: scale * S.T @ q
        G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
        decay = tl.exp(G.to(tl.float32))  # [c]
        stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
        d_new_summary2 = tl.load(d_new_summary_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        stored_d_summaries_part2 = tl.load(stored_d_summaries_part_ptr + (z * N + segment) * (size_K) + at_K, mask=(at_K < size_K * completes.to(tl.int32)), other=0.0).to(tl.float32)  # [K]
        # spec line 24: score: dot(u, summary)
        d_summaries2 = d_new_summary2 + stored_d_summaries_part2  # [K]
        # spec line 23: summary: mean(k)
        d_finished = tl.where(completes, d_summaries2, 0.0)  # [K]
        scaled = 0.00390625 * d_finished  # [K]
        d_partial = scaled + d_partial_part  # [K]
        stored_product_8 = tl.load(stored_product_8_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
        added2 = d_partial + stored_product_8  # [K]
        d_new_cache_S = tl.load(d_new_cache_S_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        stored_product_7 = tl.load(stored_product_7_ptr + (z * N + segment) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K * completes.to(tl.int32)) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 18: read: scale * S.T @ q
        d_cached_S_part = (size_K ** (-0.5)) * stored_product_7  # [K, V]
        d_cached_S = d_new_cache_S + d_cached_S_part  # [K, V]
        at_end = tl.where(completes, d_cached_S, 0.0)  # [K, V]
        d_next_S = d_old_S + at_end  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_old_S2 = decay_of_row * d_next_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 18: read: scale * S.T @ q
        scaled2 = d_y_c * stored_weight_online[:, None]  # [c, V]
        scaled3 = decay[:, None] * scaled2  # [c, V]
        product = lib.dot(tl.trans(q_c), scaled3, PRECISION)  # [K, V]
        scaled4 = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        added3 = d_old_S2 + scaled4  # [K, V]
        if (block_of_V == 0):
            tl.store(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, d_partial, mask=(at_K < size_K))
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        tl.store(stored_out_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_next_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S, d_old_summary_partial = added3, added2
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
    if (block_of_V == 0):
        tl.store(d_summary_partial_ptr + z * (size_K) + at_K, d_old_summary_partial, mask=(at_K < size_K))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_8(k_ptr, a_ptr, b_ptr, l_ptr, d_y_ptr, stored_d_increment_S_ptr, stored_weight_online_ptr, stored_product_5_ptr, stored_product_3_ptr, stored_d_v_0_ptr, stored_d_v_1_ptr, table_ptr, T, H, R, N,
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
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    scaled2 = d_y_c * stored_weight_online[:, None]  # [c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P = reach * stored_product_3  # [c, d]
    product = lib.dot(tl.trans(P), scaled2, PRECISION)  # [d, V]
    scaled3 = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    d_written_part = decay_after[:, None] * total2  # [c, V]
    d_written = d_written_part + scaled3  # [c, V]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    P2 = reach * stored_product_5  # [c, d]
    product2 = lib.dot(tl.trans(P2), scaled2, PRECISION)  # [d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_written_part2 = decay_after[:, None] * total  # [c, V]
    # spec line 18: read: scale * S.T @ q
    scaled4 = (size_K ** (-0.5)) * product2  # [d, V]
    d_written2 = d_written_part2 + scaled4  # [c, V]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    scaled5 = b_c[:, None] * d_written  # [c, V]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_v = l_c[:, None] * d_written2  # [c, V]
    tl.store(stored_d_v_0_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
    d_v2 = tl.where(mask[:, None], scaled5, 0.0)  # [c, V]
    tl.store(stored_d_v_1_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v2, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_9(q_ptr, v_ptr, a_ptr, b_ptr, l_ptr, u_ptr, stored_d_sum_of_row_ptr, stored_d_score_online_ptr, stored_d_increment_S_ptr, stored_weight_online_ptr, stored_product_4_ptr, stored_product_2_ptr, stored_d_k_0_ptr, stored_d_k_1_ptr, table_ptr, T, H, R, N,
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
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    stored_d_score_online = tl.load(stored_d_score_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    u_c = lib.tokens(tl.load(u_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    # spec line 24: score: dot(u, summary)
    d_summary_online = u_c * stored_d_score_online[:, None]  # [c, K]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [c]
    ratio = 1.0 / seen  # [c]
    d_sum_so_far = ratio[:, None] * d_summary_online  # [c, K]
    d_summand_part = tl.cumsum(d_sum_so_far, 0, reverse=True)  # [c, K]
    stored_d_sum_of_row = tl.load(stored_d_sum_of_row_ptr + (z * R + r) * (size_K) + at_K, mask=(at_K < size_K), other=0.0).to(tl.float32)  # [K]
    d_summand = stored_d_sum_of_row[None, :] + d_summand_part  # [c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_write = l_c[:, None] * total  # [c, K]
    d_k_part = decay_after[:, None] * d_write  # [c, K]
    # spec line 23: summary: mean(k)
    d_k_part2 = tl.where(valid[:, None], d_summand, 0.0)  # [c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_k_part3 = d_k_part + d_k_part2  # [c, K]
    # spec line 18: read: scale * S.T @ q
    mask2 = c[:, None] >= c[None, :]  # [c, d]
    mask3 = c < count  # [d]
    earlier = mask2 & mask3[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked2 = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked2.to(tl.float32))  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled2 = reach * stored_product_4  # [c, d]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled3 = stored_weight_online[:, None] * scaled2  # [c, d]
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(scaled3), q_c, PRECISION)  # [d, K]
    scaled4 = l_c[:, None] * product  # [d, K]
    scaled5 = (size_K ** (-0.5)) * scaled4  # [d, K]
    d_k = d_k_part3 + scaled5  # [c, K]
    tl.store(stored_d_k_0_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled6 = reach * stored_product_2  # [c, d]
    scaled7 = stored_weight_online[:, None] * scaled6  # [c, d]
    product2 = lib.dot(tl.trans(scaled7), q_c, PRECISION)  # [d, K]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_write2 = b_c[:, None] * total2  # [c, K]
    d_key_part = decay_after[:, None] * d_write2  # [c, K]
    # spec line 18: read: scale * S.T @ q
    scaled8 = (size_K ** (-0.5)) * b_c  # [d]
    scaled9 = scaled8[:, None] * product2  # [d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_key = d_key_part + scaled9  # [c, K]
    d_k2 = tl.where(mask[:, None], d_key, 0.0)  # [c, K]
    tl.store(stored_d_k_1_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k2, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_10(k_ptr, v_ptr, a_ptr, stored_d_increment_S_ptr, stored_weight_online_ptr, stored_product_5_ptr, stored_product_4_ptr, d_l_ptr, table_ptr, T, H, R, N,
                C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.l."""
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
    v_c = lib.tokens(tl.load(v_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    total = tl.zeros((C,), tl.float32)  # [c]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product = lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * (T + 1) + first + 1) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += tl.sum(k_c * product, 1)
    valid = c < count  # [c]
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    logfloor = tl.log(tl.maximum(tl.abs(a_c), 1e-30))  # [c]
    at_least = tl.maximum(logfloor, (-120.0))  # [c]
    log_decay = tl.where(valid, at_least, 0.0)  # [c]
    # spec line 18: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    G = tl.cumsum(log_decay.to(tl.float64), 0)  # [c]
    gap = G[:, None] - G[None, :]  # [c, d]
    masked = tl.where(earlier, gap, (-10000.0))  # [c, d]
    reach = tl.exp(masked.to(tl.float32))  # [c, d]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    P = reach * stored_product_5  # [c, d]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    scaled = stored_weight_online[:, None] * stored_product_4  # [c, d]
    product2 = tl.sum(P * scaled, 0)  # [d]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    scaled2 = decay_after * total  # [c]
    scaled3 = (size_K ** (-0.5)) * product2  # [c]
    d_l = scaled2 + scaled3  # [c]
    tl.store(d_l_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_l, mask=(c < count))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_11(k_ptr, v_ptr, a_ptr, b_ptr, l_ptr, saved_S_ptr, stored_d_increment_S_ptr, stored_weight_online_ptr, stored_product_ptr, stored_out_ptr, stored_product_2_ptr, stored_product_3_ptr, stored_product_4_ptr, stored_product_5_ptr, stored_product_6_ptr, d_a_ptr, d_b_ptr, table_ptr, T, H, R, N,
                C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.a, d.b."""
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
    stored_product_3 = tl.load(stored_product_3_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    stored_product_2 = tl.load(stored_product_2_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    # spec line 18: read: scale * S.T @ q
    scaled2 = stored_product_2 * stored_product_3  # [c, d]
    stored_product_5 = tl.load(stored_product_5_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    stored_product_4 = tl.load(stored_product_4_ptr + (z * R + r) * (C * C) + c[:, None] * (C) + c[None, :]).to(tl.float32)  # [c, d]
    scaled3 = stored_product_4 * stored_product_5  # [c, d]
    stored_weight_online = tl.load(stored_weight_online_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    scaled4 = (size_K ** (-0.5)) * stored_weight_online  # [c]
    scaled5 = scaled4[:, None] * scaled2  # [c, d]
    l_c = lib.tokens(tl.load(l_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    scaled6 = l_c[None, :] * scaled3  # [c, d]
    d_reach_part = scaled4[:, None] * scaled6  # [c, d]
    b_c = lib.tokens(tl.load(b_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    d_reach_part2 = b_c[None, :] * scaled5  # [c, d]
    d_reach = d_reach_part + d_reach_part2  # [c, d]
    valid = c < count  # [c]
    a_c = lib.tokens(tl.load(a_ptr + ((b * T + first) * H + h) * (1) + token * (H * 1)), count, PACKED)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
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
    scaled7 = reach * d_reach  # [c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_decay_after_part = l_c * total  # [c]
    d_decay_after_part2 = b_c * total2  # [c]
    d_decay_after = d_decay_after_part + d_decay_after_part2  # [c]
    G_after = lib.sums_before(log_decay.to(tl.float64), True)  # [c]
    exp = tl.exp(G_after.to(tl.float32))  # [c]
    stored_product = tl.load(stored_product_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [c]
    # spec line 18: read: scale * S.T @ q
    scaled8 = stored_weight_online * stored_product  # [c]
    decay = tl.exp(G.to(tl.float32))  # [c]
    scaled9 = decay * scaled8  # [c]
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
    d_gap = tl.where(earlier, scaled7, 0.0)  # [c, d]
    running = tl.cumsum(d_gap, 0, reverse=True)  # [c, d]
    mask4 = c[None, :] < c[:, None]  # [c, d]
    masked4 = tl.where(mask4, running, 0.0)  # [c, d]
    d_log_decay_part4 = tl.sum(masked4, 1)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    decay_after = tl.where(valid, exp, 0.0)  # [c]
    scaled10 = decay_after * total2  # [c]
    stored_product_6 = tl.load(stored_product_6_ptr + (z * R + r) * (C) + c).to(tl.float32)  # [d]
    scaled11 = (size_K ** (-0.5)) * stored_product_6  # [c]
    d_b = scaled11 + scaled10  # [c]
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
    scaled12 = 0.5 * masked6  # [c]
    masked8 = tl.where(mask7, scaled12, masked7)  # [c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_a = masked8 / masked5  # [c]
    tl.store(d_a_ptr + ((b * T + start) * H + h) * (1) + c * (H * 1), d_a, mask=(c < count))

forward = {
    "scratch": [('stored.weight_cached', 'starts', ('n', 'c')), ('stored.weight_online', 'starts', ('c',))],
    "copies": [('new.summary', 'summary'), ('new.cache.S', 'cache.S')],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 2, "tiles": ((5.25, 2.25), (5.25, 2.25)), "tensors": ('k', 'v', 'a', 'b', 'l', 'state.S', 'summary.partial', 'new.state.S', 'new.summary', 'new.summary.partial', 'new.cache.S', 'saved.S', 'saved.summary.partial')},
        {"run": forward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K',),
         "products": 1, "tiles": ((3.25, 2.25), (3.25, 2.25)), "tensors": ('k', 'u', 'new.summary', 'saved.summary.partial', 'stored.weight_cached', 'stored.weight_online')},
        {"run": forward_2, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 6, "tiles": ((5.5, 4.0), (5.5, 4.0)), "tensors": ('q', 'k', 'v', 'a', 'b', 'l', 'new.cache.S', 'saved.S', 'stored.weight_cached', 'stored.weight_online', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d.k.0', 'token', ('K',)), ('stored.d.k.1', 'token', ('K',)), ('stored.d.v.0', 'token', ('V',)), ('stored.d.v.1', 'token', ('V',)), ('stored.d_sum_of_row', 'starts', ('K',)), ('stored.d_score_online', 'starts', ('c',)), ('stored.d_increment_S', 'starts', ('K', 'V')), ('stored.weight_online', 'starts', ('c',)), ('stored.product', 'starts', ('c',)), ('stored.out', 'starts', ('K', 'V')), ('stored.product.2', 'starts', ('c', 'd')), ('stored.product.3', 'starts', ('c', 'd')), ('stored.product.4', 'starts', ('c', 'd')), ('stored.product.5', 'starts', ('c', 'd')), ('stored.product.6', 'starts', ('d',)), ('stored.product.7', 'slots', ('K', 'V')), ('stored.product.8', 'starts', ('K',)), ('stored.d_summaries_part', 'slots', ('K',)), ('stored.d_score_cached', 'starts', ('n', 'c')), ('stored.weight_cached', 'starts', ('n', 'c')), ('stored.total', 'starts', ('c',)), ('stored.out.2', 'starts', ('n', 'c')), ('stored.taking', 'starts', ('n', 'c')), ('stored.difference', 'starts', ('n', 'c')), ('stored.product.9', 'starts', ('c',)), ('stored.largest', 'starts', ('c',))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((5.0, 4.75), (6.75, 6.75)), "tensors": ('q', 'k', 'v', 'a', 'u', 'new.summary', 'saved.summary.partial', 'd.y', 'stored.product.6')},
        {"run": backward_1, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 6, "tiles": ((3.5, 3.5), (5.25, 5.25)), "tensors": ('q', 'k', 'v', 'u', 'new.summary', 'saved.S', 'saved.summary.partial', 'd.y', 'stored.weight_online', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.weight_cached', 'stored.total', 'stored.taking', 'stored.difference', 'stored.product.9', 'stored.largest')},
        {"run": backward_2, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.0, 4.5), (6.0, 4.5)), "tensors": ('k', 'a', 'b', 'l', 'new.cache.S', 'saved.S', 'd.y', 'stored.product.2', 'stored.product.4', 'stored.total', 'stored.taking', 'stored.difference', 'stored.product.9', 'stored.largest', 'd.q')},
        {"run": backward_3, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 2.0), (5.0, 3.5)), "tensors": ('q', 'new.cache.S', 'd.y', 'stored.out.2')},
        {"run": backward_4, "grid": 'rows', "blocked": (), "folded": (), "dims": ('K',),
         "products": 0, "tiles": ((3.75, 3.75), (3.75, 3.75)), "tensors": ('a', 'b', 'l', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.total', 'stored.out.2', 'stored.taking', 'stored.difference', 'stored.product.9', 'stored.largest', 'stored.d_score_online', 'stored.d_score_cached')},
        {"run": backward_5, "grid": 'rows', "blocked": ('K',), "folded": (), "dims": ('K',),
         "products": 1, "tiles": ((4.25, 3.75), (4.25, 3.75)), "tensors": ('k', 'a', 'b', 'l', 'u', 'new.summary', 'saved.summary.partial', 'stored.product', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.total', 'stored.out.2', 'stored.taking', 'stored.difference', 'stored.product.9', 'stored.largest', 'd.u', 'stored.product.8')},
        {"run": backward_6, "grid": 'slots', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((2.02, 1.02), (2.02, 1.02)), "tensors": ('q', 'u', 'd.y', 'd.new.summary', 'd.new.cache.S', 'stored.d_score_cached', 'stored.weight_cached', 'd.summary', 'd.cache.S', 'stored.product.7', 'stored.d_summaries_part')},
        {"run": backward_7, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.25, 1.5), (3.25, 1.5)), "tensors": ('q', 'a', 'd.y', 'd.new.state.S', 'd.new.summary', 'd.new.summary.partial', 'd.new.cache.S', 'stored.weight_online', 'stored.product.7', 'stored.product.8', 'stored.d_summaries_part', 'd.state.S', 'd.summary.partial', 'stored.d_sum_of_row', 'stored.d_increment_S', 'stored.out')},
        {"run": backward_8, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((6.25, 3.5), (6.25, 3.5)), "tensors": ('k', 'a', 'b', 'l', 'd.y', 'stored.d_increment_S', 'stored.weight_online', 'stored.product.5', 'stored.product.3', 'stored.d.v.0', 'stored.d.v.1')},
        {"run": backward_9, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 4, "tiles": ((7.0, 4.75), (7.0, 4.75)), "tensors": ('q', 'v', 'a', 'b', 'l', 'u', 'stored.d_sum_of_row', 'stored.d_score_online', 'stored.d_increment_S', 'stored.weight_online', 'stored.product.4', 'stored.product.2', 'stored.d.k.0', 'stored.d.k.1')},
        {"run": backward_10, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 2.75), (5.0, 3.5)), "tensors": ('k', 'v', 'a', 'stored.d_increment_S', 'stored.weight_online', 'stored.product.5', 'stored.product.4', 'd.l')},
        {"run": backward_11, "grid": 'rows', "blocked": (), "folded": ('K',), "dims": ('K', 'V'),
         "products": 2, "tiles": ((5.5, 5.5), (5.5, 5.5)), "tensors": ('k', 'v', 'a', 'b', 'l', 'saved.S', 'stored.d_increment_S', 'stored.weight_online', 'stored.product', 'stored.out', 'stored.product.2', 'stored.product.3', 'stored.product.4', 'stored.product.5', 'stored.product.6', 'd.a', 'd.b')},
    ],
    "shifted": [('d.k', (('stored.d.k.0', 0), ('stored.d.k.1', 1))), ('d.v', (('stored.d.v.0', 0), ('stored.d.v.1', 1)))],
}
