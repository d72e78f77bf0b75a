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
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 14
    s = cache_S_z.sum(1)  # [z, K, V]   spec line 18
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 14
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 14
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 14
    A_z = ops.per_head(A, B)  # [z]   spec line 14
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]   spec line 14
    x2 = A_z[:, None, None] * dt_c  # [z, r, c]   spec line 14
    x3 = ops.maximum(x2, -120.0)  # [z, r, c]   spec line 14
    x4 = torch.where(x, x3, 0.0)  # [z, r, c]   spec line 14
    s2 = x4.sum(2)  # [z, r]   spec line 14
    exp = torch.exp(s2)  # [z, r]   spec line 14
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    x5 = dt_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 14
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    G = ops.running(x4.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 14
    x6 = torch.where(x, exp2, 0.0)  # [z, r, c]   spec line 14
    x7 = k_c * x6[:, :, :, None]  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcV,zrcK->zrVK", x5, x7)  # [z, r, V, K]   spec line 14
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x8 = exp[:, r][:, None, None] * old_S  # [z, K, V]   spec line 14
        x9 = x8 + p[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 14
        end_S_rows[r] = x9
        old_S = x9
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x10 = rows.count > 0.0  # [z, r]
    x11 = rows.count + rows.offset  # [z, r]
    x12 = x11 == 256.0  # [z, r]
    x13 = x10 & x12  # [z, r]
    old_sum_S = s
    old_sum_S_starts = [None] * R
    for r in range(R):  # carry_sum_S
        old_sum_S_starts[r] = old_sum_S
        x14 = torch.where(x13[:, r][:, None, None], end_S_rows[:, r], 0.0)  # [z, K, V]   spec line 18
        x15 = old_sum_S + x14  # [z, K, V]   spec line 18
        old_sum_S = x15
    old_sum_S_starts = ops.stacked(old_sum_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p2 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]   spec line 18
    G2 = ops.running(x4.double(), 2)  # [z, r, c]   spec line 14
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 14
    p3 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 15
    x16 = exp3[:, :, :, None] * p3  # [z, r, c, V]   spec line 15
    p4 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x17 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x18 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x19 = x17[:, None] & x18[:, :, None]  # [z, r, c, d]   spec line 15
    x20 = G2[:, :, :, None] - G2[:, :, None]  # [z, r, c, d]   spec line 15
    x21 = torch.where(x19, x20, -10000.0)  # [z, r, c, d]   spec line 15
    exp4 = torch.exp(x21.to(like.dtype))  # [z, r, c, d]   spec line 15
    x22 = p4 * exp4  # [z, r, c, d]   spec line 15
    p5 = torch.einsum("zrdV,zrcd->zrcV", x5, x22)  # [z, r, c, V]   spec line 15
    x23 = x16 + p5  # [z, r, c, V]   spec line 15
    x24 = p2 + x23  # [z, r, c, V]   spec line 18
    M = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 14
    results = (ops.from_tokens(rows.store([(x24, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, dt, A, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 14
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 14
    A_z = ops.per_head(A, B)  # [z]   spec line 14
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]   spec line 14
    x2 = A_z[:, None, None] * dt_c  # [z, r, c]   spec line 14
    x3 = ops.maximum(x2, -120.0)  # [z, r, c]   spec line 14
    x4 = torch.where(x, x3, 0.0)  # [z, r, c]   spec line 14
    G = ops.running(x4.double(), 2)  # [z, r, c]   spec line 14
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 14
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 18
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x5 = exp[:, :, :, None] * p  # [z, r, c, K]   spec line 15
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]   spec line 14
    p2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]   spec line 18
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x6 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x7 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x8 = x6[:, None] & x7[:, :, None]  # [z, r, c, d]   spec line 15
    x9 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 15
    x10 = torch.where(x8, x9, -10000.0)  # [z, r, c, d]   spec line 15
    exp2 = torch.exp(x10.to(like.dtype))  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    p3 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 15
    x11 = exp2 * p3  # [z, r, c, d]   spec line 15
    x12 = dt_c[:, :, None] * x11  # [z, r, c, d]   spec line 15
    p4 = torch.einsum("zrdK,zrcd->zrcK", k_c, x12)  # [z, r, c, K]   spec line 15
    x13 = p2 + p4  # [z, r, c, K]   spec line 15
    x14 = x5 + x13  # [z, r, c, K]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p5 = torch.einsum("zrcK,zrcd->zrdK", q_c, x11)  # [z, r, d, K]   spec line 15
    x15 = dt_c[:, :, :, None] * p5  # [z, r, d, K]   spec line 15
    G2 = ops.running(x4.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 14
    x16 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 18
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 18
    e = rows.expose(d_new_cache_S_z)  # [z, r, K, V]   spec line 14
    p6 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]   spec line 18
    x17 = rows.count > 0.0  # [z, r]
    x18 = rows.count + rows.offset  # [z, r]
    x19 = x18 == 256.0  # [z, r]
    x20 = x17 & x19  # [z, r]
    d_old_sum_S_70 = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_70_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_70_starts[r] = d_old_sum_S_70
        x21 = d_old_sum_S_70 + p6[:, r]  # [z, K, V]   spec line 18
        x22 = torch.where(x20[:, r][:, None, None], d_old_sum_S_70, 0.0)  # [z, K, V]   spec line 18
        d_end_sum_S_rows[r] = x22
        d_old_sum_S_70 = x21
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x23 = e + d_end_sum_S_rows  # [z, r, K, V]   spec line 18
    x24 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 15
    p7 = torch.einsum("zrcK,zrcV->zrKV", q_c, x24)  # [z, r, K, V]   spec line 15
    s = x4.sum(2)  # [z, r]   spec line 14
    exp4 = torch.exp(s)  # [z, r]   spec line 14
    d_old_S_33 = d_new_state_S_z
    d_old_S_33_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_33_starts[r] = d_old_S_33
        x25 = d_old_S_33 + x23[:, r]  # [z, K, V]   spec line 15
        x26 = exp4[:, r][:, None, None] * x25  # [z, K, V]   spec line 14
        x27 = x26 + p7[:, r]  # [z, K, V]   spec line 14
        p8 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x25)  # [z]   spec line 14
        d_factor_S_rows[r] = p8
        d_write_S_rows[r] = x25
        d_old_S_33 = x27
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p9 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x28 = dt_c[:, :, :, None] * p9  # [z, r, c, K]   spec line 14
    x29 = x16[:, :, :, None] * x28  # [z, r, c, K]   spec line 14
    x30 = x15 + x29  # [z, r, c, K]   spec line 14
    p10 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x31 = p10 * exp2  # [z, r, c, d]   spec line 15
    p11 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x31)  # [z, r, d, V]   spec line 15
    p12 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x32 = x16[:, :, :, None] * p12  # [z, r, c, V]   spec line 14
    x33 = p11 + x32  # [z, r, c, V]   spec line 14
    x34 = dt_c[:, :, :, None] * x33  # [z, r, c, V]   spec line 14
    p13 = torch.einsum("zrcV,zrcV->zrc", v_c, p11)  # [z, r, c]   spec line 14
    p14 = torch.einsum("zrcV,zrcV->zrc", v_c, p12)  # [z, r, c]   spec line 14
    x35 = x16 * p14  # [z, r, c]   spec line 14
    x36 = p13 + x35  # [z, r, c]   spec line 14
    x37 = x2 == -120.0  # [z, r, c]   spec line 14
    p15 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 15
    x38 = exp * p15  # [z, r, c]   spec line 14
    G3 = ops.running(x38.double(), 2, reverse=True)  # [z, r, c]   spec line 14
    x39 = exp4 * d_factor_S_rows  # [z, r]   spec line 14
    x40 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 15
    x41 = p10 * p3  # [z, r, c, d]   spec line 15
    x42 = exp2 * x41  # [z, r, c, d]   spec line 15
    x43 = dt_c[:, :, None] * x42  # [z, r, c, d]   spec line 15
    x44 = torch.where(x8, x43, 0.0)  # [z, r, c, d]   spec line 15
    G4 = ops.running(x44, 2, reverse=True)  # [z, r, c, d]   spec line 15
    x45 = torch.where(x40[:, None], G4, 0.0)  # [z, r, c, d]   spec line 15
    s2 = x45.sum(3)  # [z, r, c]   spec line 15
    p16 = torch.einsum("zrcK,zrcK->zrc", k_c, p9)  # [z, r, c]   spec line 14
    x46 = dt_c * p16  # [z, r, c]   spec line 14
    x47 = torch.where(x, x46, 0.0)  # [z, r, c]   spec line 14
    x48 = exp3 * x47  # [z, r, c]   spec line 14
    G5 = ops.running(x48.double(), 2, exclusive=True)  # [z, r, c]   spec line 14
    x49 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 14
    x50 = x39[:, :, None] + x49  # [z, r, c]   spec line 14
    x51 = G3.to(like.dtype) + x50  # [z, r, c]   spec line 14
    x52 = torch.where(x, x51, 0.0)  # [z, r, c]   spec line 14
    x53 = 0.5 * x52  # [z, r, c]   spec line 14
    x54 = x2 > -120.0  # [z, r, c]   spec line 14
    x55 = torch.where(x54, x52, 0.0)  # [z, r, c]   spec line 14
    x56 = torch.where(x37, x53, x55)  # [z, r, c]   spec line 14
    x57 = A_z[:, None, None] * x56  # [z, r, c]   spec line 14
    x58 = x36 + x57  # [z, r, c]   spec line 14
    p17 = torch.einsum("zrc,zrc->z", dt_c, x56)  # [z]   spec line 14
    e2 = rows.keep(d_new_cache_S_z)  # [z, n, K, V]   spec line 14
    x59 = e2 + d_old_sum_S_70[:, None]  # [z, n, K, V]   spec line 18
    return (ops.from_tokens(rows.store([(x14, 0)], T, 0), H), ops.from_tokens(rows.store([(x30, 0)], T, 0), H), ops.from_tokens(rows.store([(x34, 0)], T, 0), H), ops.from_tokens(rows.store([(x58, 0)], T, 0), H), ops.unflat(p17, H), ops.unflat(d_old_S_33, H), ops.unflat(x59, H),)

def _weights(q, k, v, dt, A, state_S, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    x2 = ops.where(x, 1.0, 0.0, like)  # [z, r, n]   spec line 18
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
