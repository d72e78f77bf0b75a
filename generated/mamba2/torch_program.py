"""mamba2 in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, dt, A, state_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    written = dt_c[:, :, :, None] * v_c  # [z, r, c, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    A_z = ops.per_head(A, B)  # [z]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A_z[:, None, None] * dt_c  # [z, r, c]
    at_least = ops.maximum(scaled, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 15: read: S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", written, P)  # [z, r, c, V]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    increment_S = torch.einsum("zrcV,zrcK->zrVK", written, write)  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled2 = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled2 + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 15: read: S.T @ q
    product2 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product2  # [z, r, c, V]
    online = recent + carried  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(online, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, dt, A, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
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
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = decay[:, :, :, None] * product  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    product2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    scaled2 = reach * product2  # [z, r, c, d]
    scaled3 = dt_c[:, :, None] * scaled2  # [z, r, c, d]
    d_q_part2 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled3)  # [z, r, c, K]
    d_q = d_q_part + d_q_part2  # [z, r, c, K]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product3 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled2)  # [z, r, d, K]
    scaled4 = dt_c[:, :, :, None] * product3  # [z, r, d, K]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    # spec line 15: read: S.T @ q
    scaled5 = decay[:, :, :, None] * d_y_c  # [z, r, c, V]
    product4 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled5)  # [z, r, K, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_old_S  # [z, K, V]
        added = d_old_S2 + product4[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_old_S
        d_old_S = added
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_old_S_starts = ops.stacked(d_old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product5 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write = dt_c[:, :, :, None] * product5  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = scaled4 + d_k_part  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    product6 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = product6 * reach  # [z, r, c, d]
    product7 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, P)  # [z, r, d, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    product8 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product8  # [z, r, c, V]
    d_written = product7 + d_written_part  # [z, r, c, V]
    d_v = dt_c[:, :, :, None] * d_written  # [z, r, c, V]
    mask3 = scaled == -120.0  # [z, r, c]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_old_S_starts)  # [z, r]
    d_log_decay_part = decay_of_row * d_factor_S  # [z, r]
    # spec line 15: read: S.T @ q
    mask4 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled6 = product6 * product2  # [z, r, c, d]
    scaled7 = reach * scaled6  # [z, r, c, d]
    scaled8 = dt_c[:, :, None] * scaled7  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled8, 0.0)  # [z, r, c, d]
    running = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked2 = torch.where(mask4[:, None], running, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked2.sum(3)  # [z, r, c]
    d_decay = torch.einsum("zrcK,zrcK->zrc", q_c, product)  # [z, r, c]
    d_G = decay * d_decay  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    product9 = torch.einsum("zrcK,zrcK->zrc", k_c, product5)  # [z, r, c]
    d_decay_after = dt_c * product9  # [z, r, c]
    masked3 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked3  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked4 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled9 = 0.5 * masked4  # [z, r, c]
    mask5 = scaled > -120.0  # [z, r, c]
    masked5 = torch.where(mask5, masked4, 0.0)  # [z, r, c]
    masked6 = torch.where(mask3, scaled9, masked5)  # [z, r, c]
    d_dt_part = A_z[:, None, None] * masked6  # [z, r, c]
    product10 = torch.einsum("zrdK,zrdK->zrd", k_c, product3)  # [z, r, d]
    scaled10 = decay_after * product9  # [z, r, c]
    d_dt_part2 = product10 + scaled10  # [z, r, c]
    d_dt = d_dt_part + d_dt_part2  # [z, r, c]
    d_A = torch.einsum("zrc,zrc->z", dt_c, masked6)  # [z]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.from_tokens(rows.store([(d_dt, 0)], T, 0), H), ops.unflat(d_A, H), ops.unflat(d_old_S, H),)
