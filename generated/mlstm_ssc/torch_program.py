"""mlstm_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
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

def forward(q, k, v, i, g, u, summary_partial, summary, state_S, state_n, cache_S, cache_n, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    # spec line 24: summary: mean(k)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    summary_partial_z = ops.flat(summary_partial)  # [z, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
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
    # spec line 25: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 26: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 24: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 25: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 26: weight: softmax(score)
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
    g_c = rows.load(ops.tokens(g))  # [z, r, c]
    at_least2 = ops.maximum(g_c, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least2, 0.0)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    total3 = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total3)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    i_c = rows.load(ops.tokens(i))  # [z, r, c]
    exp2 = torch.exp(i_c)  # [z, r, c]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    scaled = exp2[:, :, :, None] * v_c  # [z, r, c, V]
    product2 = torch.einsum("zrcK,zrcV->zrKV", write, scaled)  # [z, r, K, V]
    increment_S = (size_K ** -0.5) * product2  # [z, r, K, V]
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled2 = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled2 + increment_S[:, r]  # [z, K, V]
        end_S_rows[r] = next_S
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product3 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product3  # [z, r, c, V]
    product4 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask3 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask4 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask3[:, None] & mask4[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked3 = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked3.to(like.dtype))  # [z, r, c, d]
    P = product4 * reach  # [z, r, c, d]
    product5 = torch.einsum("zrcd,zrdV->zrcV", P, scaled)  # [z, r, c, V]
    recent = (size_K ** -0.5) * product5  # [z, r, c, V]
    online = carried + recent  # [z, r, c, V]
    state_n_z = ops.flat(state_n)  # [z, K]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    product6 = torch.einsum("zrc,zrcK->zrK", exp2, write)  # [z, r, K]
    increment_n = (size_K ** -0.5) * product6  # [z, r, K]
    old_n = state_n_z
    old_n_starts = [None] * R
    end_n_rows = [None] * R
    for r in range(R):  # carry_n
        old_n_starts[r] = old_n
        scaled3 = old_n * decay_of_row[:, r][:, None]  # [z, K]
        next_n = scaled3 + increment_n[:, r]  # [z, K]
        end_n_rows[r] = next_n
        old_n = next_n
    old_n_starts = ops.stacked(old_n_starts, (z, size_K, ), like)  # [z, r, K]
    end_n_rows = ops.stacked(end_n_rows, (z, size_K, ), like)  # [z, r, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product7 = torch.einsum("zrcK,zrK->zrc", q_c, old_n_starts)  # [z, r, c]
    carried2 = decay * product7  # [z, r, c]
    product8 = torch.einsum("zrcd,zrd->zrc", P, exp2)  # [z, r, c]
    recent2 = (size_K ** -0.5) * product8  # [z, r, c]
    online2 = carried2 + recent2  # [z, r, c]
    abs = torch.abs(online2)  # [z, r, c]
    at_least3 = ops.maximum(abs, 1.0)  # [z, r, c]
    ratio2 = 1.0 / at_least3  # [z, r, c]
    scaled4 = online * ratio2[:, :, :, None]  # [z, r, c, V]
    # spec line 26: weight: softmax(score)
    scaled5 = weight_online[:, :, :, None] * scaled4  # [z, r, c, V]
    scaled6 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(taking, scaled6, 0.0)  # [z, r, c, n]
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    cached_S = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]
    cache_n_z = ops.flat(cache_n)  # [z, n, K]
    cached_n = rows.collect(end_n_rows, cache_n_z)  # [z, n, K]
    read_n = torch.einsum("zrcK,znK->zrcn", q_c, cached_n)  # [z, r, c, n]
    abs2 = torch.abs(read_n)  # [z, r, c, n]
    at_least4 = ops.maximum(abs2, 1.0)  # [z, r, c, n]
    ratio3 = 1.0 / at_least4  # [z, r, c, n]
    recalled = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        read_S = torch.einsum("zrcK,zKV->zrcV", q_c, cached_S[:, n])  # [z, r, c, V]
        answer = read_S * ratio3[:, :, :, n][:, :, :, None]  # [z, r, c, V]
        scaled7 = weight_cached[:, :, :, n][:, :, :, None] * answer  # [z, r, c, V]
        recalled = recalled + scaled7
    # spec line 26: weight: softmax(score)
    y = scaled5 + recalled  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(old_n, H), ops.unflat(summaries, H), ops.unflat(old_summary_partial, H), ops.unflat(cached_S, H), ops.unflat(cached_n, H),)
    return results + (ops.unflat(old_summary_partial_starts, H), ops.unflat(old_S_starts, H), ops.unflat(old_n_starts, H),) if save else results

def backward(q, k, v, i, g, u, summary_partial, summary, state_S, state_n, cache_S, cache_n, table, new_summary, new_cache_S, new_cache_n, saved_summary_partial, saved_S, saved_n, d_y, d_new_state_S, d_new_state_n, d_new_summary, d_new_summary_partial, d_new_cache_S, d_new_cache_n, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    g_c = rows.load(ops.tokens(g))  # [z, r, c]
    at_least = ops.maximum(g_c, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    # spec line 24: summary: mean(k)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    summand = torch.where(valid[:, :, :, None], k_c, 0.0)  # [z, r, c, K]
    running = ops.running(summand, 2)  # [z, r, c, K]
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]
    sum_so_far = running + saved_summary_partial_z[:, :, None]  # [z, r, c, K]
    # spec line 25: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", u_c, sum_so_far)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 26: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    new_summary_z = ops.flat(new_summary)  # [z, n, K]
    # spec line 25: score: dot(u, summary)
    score_cached = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]
    # spec line 26: weight: softmax(score)
    masked = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    taking = rows.topk(masked, 4)  # [z, r, c, n]
    masked2 = torch.where(taking, score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked2, 3)  # [z, r, c]
    at_least2 = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least2.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked2 - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total = exp_cached.sum(3)  # [z, r, c]
    total2 = exp_online + total  # [z, r, c]
    share = 1.0 / total2  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    saved_n_z = ops.flat(saved_n)  # [z, r, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = torch.einsum("zrcK,zrK->zrc", q_c, saved_n_z)  # [z, r, c]
    carried = decay * product2  # [z, r, c]
    product3 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked3 = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked3.to(like.dtype))  # [z, r, c, d]
    P = product3 * reach  # [z, r, c, d]
    i_c = rows.load(ops.tokens(i))  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = torch.exp(i_c)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product4 = torch.einsum("zrcd,zrd->zrc", P, exp)  # [z, r, c]
    recent = (size_K ** -0.5) * product4  # [z, r, c]
    online = carried + recent  # [z, r, c]
    abs = torch.abs(online)  # [z, r, c]
    at_least3 = ops.maximum(abs, 1.0)  # [z, r, c]
    ratio2 = 1.0 / at_least3  # [z, r, c]
    scaled = weight_online * ratio2  # [z, r, c]
    scaled2 = decay * scaled  # [z, r, c]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product5 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = scaled2[:, :, :, None] * product5  # [z, r, c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** -0.5)  # [z, r, c]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product6 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    scaled3 = written[:, :, None] * product6  # [z, r, c, d]
    d_P_part = scaled[:, :, :, None] * scaled3  # [z, r, c, d]
    sign = torch.sign(online)  # [z, r, c]
    mask3 = 1.0 == abs  # [z, r, c]
    scaled4 = ratio2 * scaled  # [z, r, c]
    minus = -scaled4  # [z, r, c]
    scaled5 = exp[:, :, None] * product6  # [z, r, c, d]
    product7 = torch.einsum("zrcd,zrcd->zrc", P, scaled5)  # [z, r, c]
    scaled6 = (size_K ** -0.5) * product7  # [z, r, c]
    product8 = torch.einsum("zrcK,zrcK->zrc", q_c, product5)  # [z, r, c]
    scaled7 = decay * product8  # [z, r, c]
    added2 = scaled6 + scaled7  # [z, r, c]
    scaled8 = minus * added2  # [z, r, c]
    scaled9 = 0.5 * scaled8  # [z, r, c]
    mask4 = 1.0 > abs  # [z, r, c]
    masked4 = torch.where(mask4, 0.0, scaled8)  # [z, r, c]
    masked5 = torch.where(mask3, scaled9, masked4)  # [z, r, c]
    d_online = sign * masked5  # [z, r, c]
    d_P_part2 = written[:, :, None] * d_online[:, :, :, None]  # [z, r, c, d]
    d_P = d_P_part + d_P_part2  # [z, r, c, d]
    scaled10 = reach * d_P  # [z, r, c, d]
    d_q_part2 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled10)  # [z, r, c, K]
    scaled11 = decay * d_online  # [z, r, c]
    d_q_part3 = saved_n_z[:, :, None] * scaled11[:, :, :, None]  # [z, r, c, K]
    new_cache_n_z = ops.flat(new_cache_n)  # [z, n, K]
    read_n = torch.einsum("zrcK,znK->zrcn", q_c, new_cache_n_z)  # [z, r, c, n]
    abs2 = torch.abs(read_n)  # [z, r, c, n]
    at_least4 = ops.maximum(abs2, 1.0)  # [z, r, c, n]
    ratio3 = 1.0 / at_least4  # [z, r, c, n]
    # spec line 26: weight: softmax(score)
    scaled12 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(taking, scaled12, 0.0)  # [z, r, c, n]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled13 = ratio3 * weight_cached  # [z, r, c, n]
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]
    d_q_part4 = like.new_zeros((z, R, chunk, size_K, ))
    per_n = [None] * N
    d_cached_S_part = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        # spec line 24: summary: mean(k)
        product9 = torch.einsum("zKV,zrcV->zrcK", new_cache_S_z[:, n], d_y_c)  # [z, r, c, K]
        scaled14 = scaled13[:, :, :, n][:, :, :, None] * product9  # [z, r, c, K]
        product10 = torch.einsum("zrcK,zrcK->zrc", product9, q_c)  # [z, r, c]
        d_answer = d_y_c * weight_cached[:, :, :, n][:, :, :, None]  # [z, r, c, V]
        d_read_S = ratio3[:, :, :, n][:, :, :, None] * d_answer  # [z, r, c, V]
        d_cached_S_part2 = torch.einsum("zrcK,zrcV->zKV", q_c, d_read_S)  # [z, K, V]
        d_q_part4 = d_q_part4 + scaled14
        per_n[n] = product10
        d_cached_S_part[n] = d_cached_S_part2
    per_n = ops.stacked(per_n, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    d_cached_S_part = ops.stacked(d_cached_S_part, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    sign2 = torch.sign(read_n)  # [z, r, c, n]
    mask5 = 1.0 == abs2  # [z, r, c, n]
    scaled15 = ratio3 * scaled13  # [z, r, c, n]
    minus2 = -scaled15  # [z, r, c, n]
    scaled16 = minus2 * per_n  # [z, r, c, n]
    scaled17 = 0.5 * scaled16  # [z, r, c, n]
    mask6 = 1.0 > abs2  # [z, r, c, n]
    masked6 = torch.where(mask6, 0.0, scaled16)  # [z, r, c, n]
    masked7 = torch.where(mask5, scaled17, masked6)  # [z, r, c, n]
    d_read_n = sign2 * masked7  # [z, r, c, n]
    d_q_part5 = torch.einsum("znK,zrcn->zrcK", new_cache_n_z, d_read_n)  # [z, r, c, K]
    d_q_part6 = d_q_part4 + d_q_part5  # [z, r, c, K]
    d_q_part7 = d_q_part3 + d_q_part6  # [z, r, c, K]
    d_q_part8 = d_q_part2 + d_q_part7  # [z, r, c, K]
    d_q = d_q_part + d_q_part8  # [z, r, c, K]
    # spec line 26: weight: softmax(score)
    d_weight_online = ratio2 * added2  # [z, r, c]
    d_exp_online_part = share * d_weight_online  # [z, r, c]
    d_share_part = exp_online * d_weight_online  # [z, r, c]
    d_weight_cached = ratio3 * per_n  # [z, r, c, n]
    masked8 = torch.where(taking, d_weight_cached, 0.0)  # [z, r, c, n]
    d_share_part2 = torch.einsum("zrcn,zrcn->zrc", exp_cached, masked8)  # [z, r, c]
    d_share = d_share_part + d_share_part2  # [z, r, c]
    scaled18 = share * d_share  # [z, r, c]
    ratio4 = scaled18 / total2  # [z, r, c]
    d_total = -ratio4  # [z, r, c]
    d_exp_online = d_exp_online_part + d_total  # [z, r, c]
    d_score_online = exp_online * d_exp_online  # [z, r, c]
    # spec line 25: score: dot(u, summary)
    d_summary_online = u_c * d_score_online[:, :, :, None]  # [z, r, c, K]
    # spec line 24: summary: mean(k)
    d_sum_so_far = ratio[:, :, :, None] * d_summary_online  # [z, r, c, K]
    d_summand_part = ops.running(d_sum_so_far, 2, reverse=True)  # [z, r, c, K]
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]
    # spec line 26: weight: softmax(score)
    d_exp_cached_part = share[:, :, :, None] * masked8  # [z, r, c, n]
    d_exp_cached = d_total[:, :, :, None] + d_exp_cached_part  # [z, r, c, n]
    scaled19 = exp_cached * d_exp_cached  # [z, r, c, n]
    d_score_cached = torch.where(taking, scaled19, 0.0)  # [z, r, c, n]
    # spec line 25: score: dot(u, summary)
    d_summaries_part = torch.einsum("zrcK,zrcn->znK", u_c, d_score_cached)  # [z, n, K]
    d_summaries = d_new_summary_z + d_summaries_part  # [z, n, K]
    # spec line 24: summary: mean(k)
    d_finished = rows.expose(d_summaries)  # [z, r, K]
    scaled20 = 0.00390625 * d_finished  # [z, r, K]
    product11 = torch.einsum("zrc,zrcK->zrK", ratio, d_summary_online)  # [z, r, K]
    added3 = rows.offset + rows.count  # [z, r]
    mask7 = added3 == 256.0  # [z, r]
    mask8 = rows.count > 0.0  # [z, r]
    completes = mask7 & mask8  # [z, r]
    d_old_summary_partial = d_new_summary_partial_z
    d_old_summary_partial_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_starts[r] = d_old_summary_partial
        d_partial_part = torch.where(completes[:, r][:, None], 0.0, d_old_summary_partial)  # [z, K]
        d_partial = scaled20[:, r] + d_partial_part  # [z, K]
        added4 = d_partial + product11[:, r]  # [z, K]
        d_sum_summary_partial_rows[r] = d_partial
        d_old_summary_partial = added4
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    d_summand = d_summand_part + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]
    d_k_part = torch.where(valid[:, :, :, None], d_summand, 0.0)  # [z, r, c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product12 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled10)  # [z, r, d, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp2 = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp2, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cached_S = d_new_cache_S_z + d_cached_S_part  # [z, n, K, V]
    at_end = rows.expose(d_cached_S)  # [z, r, K, V]
    # spec line 26: weight: softmax(score)
    scaled21 = d_y_c * weight_online[:, :, :, None]  # [z, r, c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_online2 = scaled21 * ratio2[:, :, :, None]  # [z, r, c, V]
    scaled22 = decay[:, :, :, None] * d_online2  # [z, r, c, V]
    product13 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled22)  # [z, r, K, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    total3 = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total3)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    d_next_S_0_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
        d_next_S = d_old_S + at_end[:, r]  # [z, K, V]
        # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_next_S  # [z, K, V]
        added5 = d_old_S2 + product13[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_next_S
        d_next_S_0_rows[r] = d_next_S
        d_old_S = added5
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_next_S_0_rows = ops.stacked(d_next_S_0_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product14 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write_part = written[:, :, :, None] * product14  # [z, r, c, K]
    d_new_state_n_z = ops.flat(d_new_state_n)  # [z, K]
    d_new_cache_n_z = ops.flat(d_new_cache_n)  # [z, n, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cached_n_part = torch.einsum("zrcK,zrcn->znK", q_c, d_read_n)  # [z, n, K]
    d_cached_n = d_new_cache_n_z + d_cached_n_part  # [z, n, K]
    at_end2 = rows.expose(d_cached_n)  # [z, r, K]
    product15 = torch.einsum("zrcK,zrc->zrK", q_c, scaled11)  # [z, r, K]
    d_old_n = d_new_state_n_z
    d_old_n_starts = [None] * R
    d_write_n_rows = [None] * R
    d_next_n_0_rows = [None] * R
    for r in reversed(range(R)):  # carry_n_backward
        d_old_n_starts[r] = d_old_n
        d_next_n = d_old_n + at_end2[:, r]  # [z, K]
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row[:, r][:, None] * d_next_n  # [z, K]
        added6 = d_old_n2 + product15[:, r]  # [z, K]
        d_write_n_rows[r] = d_next_n
        d_next_n_0_rows[r] = d_next_n
        d_old_n = added6
    d_write_n_rows = ops.stacked(d_write_n_rows, (z, size_K, ), like)  # [z, r, K]
    d_next_n_0_rows = ops.stacked(d_next_n_0_rows, (z, size_K, ), like)  # [z, r, K]
    d_write_part2 = written[:, :, :, None] * d_write_n_rows[:, :, None]  # [z, r, c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_write = d_write_part + d_write_part2  # [z, r, c, K]
    d_k_part2 = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    d_k_part3 = product12 + d_k_part2  # [z, r, c, K]
    # spec line 24: summary: mean(k)
    d_k = d_k_part + d_k_part3  # [z, r, c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product16 = torch.einsum("zrcd,zrcV->zrdV", P, d_online2)  # [z, r, d, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    product17 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product17  # [z, r, c, V]
    d_written = product16 + d_written_part  # [z, r, c, V]
    d_v = written[:, :, :, None] * d_written  # [z, r, c, V]
    scaled23 = scaled[:, :, :, None] * product6  # [z, r, c, d]
    product18 = torch.einsum("zrcd,zrcd->zrd", P, scaled23)  # [z, r, d]
    product19 = torch.einsum("zrcK,zrcK->zrc", k_c, product14)  # [z, r, c]
    scaled24 = decay_after * product19  # [z, r, c]
    d_written_part2 = product18 + scaled24  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product20 = torch.einsum("zrcd,zrc->zrd", P, d_online)  # [z, r, d]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    product21 = torch.einsum("zrcK,zrK->zrc", k_c, d_write_n_rows)  # [z, r, c]
    d_written_part3 = decay_after * product21  # [z, r, c]
    d_written_part4 = product20 + d_written_part3  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_written2 = d_written_part2 + d_written_part4  # [z, r, c]
    scaled25 = exp * d_written2  # [z, r, c]
    d_i = (size_K ** -0.5) * scaled25  # [z, r, c]
    mask9 = g_c == -120.0  # [z, r, c]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_next_S_0_rows)  # [z, r]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_factor_n = torch.einsum("zrK,zrK->zr", saved_n_z, d_next_n_0_rows)  # [z, r]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_decay_of_row = d_factor_S + d_factor_n  # [z, r]
    d_log_decay_part = decay_of_row * d_decay_of_row  # [z, r]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask10 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    d_reach = product3 * d_P  # [z, r, c, d]
    scaled26 = reach * d_reach  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled26, 0.0)  # [z, r, c, d]
    running2 = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked9 = torch.where(mask10[:, None], running2, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked9.sum(3)  # [z, r, c]
    d_decay_part = scaled * product8  # [z, r, c]
    d_decay_part2 = product2 * d_online  # [z, r, c]
    d_decay = d_decay_part + d_decay_part2  # [z, r, c]
    d_G = decay * d_decay  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled27 = exp * product19  # [z, r, c]
    scaled28 = (size_K ** -0.5) * scaled27  # [z, r, c]
    scaled29 = exp * product21  # [z, r, c]
    scaled30 = (size_K ** -0.5) * scaled29  # [z, r, c]
    d_decay_after = scaled28 + scaled30  # [z, r, c]
    masked10 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp2 * masked10  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked11 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled31 = 0.5 * masked11  # [z, r, c]
    mask11 = g_c > -120.0  # [z, r, c]
    masked12 = torch.where(mask11, masked11, 0.0)  # [z, r, c]
    d_g = torch.where(mask9, scaled31, masked12)  # [z, r, c]
    # spec line 25: score: dot(u, summary)
    d_u_part = torch.einsum("znK,zrcn->zrcK", new_summary_z, d_score_cached)  # [z, r, c, K]
    # spec line 24: summary: mean(k)
    summary_online = ratio[:, :, :, None] * sum_so_far  # [z, r, c, K]
    # spec line 25: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, :, :, None]  # [z, r, c, K]
    d_u = d_u_part + d_u_part2  # [z, r, c, K]
    # spec line 24: summary: mean(k)
    d_summary = rows.keep(d_summaries)  # [z, n, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_cache_S = rows.keep(d_cached_S)  # [z, n, K, V]
    d_cache_n = rows.keep(d_cached_n)  # [z, n, K]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.from_tokens(rows.store([(d_i, 0)], T, 0), H), ops.from_tokens(rows.store([(d_g, 0)], T, 0), H), ops.from_tokens(rows.store([(d_u, 0)], T, 0), H), ops.unflat(d_old_summary_partial, H), ops.unflat(d_summary, H), ops.unflat(d_old_S, H), ops.unflat(d_old_n, H), ops.unflat(d_cache_S, H), ops.unflat(d_cache_n, H),)

def _weights(q, k, v, i, g, u, summary_partial, summary, state_S, state_n, cache_S, cache_n, table, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    # spec line 24: summary: mean(k)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    summary_partial_z = ops.flat(summary_partial)  # [z, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
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
    # spec line 25: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 26: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 24: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 25: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 26: weight: softmax(score)
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
