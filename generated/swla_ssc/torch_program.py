"""swla_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    read = scale * S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    select = top 4
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    l_c = rows.load(ops.tokens(l))  # [z, r, c]
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    written = l_c[:, :, :, None] * v_c  # [z, r, c, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    a_c = rows.load(ops.tokens(a))  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = ops.logfloor(a_c)  # [z, r, c]
    at_least = ops.maximum(logfloor, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", written, P)  # [z, r, c, V]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    product2 = torch.einsum("zrcV,zrcK->zrVK", written, write)  # [z, r, V, K]
    b_c = rows.load(ops.tokens(b))  # [z, r, c]
    number = rows.segment.to(like.dtype)  # [z, r]
    scaled = 256.0 * number  # [z, r]
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number2 = added.to(like.dtype)  # [z, r, c]
    added2 = scaled[:, :, None] + number2  # [z, r, c]
    mask3 = added2 >= 1.0  # [z, r, c]
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]
    masked2 = torch.where(mask3[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]
    written2 = b_c[:, :, :, None] * masked2  # [z, r, c, V]
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]
    key = torch.where(mask3[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]
    write2 = decay_after[:, :, :, None] * key  # [z, r, c, K]
    product3 = torch.einsum("zrcV,zrcK->zrVK", written2, write2)  # [z, r, V, K]
    increment_S = product2 + product3  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled2 = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled2 + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        end_S_rows[r] = next_S
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 18: read: scale * S.T @ q
    product4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product4  # [z, r, c, V]
    product5 = torch.einsum("zrcK,zrdK->zrcd", q_c, key)  # [z, r, c, d]
    P2 = reach * product5  # [z, r, c, d]
    recent2 = torch.einsum("zrcd,zrdV->zrcV", P2, written2)  # [z, r, c, V]
    added3 = carried + recent2  # [z, r, c, V]
    online = recent + added3  # [z, r, c, V]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number2  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    summary_partial_z = ops.flat(summary_partial)  # [z, K]
    summand = torch.where(valid[:, :, :, None], k_c, 0.0)  # [z, r, c, K]
    sum_of_row = summand.sum(2)  # [z, r, K]
    added4 = rows.offset + rows.count  # [z, r]
    mask4 = added4 == 256.0  # [z, r]
    mask5 = rows.count > 0.0  # [z, r]
    completes = mask4 & mask5  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        partial = old_summary_partial + sum_of_row[:, r]  # [z, K]
        next_partial = torch.where(completes[:, r][:, None], 0.0, partial)  # [z, K]
        end_summary_partial_rows[r] = partial
        old_summary_partial = next_partial
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    running = ops.running(summand, 2)  # [z, r, c, K]
    sum_so_far = old_summary_partial_starts[:, :, None] + running  # [z, r, c, K]
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]
    # spec line 24: score: dot(u, summary)
    product6 = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product6  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 25: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 23: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 24: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 25: weight: softmax(score)
    masked3 = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    taking = rows.topk(masked3, 4)  # [z, r, c, n]
    masked4 = torch.where(taking, score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked4, 3)  # [z, r, c]
    at_least2 = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least2.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked4 - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total2 = exp_cached.sum(3)  # [z, r, c]
    total3 = exp_online + total2  # [z, r, c]
    share = 1.0 / total3  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    scaled3 = online * weight_online[:, :, :, None]  # [z, r, c, V]
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]
    # spec line 18: read: scale * S.T @ q
    cached_S = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]
    # spec line 25: weight: softmax(score)
    scaled4 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(taking, scaled4, 0.0)  # [z, r, c, n]
    recalled = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        # spec line 18: read: scale * S.T @ q
        read_S = torch.einsum("zrcK,zKV->zrcV", q_c, cached_S[:, n])  # [z, r, c, V]
        # spec line 25: weight: softmax(score)
        scaled5 = read_S * weight_cached[:, :, :, n][:, :, :, None]  # [z, r, c, V]
        recalled = recalled + scaled5
    mixed = scaled3 + recalled  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    y = (size_K ** -0.5) * mixed  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(summaries, H), ops.unflat(old_summary_partial, H), ops.unflat(cached_S, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]
    summand = torch.where(valid[:, :, :, None], k_c, 0.0)  # [z, r, c, K]
    running = ops.running(summand, 2)  # [z, r, c, K]
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]
    sum_so_far = running + saved_summary_partial_z[:, :, None]  # [z, r, c, K]
    # spec line 24: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", u_c, sum_so_far)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 25: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    new_summary_z = ops.flat(new_summary)  # [z, n, K]
    # spec line 24: score: dot(u, summary)
    score_cached = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]
    # spec line 25: weight: softmax(score)
    masked = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    taking = rows.topk(masked, 4)  # [z, r, c, n]
    masked2 = torch.where(taking, score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked2, 3)  # [z, r, c]
    at_least = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked2 - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total = exp_cached.sum(3)  # [z, r, c]
    total2 = exp_online + total  # [z, r, c]
    share = 1.0 / total2  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    scaled = (size_K ** -0.5) * weight_online  # [z, r, c]
    l_c = rows.load(ops.tokens(l))  # [z, r, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    a_c = rows.load(ops.tokens(a))  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = ops.logfloor(a_c)  # [z, r, c]
    at_least2 = ops.maximum(logfloor, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least2, 0.0)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked3 = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked3.to(like.dtype))  # [z, r, c, d]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]
    product2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    scaled2 = reach * product2  # [z, r, c, d]
    scaled3 = l_c[:, :, None] * scaled2  # [z, r, c, d]
    product3 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled3)  # [z, r, c, K]
    d_q_part = scaled[:, :, :, None] * product3  # [z, r, c, K]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product4 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    scaled4 = decay * weight_online  # [z, r, c]
    scaled5 = (size_K ** -0.5) * scaled4  # [z, r, c]
    d_q_part2 = product4 * scaled5[:, :, :, None]  # [z, r, c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    number2 = rows.segment.to(like.dtype)  # [z, r]
    scaled6 = 256.0 * number2  # [z, r]
    added2 = scaled6[:, :, None] + number  # [z, r, c]
    mask3 = added2 >= 1.0  # [z, r, c]
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]
    key = torch.where(mask3[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]
    b_c = rows.load(ops.tokens(b))  # [z, r, c]
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]
    masked4 = torch.where(mask3[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    product5 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, masked4)  # [z, r, c, d]
    scaled7 = reach * product5  # [z, r, c, d]
    scaled8 = b_c[:, :, None] * scaled7  # [z, r, c, d]
    product6 = torch.einsum("zrdK,zrcd->zrcK", key, scaled8)  # [z, r, c, K]
    d_q_part3 = scaled[:, :, :, None] * product6  # [z, r, c, K]
    # spec line 25: weight: softmax(score)
    scaled9 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(taking, scaled9, 0.0)  # [z, r, c, n]
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    over_n = like.new_zeros((z, R, chunk, size_K, ))
    per_n = [None] * N
    per_n2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        product7 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]
        scaled10 = weight_cached[:, :, :, n][:, :, :, None] * product7  # [z, r, c, K]
        # spec line 18: read: scale * S.T @ q
        scaled11 = weight_cached[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]
        product8 = torch.einsum("zrcK,zrcV->zKV", q_c, scaled11)  # [z, K, V]
        product9 = torch.einsum("zrcK,zrcK->zrc", product7, q_c)  # [z, r, c]
        over_n = over_n + scaled10
        per_n[n] = product8
        per_n2[n] = product9
    per_n = ops.stacked(per_n, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    per_n2 = ops.stacked(per_n2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    d_q_part4 = (size_K ** -0.5) * over_n  # [z, r, c, K]
    d_q_part5 = d_q_part3 + d_q_part4  # [z, r, c, K]
    d_q_part6 = d_q_part2 + d_q_part5  # [z, r, c, K]
    d_q = d_q_part + d_q_part6  # [z, r, c, K]
    scaled12 = weight_online[:, :, :, None] * scaled2  # [z, r, c, d]
    product10 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled12)  # [z, r, d, K]
    scaled13 = l_c[:, :, :, None] * product10  # [z, r, d, K]
    scaled14 = (size_K ** -0.5) * scaled13  # [z, r, d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]
    # spec line 18: read: scale * S.T @ q
    d_cached_S_part = (size_K ** -0.5) * per_n  # [z, n, K, V]
    d_cached_S = d_new_cache_S_z + d_cached_S_part  # [z, n, K, V]
    at_end = rows.expose(d_cached_S)  # [z, r, K, V]
    scaled15 = d_y_c * weight_online[:, :, :, None]  # [z, r, c, V]
    scaled16 = decay[:, :, :, None] * scaled15  # [z, r, c, V]
    product11 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled16)  # [z, r, K, V]
    scaled17 = (size_K ** -0.5) * product11  # [z, r, K, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    total3 = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total3)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    d_next_S_0_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 18: read: scale * S.T @ q
        d_next_S = d_old_S + at_end[:, r]  # [z, K, V]
        # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_next_S  # [z, K, V]
        added3 = d_old_S2 + scaled17[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_next_S
        d_next_S_0_rows[r] = d_next_S
        d_old_S = added3
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_next_S_0_rows = ops.stacked(d_next_S_0_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product12 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write = l_c[:, :, :, None] * product12  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product13 = torch.einsum("zrcK,zrdK->zrcd", q_c, key)  # [z, r, c, d]
    P = reach * product13  # [z, r, c, d]
    # spec line 25: weight: softmax(score)
    scaled18 = b_c[:, :, None] * product5  # [z, r, c, d]
    product14 = torch.einsum("zrcd,zrcd->zrc", P, scaled18)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    product15 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P2 = product15 * reach  # [z, r, c, d]
    scaled19 = l_c[:, :, None] * product2  # [z, r, c, d]
    # spec line 25: weight: softmax(score)
    product16 = torch.einsum("zrcd,zrcd->zrc", P2, scaled19)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    product17 = torch.einsum("zrcK,zrcK->zrc", q_c, product4)  # [z, r, c]
    # spec line 25: weight: softmax(score)
    scaled20 = decay * product17  # [z, r, c]
    added4 = product16 + scaled20  # [z, r, c]
    added5 = product14 + added4  # [z, r, c]
    scaled21 = share * added5  # [z, r, c]
    d_exp_online_part = (size_K ** -0.5) * scaled21  # [z, r, c]
    scaled22 = exp_online * added5  # [z, r, c]
    d_share_part = (size_K ** -0.5) * scaled22  # [z, r, c]
    d_weight_cached = (size_K ** -0.5) * per_n2  # [z, r, c, n]
    masked5 = torch.where(taking, d_weight_cached, 0.0)  # [z, r, c, n]
    d_share_part2 = torch.einsum("zrcn,zrcn->zrc", exp_cached, masked5)  # [z, r, c]
    d_share = d_share_part + d_share_part2  # [z, r, c]
    scaled23 = share * d_share  # [z, r, c]
    ratio2 = scaled23 / total2  # [z, r, c]
    d_total = -ratio2  # [z, r, c]
    d_exp_online = d_exp_online_part + d_total  # [z, r, c]
    d_score_online = exp_online * d_exp_online  # [z, r, c]
    # spec line 24: score: dot(u, summary)
    d_summary_online = u_c * d_score_online[:, :, :, None]  # [z, r, c, K]
    # spec line 23: summary: mean(k)
    d_sum_so_far = ratio[:, :, :, None] * d_summary_online  # [z, r, c, K]
    d_summand_part = ops.running(d_sum_so_far, 2, reverse=True)  # [z, r, c, K]
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]
    # spec line 25: weight: softmax(score)
    d_exp_cached_part = share[:, :, :, None] * masked5  # [z, r, c, n]
    d_exp_cached = d_total[:, :, :, None] + d_exp_cached_part  # [z, r, c, n]
    scaled24 = exp_cached * d_exp_cached  # [z, r, c, n]
    d_score_cached = torch.where(taking, scaled24, 0.0)  # [z, r, c, n]
    # spec line 24: score: dot(u, summary)
    d_summaries_part = torch.einsum("zrcK,zrcn->znK", u_c, d_score_cached)  # [z, n, K]
    d_summaries = d_new_summary_z + d_summaries_part  # [z, n, K]
    # spec line 23: summary: mean(k)
    d_finished = rows.expose(d_summaries)  # [z, r, K]
    scaled25 = 0.00390625 * d_finished  # [z, r, K]
    product18 = torch.einsum("zrc,zrcK->zrK", ratio, d_summary_online)  # [z, r, K]
    added6 = rows.offset + rows.count  # [z, r]
    mask4 = added6 == 256.0  # [z, r]
    mask5 = rows.count > 0.0  # [z, r]
    completes = mask4 & mask5  # [z, r]
    d_old_summary_partial = d_new_summary_partial_z
    d_old_summary_partial_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_starts[r] = d_old_summary_partial
        d_partial_part = torch.where(completes[:, r][:, None], 0.0, d_old_summary_partial)  # [z, K]
        d_partial = scaled25[:, r] + d_partial_part  # [z, K]
        added7 = d_partial + product18[:, r]  # [z, K]
        d_sum_summary_partial_rows[r] = d_partial
        d_old_summary_partial = added7
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    d_summand = d_summand_part + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]
    d_k_part2 = torch.where(valid[:, :, :, None], d_summand, 0.0)  # [z, r, c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_k_part3 = d_k_part + d_k_part2  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    d_k = scaled14 + d_k_part3  # [z, r, c, K]
    scaled26 = (size_K ** -0.5) * b_c  # [z, r, d]
    scaled27 = weight_online[:, :, :, None] * scaled7  # [z, r, c, d]
    product19 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled27)  # [z, r, d, K]
    scaled28 = scaled26[:, :, :, None] * product19  # [z, r, d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product20 = torch.einsum("zrcV,zrKV->zrcK", masked4, d_write_S_rows)  # [z, r, c, K]
    d_write2 = b_c[:, :, :, None] * product20  # [z, r, c, K]
    d_key_part = decay_after[:, :, :, None] * d_write2  # [z, r, c, K]
    d_key = scaled28 + d_key_part  # [z, r, c, K]
    d_k2 = torch.where(mask3[:, :, :, None], d_key, 0.0)  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product21 = torch.einsum("zrcd,zrcV->zrdV", P2, scaled15)  # [z, r, d, V]
    scaled29 = (size_K ** -0.5) * product21  # [z, r, d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product22 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product22  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    d_written = scaled29 + d_written_part  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_v = l_c[:, :, :, None] * d_written  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    product23 = torch.einsum("zrcd,zrcV->zrdV", P, scaled15)  # [z, r, d, V]
    scaled30 = (size_K ** -0.5) * product23  # [z, r, d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product24 = torch.einsum("zrcK,zrKV->zrcV", key, d_write_S_rows)  # [z, r, c, V]
    d_written_part2 = decay_after[:, :, :, None] * product24  # [z, r, c, V]
    d_written2 = scaled30 + d_written_part2  # [z, r, c, V]
    scaled31 = b_c[:, :, :, None] * d_written2  # [z, r, c, V]
    d_v2 = torch.where(mask3[:, :, :, None], scaled31, 0.0)  # [z, r, c, V]
    mask6 = logfloor == -120.0  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    mask7 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled32 = product15 * product2  # [z, r, c, d]
    scaled33 = l_c[:, :, None] * scaled32  # [z, r, c, d]
    d_reach_part = scaled[:, :, :, None] * scaled33  # [z, r, c, d]
    scaled34 = product13 * product5  # [z, r, c, d]
    scaled35 = scaled[:, :, :, None] * scaled34  # [z, r, c, d]
    d_reach_part2 = b_c[:, :, None] * scaled35  # [z, r, c, d]
    d_reach = d_reach_part + d_reach_part2  # [z, r, c, d]
    scaled36 = reach * d_reach  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled36, 0.0)  # [z, r, c, d]
    running2 = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked6 = torch.where(mask7[:, None], running2, 0.0)  # [z, r, c, d]
    d_log_decay_part = masked6.sum(3)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_next_S_0_rows)  # [z, r]
    d_log_decay_part2 = decay_of_row * d_factor_S  # [z, r]
    # spec line 18: read: scale * S.T @ q
    scaled37 = weight_online * product17  # [z, r, c]
    scaled38 = decay * scaled37  # [z, r, c]
    d_G = (size_K ** -0.5) * scaled38  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product25 = torch.einsum("zrcK,zrcK->zrc", k_c, product12)  # [z, r, c]
    d_decay_after_part = l_c * product25  # [z, r, c]
    product26 = torch.einsum("zrcK,zrcK->zrc", key, product20)  # [z, r, c]
    d_decay_after_part2 = b_c * product26  # [z, r, c]
    d_decay_after = d_decay_after_part + d_decay_after_part2  # [z, r, c]
    masked7 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked7  # [z, r, c]
    d_log_decay_part4 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part5 = d_log_decay_part3.to(like.dtype) + d_log_decay_part4.to(like.dtype)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part2[:, :, None] + d_log_decay_part5  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    d_log_decay = d_log_decay_part + d_log_decay_part6  # [z, r, c]
    masked8 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled39 = 0.5 * masked8  # [z, r, c]
    mask8 = logfloor > -120.0  # [z, r, c]
    masked9 = torch.where(mask8, masked8, 0.0)  # [z, r, c]
    masked10 = torch.where(mask6, scaled39, masked9)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    mask9 = a_c < 0.0  # [z, r, c]
    at_most = ops.minimum(a_c, -1e-30)  # [z, r, c]
    at_least3 = ops.maximum(a_c, 1e-30)  # [z, r, c]
    masked11 = torch.where(mask9, at_most, at_least3)  # [z, r, c]
    d_a = masked10 / masked11  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    scaled40 = weight_online[:, :, :, None] * product5  # [z, r, c, d]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product27 = torch.einsum("zrcd,zrcd->zrd", P, scaled40)  # [z, r, d]
    scaled41 = (size_K ** -0.5) * product27  # [z, r, c]
    scaled42 = decay_after * product26  # [z, r, c]
    d_b = scaled41 + scaled42  # [z, r, c]
    scaled43 = weight_online[:, :, :, None] * product2  # [z, r, c, d]
    product28 = torch.einsum("zrcd,zrcd->zrd", P2, scaled43)  # [z, r, d]
    scaled44 = (size_K ** -0.5) * product28  # [z, r, c]
    scaled45 = decay_after * product25  # [z, r, c]
    d_l = scaled44 + scaled45  # [z, r, c]
    # spec line 24: score: dot(u, summary)
    d_u_part = torch.einsum("znK,zrcn->zrcK", new_summary_z, d_score_cached)  # [z, r, c, K]
    # spec line 23: summary: mean(k)
    summary_online = ratio[:, :, :, None] * sum_so_far  # [z, r, c, K]
    # spec line 24: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, :, :, None]  # [z, r, c, K]
    d_u = d_u_part + d_u_part2  # [z, r, c, K]
    # spec line 23: summary: mean(k)
    d_summary = rows.keep(d_summaries)  # [z, n, K]
    # spec line 18: read: scale * S.T @ q
    d_cache_S = rows.keep(d_cached_S)  # [z, n, K, V]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0), (d_k2, 1)], T, 1), H), ops.from_tokens(rows.store([(d_v, 0), (d_v2, 1)], T, 1), H), ops.from_tokens(rows.store([(d_a, 0)], T, 0), H), ops.from_tokens(rows.store([(d_b, 0)], T, 0), H), ops.from_tokens(rows.store([(d_l, 0)], T, 0), H), ops.from_tokens(rows.store([(d_u, 0)], T, 0), H), ops.unflat(d_old_S, H), ops.unflat(d_old_summary_partial, H), ops.unflat(d_summary, H), ops.unflat(d_cache_S, H),)

def _weights(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    # spec line 23: summary: mean(k)
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    summary_partial_z = ops.flat(summary_partial)  # [z, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]
    summand = torch.where(valid[:, :, :, None], k_c, 0.0)  # [z, r, c, K]
    sum_of_row = summand.sum(2)  # [z, r, K]
    added2 = rows.offset + rows.count  # [z, r]
    mask = added2 == 256.0  # [z, r]
    mask2 = rows.count > 0.0  # [z, r]
    completes = mask & mask2  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        partial = old_summary_partial + sum_of_row[:, r]  # [z, K]
        next_partial = torch.where(completes[:, r][:, None], 0.0, partial)  # [z, K]
        end_summary_partial_rows[r] = partial
        old_summary_partial = next_partial
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    running = ops.running(summand, 2)  # [z, r, c, K]
    sum_so_far = old_summary_partial_starts[:, :, None] + running  # [z, r, c, K]
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]
    # spec line 24: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 25: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 23: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 24: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 25: weight: softmax(score)
    masked = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    taking = rows.topk(masked, 4)  # [z, r, c, n]
    masked2 = torch.where(taking, score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked2, 3)  # [z, r, c]
    at_least = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked2 - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total = exp_cached.sum(3)  # [z, r, c]
    total2 = exp_online + total  # [z, r, c]
    share = 1.0 / total2  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    scaled = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(taking, scaled, 0.0)  # [z, r, c, n]
    masked3 = ops.where(taking, 1.0, 0.0, like)  # [z, r, c, n]
    return (ops.from_tokens(rows.store([(weight_online, 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached, 0)], T, 0), H), ops.from_tokens(rows.store([(masked3, 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
