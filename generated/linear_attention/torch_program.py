"""linear_attention in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, state_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x3 = x[:, None] & x2[:, :, None]  # [z, r, c, d]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x4 = torch.where(x3, p, 0.0)  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    p2 = torch.einsum("zrcd,zrdV->zrcV", x4, v_c)  # [z, r, c, V]   spec line 15
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 14
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    x6 = ops.where(x5, 1.0, 0.0, like)  # [z, r, c]   spec line 14
    x7 = k_c * x6[:, :, :, None]  # [z, r, c, K]   spec line 14
    p3 = torch.einsum("zrcV,zrcK->zrVK", v_c, x7)  # [z, r, V, K]   spec line 14
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x8 = old_S + p3[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 14
        old_S = x8
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 15
    x9 = p2 + p4  # [z, r, c, V]   spec line 15
    x10 = (size_K ** -0.5) * x9  # [z, r, c, V]   spec line 10
    results = (ops.from_tokens(rows.store([(x10, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x3 = x[:, None] & x2[:, :, None]  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 10
    p = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 15
    x4 = (size_K ** -0.5) * p  # [z, r, c, d]   spec line 15
    x5 = torch.where(x3, x4, 0.0)  # [z, r, c, d]   spec line 15
    p2 = torch.einsum("zrdK,zrcd->zrcK", k_c, x5)  # [z, r, c, K]   spec line 15
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p3 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x6 = (size_K ** -0.5) * p3  # [z, r, c, K]   spec line 15
    x7 = p2 + x6  # [z, r, c, K]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p4 = torch.einsum("zrcK,zrcd->zrdK", q_c, x5)  # [z, r, d, K]   spec line 15
    x8 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    x9 = ops.where(x8, 1.0, 0.0, like)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 10
    p5 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]   spec line 15
    x10 = (size_K ** -0.5) * p5  # [z, r, K, V]   spec line 15
    d_old_S_20 = d_new_state_S_z
    d_old_S_20_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_20_starts[r] = d_old_S_20
        x11 = d_old_S_20 + x10[:, r]  # [z, K, V]   spec line 14
        d_write_S_rows[r] = d_old_S_20
        d_old_S_20 = x11
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p6 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x12 = x9[:, :, :, None] * p6  # [z, r, c, K]   spec line 14
    x13 = p4 + x12  # [z, r, c, K]   spec line 14
    p7 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x14 = torch.where(x3, p7, 0.0)  # [z, r, c, d]   spec line 15
    p8 = torch.einsum("zrcd,zrcV->zrdV", x14, d_y_c)  # [z, r, d, V]   spec line 15
    x15 = (size_K ** -0.5) * p8  # [z, r, d, V]   spec line 15
    p9 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x16 = x9[:, :, :, None] * p9  # [z, r, c, V]   spec line 14
    x17 = x15 + x16  # [z, r, c, V]   spec line 14
    return (ops.from_tokens(rows.store([(x7, 0)], T, 0), H), ops.from_tokens(rows.store([(x13, 0)], T, 0), H), ops.from_tokens(rows.store([(x17, 0)], T, 0), H), ops.unflat(d_old_S_20, H),)
