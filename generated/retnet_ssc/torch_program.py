"""retnet_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + outer(k, v)
    read = scale * S.T @ q
    summary = mean(k)
    score = dot(u, summary)
    weight = softmax(score)
    select = {'top': 4}
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
    x31 = torch.where(x29[:, :, None], p6, -1e+30)  # [z, r, c, n]   spec line 22
    chosen = rows.topk(x31, 4)  # [z, r, c, n]   spec line 22
    x32 = torch.where(chosen, p6, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x32, 3)  # [z, r, c]   spec line 23
    x33 = ops.maximum(m, x28)  # [z, r, c]   spec line 23
    x34 = x33.detach()  # [z, r, c]   spec line 23
    x35 = x28 - x34  # [z, r, c]   spec line 23
    exp5 = torch.exp(x35)  # [z, r, c]   spec line 23
    x36 = x32 - x34[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp6 = torch.exp(x36)  # [z, r, c, n]   spec line 23
    s3 = exp6.sum(3)  # [z, r, c]   spec line 23
    x37 = exp5 + s3  # [z, r, c]   spec line 23
    x38 = 1.0 / x37  # [z, r, c]   spec line 23
    x39 = exp5 * x38  # [z, r, c]   spec line 23
    x40 = x15 * x39[:, :, :, None]  # [z, r, c, V]   spec line 23
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 15
    M2 = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 15
    x41 = exp6 * x38[:, :, :, None]  # [z, r, c, n]   spec line 23
    x42 = torch.where(chosen, x41, 0.0)  # [z, r, c, n]   spec line 23
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p7 = torch.einsum("zKV,zrcK->zrcV", M2[:, n], q_c)  # [z, r, c, V]   spec line 16
        x43 = p7 * x42[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 23
        slots0_out0 = slots0_out0 + x43
    x44 = x40 + slots0_out0  # [z, r, c, V]   spec line 23
    x45 = (size_K ** -0.5) * x44  # [z, r, c, V]   spec line 11
    results = (ops.from_tokens(rows.store([(x45, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H), ops.unflat(old_summary_partial, H), ops.unflat(M2, H),)
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
    x12 = torch.where(x11[:, :, None], p3, -1e+30)  # [z, r, c, n]   spec line 22
    chosen = rows.topk(x12, 4)  # [z, r, c, n]   spec line 22
    x13 = torch.where(chosen, p3, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x13, 3)  # [z, r, c]   spec line 23
    x14 = ops.maximum(m, x10)  # [z, r, c]   spec line 23
    x15 = x14.detach()  # [z, r, c]   spec line 23
    x16 = x10 - x15  # [z, r, c]   spec line 23
    exp2 = torch.exp(x16)  # [z, r, c]   spec line 23
    x17 = x13 - x15[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp3 = torch.exp(x17)  # [z, r, c, n]   spec line 23
    s = exp3.sum(3)  # [z, r, c]   spec line 23
    x18 = exp2 + s  # [z, r, c]   spec line 23
    x19 = 1.0 / x18  # [z, r, c]   spec line 23
    x20 = exp2 * x19  # [z, r, c]   spec line 23
    x21 = exp * x20  # [z, r, c]   spec line 16
    x22 = (size_K ** -0.5) * x21  # [z, r, c]   spec line 16
    x23 = p * x22[:, :, :, None]  # [z, r, c, K]   spec line 16
    x24 = (size_K ** -0.5) * x20  # [z, r, c]   spec line 16
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 16
    x25 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 16
    x26 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 16
    x27 = x25[:, None] & x26[:, :, None]  # [z, r, c, d]   spec line 16
    x28 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 16
    x29 = torch.where(x27, x28, -10000.0)  # [z, r, c, d]   spec line 16
    exp4 = torch.exp(x29.to(like.dtype))  # [z, r, c, d]   spec line 16
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 15
    p4 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 16
    x30 = exp4 * p4  # [z, r, c, d]   spec line 16
    p5 = torch.einsum("zrdK,zrcd->zrcK", k_c, x30)  # [z, r, c, K]   spec line 16
    x31 = x24[:, :, :, None] * p5  # [z, r, c, K]   spec line 16
    x32 = exp3 * x19[:, :, :, None]  # [z, r, c, n]   spec line 23
    x33 = torch.where(chosen, x32, 0.0)  # [z, r, c, n]   spec line 23
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 15
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 16
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p6 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]   spec line 15
        x34 = x33[:, :, :, n][:, :, :, None] * p6  # [z, r, c, K]   spec line 15
        x35 = x33[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 16
        p7 = torch.einsum("zrcK,zrcV->zKV", q_c, x35)  # [z, K, V]   spec line 16
        p8 = torch.einsum("zrcK,zrcK->zrc", p6, q_c)  # [z, r, c]   spec line 16
        slots0_out0 = slots0_out0 + x34
        slots0_out1[n] = p7
        slots0_out2[n] = p8
    slots0_out1 = ops.stacked(slots0_out1, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    slots0_out2 = ops.stacked(slots0_out2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    x36 = (size_K ** -0.5) * slots0_out0  # [z, r, c, K]   spec line 23
    x37 = x31 + x36  # [z, r, c, K]   spec line 16
    x38 = x23 + x37  # [z, r, c, K]   spec line 16
    G3 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 15
    exp5 = torch.exp(G3.to(like.dtype))  # [z, r, c]   spec line 15
    x39 = torch.where(x, exp5, 0.0)  # [z, r, c]   spec line 15
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 23
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 23
    x40 = (size_K ** -0.5) * slots0_out1  # [z, n, K, V]   spec line 23
    x41 = d_new_cache_S_z + x40  # [z, n, K, V]   spec line 23
    e = rows.expose(x41)  # [z, r, K, V]   spec line 15
    x42 = d_y_c * x20[:, :, :, None]  # [z, r, c, V]   spec line 16
    x43 = exp[:, :, :, None] * x42  # [z, r, c, V]   spec line 16
    p9 = torch.einsum("zrcK,zrcV->zrKV", q_c, x43)  # [z, r, K, V]   spec line 16
    x44 = (size_K ** -0.5) * p9  # [z, r, K, V]   spec line 16
    s2 = x3.sum(2)  # [z, r]   spec line 15
    exp6 = torch.exp(s2)  # [z, r]   spec line 15
    d_old_S_30 = d_new_state_S_z
    d_old_S_30_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_30_starts[r] = d_old_S_30
        x45 = d_old_S_30 + e[:, r]  # [z, K, V]   spec line 16
        x46 = exp6[:, r][:, None, None] * x45  # [z, K, V]   spec line 15
        x47 = x46 + x44[:, r]  # [z, K, V]   spec line 15
        p10 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x45)  # [z]   spec line 15
        d_factor_S_rows[r] = p10
        d_write_S_rows[r] = x45
        d_old_S_30 = x47
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p11 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 15
    x48 = x39[:, :, :, None] * p11  # [z, r, c, K]   spec line 15
    x49 = x20[:, :, :, None] * x30  # [z, r, c, d]   spec line 16
    p12 = torch.einsum("zrcK,zrcd->zrdK", q_c, x49)  # [z, r, d, K]   spec line 16
    x50 = (size_K ** -0.5) * p12  # [z, r, d, K]   spec line 16
    p13 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 23
    x51 = exp * p13  # [z, r, c]   spec line 23
    p14 = torch.einsum("zrcK,zrcK->zrc", q_c, p5)  # [z, r, c]   spec line 23
    x52 = x51 + p14  # [z, r, c]   spec line 23
    x53 = x19 * x52  # [z, r, c]   spec line 23
    x54 = (size_K ** -0.5) * x53  # [z, r, c]   spec line 23
    x55 = exp2 * x52  # [z, r, c]   spec line 23
    x56 = (size_K ** -0.5) * x55  # [z, r, c]   spec line 23
    x57 = (size_K ** -0.5) * slots0_out2  # [z, r, c, n]   spec line 23
    x58 = torch.where(chosen, x57, 0.0)  # [z, r, c, n]   spec line 23
    p15 = torch.einsum("zrcn,zrcn->zrc", exp3, x58)  # [z, r, c]   spec line 23
    x59 = x56 + p15  # [z, r, c]   spec line 23
    x60 = x19 * x59  # [z, r, c]   spec line 23
    x61 = x60 / x18  # [z, r, c]   spec line 23
    x62 = -x61  # [z, r, c]   spec line 23
    x63 = x54 + x62  # [z, r, c]   spec line 23
    x64 = exp2 * x63  # [z, r, c]   spec line 23
    x65 = u_c * x64[:, :, :, None]  # [z, r, c, K]   spec line 22
    x66 = x7[:, :, :, None] * x65  # [z, r, c, K]   spec line 15
    G4 = ops.running(x66, 2, reverse=True)  # [z, r, c, K]   spec line 15
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]   spec line 23
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]   spec line 23
    x67 = x19[:, :, :, None] * x58  # [z, r, c, n]   spec line 23
    x68 = x62[:, :, :, None] + x67  # [z, r, c, n]   spec line 23
    x69 = exp3 * x68  # [z, r, c, n]   spec line 23
    x70 = torch.where(chosen, x69, 0.0)  # [z, r, c, n]   spec line 23
    p16 = torch.einsum("zrcK,zrcn->znK", u_c, x70)  # [z, n, K]   spec line 22
    x71 = d_new_summary_z + p16  # [z, n, K]   spec line 22
    e2 = rows.expose(x71)  # [z, r, K]   spec line 15
    x72 = 0.00390625 * e2  # [z, r, K]   spec line 15
    p17 = torch.einsum("zrc,zrcK->zrK", x7, x65)  # [z, r, K]   spec line 15
    x73 = rows.count > 0.0  # [z, r]
    x74 = rows.count + rows.offset  # [z, r]
    x75 = x74 == 256.0  # [z, r]
    x76 = x73 & x75  # [z, r]
    d_old_summary_partial_45 = d_new_summary_partial_z
    d_old_summary_partial_45_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_45_starts[r] = d_old_summary_partial_45
        x77 = torch.where(x76[:, r][:, None], 0.0, d_old_summary_partial_45)  # [z, K]   spec line 15
        x78 = x72[:, r] + x77  # [z, K]   spec line 15
        x79 = x78 + p17[:, r]  # [z, K]   spec line 15
        d_sum_summary_partial_rows[r] = x78
        d_old_summary_partial_45 = x79
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    x80 = G4 + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]   spec line 15
    x81 = torch.where(x[:, :, :, None], x80, 0.0)  # [z, r, c, K]   spec line 15
    x82 = x50 + x81  # [z, r, c, K]   spec line 16
    x83 = x48 + x82  # [z, r, c, K]   spec line 15
    p18 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 16
    x84 = p18 * exp4  # [z, r, c, d]   spec line 16
    p19 = torch.einsum("zrcd,zrcV->zrdV", x84, x42)  # [z, r, d, V]   spec line 16
    x85 = (size_K ** -0.5) * p19  # [z, r, d, V]   spec line 16
    p20 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 15
    x86 = x39[:, :, :, None] * p20  # [z, r, c, V]   spec line 15
    x87 = x85 + x86  # [z, r, c, V]   spec line 15
    x88 = g_z == -120.0  # [z]   spec line 15
    x89 = x20 * p13  # [z, r, c]   spec line 16
    x90 = exp * x89  # [z, r, c]   spec line 15
    x91 = (size_K ** -0.5) * x90  # [z, r, c]   spec line 15
    G5 = ops.running(x91.double(), 2, reverse=True)  # [z, r, c]   spec line 15
    x92 = exp6 * d_factor_S_rows  # [z, r]   spec line 15
    x93 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 16
    x94 = p18 * p4  # [z, r, c, d]   spec line 16
    x95 = exp4 * x94  # [z, r, c, d]   spec line 16
    x96 = x24[:, :, :, None] * x95  # [z, r, c, d]   spec line 16
    x97 = torch.where(x27, x96, 0.0)  # [z, r, c, d]   spec line 16
    G6 = ops.running(x97, 2, reverse=True)  # [z, r, c, d]   spec line 16
    x98 = torch.where(x93[:, None], G6, 0.0)  # [z, r, c, d]   spec line 16
    s3 = x98.sum(3)  # [z, r, c]   spec line 16
    p21 = torch.einsum("zrcK,zrcK->zrc", k_c, p11)  # [z, r, c]   spec line 15
    x99 = torch.where(x, p21, 0.0)  # [z, r, c]   spec line 15
    x100 = exp5 * x99  # [z, r, c]   spec line 15
    G7 = ops.running(x100.double(), 2, exclusive=True)  # [z, r, c]   spec line 15
    x101 = s3 + G7.to(like.dtype)  # [z, r, c]   spec line 15
    x102 = x92[:, :, None] + x101  # [z, r, c]   spec line 15
    x103 = G5.to(like.dtype) + x102  # [z, r, c]   spec line 15
    x104 = torch.where(x, x103, 0.0)  # [z, r, c]   spec line 15
    s4 = x104.sum((1, 2))  # [z]   spec line 15
    x105 = 0.5 * s4  # [z]   spec line 15
    x106 = g_z > -120.0  # [z]   spec line 15
    x107 = torch.where(x106, s4, 0.0)  # [z]   spec line 15
    x108 = torch.where(x88, x105, x107)  # [z]   spec line 15
    p22 = torch.einsum("znK,zrcn->zrcK", new_summary_z, x70)  # [z, r, c, K]   spec line 22
    x109 = x7[:, :, :, None] * x9  # [z, r, c, K]   spec line 15
    x110 = x109 * x64[:, :, :, None]  # [z, r, c, K]   spec line 22
    x111 = p22 + x110  # [z, r, c, K]   spec line 22
    e3 = rows.keep(x71)  # [z, n, K]   spec line 15
    e4 = rows.keep(x41)  # [z, n, K, V]   spec line 15
    return (ops.from_tokens(rows.store([(x38, 0)], T, 0), H), ops.from_tokens(rows.store([(x83, 0)], T, 0), H), ops.from_tokens(rows.store([(x87, 0)], T, 0), H), ops.unflat(x108, H), ops.from_tokens(rows.store([(x111, 0)], T, 0), H), ops.unflat(d_old_S_30, H), ops.unflat(d_old_summary_partial_45, H), ops.unflat(e3, H), ops.unflat(e4, H),)

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
    x17 = torch.where(x15[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 22
    chosen = rows.topk(x17, 4)  # [z, r, c, n]   spec line 22
    x18 = torch.where(chosen, p2, -1e+30)  # [z, r, c, n]   spec line 23
    m = ops.largest(x18, 3)  # [z, r, c]   spec line 23
    x19 = ops.maximum(m, x14)  # [z, r, c]   spec line 23
    x20 = x19.detach()  # [z, r, c]   spec line 23
    x21 = x14 - x20  # [z, r, c]   spec line 23
    exp = torch.exp(x21)  # [z, r, c]   spec line 23
    x22 = x18 - x20[:, :, :, None]  # [z, r, c, n]   spec line 23
    exp2 = torch.exp(x22)  # [z, r, c, n]   spec line 23
    s2 = exp2.sum(3)  # [z, r, c]   spec line 23
    x23 = exp + s2  # [z, r, c]   spec line 23
    x24 = 1.0 / x23  # [z, r, c]   spec line 23
    x25 = exp * x24  # [z, r, c]   spec line 23
    x26 = exp2 * x24[:, :, :, None]  # [z, r, c, n]   spec line 23
    x27 = torch.where(chosen, x26, 0.0)  # [z, r, c, n]   spec line 23
    x28 = ops.where(chosen, 1.0, 0.0, like)  # [z, r, c, n]   spec line 23
    return (ops.from_tokens(rows.store([(x25, 0)], T, 0), H), ops.from_tokens(rows.store([(x27, 0)], T, 0), H), ops.from_tokens(rows.store([(x28, 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
