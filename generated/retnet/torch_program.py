"""retnet in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, g, state_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    # spec line 16: read: scale * S.T @ q
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    g_z = ops.per_head(g, B)  # [z]
    at_least = ops.maximum(g_z, -120.0)  # [z]
    log_decay = torch.where(valid, at_least[:, None, None], 0.0)  # [z, r, c]
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", v_c, P)  # [z, r, c, V]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    increment_S = torch.einsum("zrcV,zrcK->zrVK", v_c, write)  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 16: read: scale * S.T @ q
    product2 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product2  # [z, r, c, V]
    online = recent + carried  # [z, r, c, V]
    y = (size_K ** -0.5) * online  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, g, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    g_z = ops.per_head(g, B)  # [z]
    at_least = ops.maximum(g_z, -120.0)  # [z]
    log_decay = torch.where(valid, at_least[:, None, None], 0.0)  # [z, r, c]
    # spec line 16: read: scale * S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    scaled = decay * (size_K ** -0.5)  # [z, r, c]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = scaled[:, :, :, None] * product  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    product2 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]
    scaled2 = reach * product2  # [z, r, c, d]
    product3 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled2)  # [z, r, c, K]
    d_q_part2 = (size_K ** -0.5) * product3  # [z, r, c, K]
    d_q = d_q_part + d_q_part2  # [z, r, c, K]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product4 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled2)  # [z, r, d, K]
    scaled3 = (size_K ** -0.5) * product4  # [z, r, d, K]
    # spec line 15: S: exp(g) * S + outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    # spec line 16: read: scale * S.T @ q
    scaled4 = decay[:, :, :, None] * d_y_c  # [z, r, c, V]
    product5 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled4)  # [z, r, K, V]
    scaled5 = (size_K ** -0.5) * product5  # [z, r, K, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_old_S  # [z, K, V]
        added = d_old_S2 + scaled5[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_old_S
        d_old_S = added
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_old_S_starts = ops.stacked(d_old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_write = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = scaled3 + d_k_part  # [z, r, c, K]
    # spec line 16: read: scale * S.T @ q
    product6 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = product6 * reach  # [z, r, c, d]
    product7 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, P)  # [z, r, d, V]
    scaled6 = (size_K ** -0.5) * product7  # [z, r, d, V]
    # spec line 15: S: exp(g) * S + outer(k, v)
    product8 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_v_part = decay_after[:, :, :, None] * product8  # [z, r, c, V]
    d_v = scaled6 + d_v_part  # [z, r, c, V]
    mask3 = g_z == -120.0  # [z]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_old_S_starts)  # [z, r]
    d_log_decay_part = decay_of_row * d_factor_S  # [z, r]
    # spec line 16: read: scale * S.T @ q
    mask4 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled7 = product6 * product2  # [z, r, c, d]
    scaled8 = reach * scaled7  # [z, r, c, d]
    scaled9 = (size_K ** -0.5) * scaled8  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled9, 0.0)  # [z, r, c, d]
    running = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked2 = torch.where(mask4[:, None], running, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked2.sum(3)  # [z, r, c]
    product9 = torch.einsum("zrcK,zrcK->zrc", q_c, product)  # [z, r, c]
    scaled10 = decay * product9  # [z, r, c]
    d_G = (size_K ** -0.5) * scaled10  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 15: S: exp(g) * S + outer(k, v)
    d_decay_after = torch.einsum("zrcK,zrcK->zrc", k_c, d_write)  # [z, r, c]
    masked3 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked3  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked4 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    total2 = masked4.sum((1, 2))  # [z]
    scaled11 = 0.5 * total2  # [z]
    mask5 = g_z > -120.0  # [z]
    masked5 = torch.where(mask5, total2, 0.0)  # [z]
    d_g = torch.where(mask3, scaled11, masked5)  # [z]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.unflat(d_g, H), ops.unflat(d_old_S, H),)
