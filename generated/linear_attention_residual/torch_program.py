"""linear_attention_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, state_S, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 14
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    at_c = ops.iota(table, chunk)  # [z, c]
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    x2 = ops.where(x, 1.0, 0.0, like)  # [z, r, c]   spec line 14
    x3 = k_c * x2[:, :, :, None]  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcV,zrcK->zrVK", v_c, x3)  # [z, r, V, K]   spec line 14
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x4 = old_S + p[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 14
        end_S_rows[r] = x4
        old_S = x4
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p2 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x5 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x6 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x7 = x5[:, None] & x6[:, :, None]  # [z, r, c, d]   spec line 15
    p3 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x8 = torch.where(x7, p3, 0.0)  # [z, r, c, d]   spec line 15
    p4 = torch.einsum("zrcd,zrdV->zrcV", x8, v_c)  # [z, r, c, V]   spec line 15
    x9 = p2 + p4  # [z, r, c, V]   spec line 15
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 14
    s = cache_S_z.sum(1)  # [z, K, V]   spec line 18
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
    p5 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]   spec line 18
    x16 = x9 + p5  # [z, r, c, V]   spec line 18
    x17 = x16 * (size_K ** -0.5)  # [z, r, c, V]   spec line 10
    M = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 14
    results = (ops.from_tokens(rows.store([(x17, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x3 = x[:, None] & x2[:, :, None]  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 18
    p = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 15
    x4 = (size_K ** -0.5) * p  # [z, r, c, d]   spec line 15
    x5 = torch.where(x3, x4, 0.0)  # [z, r, c, d]   spec line 15
    p2 = torch.einsum("zrdK,zrcd->zrcK", k_c, x5)  # [z, r, c, K]   spec line 15
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]   spec line 14
    p3 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]   spec line 18
    x6 = (size_K ** -0.5) * p3  # [z, r, c, K]   spec line 18
    x7 = p2 + x6  # [z, r, c, K]   spec line 15
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p4 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x8 = (size_K ** -0.5) * p4  # [z, r, c, K]   spec line 15
    x9 = x7 + x8  # [z, r, c, K]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p5 = torch.einsum("zrcK,zrcd->zrdK", q_c, x5)  # [z, r, d, K]   spec line 15
    x10 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    x11 = ops.where(x10, 1.0, 0.0, like)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 18
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 18
    e = rows.expose(d_new_cache_S_z)  # [z, r, K, V]   spec line 14
    p6 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]   spec line 18
    x12 = (size_K ** -0.5) * p6  # [z, r, K, V]   spec line 18
    x13 = rows.count > 0.0  # [z, r]
    x14 = rows.count + rows.offset  # [z, r]
    x15 = x14 == 256.0  # [z, r]
    x16 = x13 & x15  # [z, r]
    d_old_sum_S_50 = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_50_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_50_starts[r] = d_old_sum_S_50
        x17 = d_old_sum_S_50 + x12[:, r]  # [z, K, V]   spec line 18
        x18 = torch.where(x16[:, r][:, None, None], d_old_sum_S_50, 0.0)  # [z, K, V]   spec line 18
        d_end_sum_S_rows[r] = x18
        d_old_sum_S_50 = x17
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x19 = e + d_end_sum_S_rows  # [z, r, K, V]   spec line 18
    d_old_S_20 = d_new_state_S_z
    d_old_S_20_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_20_starts[r] = d_old_S_20
        x20 = d_old_S_20 + x19[:, r]  # [z, K, V]   spec line 15
        x21 = x20 + x12[:, r]  # [z, K, V]   spec line 14
        d_write_S_rows[r] = x20
        d_old_S_20 = x21
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p7 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x22 = x11[:, :, :, None] * p7  # [z, r, c, K]   spec line 14
    x23 = p5 + x22  # [z, r, c, K]   spec line 14
    p8 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x24 = torch.where(x3, p8, 0.0)  # [z, r, c, d]   spec line 15
    p9 = torch.einsum("zrcd,zrcV->zrdV", x24, d_y_c)  # [z, r, d, V]   spec line 15
    x25 = (size_K ** -0.5) * p9  # [z, r, d, V]   spec line 15
    p10 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x26 = x11[:, :, :, None] * p10  # [z, r, c, V]   spec line 14
    x27 = x25 + x26  # [z, r, c, V]   spec line 14
    e2 = rows.keep(d_new_cache_S_z)  # [z, n, K, V]   spec line 14
    x28 = e2 + d_old_sum_S_50[:, None]  # [z, n, K, V]   spec line 18
    return (ops.from_tokens(rows.store([(x9, 0)], T, 0), H), ops.from_tokens(rows.store([(x23, 0)], T, 0), H), ops.from_tokens(rows.store([(x27, 0)], T, 0), H), ops.unflat(d_old_S_20, H), ops.unflat(x28, H),)

def _weights(q, k, v, state_S, cache_S, table, *, chunk: int):
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
