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
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    p = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x3 = x[:, None] & x2[:, :, None]  # [z, r, c, d]   spec line 16
    x4 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x5 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x6 = torch.where(x4, x5[:, None, None], 0.0)  # [z, r, c]   spec line 15
    G = ops.running(x6.double(), 2)  # [z, r, c]   spec line 15
    x7 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x8 = torch.where(x3, x7, -10000.0)  # [z, r, c, d]   spec line 16
    exp = torch.exp(x8.to(like.dtype))  # [z, r, c, d]   spec line 16
    x9 = p * exp  # [z, r, c, d]   spec line 16
    p2 = torch.einsum("zrdV,zrcd->zrcV", v_c, x9)  # [z, r, c, V]   spec line 16
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 15
    s = x6.sum(2)  # [z, r]   spec line 15
    exp3 = torch.exp(s)  # [z, r]   spec line 15
    G2 = ops.running(x6.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp4 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 15
    x10 = torch.where(x4, exp4, 0.0)  # [z, r, c]   spec line 15
    x11 = k_c * x10[:, :, :, None]  # [z, r, c, K]   spec line 15
    p3 = torch.einsum("zrcV,zrcK->zrVK", v_c, x11)  # [z, r, V, K]   spec line 15
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x12 = exp3[:, r][:, None, None] * old_S  # [z, K, V]   spec line 15
        x13 = x12 + p3[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 15
        old_S = x13
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 16
    x14 = exp2[:, :, :, None] * p4  # [z, r, c, V]   spec line 16
    x15 = p2 + x14  # [z, r, c, V]   spec line 16
    x16 = (size_K ** -0.5) * x15  # [z, r, c, V]   spec line 11
    results = (ops.from_tokens(rows.store([(x16, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, g, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x2 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x3 = torch.where(x, x2[:, None, None], 0.0)  # [z, r, c]   spec line 15
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 15
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    x4 = exp * (size_K ** -0.5)  # [z, r, c]   spec line 16
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 11
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 15
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 16
    x5 = x4[:, :, :, None] * p  # [z, r, c, K]   spec line 16
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x6 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x7 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x8 = x6[:, None] & x7[:, :, None]  # [z, r, c, d]   spec line 16
    x9 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x10 = torch.where(x8, x9, -10000.0)  # [z, r, c, d]   spec line 16
    exp2 = torch.exp(x10.to(like.dtype))  # [z, r, c, d]   spec line 16
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    p2 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 16
    x11 = exp2 * p2  # [z, r, c, d]   spec line 16
    p3 = torch.einsum("zrdK,zrcd->zrcK", k_c, x11)  # [z, r, c, K]   spec line 16
    x12 = (size_K ** -0.5) * p3  # [z, r, c, K]   spec line 16
    x13 = x5 + x12  # [z, r, c, K]   spec line 16
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    p4 = torch.einsum("zrcK,zrcd->zrdK", q_c, x11)  # [z, r, d, K]   spec line 16
    x14 = (size_K ** -0.5) * p4  # [z, r, d, K]   spec line 16
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 15
    x15 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 15
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 11
    x16 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 16
    p5 = torch.einsum("zrcK,zrcV->zrKV", q_c, x16)  # [z, r, K, V]   spec line 16
    x17 = (size_K ** -0.5) * p5  # [z, r, K, V]   spec line 16
    s = x3.sum(2)  # [z, r]   spec line 15
    exp4 = torch.exp(s)  # [z, r]   spec line 15
    d_old_S_30 = d_new_state_S_z
    d_old_S_30_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_30_starts[r] = d_old_S_30
        x18 = exp4[:, r][:, None, None] * d_old_S_30  # [z, K, V]   spec line 15
        x19 = x18 + x17[:, r]  # [z, K, V]   spec line 15
        p6 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], d_old_S_30)  # [z]   spec line 15
        d_factor_S_rows[r] = p6
        d_write_S_rows[r] = d_old_S_30
        d_old_S_30 = x19
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p7 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 15
    x20 = x15[:, :, :, None] * p7  # [z, r, c, K]   spec line 15
    x21 = x14 + x20  # [z, r, c, K]   spec line 15
    p8 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    x22 = p8 * exp2  # [z, r, c, d]   spec line 16
    p9 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x22)  # [z, r, d, V]   spec line 16
    x23 = (size_K ** -0.5) * p9  # [z, r, d, V]   spec line 16
    p10 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 15
    x24 = x15[:, :, :, None] * p10  # [z, r, c, V]   spec line 15
    x25 = x23 + x24  # [z, r, c, V]   spec line 15
    x26 = g_z == -120.0  # [z]   spec line 15
    p11 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 16
    x27 = exp * p11  # [z, r, c]   spec line 15
    x28 = (size_K ** -0.5) * x27  # [z, r, c]   spec line 15
    G3 = ops.running(x28.double(), 2, reverse=True)  # [z, r, c]   spec line 15
    x29 = exp4 * d_factor_S_rows  # [z, r]   spec line 15
    x30 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 16
    x31 = p8 * p2  # [z, r, c, d]   spec line 16
    x32 = exp2 * x31  # [z, r, c, d]   spec line 16
    x33 = (size_K ** -0.5) * x32  # [z, r, c, d]   spec line 16
    x34 = torch.where(x8, x33, 0.0)  # [z, r, c, d]   spec line 16
    G4 = ops.running(x34, 2, reverse=True)  # [z, r, c, d]   spec line 16
    x35 = torch.where(x30[:, None], G4, 0.0)  # [z, r, c, d]   spec line 16
    s2 = x35.sum(3)  # [z, r, c]   spec line 16
    p12 = torch.einsum("zrcK,zrcK->zrc", k_c, p7)  # [z, r, c]   spec line 15
    x36 = torch.where(x, p12, 0.0)  # [z, r, c]   spec line 15
    x37 = exp3 * x36  # [z, r, c]   spec line 15
    G5 = ops.running(x37.double(), 2, exclusive=True)  # [z, r, c]   spec line 15
    x38 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 15
    x39 = x29[:, :, None] + x38  # [z, r, c]   spec line 15
    x40 = G3.to(like.dtype) + x39  # [z, r, c]   spec line 15
    x41 = torch.where(x, x40, 0.0)  # [z, r, c]   spec line 15
    s3 = x41.sum((1, 2))  # [z]   spec line 15
    x42 = 0.5 * s3  # [z]   spec line 15
    x43 = g_z > -120.0  # [z]   spec line 15
    x44 = torch.where(x43, s3, 0.0)  # [z]   spec line 15
    x45 = torch.where(x26, x42, x44)  # [z]   spec line 15
    return (ops.from_tokens(rows.store([(x13, 0)], T, 0), H), ops.from_tokens(rows.store([(x21, 0)], T, 0), H), ops.from_tokens(rows.store([(x25, 0)], T, 0), H), ops.unflat(x45, H), ops.unflat(d_old_S_30, H),)
