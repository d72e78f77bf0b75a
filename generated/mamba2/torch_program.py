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
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    dt_c = rows.load(ops.tokens(dt))  # [z, r, c]   spec line 14
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    x = dt_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 14
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 14
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x2 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x3 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x4 = x2[:, None] & x3[:, :, None]  # [z, r, c, d]   spec line 15
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 14
    A_z = ops.per_head(A, B)  # [z]   spec line 14
    x6 = A_z[:, None, None] * dt_c  # [z, r, c]   spec line 14
    x7 = ops.maximum(x6, -120.0)  # [z, r, c]   spec line 14
    x8 = torch.where(x5, x7, 0.0)  # [z, r, c]   spec line 14
    G = ops.running(x8.double(), 2)  # [z, r, c]   spec line 14
    x9 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 15
    x10 = torch.where(x4, x9, -10000.0)  # [z, r, c, d]   spec line 15
    exp = torch.exp(x10.to(like.dtype))  # [z, r, c, d]   spec line 15
    x11 = p * exp  # [z, r, c, d]   spec line 15
    p2 = torch.einsum("zrdV,zrcd->zrcV", x, x11)  # [z, r, c, V]   spec line 15
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 14
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 14
    s = x8.sum(2)  # [z, r]   spec line 14
    exp3 = torch.exp(s)  # [z, r]   spec line 14
    G2 = ops.running(x8.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp4 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 14
    x12 = torch.where(x5, exp4, 0.0)  # [z, r, c]   spec line 14
    x13 = k_c * x12[:, :, :, None]  # [z, r, c, K]   spec line 14
    p3 = torch.einsum("zrcV,zrcK->zrVK", x, x13)  # [z, r, V, K]   spec line 14
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x14 = exp3[:, r][:, None, None] * old_S  # [z, K, V]   spec line 14
        x15 = x14 + p3[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 14
        old_S = x15
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 15
    x16 = exp2[:, :, :, None] * p4  # [z, r, c, V]   spec line 15
    x17 = p2 + x16  # [z, r, c, V]   spec line 15
    results = (ops.from_tokens(rows.store([(x17, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, dt, A, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
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
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 15
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x5 = exp[:, :, :, None] * p  # [z, r, c, K]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x6 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x7 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x8 = x6[:, None] & x7[:, :, None]  # [z, r, c, d]   spec line 15
    x9 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 15
    x10 = torch.where(x8, x9, -10000.0)  # [z, r, c, d]   spec line 15
    exp2 = torch.exp(x10.to(like.dtype))  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    p2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 15
    x11 = exp2 * p2  # [z, r, c, d]   spec line 15
    x12 = dt_c[:, :, None] * x11  # [z, r, c, d]   spec line 15
    p3 = torch.einsum("zrdK,zrcd->zrcK", k_c, x12)  # [z, r, c, K]   spec line 15
    x13 = x5 + p3  # [z, r, c, K]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p4 = torch.einsum("zrcK,zrcd->zrdK", q_c, x11)  # [z, r, d, K]   spec line 15
    x14 = dt_c[:, :, :, None] * p4  # [z, r, d, K]   spec line 15
    G2 = ops.running(x4.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 14
    x15 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 15
    x16 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 15
    p5 = torch.einsum("zrcK,zrcV->zrKV", q_c, x16)  # [z, r, K, V]   spec line 15
    s = x4.sum(2)  # [z, r]   spec line 14
    exp4 = torch.exp(s)  # [z, r]   spec line 14
    d_old_S_33 = d_new_state_S_z
    d_old_S_33_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_33_starts[r] = d_old_S_33
        x17 = exp4[:, r][:, None, None] * d_old_S_33  # [z, K, V]   spec line 14
        x18 = x17 + p5[:, r]  # [z, K, V]   spec line 14
        p6 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], d_old_S_33)  # [z]   spec line 14
        d_factor_S_rows[r] = p6
        d_write_S_rows[r] = d_old_S_33
        d_old_S_33 = x18
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p7 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x19 = dt_c[:, :, :, None] * p7  # [z, r, c, K]   spec line 14
    x20 = x15[:, :, :, None] * x19  # [z, r, c, K]   spec line 14
    x21 = x14 + x20  # [z, r, c, K]   spec line 14
    p8 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x22 = p8 * exp2  # [z, r, c, d]   spec line 15
    p9 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x22)  # [z, r, d, V]   spec line 15
    p10 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x23 = x15[:, :, :, None] * p10  # [z, r, c, V]   spec line 14
    x24 = p9 + x23  # [z, r, c, V]   spec line 14
    x25 = dt_c[:, :, :, None] * x24  # [z, r, c, V]   spec line 14
    p11 = torch.einsum("zrcV,zrcV->zrc", v_c, p9)  # [z, r, c]   spec line 14
    p12 = torch.einsum("zrcV,zrcV->zrc", v_c, p10)  # [z, r, c]   spec line 14
    x26 = x15 * p12  # [z, r, c]   spec line 14
    x27 = p11 + x26  # [z, r, c]   spec line 14
    x28 = x2 == -120.0  # [z, r, c]   spec line 14
    p13 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 15
    x29 = exp * p13  # [z, r, c]   spec line 14
    G3 = ops.running(x29.double(), 2, reverse=True)  # [z, r, c]   spec line 14
    x30 = exp4 * d_factor_S_rows  # [z, r]   spec line 14
    x31 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 15
    x32 = p8 * p2  # [z, r, c, d]   spec line 15
    x33 = exp2 * x32  # [z, r, c, d]   spec line 15
    x34 = dt_c[:, :, None] * x33  # [z, r, c, d]   spec line 15
    x35 = torch.where(x8, x34, 0.0)  # [z, r, c, d]   spec line 15
    G4 = ops.running(x35, 2, reverse=True)  # [z, r, c, d]   spec line 15
    x36 = torch.where(x31[:, None], G4, 0.0)  # [z, r, c, d]   spec line 15
    s2 = x36.sum(3)  # [z, r, c]   spec line 15
    p14 = torch.einsum("zrcK,zrcK->zrc", k_c, p7)  # [z, r, c]   spec line 14
    x37 = dt_c * p14  # [z, r, c]   spec line 14
    x38 = torch.where(x, x37, 0.0)  # [z, r, c]   spec line 14
    x39 = exp3 * x38  # [z, r, c]   spec line 14
    G5 = ops.running(x39.double(), 2, exclusive=True)  # [z, r, c]   spec line 14
    x40 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 14
    x41 = x30[:, :, None] + x40  # [z, r, c]   spec line 14
    x42 = G3.to(like.dtype) + x41  # [z, r, c]   spec line 14
    x43 = torch.where(x, x42, 0.0)  # [z, r, c]   spec line 14
    x44 = 0.5 * x43  # [z, r, c]   spec line 14
    x45 = x2 > -120.0  # [z, r, c]   spec line 14
    x46 = torch.where(x45, x43, 0.0)  # [z, r, c]   spec line 14
    x47 = torch.where(x28, x44, x46)  # [z, r, c]   spec line 14
    x48 = A_z[:, None, None] * x47  # [z, r, c]   spec line 14
    x49 = x27 + x48  # [z, r, c]   spec line 14
    p15 = torch.einsum("zrc,zrc->z", dt_c, x47)  # [z]   spec line 14
    return (ops.from_tokens(rows.store([(x13, 0)], T, 0), H), ops.from_tokens(rows.store([(x21, 0)], T, 0), H), ops.from_tokens(rows.store([(x25, 0)], T, 0), H), ops.from_tokens(rows.store([(x49, 0)], T, 0), H), ops.unflat(p15, H), ops.unflat(d_old_S_33, H),)
