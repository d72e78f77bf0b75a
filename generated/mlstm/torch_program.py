"""mlstm in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, i, g, state_S, state_n, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    g_c = rows.load(ops.tokens(g))  # [z, r, c]
    at_least = ops.maximum(g_c, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product * reach  # [z, r, c, d]
    i_c = rows.load(ops.tokens(i))  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = torch.exp(i_c)  # [z, r, c]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    scaled = exp[:, :, :, None] * v_c  # [z, r, c, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product2 = torch.einsum("zrcd,zrdV->zrcV", P, scaled)  # [z, r, c, V]
    recent = (size_K ** -0.5) * product2  # [z, r, c, V]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp2 = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp2, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    product3 = torch.einsum("zrcK,zrcV->zrKV", write, scaled)  # [z, r, K, V]
    increment_S = (size_K ** -0.5) * product3  # [z, r, K, V]
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled2 = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled2 + increment_S[:, r]  # [z, K, V]
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product4  # [z, r, c, V]
    online = recent + carried  # [z, r, c, V]
    product5 = torch.einsum("zrcd,zrd->zrc", P, exp)  # [z, r, c]
    recent2 = (size_K ** -0.5) * product5  # [z, r, c]
    state_n_z = ops.flat(state_n)  # [z, K]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    product6 = torch.einsum("zrc,zrcK->zrK", exp, write)  # [z, r, K]
    increment_n = (size_K ** -0.5) * product6  # [z, r, K]
    old_n = state_n_z
    old_n_starts = [None] * R
    for r in range(R):  # carry_n
        old_n_starts[r] = old_n
        scaled3 = old_n * decay_of_row[:, r][:, None]  # [z, K]
        next_n = scaled3 + increment_n[:, r]  # [z, K]
        old_n = next_n
    old_n_starts = ops.stacked(old_n_starts, (z, size_K, ), like)  # [z, r, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product7 = torch.einsum("zrcK,zrK->zrc", q_c, old_n_starts)  # [z, r, c]
    carried2 = decay * product7  # [z, r, c]
    online2 = recent2 + carried2  # [z, r, c]
    abs = torch.abs(online2)  # [z, r, c]
    at_least2 = ops.maximum(abs, 1.0)  # [z, r, c]
    ratio = 1.0 / at_least2  # [z, r, c]
    y = online * ratio[:, :, :, None]  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(old_n, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_n_starts, H),) if save else results

def backward(q, k, v, i, g, state_S, state_n, table, saved_S, saved_n, d_y, d_new_state_S, d_new_state_n, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    g_c = rows.load(ops.tokens(g))  # [z, r, c]
    at_least = ops.maximum(g_c, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    saved_n_z = ops.flat(saved_n)  # [z, r, K]
    product = torch.einsum("zrcK,zrK->zrc", q_c, saved_n_z)  # [z, r, c]
    carried = decay * product  # [z, r, c]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    product2 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product2 * reach  # [z, r, c, d]
    i_c = rows.load(ops.tokens(i))  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    exp = torch.exp(i_c)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product3 = torch.einsum("zrcd,zrd->zrc", P, exp)  # [z, r, c]
    recent = (size_K ** -0.5) * product3  # [z, r, c]
    online = carried + recent  # [z, r, c]
    abs = torch.abs(online)  # [z, r, c]
    at_least2 = ops.maximum(abs, 1.0)  # [z, r, c]
    ratio = 1.0 / at_least2  # [z, r, c]
    scaled = decay * ratio  # [z, r, c]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product4 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = scaled[:, :, :, None] * product4  # [z, r, c, K]
    sign = torch.sign(online)  # [z, r, c]
    mask3 = 1.0 == abs  # [z, r, c]
    scaled2 = ratio * ratio  # [z, r, c]
    minus = -scaled2  # [z, r, c]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    product5 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    scaled3 = exp[:, :, None] * product5  # [z, r, c, d]
    product6 = torch.einsum("zrcd,zrcd->zrc", P, scaled3)  # [z, r, c]
    scaled4 = (size_K ** -0.5) * product6  # [z, r, c]
    product7 = torch.einsum("zrcK,zrcK->zrc", q_c, product4)  # [z, r, c]
    scaled5 = decay * product7  # [z, r, c]
    added = scaled4 + scaled5  # [z, r, c]
    scaled6 = minus * added  # [z, r, c]
    scaled7 = 0.5 * scaled6  # [z, r, c]
    mask4 = 1.0 > abs  # [z, r, c]
    masked2 = torch.where(mask4, 0.0, scaled6)  # [z, r, c]
    masked3 = torch.where(mask3, scaled7, masked2)  # [z, r, c]
    d_online = sign * masked3  # [z, r, c]
    scaled8 = decay * d_online  # [z, r, c]
    d_q_part2 = saved_n_z[:, :, None] * scaled8[:, :, :, None]  # [z, r, c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    written = exp * (size_K ** -0.5)  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    scaled9 = written[:, :, None] * product5  # [z, r, c, d]
    d_P_part = ratio[:, :, :, None] * scaled9  # [z, r, c, d]
    d_P_part2 = written[:, :, None] * d_online[:, :, :, None]  # [z, r, c, d]
    d_P = d_P_part + d_P_part2  # [z, r, c, d]
    scaled10 = reach * d_P  # [z, r, c, d]
    d_q_part3 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled10)  # [z, r, c, K]
    d_q_part4 = d_q_part2 + d_q_part3  # [z, r, c, K]
    d_q = d_q_part + d_q_part4  # [z, r, c, K]
    product8 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled10)  # [z, r, d, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp2 = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp2, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    d_online2 = d_y_c * ratio[:, :, :, None]  # [z, r, c, V]
    scaled11 = decay[:, :, :, None] * d_online2  # [z, r, c, V]
    product9 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled11)  # [z, r, K, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_old_S  # [z, K, V]
        added2 = d_old_S2 + product9[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_old_S
        d_old_S = added2
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_old_S_starts = ops.stacked(d_old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product10 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write_part = written[:, :, :, None] * product10  # [z, r, c, K]
    d_new_state_n_z = ops.flat(d_new_state_n)  # [z, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product11 = torch.einsum("zrcK,zrc->zrK", q_c, scaled8)  # [z, r, K]
    d_old_n = d_new_state_n_z
    d_old_n_starts = [None] * R
    d_write_n_rows = [None] * R
    for r in reversed(range(R)):  # carry_n_backward
        d_old_n_starts[r] = d_old_n
        # spec line 18: n: exp(g) * n + exp(i) * scale * k
        d_old_n2 = decay_of_row[:, r][:, None] * d_old_n  # [z, K]
        added3 = d_old_n2 + product11[:, r]  # [z, K]
        d_write_n_rows[r] = d_old_n
        d_old_n = added3
    d_write_n_rows = ops.stacked(d_write_n_rows, (z, size_K, ), like)  # [z, r, K]
    d_old_n_starts = ops.stacked(d_old_n_starts, (z, size_K, ), like)  # [z, r, K]
    d_write_part2 = written[:, :, :, None] * d_write_n_rows[:, :, None]  # [z, r, c, K]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_write = d_write_part + d_write_part2  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = product8 + d_k_part  # [z, r, c, K]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product12 = torch.einsum("zrcd,zrcV->zrdV", P, d_online2)  # [z, r, d, V]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    product13 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product13  # [z, r, c, V]
    d_written = product12 + d_written_part  # [z, r, c, V]
    d_v = written[:, :, :, None] * d_written  # [z, r, c, V]
    scaled12 = ratio[:, :, :, None] * product5  # [z, r, c, d]
    product14 = torch.einsum("zrcd,zrcd->zrd", P, scaled12)  # [z, r, d]
    product15 = torch.einsum("zrcK,zrcK->zrc", k_c, product10)  # [z, r, c]
    scaled13 = decay_after * product15  # [z, r, c]
    d_written_part2 = product14 + scaled13  # [z, r, c]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    product16 = torch.einsum("zrcd,zrc->zrd", P, d_online)  # [z, r, d]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    product17 = torch.einsum("zrcK,zrK->zrc", k_c, d_write_n_rows)  # [z, r, c]
    d_written_part3 = decay_after * product17  # [z, r, c]
    d_written_part4 = product16 + d_written_part3  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_written2 = d_written_part2 + d_written_part4  # [z, r, c]
    scaled14 = exp * d_written2  # [z, r, c]
    d_i = (size_K ** -0.5) * scaled14  # [z, r, c]
    mask5 = g_c == -120.0  # [z, r, c]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_old_S_starts)  # [z, r]
    # spec line 18: n: exp(g) * n + exp(i) * scale * k
    d_factor_n = torch.einsum("zrK,zrK->zr", saved_n_z, d_old_n_starts)  # [z, r]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    d_decay_of_row = d_factor_S + d_factor_n  # [z, r]
    d_log_decay_part = decay_of_row * d_decay_of_row  # [z, r]
    # spec line 19: read: S.T @ q / maximum(abs(dot(n, q)), 1)
    mask6 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    d_reach = product2 * d_P  # [z, r, c, d]
    scaled15 = reach * d_reach  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled15, 0.0)  # [z, r, c, d]
    running = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked4 = torch.where(mask6[:, None], running, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked4.sum(3)  # [z, r, c]
    d_decay_part = ratio * product7  # [z, r, c]
    d_decay_part2 = product * d_online  # [z, r, c]
    d_decay = d_decay_part + d_decay_part2  # [z, r, c]
    d_G = decay * d_decay  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 17: S: exp(g) * S + exp(i) * scale * outer(k, v)
    scaled16 = exp * product15  # [z, r, c]
    scaled17 = (size_K ** -0.5) * scaled16  # [z, r, c]
    scaled18 = exp * product17  # [z, r, c]
    scaled19 = (size_K ** -0.5) * scaled18  # [z, r, c]
    d_decay_after = scaled17 + scaled19  # [z, r, c]
    masked5 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp2 * masked5  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked6 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled20 = 0.5 * masked6  # [z, r, c]
    mask7 = g_c > -120.0  # [z, r, c]
    masked7 = torch.where(mask7, masked6, 0.0)  # [z, r, c]
    d_g = torch.where(mask5, scaled20, masked7)  # [z, r, c]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.from_tokens(rows.store([(d_i, 0)], T, 0), H), ops.from_tokens(rows.store([(d_g, 0)], T, 0), H), ops.unflat(d_old_S, H), ops.unflat(d_old_n, H),)
