"""mamba2_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(A * dt) * S + dt * outer(k, v)
    read = S.T @ q
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

def forward(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
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
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 14
    s = x4.sum(2)  # [z, r]   spec line 14
    exp2 = torch.exp(s)  # [z, r]   spec line 14
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    x5 = dt_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 14
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    G2 = ops.running(x4.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 14
    x6 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 14
    x7 = k_c * x6[:, :, :, None]  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcV,zrcK->zrVK", x5, x7)  # [z, r, V, K]   spec line 14
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x8 = exp2[:, r][:, None, None] * old_S  # [z, K, V]   spec line 14
        x9 = x8 + p[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 14
        end_S_rows[r] = x9
        old_S = x9
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    p2 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 15
    x10 = exp[:, :, :, None] * p2  # [z, r, c, V]   spec line 15
    p3 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x11 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x12 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x13 = x11[:, None] & x12[:, :, None]  # [z, r, c, d]   spec line 15
    x14 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 15
    x15 = torch.where(x13, x14, -10000.0)  # [z, r, c, d]   spec line 15
    exp4 = torch.exp(x15.to(like.dtype))  # [z, r, c, d]   spec line 15
    x16 = p3 * exp4  # [z, r, c, d]   spec line 15
    p4 = torch.einsum("zrdV,zrcd->zrcV", x5, x16)  # [z, r, c, V]   spec line 15
    x17 = x10 + p4  # [z, r, c, V]   spec line 15
    x18 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x19 = x18.to(like.dtype)  # [z, r, c]   spec line 14
    x20 = 1.0 + x19  # [z, r, c]   spec line 14
    x21 = 1.0 / x20  # [z, r, c]   spec line 14
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 14
    x22 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 14
    s2 = x22.sum(2)  # [z, r, K]   spec line 14
    x23 = rows.count > 0.0  # [z, r]
    x24 = rows.count + rows.offset  # [z, r]
    x25 = x24 == 256.0  # [z, r]
    x26 = x23 & x25  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x27 = old_summary_partial + s2[:, r]  # [z, K]   spec line 14
        x28 = torch.where(x26[:, r][:, None], 0.0, x27)  # [z, K]   spec line 14
        end_summary_partial_rows[r] = x27
        old_summary_partial = x28
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G3 = ops.running(x22, 2)  # [z, r, c, K]   spec line 14
    x29 = old_summary_partial_starts[:, :, None] + G3  # [z, r, c, K]   spec line 14
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 21
    p5 = torch.einsum("zrcK,zrcK->zrc", x29, u_c)  # [z, r, c]   spec line 21
    x30 = x21 * p5  # [z, r, c]   spec line 21
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x31 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    x32 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 14
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 14
    M = rows.collect(x32, summary_z)  # [z, n, K]   spec line 14
    p6 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 21
    x33 = torch.where(x31[:, :, None], p6, -1e+30)  # [z, r, c, n]   spec line 21
    chosen = rows.topk(x33, 4)  # [z, r, c, n]   spec line 21
    x34 = torch.where(chosen, p6, -1e+30)  # [z, r, c, n]   spec line 22
    m = ops.largest(x34, 3)  # [z, r, c]   spec line 22
    x35 = ops.maximum(m, x30)  # [z, r, c]   spec line 22
    x36 = x35.detach()  # [z, r, c]   spec line 22
    x37 = x30 - x36  # [z, r, c]   spec line 22
    exp5 = torch.exp(x37)  # [z, r, c]   spec line 22
    x38 = x34 - x36[:, :, :, None]  # [z, r, c, n]   spec line 22
    exp6 = torch.exp(x38)  # [z, r, c, n]   spec line 22
    s3 = exp6.sum(3)  # [z, r, c]   spec line 22
    x39 = exp5 + s3  # [z, r, c]   spec line 22
    x40 = 1.0 / x39  # [z, r, c]   spec line 22
    x41 = exp5 * x40  # [z, r, c]   spec line 22
    x42 = x17 * x41[:, :, :, None]  # [z, r, c, V]   spec line 22
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 14
    M2 = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 14
    x43 = exp6 * x40[:, :, :, None]  # [z, r, c, n]   spec line 22
    x44 = torch.where(chosen, x43, 0.0)  # [z, r, c, n]   spec line 22
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p7 = torch.einsum("zKV,zrcK->zrcV", M2[:, n], q_c)  # [z, r, c, V]   spec line 15
        x45 = p7 * x44[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 22
        slots0_out0 = slots0_out0 + x45
    x46 = x42 + slots0_out0  # [z, r, c, V]   spec line 22
    results = (ops.from_tokens(rows.store([(x46, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H), ops.unflat(old_summary_partial, H), ops.unflat(M2, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
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
    x5 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x6 = x5.to(like.dtype)  # [z, r, c]   spec line 14
    x7 = 1.0 + x6  # [z, r, c]   spec line 14
    x8 = 1.0 / x7  # [z, r, c]   spec line 14
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 21
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    x9 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 14
    G2 = ops.running(x9, 2)  # [z, r, c, K]   spec line 14
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]   spec line 14
    x10 = G2 + saved_summary_partial_z[:, :, None]  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcK,zrcK->zrc", u_c, x10)  # [z, r, c]   spec line 21
    x11 = x8 * p  # [z, r, c]   spec line 21
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x12 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    new_summary_z = ops.flat(new_summary)  # [z, n, K]   spec line 14
    p2 = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]   spec line 21
    x13 = torch.where(x12[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 21
    chosen = rows.topk(x13, 4)  # [z, r, c, n]   spec line 21
    x14 = torch.where(chosen, p2, -1e+30)  # [z, r, c, n]   spec line 22
    m = ops.largest(x14, 3)  # [z, r, c]   spec line 22
    x15 = ops.maximum(m, x11)  # [z, r, c]   spec line 22
    x16 = x15.detach()  # [z, r, c]   spec line 22
    x17 = x11 - x16  # [z, r, c]   spec line 22
    exp2 = torch.exp(x17)  # [z, r, c]   spec line 22
    x18 = x14 - x16[:, :, :, None]  # [z, r, c, n]   spec line 22
    exp3 = torch.exp(x18)  # [z, r, c, n]   spec line 22
    s = exp3.sum(3)  # [z, r, c]   spec line 22
    x19 = exp2 + s  # [z, r, c]   spec line 22
    x20 = 1.0 / x19  # [z, r, c]   spec line 22
    x21 = exp2 * x20  # [z, r, c]   spec line 22
    x22 = exp * x21  # [z, r, c]   spec line 15
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 22
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p3 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x23 = x22[:, :, :, None] * p3  # [z, r, c, K]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x24 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x25 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x26 = x24[:, None] & x25[:, :, None]  # [z, r, c, d]   spec line 15
    x27 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 15
    x28 = torch.where(x26, x27, -10000.0)  # [z, r, c, d]   spec line 15
    exp4 = torch.exp(x28.to(like.dtype))  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    p4 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 15
    x29 = exp4 * p4  # [z, r, c, d]   spec line 15
    x30 = dt_c[:, :, None] * x29  # [z, r, c, d]   spec line 15
    p5 = torch.einsum("zrdK,zrcd->zrcK", k_c, x30)  # [z, r, c, K]   spec line 15
    x31 = x21[:, :, :, None] * p5  # [z, r, c, K]   spec line 15
    x32 = exp3 * x20[:, :, :, None]  # [z, r, c, n]   spec line 22
    x33 = torch.where(chosen, x32, 0.0)  # [z, r, c, n]   spec line 22
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 14
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p6 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]   spec line 14
        x34 = x33[:, :, :, n][:, :, :, None] * p6  # [z, r, c, K]   spec line 14
        x35 = x33[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 15
        p7 = torch.einsum("zrcK,zrcV->zKV", q_c, x35)  # [z, K, V]   spec line 15
        p8 = torch.einsum("zrcK,zrcK->zrc", p6, q_c)  # [z, r, c]   spec line 15
        slots0_out0 = slots0_out0 + x34
        slots0_out1[n] = p7
        slots0_out2[n] = p8
    slots0_out1 = ops.stacked(slots0_out1, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    slots0_out2 = ops.stacked(slots0_out2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    x36 = x31 + slots0_out0  # [z, r, c, K]   spec line 15
    x37 = x23 + x36  # [z, r, c, K]   spec line 15
    G3 = ops.running(x4.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 14
    exp5 = torch.exp(G3.to(like.dtype))  # [z, r, c]   spec line 14
    x38 = torch.where(x, exp5, 0.0)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 22
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 22
    x39 = d_new_cache_S_z + slots0_out1  # [z, n, K, V]   spec line 22
    e = rows.expose(x39)  # [z, r, K, V]   spec line 14
    x40 = d_y_c * x21[:, :, :, None]  # [z, r, c, V]   spec line 22
    x41 = exp[:, :, :, None] * x40  # [z, r, c, V]   spec line 15
    p9 = torch.einsum("zrcK,zrcV->zrKV", q_c, x41)  # [z, r, K, V]   spec line 15
    s2 = x4.sum(2)  # [z, r]   spec line 14
    exp6 = torch.exp(s2)  # [z, r]   spec line 14
    d_old_S_33 = d_new_state_S_z
    d_old_S_33_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_33_starts[r] = d_old_S_33
        x42 = d_old_S_33 + e[:, r]  # [z, K, V]   spec line 15
        x43 = exp6[:, r][:, None, None] * x42  # [z, K, V]   spec line 14
        x44 = x43 + p9[:, r]  # [z, K, V]   spec line 14
        p10 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x42)  # [z]   spec line 14
        d_factor_S_rows[r] = p10
        d_write_S_rows[r] = x42
        d_old_S_33 = x44
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p11 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x45 = dt_c[:, :, :, None] * p11  # [z, r, c, K]   spec line 14
    x46 = x38[:, :, :, None] * x45  # [z, r, c, K]   spec line 14
    x47 = x21[:, :, :, None] * x29  # [z, r, c, d]   spec line 15
    p12 = torch.einsum("zrcK,zrcd->zrdK", q_c, x47)  # [z, r, d, K]   spec line 15
    x48 = dt_c[:, :, :, None] * p12  # [z, r, d, K]   spec line 15
    p13 = torch.einsum("zrcK,zrcK->zrc", q_c, p3)  # [z, r, c]   spec line 22
    x49 = exp * p13  # [z, r, c]   spec line 22
    x50 = dt_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 14
    p14 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x51 = p14 * exp4  # [z, r, c, d]   spec line 15
    p15 = torch.einsum("zrdV,zrcd->zrcV", x50, x51)  # [z, r, c, V]   spec line 15
    p16 = torch.einsum("zrcV,zrcV->zrc", d_y_c, p15)  # [z, r, c]   spec line 22
    x52 = x49 + p16  # [z, r, c]   spec line 22
    x53 = x20 * x52  # [z, r, c]   spec line 22
    x54 = exp2 * x52  # [z, r, c]   spec line 22
    x55 = torch.where(chosen, slots0_out2, 0.0)  # [z, r, c, n]   spec line 22
    p17 = torch.einsum("zrcn,zrcn->zrc", exp3, x55)  # [z, r, c]   spec line 22
    x56 = x54 + p17  # [z, r, c]   spec line 22
    x57 = x20 * x56  # [z, r, c]   spec line 22
    x58 = x57 / x19  # [z, r, c]   spec line 22
    x59 = -x58  # [z, r, c]   spec line 22
    x60 = x53 + x59  # [z, r, c]   spec line 22
    x61 = exp2 * x60  # [z, r, c]   spec line 22
    x62 = u_c * x61[:, :, :, None]  # [z, r, c, K]   spec line 21
    x63 = x8[:, :, :, None] * x62  # [z, r, c, K]   spec line 14
    G4 = ops.running(x63, 2, reverse=True)  # [z, r, c, K]   spec line 14
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]   spec line 22
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]   spec line 22
    x64 = x20[:, :, :, None] * x55  # [z, r, c, n]   spec line 22
    x65 = x59[:, :, :, None] + x64  # [z, r, c, n]   spec line 22
    x66 = exp3 * x65  # [z, r, c, n]   spec line 22
    x67 = torch.where(chosen, x66, 0.0)  # [z, r, c, n]   spec line 22
    p18 = torch.einsum("zrcK,zrcn->znK", u_c, x67)  # [z, n, K]   spec line 21
    x68 = d_new_summary_z + p18  # [z, n, K]   spec line 21
    e2 = rows.expose(x68)  # [z, r, K]   spec line 14
    x69 = 0.00390625 * e2  # [z, r, K]   spec line 14
    p19 = torch.einsum("zrc,zrcK->zrK", x8, x62)  # [z, r, K]   spec line 14
    x70 = rows.count > 0.0  # [z, r]
    x71 = rows.count + rows.offset  # [z, r]
    x72 = x71 == 256.0  # [z, r]
    x73 = x70 & x72  # [z, r]
    d_old_summary_partial_48 = d_new_summary_partial_z
    d_old_summary_partial_48_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_48_starts[r] = d_old_summary_partial_48
        x74 = torch.where(x73[:, r][:, None], 0.0, d_old_summary_partial_48)  # [z, K]   spec line 14
        x75 = x69[:, r] + x74  # [z, K]   spec line 14
        x76 = x75 + p19[:, r]  # [z, K]   spec line 14
        d_sum_summary_partial_rows[r] = x75
        d_old_summary_partial_48 = x76
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    x77 = G4 + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]   spec line 14
    x78 = torch.where(x[:, :, :, None], x77, 0.0)  # [z, r, c, K]   spec line 14
    x79 = x48 + x78  # [z, r, c, K]   spec line 15
    x80 = x46 + x79  # [z, r, c, K]   spec line 14
    p20 = torch.einsum("zrcd,zrcV->zrdV", x51, x40)  # [z, r, d, V]   spec line 15
    p21 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x81 = x38[:, :, :, None] * p21  # [z, r, c, V]   spec line 14
    x82 = p20 + x81  # [z, r, c, V]   spec line 14
    x83 = dt_c[:, :, :, None] * x82  # [z, r, c, V]   spec line 14
    p22 = torch.einsum("zrcV,zrcV->zrc", v_c, p20)  # [z, r, c]   spec line 14
    p23 = torch.einsum("zrcV,zrcV->zrc", v_c, p21)  # [z, r, c]   spec line 14
    x84 = x38 * p23  # [z, r, c]   spec line 14
    x85 = p22 + x84  # [z, r, c]   spec line 14
    x86 = x2 == -120.0  # [z, r, c]   spec line 14
    x87 = x21 * p13  # [z, r, c]   spec line 15
    x88 = exp * x87  # [z, r, c]   spec line 14
    G5 = ops.running(x88.double(), 2, reverse=True)  # [z, r, c]   spec line 14
    x89 = exp6 * d_factor_S_rows  # [z, r]   spec line 14
    x90 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 15
    x91 = p14 * p4  # [z, r, c, d]   spec line 15
    x92 = exp4 * x91  # [z, r, c, d]   spec line 15
    x93 = dt_c[:, :, None] * x92  # [z, r, c, d]   spec line 15
    x94 = x21[:, :, :, None] * x93  # [z, r, c, d]   spec line 15
    x95 = torch.where(x26, x94, 0.0)  # [z, r, c, d]   spec line 15
    G6 = ops.running(x95, 2, reverse=True)  # [z, r, c, d]   spec line 15
    x96 = torch.where(x90[:, None], G6, 0.0)  # [z, r, c, d]   spec line 15
    s3 = x96.sum(3)  # [z, r, c]   spec line 15
    p24 = torch.einsum("zrcK,zrcK->zrc", k_c, p11)  # [z, r, c]   spec line 14
    x97 = dt_c * p24  # [z, r, c]   spec line 14
    x98 = torch.where(x, x97, 0.0)  # [z, r, c]   spec line 14
    x99 = exp5 * x98  # [z, r, c]   spec line 14
    G7 = ops.running(x99.double(), 2, exclusive=True)  # [z, r, c]   spec line 14
    x100 = s3 + G7.to(like.dtype)  # [z, r, c]   spec line 14
    x101 = x89[:, :, None] + x100  # [z, r, c]   spec line 14
    x102 = G5.to(like.dtype) + x101  # [z, r, c]   spec line 14
    x103 = torch.where(x, x102, 0.0)  # [z, r, c]   spec line 14
    x104 = 0.5 * x103  # [z, r, c]   spec line 14
    x105 = x2 > -120.0  # [z, r, c]   spec line 14
    x106 = torch.where(x105, x103, 0.0)  # [z, r, c]   spec line 14
    x107 = torch.where(x86, x104, x106)  # [z, r, c]   spec line 14
    x108 = A_z[:, None, None] * x107  # [z, r, c]   spec line 14
    x109 = x85 + x108  # [z, r, c]   spec line 14
    p25 = torch.einsum("zrc,zrc->z", dt_c, x107)  # [z]   spec line 14
    p26 = torch.einsum("znK,zrcn->zrcK", new_summary_z, x67)  # [z, r, c, K]   spec line 21
    x110 = x8[:, :, :, None] * x10  # [z, r, c, K]   spec line 14
    x111 = x110 * x61[:, :, :, None]  # [z, r, c, K]   spec line 21
    x112 = p26 + x111  # [z, r, c, K]   spec line 21
    e3 = rows.keep(x68)  # [z, n, K]   spec line 14
    e4 = rows.keep(x39)  # [z, n, K, V]   spec line 14
    return (ops.from_tokens(rows.store([(x37, 0)], T, 0), H), ops.from_tokens(rows.store([(x80, 0)], T, 0), H), ops.from_tokens(rows.store([(x83, 0)], T, 0), H), ops.from_tokens(rows.store([(x109, 0)], T, 0), H), ops.unflat(p25, H), ops.from_tokens(rows.store([(x112, 0)], T, 0), H), ops.unflat(d_old_S_33, H), ops.unflat(d_old_summary_partial_48, H), ops.unflat(e3, H), ops.unflat(e4, H),)

def _weights(q, k, v, dt, A, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 14
    x = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x2 = x.to(like.dtype)  # [z, r, c]   spec line 14
    x3 = 1.0 + x2  # [z, r, c]   spec line 14
    x4 = 1.0 / x3  # [z, r, c]   spec line 14
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 14
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 14
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    x6 = torch.where(x5[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 14
    s = x6.sum(2)  # [z, r, K]   spec line 14
    x7 = rows.count > 0.0  # [z, r]
    x8 = rows.count + rows.offset  # [z, r]
    x9 = x8 == 256.0  # [z, r]
    x10 = x7 & x9  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x11 = old_summary_partial + s[:, r]  # [z, K]   spec line 14
        x12 = torch.where(x10[:, r][:, None], 0.0, x11)  # [z, K]   spec line 14
        end_summary_partial_rows[r] = x11
        old_summary_partial = x12
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G = ops.running(x6, 2)  # [z, r, c, K]   spec line 14
    x13 = old_summary_partial_starts[:, :, None] + G  # [z, r, c, K]   spec line 14
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 21
    p = torch.einsum("zrcK,zrcK->zrc", x13, u_c)  # [z, r, c]   spec line 21
    x14 = x4 * p  # [z, r, c]   spec line 21
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x15 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    x16 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 14
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 14
    M = rows.collect(x16, summary_z)  # [z, n, K]   spec line 14
    p2 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 21
    x17 = torch.where(x15[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 21
    chosen = rows.topk(x17, 4)  # [z, r, c, n]   spec line 21
    x18 = torch.where(chosen, p2, -1e+30)  # [z, r, c, n]   spec line 22
    m = ops.largest(x18, 3)  # [z, r, c]   spec line 22
    x19 = ops.maximum(m, x14)  # [z, r, c]   spec line 22
    x20 = x19.detach()  # [z, r, c]   spec line 22
    x21 = x14 - x20  # [z, r, c]   spec line 22
    exp = torch.exp(x21)  # [z, r, c]   spec line 22
    x22 = x18 - x20[:, :, :, None]  # [z, r, c, n]   spec line 22
    exp2 = torch.exp(x22)  # [z, r, c, n]   spec line 22
    s2 = exp2.sum(3)  # [z, r, c]   spec line 22
    x23 = exp + s2  # [z, r, c]   spec line 22
    x24 = 1.0 / x23  # [z, r, c]   spec line 22
    x25 = exp * x24  # [z, r, c]   spec line 22
    x26 = exp2 * x24[:, :, :, None]  # [z, r, c, n]   spec line 22
    x27 = torch.where(chosen, x26, 0.0)  # [z, r, c, n]   spec line 22
    x28 = ops.where(chosen, 1.0, 0.0, like)  # [z, r, c, n]   spec line 22
    return (ops.from_tokens(rows.store([(x25, 0)], T, 0), H), ops.from_tokens(rows.store([(x27, 0)], T, 0), H), ops.from_tokens(rows.store([(x28, 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
