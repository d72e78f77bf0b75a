"""mamba2_grm in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    state_S_z = ops.flat(state_S)  # [z, K, V]
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    A_z = ops.per_head(A, B)  # [z]
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A_z[:, None, None] * dt_c  # [z, r, c]
    at_least = ops.maximum(scaled, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    written = dt_c[:, :, :, None] * v_c  # [z, r, c, V]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    increment_S = torch.einsum("zrcV,zrcK->zrVK", written, write)  # [z, r, V, K]
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
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    product = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    carried = product * decay[:, :, :, None]  # [z, r, c, V]
    product2 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product2 * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", written, P)  # [z, r, c, V]
    online = carried + recent  # [z, r, c, V]
    # spec line 20: summary: mean(k)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    number = added.to(like.dtype)  # [z, r, c]
    seen = 1.0 + number  # [z, r, c]
    ratio = 1.0 / seen  # [z, r, c]
    summary_partial_z = ops.flat(summary_partial)  # [z, K]
    summand = torch.where(valid[:, :, :, None], k_c, 0.0)  # [z, r, c, K]
    sum_of_row = summand.sum(2)  # [z, r, K]
    added2 = rows.offset + rows.count  # [z, r]
    mask3 = added2 == 256.0  # [z, r]
    mask4 = rows.count > 0.0  # [z, r]
    completes = mask3 & mask4  # [z, r]
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
    # spec line 21: score: dot(u, summary)
    product3 = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product3  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 22: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 20: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 21: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 22: weight: softmax(score)
    masked2 = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked2, 3)  # [z, r, c]
    at_least2 = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least2.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked2 - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total2 = exp_cached.sum(3)  # [z, r, c]
    total3 = exp_online + total2  # [z, r, c]
    share = 1.0 / total3  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    scaled3 = online * weight_online[:, :, :, None]  # [z, r, c, V]
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]
    # spec line 15: read: S.T @ q
    cached_S = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]
    # spec line 22: weight: softmax(score)
    scaled4 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(past[:, :, None], scaled4, 0.0)  # [z, r, c, n]
    recalled = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        # spec line 15: read: S.T @ q
        read_S = torch.einsum("zKV,zrcK->zrcV", cached_S[:, n], q_c)  # [z, r, c, V]
        # spec line 22: weight: softmax(score)
        scaled5 = read_S * weight_cached[:, :, :, n][:, :, :, None]  # [z, r, c, V]
        recalled = recalled + scaled5
    mixed = scaled3 + recalled  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(mixed, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(summaries, H), ops.unflat(old_summary_partial, H), ops.unflat(cached_S, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    A_z = ops.per_head(A, B)  # [z]
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A_z[:, None, None] * dt_c  # [z, r, c]
    at_least = ops.maximum(scaled, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 15: read: S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    # spec line 20: summary: mean(k)
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
    # spec line 21: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", u_c, sum_so_far)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 22: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    new_summary_z = ops.flat(new_summary)  # [z, n, K]
    # spec line 21: score: dot(u, summary)
    score_cached = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]
    # spec line 22: weight: softmax(score)
    masked = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked, 3)  # [z, r, c]
    at_least2 = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least2.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total = exp_cached.sum(3)  # [z, r, c]
    total2 = exp_online + total  # [z, r, c]
    share = 1.0 / total2  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    # spec line 15: read: S.T @ q
    scaled2 = decay * weight_online  # [z, r, c]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = scaled2[:, :, :, None] * product2  # [z, r, c, K]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked2 = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked2.to(like.dtype))  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    product3 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    P = reach * product3  # [z, r, c, d]
    scaled3 = dt_c[:, :, None] * P  # [z, r, c, d]
    product4 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled3)  # [z, r, c, K]
    d_q_part2 = weight_online[:, :, :, None] * product4  # [z, r, c, K]
    # spec line 22: weight: softmax(score)
    scaled4 = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(past[:, :, None], scaled4, 0.0)  # [z, r, c, n]
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    d_q_part3 = like.new_zeros((z, R, chunk, size_K, ))
    d_cached_S_part = [None] * N
    d_weight_cached = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        product5 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]
        scaled5 = weight_cached[:, :, :, n][:, :, :, None] * product5  # [z, r, c, K]
        # spec line 15: read: S.T @ q
        d_read_S = weight_cached[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]
        d_cached_S_part2 = torch.einsum("zrcK,zrcV->zKV", q_c, d_read_S)  # [z, K, V]
        d_weight_cached2 = torch.einsum("zrcK,zrcK->zrc", product5, q_c)  # [z, r, c]
        d_q_part3 = d_q_part3 + scaled5
        d_cached_S_part[n] = d_cached_S_part2
        d_weight_cached[n] = d_weight_cached2
    d_cached_S_part = ops.stacked(d_cached_S_part, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    d_weight_cached = ops.stacked(d_weight_cached, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    d_q_part4 = d_q_part2 + d_q_part3  # [z, r, c, K]
    d_q = d_q_part + d_q_part4  # [z, r, c, K]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]
    # spec line 15: read: S.T @ q
    d_cached_S = d_new_cache_S_z + d_cached_S_part  # [z, n, K, V]
    at_end = rows.expose(d_cached_S)  # [z, r, K, V]
    # spec line 22: weight: softmax(score)
    d_online = d_y_c * weight_online[:, :, :, None]  # [z, r, c, V]
    # spec line 15: read: S.T @ q
    scaled6 = decay[:, :, :, None] * d_online  # [z, r, c, V]
    product6 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled6)  # [z, r, K, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    total3 = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total3)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    d_next_S_0_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 15: read: S.T @ q
        d_next_S = d_old_S + at_end[:, r]  # [z, K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_next_S  # [z, K, V]
        added2 = d_old_S2 + product6[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_next_S
        d_next_S_0_rows[r] = d_next_S
        d_old_S = added2
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_next_S_0_rows = ops.stacked(d_next_S_0_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product7 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write = dt_c[:, :, :, None] * product7  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    scaled7 = weight_online[:, :, :, None] * P  # [z, r, c, d]
    product8 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled7)  # [z, r, d, K]
    scaled8 = dt_c[:, :, :, None] * product8  # [z, r, d, K]
    product9 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P2 = product9 * reach  # [z, r, c, d]
    scaled9 = dt_c[:, :, None] * product3  # [z, r, c, d]
    # spec line 22: weight: softmax(score)
    product10 = torch.einsum("zrcd,zrcd->zrc", P2, scaled9)  # [z, r, c]
    # spec line 15: read: S.T @ q
    product11 = torch.einsum("zrcK,zrcK->zrc", q_c, product2)  # [z, r, c]
    # spec line 22: weight: softmax(score)
    scaled10 = decay * product11  # [z, r, c]
    d_weight_online = product10 + scaled10  # [z, r, c]
    d_exp_online_part = share * d_weight_online  # [z, r, c]
    d_share_part = exp_online * d_weight_online  # [z, r, c]
    masked3 = torch.where(past[:, :, None], d_weight_cached, 0.0)  # [z, r, c, n]
    d_share_part2 = torch.einsum("zrcn,zrcn->zrc", exp_cached, masked3)  # [z, r, c]
    d_share = d_share_part + d_share_part2  # [z, r, c]
    scaled11 = share * d_share  # [z, r, c]
    ratio2 = scaled11 / total2  # [z, r, c]
    d_total = -ratio2  # [z, r, c]
    d_exp_online = d_exp_online_part + d_total  # [z, r, c]
    d_score_online = exp_online * d_exp_online  # [z, r, c]
    # spec line 21: score: dot(u, summary)
    d_summary_online = u_c * d_score_online[:, :, :, None]  # [z, r, c, K]
    # spec line 20: summary: mean(k)
    d_sum_so_far = ratio[:, :, :, None] * d_summary_online  # [z, r, c, K]
    d_summand_part = ops.running(d_sum_so_far, 2, reverse=True)  # [z, r, c, K]
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]
    # spec line 22: weight: softmax(score)
    d_exp_cached_part = share[:, :, :, None] * masked3  # [z, r, c, n]
    d_exp_cached = d_total[:, :, :, None] + d_exp_cached_part  # [z, r, c, n]
    scaled12 = exp_cached * d_exp_cached  # [z, r, c, n]
    d_score_cached = torch.where(past[:, :, None], scaled12, 0.0)  # [z, r, c, n]
    # spec line 21: score: dot(u, summary)
    d_summaries_part = torch.einsum("zrcK,zrcn->znK", u_c, d_score_cached)  # [z, n, K]
    d_summaries = d_new_summary_z + d_summaries_part  # [z, n, K]
    # spec line 20: summary: mean(k)
    d_finished = rows.expose(d_summaries)  # [z, r, K]
    scaled13 = 0.00390625 * d_finished  # [z, r, K]
    product12 = torch.einsum("zrc,zrcK->zrK", ratio, d_summary_online)  # [z, r, K]
    added3 = rows.offset + rows.count  # [z, r]
    mask3 = added3 == 256.0  # [z, r]
    mask4 = rows.count > 0.0  # [z, r]
    completes = mask3 & mask4  # [z, r]
    d_old_summary_partial = d_new_summary_partial_z
    d_old_summary_partial_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_starts[r] = d_old_summary_partial
        d_partial_part = torch.where(completes[:, r][:, None], 0.0, d_old_summary_partial)  # [z, K]
        d_partial = scaled13[:, r] + d_partial_part  # [z, K]
        added4 = d_partial + product12[:, r]  # [z, K]
        d_sum_summary_partial_rows[r] = d_partial
        d_old_summary_partial = added4
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    d_summand = d_summand_part + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]
    d_k_part2 = torch.where(valid[:, :, :, None], d_summand, 0.0)  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    d_k_part3 = scaled8 + d_k_part2  # [z, r, c, K]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    d_k = d_k_part + d_k_part3  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    product13 = torch.einsum("zrcd,zrcV->zrdV", P2, d_online)  # [z, r, d, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    product14 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product14  # [z, r, c, V]
    d_written = product13 + d_written_part  # [z, r, c, V]
    d_v = dt_c[:, :, :, None] * d_written  # [z, r, c, V]
    scaled14 = weight_online[:, :, :, None] * product3  # [z, r, c, d]
    product15 = torch.einsum("zrcd,zrcd->zrd", P2, scaled14)  # [z, r, d]
    product16 = torch.einsum("zrcK,zrcK->zrc", k_c, product7)  # [z, r, c]
    scaled15 = decay_after * product16  # [z, r, c]
    d_dt_part = product15 + scaled15  # [z, r, c]
    mask5 = scaled == -120.0  # [z, r, c]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_next_S_0_rows)  # [z, r]
    d_log_decay_part = decay_of_row * d_factor_S  # [z, r]
    # spec line 15: read: S.T @ q
    mask6 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled16 = product9 * product3  # [z, r, c, d]
    scaled17 = reach * scaled16  # [z, r, c, d]
    scaled18 = dt_c[:, :, None] * scaled17  # [z, r, c, d]
    scaled19 = weight_online[:, :, :, None] * scaled18  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled19, 0.0)  # [z, r, c, d]
    running2 = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked4 = torch.where(mask6[:, None], running2, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked4.sum(3)  # [z, r, c]
    d_decay = weight_online * product11  # [z, r, c]
    d_G = decay * d_decay  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    d_decay_after = dt_c * product16  # [z, r, c]
    masked5 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked5  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked6 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled20 = 0.5 * masked6  # [z, r, c]
    mask7 = scaled > -120.0  # [z, r, c]
    masked7 = torch.where(mask7, masked6, 0.0)  # [z, r, c]
    masked8 = torch.where(mask5, scaled20, masked7)  # [z, r, c]
    d_dt_part2 = A_z[:, None, None] * masked8  # [z, r, c]
    d_dt = d_dt_part + d_dt_part2  # [z, r, c]
    d_A = torch.einsum("zrc,zrc->z", dt_c, masked8)  # [z]
    # spec line 21: score: dot(u, summary)
    d_u_part = torch.einsum("znK,zrcn->zrcK", new_summary_z, d_score_cached)  # [z, r, c, K]
    # spec line 20: summary: mean(k)
    summary_online = ratio[:, :, :, None] * sum_so_far  # [z, r, c, K]
    # spec line 21: score: dot(u, summary)
    d_u_part2 = summary_online * d_score_online[:, :, :, None]  # [z, r, c, K]
    d_u = d_u_part + d_u_part2  # [z, r, c, K]
    # spec line 20: summary: mean(k)
    d_summary = rows.keep(d_summaries)  # [z, n, K]
    # spec line 15: read: S.T @ q
    d_cache_S = rows.keep(d_cached_S)  # [z, n, K, V]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.from_tokens(rows.store([(d_dt, 0)], T, 0), H), ops.unflat(d_A, H), ops.from_tokens(rows.store([(d_u, 0)], T, 0), H), ops.unflat(d_old_S, H), ops.unflat(d_old_summary_partial, H), ops.unflat(d_summary, H), ops.unflat(d_cache_S, H),)

def _weights(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    # spec line 20: summary: mean(k)
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
    # spec line 21: score: dot(u, summary)
    product = torch.einsum("zrcK,zrcK->zrc", sum_so_far, u_c)  # [z, r, c]
    score_online = ratio * product  # [z, r, c]
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 22: weight: softmax(score)
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    # spec line 20: summary: mean(k)
    finished = end_summary_partial_rows * 0.00390625  # [z, r, K]
    summary_z = ops.flat(summary)  # [z, n, K]
    summaries = rows.collect(finished, summary_z)  # [z, n, K]
    # spec line 21: score: dot(u, summary)
    score_cached = torch.einsum("znK,zrcK->zrcn", summaries, u_c)  # [z, r, c, n]
    # spec line 22: weight: softmax(score)
    masked = torch.where(past[:, :, None], score_cached, -1e+30)  # [z, r, c, n]
    largest = ops.largest(masked, 3)  # [z, r, c]
    at_least = ops.maximum(largest, score_online)  # [z, r, c]
    top = at_least.detach()  # [z, r, c]
    difference = score_online - top  # [z, r, c]
    exp_online = torch.exp(difference)  # [z, r, c]
    difference2 = masked - top[:, :, :, None]  # [z, r, c, n]
    exp_cached = torch.exp(difference2)  # [z, r, c, n]
    total = exp_cached.sum(3)  # [z, r, c]
    total2 = exp_online + total  # [z, r, c]
    share = 1.0 / total2  # [z, r, c]
    weight_online = exp_online * share  # [z, r, c]
    scaled = exp_cached * share[:, :, :, None]  # [z, r, c, n]
    weight_cached = torch.where(past[:, :, None], scaled, 0.0)  # [z, r, c, n]
    masked2 = ops.where(past, 1.0, 0.0, like)  # [z, r, n]
    return (ops.from_tokens(rows.store([(weight_online, 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached, 0)], T, 0), H), ops.from_tokens(rows.store([(masked2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
