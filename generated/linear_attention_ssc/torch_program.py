"""linear_attention_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = S + outer(k, v)
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

def forward(q, k, v, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
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
    x10 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x11 = x10.to(like.dtype)  # [z, r, c]   spec line 14
    x12 = 1.0 + x11  # [z, r, c]   spec line 14
    x13 = 1.0 / x12  # [z, r, c]   spec line 14
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 14
    x14 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 14
    s = x14.sum(2)  # [z, r, K]   spec line 14
    x15 = rows.count > 0.0  # [z, r]
    x16 = rows.count + rows.offset  # [z, r]
    x17 = x16 == 256.0  # [z, r]
    x18 = x15 & x17  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x19 = old_summary_partial + s[:, r]  # [z, K]   spec line 14
        x20 = torch.where(x18[:, r][:, None], 0.0, x19)  # [z, K]   spec line 14
        end_summary_partial_rows[r] = x19
        old_summary_partial = x20
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G = ops.running(x14, 2)  # [z, r, c, K]   spec line 14
    x21 = old_summary_partial_starts[:, :, None] + G  # [z, r, c, K]   spec line 14
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 21
    p5 = torch.einsum("zrcK,zrcK->zrc", x21, u_c)  # [z, r, c]   spec line 21
    x22 = x13 * p5  # [z, r, c]   spec line 21
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x23 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    x24 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 14
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 14
    M = rows.collect(x24, summary_z)  # [z, n, K]   spec line 14
    p6 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 21
    x25 = torch.where(x23[:, :, None], p6, -1e+30)  # [z, r, c, n]   spec line 21
    chosen = rows.topk(x25, 4)  # [z, r, c, n]   spec line 21
    x26 = torch.where(chosen, p6, -1e+30)  # [z, r, c, n]   spec line 22
    m = ops.largest(x26, 3)  # [z, r, c]   spec line 22
    x27 = ops.maximum(m, x22)  # [z, r, c]   spec line 22
    x28 = x27.detach()  # [z, r, c]   spec line 22
    x29 = x22 - x28  # [z, r, c]   spec line 22
    exp = torch.exp(x29)  # [z, r, c]   spec line 22
    x30 = x26 - x28[:, :, :, None]  # [z, r, c, n]   spec line 22
    exp2 = torch.exp(x30)  # [z, r, c, n]   spec line 22
    s2 = exp2.sum(3)  # [z, r, c]   spec line 22
    x31 = exp + s2  # [z, r, c]   spec line 22
    x32 = 1.0 / x31  # [z, r, c]   spec line 22
    x33 = exp * x32  # [z, r, c]   spec line 22
    x34 = x9 * x33[:, :, :, None]  # [z, r, c, V]   spec line 22
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 14
    M2 = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 14
    x35 = exp2 * x32[:, :, :, None]  # [z, r, c, n]   spec line 22
    x36 = torch.where(chosen, x35, 0.0)  # [z, r, c, n]   spec line 22
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p7 = torch.einsum("zKV,zrcK->zrcV", M2[:, n], q_c)  # [z, r, c, V]   spec line 15
        x37 = p7 * x36[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 22
        slots0_out0 = slots0_out0 + x37
    x38 = x34 + slots0_out0  # [z, r, c, V]   spec line 22
    x39 = (size_K ** -0.5) * x38  # [z, r, c, V]   spec line 10
    results = (ops.from_tokens(rows.store([(x39, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H), ops.unflat(old_summary_partial, H), ops.unflat(M2, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    x = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x2 = x.to(like.dtype)  # [z, r, c]   spec line 14
    x3 = 1.0 + x2  # [z, r, c]   spec line 14
    x4 = 1.0 / x3  # [z, r, c]   spec line 14
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 21
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 14
    x6 = torch.where(x5[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 14
    G = ops.running(x6, 2)  # [z, r, c, K]   spec line 14
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]   spec line 14
    x7 = G + saved_summary_partial_z[:, :, None]  # [z, r, c, K]   spec line 14
    p = torch.einsum("zrcK,zrcK->zrc", u_c, x7)  # [z, r, c]   spec line 21
    x8 = x4 * p  # [z, r, c]   spec line 21
    at_n = ops.iota(table, N)  # [z, n]   spec line 14
    x9 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 14
    new_summary_z = ops.flat(new_summary)  # [z, n, K]   spec line 14
    p2 = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]   spec line 21
    x10 = torch.where(x9[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 21
    chosen = rows.topk(x10, 4)  # [z, r, c, n]   spec line 21
    x11 = torch.where(chosen, p2, -1e+30)  # [z, r, c, n]   spec line 22
    m = ops.largest(x11, 3)  # [z, r, c]   spec line 22
    x12 = ops.maximum(m, x8)  # [z, r, c]   spec line 22
    x13 = x12.detach()  # [z, r, c]   spec line 22
    x14 = x8 - x13  # [z, r, c]   spec line 22
    exp = torch.exp(x14)  # [z, r, c]   spec line 22
    x15 = x11 - x13[:, :, :, None]  # [z, r, c, n]   spec line 22
    exp2 = torch.exp(x15)  # [z, r, c, n]   spec line 22
    s = exp2.sum(3)  # [z, r, c]   spec line 22
    x16 = exp + s  # [z, r, c]   spec line 22
    x17 = 1.0 / x16  # [z, r, c]   spec line 22
    x18 = exp * x17  # [z, r, c]   spec line 22
    x19 = (size_K ** -0.5) * x18  # [z, r, c]   spec line 15
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 22
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 14
    p3 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 15
    x20 = x19[:, :, :, None] * p3  # [z, r, c, K]   spec line 15
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 15
    x21 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 15
    x22 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 15
    x23 = x21[:, None] & x22[:, :, None]  # [z, r, c, d]   spec line 15
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 14
    p4 = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]   spec line 15
    x24 = x19[:, :, :, None] * p4  # [z, r, c, d]   spec line 15
    x25 = torch.where(x23, x24, 0.0)  # [z, r, c, d]   spec line 15
    p5 = torch.einsum("zrdK,zrcd->zrcK", k_c, x25)  # [z, r, c, K]   spec line 15
    x26 = exp2 * x17[:, :, :, None]  # [z, r, c, n]   spec line 22
    x27 = torch.where(chosen, x26, 0.0)  # [z, r, c, n]   spec line 22
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 14
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 15
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p6 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]   spec line 14
        x28 = x27[:, :, :, n][:, :, :, None] * p6  # [z, r, c, K]   spec line 14
        x29 = x27[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 15
        p7 = torch.einsum("zrcK,zrcV->zKV", q_c, x29)  # [z, K, V]   spec line 15
        p8 = torch.einsum("zrcK,zrcK->zrc", p6, q_c)  # [z, r, c]   spec line 15
        slots0_out0 = slots0_out0 + x28
        slots0_out1[n] = p7
        slots0_out2[n] = p8
    slots0_out1 = ops.stacked(slots0_out1, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    slots0_out2 = ops.stacked(slots0_out2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    x30 = (size_K ** -0.5) * slots0_out0  # [z, r, c, K]   spec line 22
    x31 = p5 + x30  # [z, r, c, K]   spec line 15
    x32 = x20 + x31  # [z, r, c, K]   spec line 15
    x33 = ops.where(x5, 1.0, 0.0, like)  # [z, r, c]   spec line 14
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 22
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 22
    x34 = (size_K ** -0.5) * slots0_out1  # [z, n, K, V]   spec line 22
    x35 = d_new_cache_S_z + x34  # [z, n, K, V]   spec line 22
    e = rows.expose(x35)  # [z, r, K, V]   spec line 14
    x36 = d_y_c * x18[:, :, :, None]  # [z, r, c, V]   spec line 15
    p9 = torch.einsum("zrcK,zrcV->zrKV", q_c, x36)  # [z, r, K, V]   spec line 15
    x37 = (size_K ** -0.5) * p9  # [z, r, K, V]   spec line 15
    d_old_S_20 = d_new_state_S_z
    d_old_S_20_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_20_starts[r] = d_old_S_20
        x38 = d_old_S_20 + e[:, r]  # [z, K, V]   spec line 15
        x39 = x38 + x37[:, r]  # [z, K, V]   spec line 14
        d_write_S_rows[r] = x38
        d_old_S_20 = x39
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p10 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 14
    x40 = x33[:, :, :, None] * p10  # [z, r, c, K]   spec line 14
    p11 = torch.einsum("zrcK,zrcd->zrdK", q_c, x25)  # [z, r, d, K]   spec line 15
    p12 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 15
    x41 = torch.where(x23, p12, 0.0)  # [z, r, c, d]   spec line 15
    p13 = torch.einsum("zrcd,zrcd->zrc", x41, p4)  # [z, r, c]   spec line 22
    p14 = torch.einsum("zrcK,zrcK->zrc", q_c, p3)  # [z, r, c]   spec line 22
    x42 = p13 + p14  # [z, r, c]   spec line 22
    x43 = x17 * x42  # [z, r, c]   spec line 22
    x44 = (size_K ** -0.5) * x43  # [z, r, c]   spec line 22
    x45 = exp * x42  # [z, r, c]   spec line 22
    x46 = (size_K ** -0.5) * x45  # [z, r, c]   spec line 22
    x47 = (size_K ** -0.5) * slots0_out2  # [z, r, c, n]   spec line 22
    x48 = torch.where(chosen, x47, 0.0)  # [z, r, c, n]   spec line 22
    p15 = torch.einsum("zrcn,zrcn->zrc", exp2, x48)  # [z, r, c]   spec line 22
    x49 = x46 + p15  # [z, r, c]   spec line 22
    x50 = x17 * x49  # [z, r, c]   spec line 22
    x51 = x50 / x16  # [z, r, c]   spec line 22
    x52 = -x51  # [z, r, c]   spec line 22
    x53 = x44 + x52  # [z, r, c]   spec line 22
    x54 = exp * x53  # [z, r, c]   spec line 22
    x55 = u_c * x54[:, :, :, None]  # [z, r, c, K]   spec line 21
    x56 = x4[:, :, :, None] * x55  # [z, r, c, K]   spec line 14
    G2 = ops.running(x56, 2, reverse=True)  # [z, r, c, K]   spec line 14
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]   spec line 22
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]   spec line 22
    x57 = x17[:, :, :, None] * x48  # [z, r, c, n]   spec line 22
    x58 = x52[:, :, :, None] + x57  # [z, r, c, n]   spec line 22
    x59 = exp2 * x58  # [z, r, c, n]   spec line 22
    x60 = torch.where(chosen, x59, 0.0)  # [z, r, c, n]   spec line 22
    p16 = torch.einsum("zrcK,zrcn->znK", u_c, x60)  # [z, n, K]   spec line 21
    x61 = d_new_summary_z + p16  # [z, n, K]   spec line 21
    e2 = rows.expose(x61)  # [z, r, K]   spec line 14
    x62 = 0.00390625 * e2  # [z, r, K]   spec line 14
    p17 = torch.einsum("zrc,zrcK->zrK", x4, x55)  # [z, r, K]   spec line 14
    x63 = rows.count > 0.0  # [z, r]
    x64 = rows.count + rows.offset  # [z, r]
    x65 = x64 == 256.0  # [z, r]
    x66 = x63 & x65  # [z, r]
    d_old_summary_partial_35 = d_new_summary_partial_z
    d_old_summary_partial_35_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_35_starts[r] = d_old_summary_partial_35
        x67 = torch.where(x66[:, r][:, None], 0.0, d_old_summary_partial_35)  # [z, K]   spec line 14
        x68 = x62[:, r] + x67  # [z, K]   spec line 14
        x69 = x68 + p17[:, r]  # [z, K]   spec line 14
        d_sum_summary_partial_rows[r] = x68
        d_old_summary_partial_35 = x69
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    x70 = G2 + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]   spec line 14
    x71 = torch.where(x5[:, :, :, None], x70, 0.0)  # [z, r, c, K]   spec line 14
    x72 = p11 + x71  # [z, r, c, K]   spec line 15
    x73 = x40 + x72  # [z, r, c, K]   spec line 14
    p18 = torch.einsum("zrcd,zrcV->zrdV", x41, x36)  # [z, r, d, V]   spec line 15
    x74 = (size_K ** -0.5) * p18  # [z, r, d, V]   spec line 15
    p19 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 14
    x75 = x33[:, :, :, None] * p19  # [z, r, c, V]   spec line 14
    x76 = x74 + x75  # [z, r, c, V]   spec line 14
    p20 = torch.einsum("znK,zrcn->zrcK", new_summary_z, x60)  # [z, r, c, K]   spec line 21
    x77 = x4[:, :, :, None] * x7  # [z, r, c, K]   spec line 14
    x78 = x77 * x54[:, :, :, None]  # [z, r, c, K]   spec line 21
    x79 = p20 + x78  # [z, r, c, K]   spec line 21
    e3 = rows.keep(x61)  # [z, n, K]   spec line 14
    e4 = rows.keep(x35)  # [z, n, K, V]   spec line 14
    return (ops.from_tokens(rows.store([(x32, 0)], T, 0), H), ops.from_tokens(rows.store([(x73, 0)], T, 0), H), ops.from_tokens(rows.store([(x76, 0)], T, 0), H), ops.from_tokens(rows.store([(x79, 0)], T, 0), H), ops.unflat(d_old_S_20, H), ops.unflat(d_old_summary_partial_35, H), ops.unflat(e3, H), ops.unflat(e4, H),)

def _weights(q, k, v, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    x = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 14
    x2 = x.to(like.dtype)  # [z, r, c]   spec line 14
    x3 = 1.0 + x2  # [z, r, c]   spec line 14
    x4 = 1.0 / x3  # [z, r, c]   spec line 14
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 14
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
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
