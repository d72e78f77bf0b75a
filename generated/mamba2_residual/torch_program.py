"""mamba2_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, dt, A, state_S, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]
    # spec line 18: weight: 1
    total = cache_S_z.sum(1)  # [z, K, V]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    A_z = ops.per_head(A, B)  # [z]
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    scaled = A_z[:, None, None] * dt_c  # [z, r, c]
    at_least = ops.maximum(scaled, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    total2 = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total2)  # [z, r]
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
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    added = rows.offset + rows.count  # [z, r]
    mask = added == 256.0  # [z, r]
    mask2 = rows.count > 0.0  # [z, r]
    completes = mask & mask2  # [z, r]
    old_sum_S = total
    old_sum_S_starts = [None] * R
    for r in range(R):  # carry_sum_S
        old_sum_S_starts[r] = old_sum_S
        # spec line 18: weight: 1
        masked = torch.where(completes[:, r][:, None, None], end_S_rows[:, r], 0.0)  # [z, K, V]
        added2 = old_sum_S + masked  # [z, K, V]
        old_sum_S = added2
    old_sum_S_starts = ops.stacked(old_sum_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    read_S = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]
    # spec line 15: read: S.T @ q
    product = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    carried = product * decay[:, :, :, None]  # [z, r, c, V]
    product2 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask3 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask4 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask3[:, None] & mask4[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked2 = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked2.to(like.dtype))  # [z, r, c, d]
    P = product2 * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", written, P)  # [z, r, c, V]
    online = carried + recent  # [z, r, c, V]
    # spec line 18: weight: 1
    y = read_S + online  # [z, r, c, V]
    # spec line 15: read: S.T @ q
    cached_S = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(cached_S, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, dt, A, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
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
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = decay[:, :, :, None] * product  # [z, r, c, K]
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]
    # spec line 18: weight: 1
    d_q_part2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_d = ops.iota(table, chunk)  # [z, d]
    # spec line 15: read: S.T @ q
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
    d_q_part3 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled3)  # [z, r, c, K]
    d_q_part4 = d_q_part2 + d_q_part3  # [z, r, c, K]
    d_q = d_q_part + d_q_part4  # [z, r, c, K]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product3 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled2)  # [z, r, d, K]
    scaled4 = dt_c[:, :, :, None] * product3  # [z, r, d, K]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]
    # spec line 15: read: S.T @ q
    at_end = rows.expose(d_new_cache_S_z)  # [z, r, K, V]
    # spec line 18: weight: 1
    product4 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]
    added = rows.offset + rows.count  # [z, r]
    mask3 = added == 256.0  # [z, r]
    mask4 = rows.count > 0.0  # [z, r]
    completes = mask3 & mask4  # [z, r]
    d_old_sum_S = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_starts[r] = d_old_sum_S
        added2 = d_old_sum_S + product4[:, r]  # [z, K, V]
        d_end_sum_S = torch.where(completes[:, r][:, None, None], d_old_sum_S, 0.0)  # [z, K, V]
        d_end_sum_S_rows[r] = d_end_sum_S
        d_old_sum_S = added2
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    added3 = at_end + d_end_sum_S_rows  # [z, r, K, V]
    # spec line 15: read: S.T @ q
    scaled5 = decay[:, :, :, None] * d_y_c  # [z, r, c, V]
    product5 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled5)  # [z, r, K, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    d_next_S_0_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 15: read: S.T @ q
        d_next_S = d_old_S + added3[:, r]  # [z, K, V]
        # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_next_S  # [z, K, V]
        added4 = d_old_S2 + product5[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_next_S
        d_next_S_0_rows[r] = d_next_S
        d_old_S = added4
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_next_S_0_rows = ops.stacked(d_next_S_0_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product6 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write = dt_c[:, :, :, None] * product6  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = scaled4 + d_k_part  # [z, r, c, K]
    # spec line 15: read: S.T @ q
    product7 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = product7 * reach  # [z, r, c, d]
    product8 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, P)  # [z, r, d, V]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    product9 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product9  # [z, r, c, V]
    d_written = product8 + d_written_part  # [z, r, c, V]
    d_v = dt_c[:, :, :, None] * d_written  # [z, r, c, V]
    mask5 = scaled == -120.0  # [z, r, c]
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_next_S_0_rows)  # [z, r]
    d_log_decay_part = decay_of_row * d_factor_S  # [z, r]
    # spec line 15: read: S.T @ q
    mask6 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled6 = product7 * product2  # [z, r, c, d]
    scaled7 = reach * scaled6  # [z, r, c, d]
    scaled8 = dt_c[:, :, None] * scaled7  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled8, 0.0)  # [z, r, c, d]
    running = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked2 = torch.where(mask6[:, None], running, 0.0)  # [z, r, c, d]
    d_log_decay_part2 = masked2.sum(3)  # [z, r, c]
    d_decay = torch.einsum("zrcK,zrcK->zrc", q_c, product)  # [z, r, c]
    d_G = decay * d_decay  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    d_log_decay_part4 = d_log_decay_part2 + d_log_decay_part3.to(like.dtype)  # [z, r, c]
    # spec line 14: S: exp(A * dt) * S + dt * outer(k, v)
    product10 = torch.einsum("zrcK,zrcK->zrc", k_c, product6)  # [z, r, c]
    d_decay_after = dt_c * product10  # [z, r, c]
    masked3 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked3  # [z, r, c]
    d_log_decay_part5 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part4 + d_log_decay_part5.to(like.dtype)  # [z, r, c]
    d_log_decay = d_log_decay_part[:, :, None] + d_log_decay_part6  # [z, r, c]
    masked4 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled9 = 0.5 * masked4  # [z, r, c]
    mask7 = scaled > -120.0  # [z, r, c]
    masked5 = torch.where(mask7, masked4, 0.0)  # [z, r, c]
    masked6 = torch.where(mask5, scaled9, masked5)  # [z, r, c]
    d_dt_part = A_z[:, None, None] * masked6  # [z, r, c]
    product11 = torch.einsum("zrdK,zrdK->zrd", k_c, product3)  # [z, r, d]
    scaled10 = decay_after * product10  # [z, r, c]
    d_dt_part2 = product11 + scaled10  # [z, r, c]
    d_dt = d_dt_part + d_dt_part2  # [z, r, c]
    d_A = torch.einsum("zrc,zrc->z", dt_c, masked6)  # [z]
    # spec line 15: read: S.T @ q
    d_cache_S_part = rows.keep(d_new_cache_S_z)  # [z, n, K, V]
    # spec line 18: weight: 1
    d_cache_S = d_cache_S_part + d_old_sum_S[:, None]  # [z, n, K, V]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.from_tokens(rows.store([(d_dt, 0)], T, 0), H), ops.unflat(d_A, H), ops.unflat(d_old_S, H), ops.unflat(d_cache_S, H),)

def _weights(q, k, v, dt, A, state_S, cache_S, table, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 18: weight: 1
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    weight_cached = ops.where(past, 1.0, 0.0, like)  # [z, r, n]
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
