"""retnet_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, g, state_S, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 15
    s = cache_S_z.sum(1)  # [z, K, V]   spec line 19
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 15
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x2 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x3 = torch.where(x, x2[:, None, None], 0.0)  # [z, r, c]   spec line 15
    s2 = x3.sum(2)  # [z, r]   spec line 15
    exp = torch.exp(s2)  # [z, r]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    G = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    x4 = torch.where(x, exp2, 0.0)  # [z, r, c]   spec line 15
    x5 = k_c * x4[:, :, :, None]  # [z, r, c, K]   spec line 15
    p = torch.einsum("zrcV,zrcK->zrVK", v_c, x5)  # [z, r, V, K]   spec line 15
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x6 = exp[:, r][:, None, None] * old_S  # [z, K, V]   spec line 15
        x7 = x6 + p[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 15
        end_S_rows[r] = x7
        old_S = x7
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x8 = rows.count > 0.0  # [z, r]
    x9 = rows.count + rows.offset  # [z, r]
    x10 = x9 == 256.0  # [z, r]
    x11 = x8 & x10  # [z, r]
    old_sum_S = s
    old_sum_S_starts = [None] * R
    for r in range(R):  # carry_sum_S
        old_sum_S_starts[r] = old_sum_S
        x12 = torch.where(x11[:, r][:, None, None], end_S_rows[:, r], 0.0)  # [z, K, V]   spec line 19
        x13 = old_sum_S + x12  # [z, K, V]   spec line 19
        old_sum_S = x13
    old_sum_S_starts = ops.stacked(old_sum_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p2 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]   spec line 19
    G2 = ops.running(x3.double(), 2)  # [z, r, c]   spec line 15
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 15
    p3 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 16
    x14 = exp3[:, :, :, None] * p3  # [z, r, c, V]   spec line 16
    p4 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x15 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x16 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x17 = x15[:, None] & x16[:, :, None]  # [z, r, c, d]   spec line 16
    x18 = G2[:, :, :, None] - G2[:, :, None]  # [z, r, c, d]   spec line 16
    x19 = torch.where(x17, x18, -10000.0)  # [z, r, c, d]   spec line 16
    exp4 = torch.exp(x19.to(like.dtype))  # [z, r, c, d]   spec line 16
    x20 = p4 * exp4  # [z, r, c, d]   spec line 16
    p5 = torch.einsum("zrdV,zrcd->zrcV", v_c, x20)  # [z, r, c, V]   spec line 16
    x21 = x14 + p5  # [z, r, c, V]   spec line 16
    x22 = p2 + x21  # [z, r, c, V]   spec line 19
    x23 = (size_K ** -0.5) * x22  # [z, r, c, V]   spec line 11
    M = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 15
    results = (ops.from_tokens(rows.store([(x23, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, g, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x2 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x3 = torch.where(x, x2[:, None, None], 0.0)  # [z, r, c]   spec line 15
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 15
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    x4 = exp * (size_K ** -0.5)  # [z, r, c]   spec line 16
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 19
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 15
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 16
    x5 = x4[:, :, :, None] * p  # [z, r, c, K]   spec line 16
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]   spec line 15
    p2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]   spec line 19
    x6 = (size_K ** -0.5) * p2  # [z, r, c, K]   spec line 19
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x7 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x8 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x9 = x7[:, None] & x8[:, :, None]  # [z, r, c, d]   spec line 16
    x10 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x11 = torch.where(x9, x10, -10000.0)  # [z, r, c, d]   spec line 16
    exp2 = torch.exp(x11.to(like.dtype))  # [z, r, c, d]   spec line 16
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    p3 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 16
    x12 = exp2 * p3  # [z, r, c, d]   spec line 16
    p4 = torch.einsum("zrdK,zrcd->zrcK", k_c, x12)  # [z, r, c, K]   spec line 16
    x13 = (size_K ** -0.5) * p4  # [z, r, c, K]   spec line 16
    x14 = x6 + x13  # [z, r, c, K]   spec line 16
    x15 = x5 + x14  # [z, r, c, K]   spec line 16
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    p5 = torch.einsum("zrcK,zrcd->zrdK", q_c, x12)  # [z, r, d, K]   spec line 16
    x16 = (size_K ** -0.5) * p5  # [z, r, d, K]   spec line 16
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 15
    x17 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 15
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 19
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 19
    e = rows.expose(d_new_cache_S_z)  # [z, r, K, V]   spec line 15
    p6 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]   spec line 19
    x18 = (size_K ** -0.5) * p6  # [z, r, K, V]   spec line 19
    x19 = rows.count > 0.0  # [z, r]
    x20 = rows.count + rows.offset  # [z, r]
    x21 = x20 == 256.0  # [z, r]
    x22 = x19 & x21  # [z, r]
    d_old_sum_S_67 = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_67_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_67_starts[r] = d_old_sum_S_67
        x23 = d_old_sum_S_67 + x18[:, r]  # [z, K, V]   spec line 19
        x24 = torch.where(x22[:, r][:, None, None], d_old_sum_S_67, 0.0)  # [z, K, V]   spec line 19
        d_end_sum_S_rows[r] = x24
        d_old_sum_S_67 = x23
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x25 = e + d_end_sum_S_rows  # [z, r, K, V]   spec line 19
    x26 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 16
    p7 = torch.einsum("zrcK,zrcV->zrKV", q_c, x26)  # [z, r, K, V]   spec line 16
    x27 = (size_K ** -0.5) * p7  # [z, r, K, V]   spec line 16
    s = x3.sum(2)  # [z, r]   spec line 15
    exp4 = torch.exp(s)  # [z, r]   spec line 15
    d_old_S_30 = d_new_state_S_z
    d_old_S_30_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_30_starts[r] = d_old_S_30
        x28 = d_old_S_30 + x25[:, r]  # [z, K, V]   spec line 16
        x29 = exp4[:, r][:, None, None] * x28  # [z, K, V]   spec line 15
        x30 = x29 + x27[:, r]  # [z, K, V]   spec line 15
        p8 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x28)  # [z]   spec line 15
        d_factor_S_rows[r] = p8
        d_write_S_rows[r] = x28
        d_old_S_30 = x30
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p9 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 15
    x31 = x17[:, :, :, None] * p9  # [z, r, c, K]   spec line 15
    x32 = x16 + x31  # [z, r, c, K]   spec line 15
    p10 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    x33 = p10 * exp2  # [z, r, c, d]   spec line 16
    p11 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x33)  # [z, r, d, V]   spec line 16
    x34 = (size_K ** -0.5) * p11  # [z, r, d, V]   spec line 16
    p12 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 15
    x35 = x17[:, :, :, None] * p12  # [z, r, c, V]   spec line 15
    x36 = x34 + x35  # [z, r, c, V]   spec line 15
    x37 = g_z == -120.0  # [z]   spec line 15
    p13 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 16
    x38 = exp * p13  # [z, r, c]   spec line 15
    x39 = (size_K ** -0.5) * x38  # [z, r, c]   spec line 15
    G3 = ops.running(x39.double(), 2, reverse=True)  # [z, r, c]   spec line 15
    x40 = exp4 * d_factor_S_rows  # [z, r]   spec line 15
    x41 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 16
    x42 = p10 * p3  # [z, r, c, d]   spec line 16
    x43 = exp2 * x42  # [z, r, c, d]   spec line 16
    x44 = (size_K ** -0.5) * x43  # [z, r, c, d]   spec line 16
    x45 = torch.where(x9, x44, 0.0)  # [z, r, c, d]   spec line 16
    G4 = ops.running(x45, 2, reverse=True)  # [z, r, c, d]   spec line 16
    x46 = torch.where(x41[:, None], G4, 0.0)  # [z, r, c, d]   spec line 16
    s2 = x46.sum(3)  # [z, r, c]   spec line 16
    p14 = torch.einsum("zrcK,zrcK->zrc", k_c, p9)  # [z, r, c]   spec line 15
    x47 = torch.where(x, p14, 0.0)  # [z, r, c]   spec line 15
    x48 = exp3 * x47  # [z, r, c]   spec line 15
    G5 = ops.running(x48.double(), 2, exclusive=True)  # [z, r, c]   spec line 15
    x49 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 15
    x50 = x40[:, :, None] + x49  # [z, r, c]   spec line 15
    x51 = G3.to(like.dtype) + x50  # [z, r, c]   spec line 15
    x52 = torch.where(x, x51, 0.0)  # [z, r, c]   spec line 15
    s3 = x52.sum((1, 2))  # [z]   spec line 15
    x53 = 0.5 * s3  # [z]   spec line 15
    x54 = g_z > -120.0  # [z]   spec line 15
    x55 = torch.where(x54, s3, 0.0)  # [z]   spec line 15
    x56 = torch.where(x37, x53, x55)  # [z]   spec line 15
    e2 = rows.keep(d_new_cache_S_z)  # [z, n, K, V]   spec line 15
    x57 = e2 + d_old_sum_S_67[:, None]  # [z, n, K, V]   spec line 19
    return (ops.from_tokens(rows.store([(x15, 0)], T, 0), H), ops.from_tokens(rows.store([(x32, 0)], T, 0), H), ops.from_tokens(rows.store([(x36, 0)], T, 0), H), ops.unflat(x56, H), ops.unflat(d_old_S_30, H), ops.unflat(x57, H),)

def _weights(q, k, v, g, state_S, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]   spec line 15
    x = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 15
    x2 = ops.where(x, 1.0, 0.0, like)  # [z, r, n]   spec line 19
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
