"""retnet_grm in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, g, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x2 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x3 = torch.where(x, x2[:, None, None], 0.0)  # [z, r, c]   spec line 15
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 15
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 15
    s = x3.sum(2)  # [z, r]   spec line 15
    exp2 = torch.exp(s)  # [z, r]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 15
    x4 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 15
    x5 = k_c * x4[:, :, :, None]  # [z, r, c, K]   spec line 15
    p = torch.einsum("zrcV,zrcK->zrVK", v_c, x5)  # [z, r, V, K]   spec line 15
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x6 = exp2[:, r][:, None, None] * old_S  # [z, K, V]   spec line 15
        x7 = x6 + p[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 15
        end_S_rows[r] = x7
        old_S = x7
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    p2 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 16
    x8 = exp[:, :, :, None] * p2  # [z, r, c, V]   spec line 16
    p3 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x9 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x10 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x11 = x9[:, None] & x10[:, :, None]  # [z, r, c, d]   spec line 16
    x12 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x13 = torch.where(x11, x12, -10000.0)  # [z, r, c, d]   spec line 16
    exp4 = torch.exp(x13.to(like.dtype))  # [z, r, c, d]   spec line 16
    x14 = p3 * exp4  # [z, r, c, d]   spec line 16
    p4 = torch.einsum("zrdV,zrcd->zrcV", v_c, x14)  # [z, r, c, V]   spec line 16
    x15 = x8 + p4  # [z, r, c, V]   spec line 16
    x16 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 15
    x17 = x16.to(like.dtype)  # [z, r, c]   spec line 15
    x18 = 1.0 + x17  # [z, r, c]   spec line 15
    x19 = 1.0 / x18  # [z, r, c]   spec line 15
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 15
    x20 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 15
    s2 = x20.sum(2)  # [z, r, K]   spec line 15
    x21 = rows.count > 0.0  # [z, r]
    x22 = rows.count + rows.offset  # [z, r]
    x23 = x22 == 256.0  # [z, r]
    x24 = x21 & x23  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x25 = old_summary_partial + s2[:, r]  # [z, K]   spec line 15
        x26 = torch.where(x24[:, r][:, None], 0.0, x25)  # [z, K]   spec line 15
        end_summary_partial_rows[r] = x25
        old_summary_partial = x26
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G3 = ops.running(x20, 2)  # [z, r, c, K]   spec line 15
    x27 = old_summary_partial_starts[:, :, None] + G3  # [z, r, c, K]   spec line 15
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 22
    p5 = torch.einsum("zrcK,zrcK->zrc", x27, u_c)  # [z, r, c]   spec line 22
    x28 = x19 * p5  # [z, r, c]   spec line 22
    at_n = ops.iota(table, N)  # [z, n]   spec line 15
    x29 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 15
    x30 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 15
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 15
    M = rows.collect(x30, summary_z)  # [z, n, K]   spec line 15
    p6 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 22
    x31 = torch.where(x29[:, :, None], p6, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x31, 3)  # [z, r, c]   spec line 23
    x32 = ops.maximum(m, x28)  # [z, r, c]   spec line 23
    x33 = x32.detach()  # [z, r, c]   spec line 23
    x34 = x28 - x33  # [z, r, c]   spec line 23
    exp5 = torch.exp(x34)  # [z, r, c]   spec line 23
    x35 = x31 - x33[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp6 = torch.exp(x35)  # [z, r, c, n]   spec line 23
    s3 = exp6.sum(3)  # [z, r, c]   spec line 23
    x36 = exp5 + s3  # [z, r, c]   spec line 23
    x37 = 1.0 / x36  # [z, r, c]   spec line 23
    x38 = exp5 * x37  # [z, r, c]   spec line 23
    x39 = x15 * x38[:, :, :, None]  # [z, r, c, V]   spec line 23
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 15
    M2 = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 15
    x40 = exp6 * x37[:, :, :, None]  # [z, r, c, n]   spec line 23
    x41 = torch.where(x29[:, :, None], x40, 0.0)  # [z, r, c, n]   spec line 23
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p7 = torch.einsum("zKV,zrcK->zrcV", M2[:, n], q_c)  # [z, r, c, V]   spec line 16
        x42 = p7 * x41[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 23
        slots0_out0 = slots0_out0 + x42
    x43 = x39 + slots0_out0  # [z, r, c, V]   spec line 23
    x44 = (size_K ** -0.5) * x43  # [z, r, c, V]   spec line 11
    results = (ops.from_tokens(rows.store([(x44, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H), ops.unflat(old_summary_partial, H), ops.unflat(M2, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, g, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 23
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 15
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 16
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    g_z = ops.per_head(g, B)  # [z]   spec line 15
    x2 = ops.maximum(g_z, -120.0)  # [z]   spec line 15
    x3 = torch.where(x, x2[:, None, None], 0.0)  # [z, r, c]   spec line 15
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 15
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 15
    x4 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 15
    x5 = x4.to(like.dtype)  # [z, r, c]   spec line 15
    x6 = 1.0 + x5  # [z, r, c]   spec line 15
    x7 = 1.0 / x6  # [z, r, c]   spec line 15
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 22
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    x8 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 15
    G2 = ops.running(x8, 2)  # [z, r, c, K]   spec line 15
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]   spec line 15
    x9 = G2 + saved_summary_partial_z[:, :, None]  # [z, r, c, K]   spec line 15
    p2 = torch.einsum("zrcK,zrcK->zrc", u_c, x9)  # [z, r, c]   spec line 22
    x10 = x7 * p2  # [z, r, c]   spec line 22
    at_n = ops.iota(table, N)  # [z, n]   spec line 15
    x11 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 15
    new_summary_z = ops.flat(new_summary)  # [z, n, K]   spec line 15
    p3 = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]   spec line 22
    x12 = torch.where(x11[:, :, None], p3, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x12, 3)  # [z, r, c]   spec line 23
    x13 = ops.maximum(m, x10)  # [z, r, c]   spec line 23
    x14 = x13.detach()  # [z, r, c]   spec line 23
    x15 = x10 - x14  # [z, r, c]   spec line 23
    exp2 = torch.exp(x15)  # [z, r, c]   spec line 23
    x16 = x12 - x14[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp3 = torch.exp(x16)  # [z, r, c, n]   spec line 23
    s = exp3.sum(3)  # [z, r, c]   spec line 23
    x17 = exp2 + s  # [z, r, c]   spec line 23
    x18 = 1.0 / x17  # [z, r, c]   spec line 23
    x19 = exp2 * x18  # [z, r, c]   spec line 23
    x20 = exp * x19  # [z, r, c]   spec line 16
    x21 = (size_K ** -0.5) * x20  # [z, r, c]   spec line 16
    x22 = p * x21[:, :, :, None]  # [z, r, c, K]   spec line 16
    x23 = (size_K ** -0.5) * x19  # [z, r, c]   spec line 16
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x24 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x25 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x26 = x24[:, None] & x25[:, :, None]  # [z, r, c, d]   spec line 16
    x27 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x28 = torch.where(x26, x27, -10000.0)  # [z, r, c, d]   spec line 16
    exp4 = torch.exp(x28.to(like.dtype))  # [z, r, c, d]   spec line 16
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    p4 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 16
    x29 = exp4 * p4  # [z, r, c, d]   spec line 16
    p5 = torch.einsum("zrdK,zrcd->zrcK", k_c, x29)  # [z, r, c, K]   spec line 16
    x30 = x23[:, :, :, None] * p5  # [z, r, c, K]   spec line 16
    x31 = exp3 * x18[:, :, :, None]  # [z, r, c, n]   spec line 23
    x32 = torch.where(x11[:, :, None], x31, 0.0)  # [z, r, c, n]   spec line 23
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p6 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]   spec line 15
        x33 = x32[:, :, :, n][:, :, :, None] * p6  # [z, r, c, K]   spec line 15
        x34 = x32[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 16
        p7 = torch.einsum("zrcK,zrcV->zKV", q_c, x34)  # [z, K, V]   spec line 16
        p8 = torch.einsum("zrcK,zrcK->zrc", p6, q_c)  # [z, r, c]   spec line 16
        slots0_out0 = slots0_out0 + x33
        slots0_out1[n] = p7
        slots0_out2[n] = p8
    slots0_out1 = ops.stacked(slots0_out1, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    slots0_out2 = ops.stacked(slots0_out2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    x35 = (size_K ** -0.5) * slots0_out0  # [z, r, c, K]   spec line 23
    x36 = x30 + x35  # [z, r, c, K]   spec line 16
    x37 = x22 + x36  # [z, r, c, K]   spec line 16
    G3 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp5 = torch.exp(G3.to(like.dtype))  # [z, r, c]   spec line 15
    x38 = torch.where(x, exp5, 0.0)  # [z, r, c]   spec line 15
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 23
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 23
    x39 = (size_K ** -0.5) * slots0_out1  # [z, n, K, V]   spec line 23
    x40 = d_new_cache_S_z + x39  # [z, n, K, V]   spec line 23
    e = rows.expose(x40)  # [z, r, K, V]   spec line 15
    x41 = d_y_c * x19[:, :, :, None]  # [z, r, c, V]   spec line 16
    x42 = exp[:, :, :, None] * x41  # [z, r, c, V]   spec line 16
    p9 = torch.einsum("zrcK,zrcV->zrKV", q_c, x42)  # [z, r, K, V]   spec line 16
    x43 = (size_K ** -0.5) * p9  # [z, r, K, V]   spec line 16
    s2 = x3.sum(2)  # [z, r]   spec line 15
    exp6 = torch.exp(s2)  # [z, r]   spec line 15
    d_old_S_30 = d_new_state_S_z
    d_old_S_30_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_30_starts[r] = d_old_S_30
        x44 = d_old_S_30 + e[:, r]  # [z, K, V]   spec line 16
        x45 = exp6[:, r][:, None, None] * x44  # [z, K, V]   spec line 15
        x46 = x45 + x43[:, r]  # [z, K, V]   spec line 15
        p10 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x44)  # [z]   spec line 15
        d_factor_S_rows[r] = p10
        d_write_S_rows[r] = x44
        d_old_S_30 = x46
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p11 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 15
    x47 = x38[:, :, :, None] * p11  # [z, r, c, K]   spec line 15
    x48 = x19[:, :, :, None] * x29  # [z, r, c, d]   spec line 16
    p12 = torch.einsum("zrcK,zrcd->zrdK", q_c, x48)  # [z, r, d, K]   spec line 16
    x49 = (size_K ** -0.5) * p12  # [z, r, d, K]   spec line 16
    p13 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 23
    x50 = exp * p13  # [z, r, c]   spec line 23
    p14 = torch.einsum("zrcK,zrcK->zrc", q_c, p5)  # [z, r, c]   spec line 23
    x51 = x50 + p14  # [z, r, c]   spec line 23
    x52 = x18 * x51  # [z, r, c]   spec line 23
    x53 = (size_K ** -0.5) * x52  # [z, r, c]   spec line 23
    x54 = exp2 * x51  # [z, r, c]   spec line 23
    x55 = (size_K ** -0.5) * x54  # [z, r, c]   spec line 23
    x56 = (size_K ** -0.5) * slots0_out2  # [z, r, c, n]   spec line 23
    x57 = torch.where(x11[:, :, None], x56, 0.0)  # [z, r, c, n]   spec line 23
    p15 = torch.einsum("zrcn,zrcn->zrc", exp3, x57)  # [z, r, c]   spec line 23
    x58 = x55 + p15  # [z, r, c]   spec line 23
    x59 = x18 * x58  # [z, r, c]   spec line 23
    x60 = x59 / x17  # [z, r, c]   spec line 23
    x61 = -x60  # [z, r, c]   spec line 23
    x62 = x53 + x61  # [z, r, c]   spec line 23
    x63 = exp2 * x62  # [z, r, c]   spec line 23
    x64 = u_c * x63[:, :, :, None]  # [z, r, c, K]   spec line 22
    x65 = x7[:, :, :, None] * x64  # [z, r, c, K]   spec line 15
    G4 = ops.running(x65, 2, reverse=True)  # [z, r, c, K]   spec line 15
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]   spec line 23
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]   spec line 23
    x66 = x18[:, :, :, None] * x57  # [z, r, c, n]   spec line 23
    x67 = x61[:, :, :, None] + x66  # [z, r, c, n]   spec line 23
    x68 = exp3 * x67  # [z, r, c, n]   spec line 23
    x69 = torch.where(x11[:, :, None], x68, 0.0)  # [z, r, c, n]   spec line 23
    p16 = torch.einsum("zrcK,zrcn->znK", u_c, x69)  # [z, n, K]   spec line 22
    x70 = d_new_summary_z + p16  # [z, n, K]   spec line 22
    e2 = rows.expose(x70)  # [z, r, K]   spec line 15
    x71 = 0.00390625 * e2  # [z, r, K]   spec line 15
    p17 = torch.einsum("zrc,zrcK->zrK", x7, x64)  # [z, r, K]   spec line 15
    x72 = rows.count > 0.0  # [z, r]
    x73 = rows.count + rows.offset  # [z, r]
    x74 = x73 == 256.0  # [z, r]
    x75 = x72 & x74  # [z, r]
    d_old_summary_partial_45 = d_new_summary_partial_z
    d_old_summary_partial_45_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_45_starts[r] = d_old_summary_partial_45
        x76 = torch.where(x75[:, r][:, None], 0.0, d_old_summary_partial_45)  # [z, K]   spec line 15
        x77 = x71[:, r] + x76  # [z, K]   spec line 15
        x78 = x77 + p17[:, r]  # [z, K]   spec line 15
        d_sum_summary_partial_rows[r] = x77
        d_old_summary_partial_45 = x78
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    x79 = G4 + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]   spec line 15
    x80 = torch.where(x[:, :, :, None], x79, 0.0)  # [z, r, c, K]   spec line 15
    x81 = x49 + x80  # [z, r, c, K]   spec line 16
    x82 = x47 + x81  # [z, r, c, K]   spec line 15
    p18 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    x83 = p18 * exp4  # [z, r, c, d]   spec line 16
    p19 = torch.einsum("zrcd,zrcV->zrdV", x83, x41)  # [z, r, d, V]   spec line 16
    x84 = (size_K ** -0.5) * p19  # [z, r, d, V]   spec line 16
    p20 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 15
    x85 = x38[:, :, :, None] * p20  # [z, r, c, V]   spec line 15
    x86 = x84 + x85  # [z, r, c, V]   spec line 15
    x87 = g_z == -120.0  # [z]   spec line 15
    x88 = x19 * p13  # [z, r, c]   spec line 16
    x89 = exp * x88  # [z, r, c]   spec line 15
    x90 = (size_K ** -0.5) * x89  # [z, r, c]   spec line 15
    G5 = ops.running(x90.double(), 2, reverse=True)  # [z, r, c]   spec line 15
    x91 = exp6 * d_factor_S_rows  # [z, r]   spec line 15
    x92 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 16
    x93 = p18 * p4  # [z, r, c, d]   spec line 16
    x94 = exp4 * x93  # [z, r, c, d]   spec line 16
    x95 = x23[:, :, :, None] * x94  # [z, r, c, d]   spec line 16
    x96 = torch.where(x26, x95, 0.0)  # [z, r, c, d]   spec line 16
    G6 = ops.running(x96, 2, reverse=True)  # [z, r, c, d]   spec line 16
    x97 = torch.where(x92[:, None], G6, 0.0)  # [z, r, c, d]   spec line 16
    s3 = x97.sum(3)  # [z, r, c]   spec line 16
    p21 = torch.einsum("zrcK,zrcK->zrc", k_c, p11)  # [z, r, c]   spec line 15
    x98 = torch.where(x, p21, 0.0)  # [z, r, c]   spec line 15
    x99 = exp5 * x98  # [z, r, c]   spec line 15
    G7 = ops.running(x99.double(), 2, exclusive=True)  # [z, r, c]   spec line 15
    x100 = s3 + G7.to(like.dtype)  # [z, r, c]   spec line 15
    x101 = x91[:, :, None] + x100  # [z, r, c]   spec line 15
    x102 = G5.to(like.dtype) + x101  # [z, r, c]   spec line 15
    x103 = torch.where(x, x102, 0.0)  # [z, r, c]   spec line 15
    s4 = x103.sum((1, 2))  # [z]   spec line 15
    x104 = 0.5 * s4  # [z]   spec line 15
    x105 = g_z > -120.0  # [z]   spec line 15
    x106 = torch.where(x105, s4, 0.0)  # [z]   spec line 15
    x107 = torch.where(x87, x104, x106)  # [z]   spec line 15
    p22 = torch.einsum("znK,zrcn->zrcK", new_summary_z, x69)  # [z, r, c, K]   spec line 22
    x108 = x7[:, :, :, None] * x9  # [z, r, c, K]   spec line 15
    x109 = x108 * x63[:, :, :, None]  # [z, r, c, K]   spec line 22
    x110 = p22 + x109  # [z, r, c, K]   spec line 22
    e3 = rows.keep(x70)  # [z, n, K]   spec line 15
    e4 = rows.keep(x40)  # [z, n, K, V]   spec line 15
    return (ops.from_tokens(rows.store([(x37, 0)], T, 0), H), ops.from_tokens(rows.store([(x82, 0)], T, 0), H), ops.from_tokens(rows.store([(x86, 0)], T, 0), H), ops.unflat(x107, H), ops.from_tokens(rows.store([(x110, 0)], T, 0), H), ops.unflat(d_old_S_30, H), ops.unflat(d_old_summary_partial_45, H), ops.unflat(e3, H), ops.unflat(e4, H),)

def _weights(q, k, v, g, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 15
    x = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 15
    x2 = x.to(like.dtype)  # [z, r, c]   spec line 15
    x3 = 1.0 + x2  # [z, r, c]   spec line 15
    x4 = 1.0 / x3  # [z, r, c]   spec line 15
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 15
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 15
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 15
    x6 = torch.where(x5[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 15
    s = x6.sum(2)  # [z, r, K]   spec line 15
    x7 = rows.count > 0.0  # [z, r]
    x8 = rows.count + rows.offset  # [z, r]
    x9 = x8 == 256.0  # [z, r]
    x10 = x7 & x9  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x11 = old_summary_partial + s[:, r]  # [z, K]   spec line 15
        x12 = torch.where(x10[:, r][:, None], 0.0, x11)  # [z, K]   spec line 15
        end_summary_partial_rows[r] = x11
        old_summary_partial = x12
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G = ops.running(x6, 2)  # [z, r, c, K]   spec line 15
    x13 = old_summary_partial_starts[:, :, None] + G  # [z, r, c, K]   spec line 15
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 22
    p = torch.einsum("zrcK,zrcK->zrc", x13, u_c)  # [z, r, c]   spec line 22
    x14 = x4 * p  # [z, r, c]   spec line 22
    at_n = ops.iota(table, N)  # [z, n]   spec line 15
    x15 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 15
    x16 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 15
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 15
    M = rows.collect(x16, summary_z)  # [z, n, K]   spec line 15
    p2 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 22
    x17 = torch.where(x15[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x17, 3)  # [z, r, c]   spec line 23
    x18 = ops.maximum(m, x14)  # [z, r, c]   spec line 23
    x19 = x18.detach()  # [z, r, c]   spec line 23
    x20 = x14 - x19  # [z, r, c]   spec line 23
    exp = torch.exp(x20)  # [z, r, c]   spec line 23
    x21 = x17 - x19[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp2 = torch.exp(x21)  # [z, r, c, n]   spec line 23
    s2 = exp2.sum(3)  # [z, r, c]   spec line 23
    x22 = exp + s2  # [z, r, c]   spec line 23
    x23 = 1.0 / x22  # [z, r, c]   spec line 23
    x24 = exp * x23  # [z, r, c]   spec line 23
    x25 = exp2 * x23[:, :, :, None]  # [z, r, c, n]   spec line 23
    x26 = torch.where(x15[:, :, None], x25, 0.0)  # [z, r, c, n]   spec line 23
    x27 = ops.where(x15, 1.0, 0.0, like)  # [z, r, n]   spec line 23
    return (ops.from_tokens(rows.store([(x24, 0)], T, 0), H), ops.from_tokens(rows.store([(x26, 0)], T, 0), H), ops.from_tokens(rows.store([(x27[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
