"""swla_ssc in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
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

def forward(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    a_c = rows.load(ops.tokens(a))  # [z, r, c]   spec line 17
    log = ops.logfloor(a_c)  # [z, r, c]   spec line 17
    x2 = ops.maximum(log, -120.0)  # [z, r, c]   spec line 17
    x3 = torch.where(x, x2, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 17
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 17
    s = x3.sum(2)  # [z, r]   spec line 17
    exp2 = torch.exp(s)  # [z, r]   spec line 17
    b_c = rows.load(ops.tokens(b))  # [z, r, c]   spec line 17
    x4 = rows.segment.to(like.dtype)  # [z, r]   spec line 17
    x5 = 256.0 * x4  # [z, r]   spec line 17
    x6 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x7 = x6.to(like.dtype)  # [z, r, c]   spec line 17
    x8 = x5[:, :, None] + x7  # [z, r, c]   spec line 17
    x9 = x8 >= 1.0  # [z, r, c]   spec line 17
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]   spec line 17
    x10 = torch.where(x9[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]   spec line 17
    x11 = b_c[:, :, :, None] * x10  # [z, r, c, V]   spec line 17
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]   spec line 17
    x12 = torch.where(x9[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]   spec line 17
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x13 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 17
    x14 = x12 * x13[:, :, :, None]  # [z, r, c, K]   spec line 17
    p = torch.einsum("zrcV,zrcK->zrVK", x11, x14)  # [z, r, V, K]   spec line 17
    l_c = rows.load(ops.tokens(l))  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]   spec line 17
    x15 = l_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    x16 = x13[:, :, :, None] * k_c  # [z, r, c, K]   spec line 17
    p2 = torch.einsum("zrcV,zrcK->zrVK", x15, x16)  # [z, r, V, K]   spec line 17
    x17 = p + p2  # [z, r, V, K]   spec line 17
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x18 = exp2[:, r][:, None, None] * old_S  # [z, K, V]   spec line 17
        x19 = x18 + x17[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 17
        end_S_rows[r] = x19
        old_S = x19
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    p3 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 18
    x20 = exp[:, :, :, None] * p3  # [z, r, c, V]   spec line 18
    p4 = torch.einsum("zrcK,zrdK->zrcd", q_c, x12)  # [z, r, c, d]   spec line 18
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x21 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x22 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x23 = x21[:, None] & x22[:, :, None]  # [z, r, c, d]   spec line 18
    x24 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 18
    x25 = torch.where(x23, x24, -10000.0)  # [z, r, c, d]   spec line 18
    exp4 = torch.exp(x25.to(like.dtype))  # [z, r, c, d]   spec line 18
    x26 = p4 * exp4  # [z, r, c, d]   spec line 18
    p5 = torch.einsum("zrdV,zrcd->zrcV", x11, x26)  # [z, r, c, V]   spec line 18
    x27 = x20 + p5  # [z, r, c, V]   spec line 18
    p6 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    x28 = p6 * exp4  # [z, r, c, d]   spec line 18
    p7 = torch.einsum("zrdV,zrcd->zrcV", x15, x28)  # [z, r, c, V]   spec line 18
    x29 = x27 + p7  # [z, r, c, V]   spec line 18
    x30 = x7 + 1.0  # [z, r, c]   spec line 17
    x31 = 1.0 / x30  # [z, r, c]   spec line 17
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 17
    x32 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 17
    s2 = x32.sum(2)  # [z, r, K]   spec line 17
    x33 = rows.count > 0.0  # [z, r]
    x34 = rows.count + rows.offset  # [z, r]
    x35 = x34 == 256.0  # [z, r]
    x36 = x33 & x35  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x37 = old_summary_partial + s2[:, r]  # [z, K]   spec line 17
        x38 = torch.where(x36[:, r][:, None], 0.0, x37)  # [z, K]   spec line 17
        end_summary_partial_rows[r] = x37
        old_summary_partial = x38
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G3 = ops.running(x32, 2)  # [z, r, c, K]   spec line 17
    x39 = old_summary_partial_starts[:, :, None] + G3  # [z, r, c, K]   spec line 17
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 24
    p8 = torch.einsum("zrcK,zrcK->zrc", x39, u_c)  # [z, r, c]   spec line 24
    x40 = x31 * p8  # [z, r, c]   spec line 24
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x41 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x42 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 17
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 17
    M = rows.collect(x42, summary_z)  # [z, n, K]   spec line 17
    p9 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 24
    x43 = torch.where(x41[:, :, None], p9, -1e+30)  # [z, r, c, n]   spec line 24
    chosen = rows.topk(x43, 4)  # [z, r, c, n]   spec line 24
    x44 = torch.where(chosen, p9, -1e+30)  # [z, r, c, n]   spec line 25
    m = ops.largest(x44, 3)  # [z, r, c]   spec line 25
    x45 = ops.maximum(m, x40)  # [z, r, c]   spec line 25
    x46 = x45.detach()  # [z, r, c]   spec line 25
    x47 = x40 - x46  # [z, r, c]   spec line 25
    exp5 = torch.exp(x47)  # [z, r, c]   spec line 25
    x48 = x44 - x46[:, :, :, None]  # [z, r, c, n]   spec line 25
    exp6 = torch.exp(x48)  # [z, r, c, n]   spec line 25
    s3 = exp6.sum(3)  # [z, r, c]   spec line 25
    x49 = exp5 + s3  # [z, r, c]   spec line 25
    x50 = 1.0 / x49  # [z, r, c]   spec line 25
    x51 = exp5 * x50  # [z, r, c]   spec line 25
    x52 = x29 * x51[:, :, :, None]  # [z, r, c, V]   spec line 25
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 17
    M2 = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 17
    x53 = exp6 * x50[:, :, :, None]  # [z, r, c, n]   spec line 25
    x54 = torch.where(chosen, x53, 0.0)  # [z, r, c, n]   spec line 25
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p10 = torch.einsum("zKV,zrcK->zrcV", M2[:, n], q_c)  # [z, r, c, V]   spec line 18
        x55 = p10 * x54[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 25
        slots0_out0 = slots0_out0 + x55
    x56 = x52 + slots0_out0  # [z, r, c, V]   spec line 25
    x57 = (size_K ** -0.5) * x56  # [z, r, c, V]   spec line 13
    results = (ops.from_tokens(rows.store([(x57, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H), ops.unflat(old_summary_partial, H), ops.unflat(M2, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_summary_partial_starts, H),) if save else results

def backward(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, new_summary, new_cache_S, saved_S, saved_summary_partial, d_y, d_new_state_S, d_new_summary, d_new_summary_partial, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 25
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 17
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 18
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    a_c = rows.load(ops.tokens(a))  # [z, r, c]   spec line 17
    log = ops.logfloor(a_c)  # [z, r, c]   spec line 17
    x2 = ops.maximum(log, -120.0)  # [z, r, c]   spec line 17
    x3 = torch.where(x, x2, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 17
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    x4 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x5 = x4.to(like.dtype)  # [z, r, c]   spec line 17
    x6 = x5 + 1.0  # [z, r, c]   spec line 17
    x7 = 1.0 / x6  # [z, r, c]   spec line 17
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 24
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    x8 = torch.where(x[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 17
    G2 = ops.running(x8, 2)  # [z, r, c, K]   spec line 17
    saved_summary_partial_z = ops.flat(saved_summary_partial)  # [z, r, K]   spec line 17
    x9 = G2 + saved_summary_partial_z[:, :, None]  # [z, r, c, K]   spec line 17
    p2 = torch.einsum("zrcK,zrcK->zrc", u_c, x9)  # [z, r, c]   spec line 24
    x10 = x7 * p2  # [z, r, c]   spec line 24
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x11 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    new_summary_z = ops.flat(new_summary)  # [z, n, K]   spec line 17
    p3 = torch.einsum("zrcK,znK->zrcn", u_c, new_summary_z)  # [z, r, c, n]   spec line 24
    x12 = torch.where(x11[:, :, None], p3, -1e+30)  # [z, r, c, n]   spec line 24
    chosen = rows.topk(x12, 4)  # [z, r, c, n]   spec line 24
    x13 = torch.where(chosen, p3, -1e+30)  # [z, r, c, n]   spec line 25
    m = ops.largest(x13, 3)  # [z, r, c]   spec line 25
    x14 = ops.maximum(m, x10)  # [z, r, c]   spec line 25
    x15 = x14.detach()  # [z, r, c]   spec line 25
    x16 = x10 - x15  # [z, r, c]   spec line 25
    exp2 = torch.exp(x16)  # [z, r, c]   spec line 25
    x17 = x13 - x15[:, :, :, None]  # [z, r, c, n]   spec line 25
    exp3 = torch.exp(x17)  # [z, r, c, n]   spec line 25
    s = exp3.sum(3)  # [z, r, c]   spec line 25
    x18 = exp2 + s  # [z, r, c]   spec line 25
    x19 = 1.0 / x18  # [z, r, c]   spec line 25
    x20 = exp2 * x19  # [z, r, c]   spec line 25
    x21 = exp * x20  # [z, r, c]   spec line 18
    x22 = (size_K ** -0.5) * x21  # [z, r, c]   spec line 18
    x23 = p * x22[:, :, :, None]  # [z, r, c, K]   spec line 18
    x24 = (size_K ** -0.5) * x20  # [z, r, c]   spec line 18
    x25 = rows.segment.to(like.dtype)  # [z, r]   spec line 17
    x26 = 256.0 * x25  # [z, r]   spec line 17
    x27 = x26[:, :, None] + x5  # [z, r, c]   spec line 17
    x28 = x27 >= 1.0  # [z, r, c]   spec line 17
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]   spec line 17
    x29 = torch.where(x28[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]   spec line 17
    b_c = rows.load(ops.tokens(b))  # [z, r, c]   spec line 17
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x30 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x31 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x32 = x30[:, None] & x31[:, :, None]  # [z, r, c, d]   spec line 18
    x33 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 18
    x34 = torch.where(x32, x33, -10000.0)  # [z, r, c, d]   spec line 18
    exp4 = torch.exp(x34.to(like.dtype))  # [z, r, c, d]   spec line 18
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]   spec line 17
    x35 = torch.where(x28[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]   spec line 17
    p4 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, x35)  # [z, r, c, d]   spec line 18
    x36 = exp4 * p4  # [z, r, c, d]   spec line 18
    x37 = b_c[:, :, None] * x36  # [z, r, c, d]   spec line 18
    p5 = torch.einsum("zrdK,zrcd->zrcK", x29, x37)  # [z, r, c, K]   spec line 18
    x38 = x24[:, :, :, None] * p5  # [z, r, c, K]   spec line 18
    l_c = rows.load(ops.tokens(l))  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]   spec line 17
    p6 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 18
    x39 = exp4 * p6  # [z, r, c, d]   spec line 18
    x40 = l_c[:, :, None] * x39  # [z, r, c, d]   spec line 18
    p7 = torch.einsum("zrdK,zrcd->zrcK", k_c, x40)  # [z, r, c, K]   spec line 18
    x41 = x24[:, :, :, None] * p7  # [z, r, c, K]   spec line 18
    x42 = exp3 * x19[:, :, :, None]  # [z, r, c, n]   spec line 25
    x43 = torch.where(chosen, x42, 0.0)  # [z, r, c, n]   spec line 25
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 17
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p8 = torch.einsum("zrcV,zKV->zrcK", d_y_c, new_cache_S_z[:, n])  # [z, r, c, K]   spec line 17
        x44 = x43[:, :, :, n][:, :, :, None] * p8  # [z, r, c, K]   spec line 17
        x45 = x43[:, :, :, n][:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 18
        p9 = torch.einsum("zrcK,zrcV->zKV", q_c, x45)  # [z, K, V]   spec line 18
        p10 = torch.einsum("zrcK,zrcK->zrc", p8, q_c)  # [z, r, c]   spec line 18
        slots0_out0 = slots0_out0 + x44
        slots0_out1[n] = p9
        slots0_out2[n] = p10
    slots0_out1 = ops.stacked(slots0_out1, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    slots0_out2 = ops.stacked(slots0_out2, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    x46 = (size_K ** -0.5) * slots0_out0  # [z, r, c, K]   spec line 25
    x47 = x41 + x46  # [z, r, c, K]   spec line 18
    x48 = x38 + x47  # [z, r, c, K]   spec line 18
    x49 = x23 + x48  # [z, r, c, K]   spec line 18
    x50 = x20[:, :, :, None] * x36  # [z, r, c, d]   spec line 18
    p11 = torch.einsum("zrcK,zrcd->zrdK", q_c, x50)  # [z, r, d, K]   spec line 18
    x51 = b_c[:, :, :, None] * p11  # [z, r, d, K]   spec line 18
    x52 = (size_K ** -0.5) * x51  # [z, r, d, K]   spec line 18
    G3 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp5 = torch.exp(G3.to(like.dtype))  # [z, r, c]   spec line 17
    x53 = torch.where(x, exp5, 0.0)  # [z, r, c]   spec line 17
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 25
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 25
    x54 = (size_K ** -0.5) * slots0_out1  # [z, n, K, V]   spec line 25
    x55 = d_new_cache_S_z + x54  # [z, n, K, V]   spec line 25
    e = rows.expose(x55)  # [z, r, K, V]   spec line 17
    x56 = d_y_c * x20[:, :, :, None]  # [z, r, c, V]   spec line 18
    x57 = exp[:, :, :, None] * x56  # [z, r, c, V]   spec line 18
    p12 = torch.einsum("zrcK,zrcV->zrKV", q_c, x57)  # [z, r, K, V]   spec line 18
    x58 = (size_K ** -0.5) * p12  # [z, r, K, V]   spec line 18
    s2 = x3.sum(2)  # [z, r]   spec line 17
    exp6 = torch.exp(s2)  # [z, r]   spec line 17
    d_old_S_49 = d_new_state_S_z
    d_old_S_49_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_49_starts[r] = d_old_S_49
        x59 = d_old_S_49 + e[:, r]  # [z, K, V]   spec line 18
        x60 = exp6[:, r][:, None, None] * x59  # [z, K, V]   spec line 17
        x61 = x60 + x58[:, r]  # [z, K, V]   spec line 17
        p13 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x59)  # [z]   spec line 17
        d_factor_S_rows[r] = p13
        d_write_S_rows[r] = x59
        d_old_S_49 = x61
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p14 = torch.einsum("zrcV,zrKV->zrcK", x35, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x62 = b_c[:, :, :, None] * p14  # [z, r, c, K]   spec line 17
    x63 = x53[:, :, :, None] * x62  # [z, r, c, K]   spec line 17
    x64 = x52 + x63  # [z, r, c, K]   spec line 17
    x65 = torch.where(x28[:, :, :, None], x64, 0.0)  # [z, r, c, K]   spec line 17
    p15 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x66 = l_c[:, :, :, None] * p15  # [z, r, c, K]   spec line 17
    x67 = x53[:, :, :, None] * x66  # [z, r, c, K]   spec line 17
    x68 = x20[:, :, :, None] * x39  # [z, r, c, d]   spec line 18
    p16 = torch.einsum("zrcK,zrcd->zrdK", q_c, x68)  # [z, r, d, K]   spec line 18
    x69 = l_c[:, :, :, None] * p16  # [z, r, d, K]   spec line 18
    x70 = (size_K ** -0.5) * x69  # [z, r, d, K]   spec line 18
    x71 = b_c[:, :, :, None] * x35  # [z, r, c, V]   spec line 17
    p17 = torch.einsum("zrcK,zrdK->zrcd", q_c, x29)  # [z, r, c, d]   spec line 18
    x72 = p17 * exp4  # [z, r, c, d]   spec line 18
    p18 = torch.einsum("zrdV,zrcd->zrcV", x71, x72)  # [z, r, c, V]   spec line 18
    p19 = torch.einsum("zrcV,zrcV->zrc", d_y_c, p18)  # [z, r, c]   spec line 25
    p20 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 25
    x73 = exp * p20  # [z, r, c]   spec line 25
    x74 = l_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    p21 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    x75 = p21 * exp4  # [z, r, c, d]   spec line 18
    p22 = torch.einsum("zrdV,zrcd->zrcV", x74, x75)  # [z, r, c, V]   spec line 18
    p23 = torch.einsum("zrcV,zrcV->zrc", d_y_c, p22)  # [z, r, c]   spec line 25
    x76 = x73 + p23  # [z, r, c]   spec line 25
    x77 = p19 + x76  # [z, r, c]   spec line 25
    x78 = x19 * x77  # [z, r, c]   spec line 25
    x79 = (size_K ** -0.5) * x78  # [z, r, c]   spec line 25
    x80 = exp2 * x77  # [z, r, c]   spec line 25
    x81 = (size_K ** -0.5) * x80  # [z, r, c]   spec line 25
    x82 = (size_K ** -0.5) * slots0_out2  # [z, r, c, n]   spec line 25
    x83 = torch.where(chosen, x82, 0.0)  # [z, r, c, n]   spec line 25
    p24 = torch.einsum("zrcn,zrcn->zrc", exp3, x83)  # [z, r, c]   spec line 25
    x84 = x81 + p24  # [z, r, c]   spec line 25
    x85 = x19 * x84  # [z, r, c]   spec line 25
    x86 = x85 / x18  # [z, r, c]   spec line 25
    x87 = -x86  # [z, r, c]   spec line 25
    x88 = x79 + x87  # [z, r, c]   spec line 25
    x89 = exp2 * x88  # [z, r, c]   spec line 25
    x90 = u_c * x89[:, :, :, None]  # [z, r, c, K]   spec line 24
    x91 = x7[:, :, :, None] * x90  # [z, r, c, K]   spec line 17
    G4 = ops.running(x91, 2, reverse=True)  # [z, r, c, K]   spec line 17
    d_new_summary_partial_z = ops.flat(d_new_summary_partial)  # [z, K]   spec line 25
    d_new_summary_z = ops.flat(d_new_summary)  # [z, n, K]   spec line 25
    x92 = x19[:, :, :, None] * x83  # [z, r, c, n]   spec line 25
    x93 = x87[:, :, :, None] + x92  # [z, r, c, n]   spec line 25
    x94 = exp3 * x93  # [z, r, c, n]   spec line 25
    x95 = torch.where(chosen, x94, 0.0)  # [z, r, c, n]   spec line 25
    p25 = torch.einsum("zrcK,zrcn->znK", u_c, x95)  # [z, n, K]   spec line 24
    x96 = d_new_summary_z + p25  # [z, n, K]   spec line 24
    e2 = rows.expose(x96)  # [z, r, K]   spec line 17
    x97 = 0.00390625 * e2  # [z, r, K]   spec line 17
    p26 = torch.einsum("zrc,zrcK->zrK", x7, x90)  # [z, r, K]   spec line 17
    x98 = rows.count > 0.0  # [z, r]
    x99 = rows.count + rows.offset  # [z, r]
    x100 = x99 == 256.0  # [z, r]
    x101 = x98 & x100  # [z, r]
    d_old_summary_partial_63 = d_new_summary_partial_z
    d_old_summary_partial_63_starts = [None] * R
    d_sum_summary_partial_rows = [None] * R
    for r in reversed(range(R)):  # carry_partial_backward
        d_old_summary_partial_63_starts[r] = d_old_summary_partial_63
        x102 = torch.where(x101[:, r][:, None], 0.0, d_old_summary_partial_63)  # [z, K]   spec line 17
        x103 = x97[:, r] + x102  # [z, K]   spec line 17
        x104 = x103 + p26[:, r]  # [z, K]   spec line 17
        d_sum_summary_partial_rows[r] = x103
        d_old_summary_partial_63 = x104
    d_sum_summary_partial_rows = ops.stacked(d_sum_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    x105 = G4 + d_sum_summary_partial_rows[:, :, None]  # [z, r, c, K]   spec line 17
    x106 = torch.where(x[:, :, :, None], x105, 0.0)  # [z, r, c, K]   spec line 17
    x107 = x70 + x106  # [z, r, c, K]   spec line 18
    x108 = x67 + x107  # [z, r, c, K]   spec line 17
    p27 = torch.einsum("zrcd,zrcV->zrdV", x72, x56)  # [z, r, d, V]   spec line 18
    x109 = (size_K ** -0.5) * p27  # [z, r, d, V]   spec line 18
    p28 = torch.einsum("zrcK,zrKV->zrcV", x29, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x110 = x53[:, :, :, None] * p28  # [z, r, c, V]   spec line 17
    x111 = x109 + x110  # [z, r, c, V]   spec line 17
    x112 = b_c[:, :, :, None] * x111  # [z, r, c, V]   spec line 17
    x113 = torch.where(x28[:, :, :, None], x112, 0.0)  # [z, r, c, V]   spec line 17
    p29 = torch.einsum("zrcd,zrcV->zrdV", x75, x56)  # [z, r, d, V]   spec line 18
    x114 = (size_K ** -0.5) * p29  # [z, r, d, V]   spec line 18
    p30 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x115 = x53[:, :, :, None] * p30  # [z, r, c, V]   spec line 17
    x116 = x114 + x115  # [z, r, c, V]   spec line 17
    x117 = l_c[:, :, :, None] * x116  # [z, r, c, V]   spec line 17
    x118 = log == -120.0  # [z, r, c]   spec line 17
    x119 = x20 * p20  # [z, r, c]   spec line 18
    x120 = exp * x119  # [z, r, c]   spec line 17
    x121 = (size_K ** -0.5) * x120  # [z, r, c]   spec line 17
    G5 = ops.running(x121.double(), 2, reverse=True)  # [z, r, c]   spec line 17
    x122 = exp6 * d_factor_S_rows  # [z, r]   spec line 17
    x123 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 18
    x124 = p21 * p6  # [z, r, c, d]   spec line 18
    x125 = l_c[:, :, None] * x124  # [z, r, c, d]   spec line 18
    x126 = x24[:, :, :, None] * x125  # [z, r, c, d]   spec line 18
    x127 = p17 * p4  # [z, r, c, d]   spec line 18
    x128 = b_c[:, :, None] * x127  # [z, r, c, d]   spec line 18
    x129 = x24[:, :, :, None] * x128  # [z, r, c, d]   spec line 18
    x130 = x126 + x129  # [z, r, c, d]   spec line 18
    x131 = exp4 * x130  # [z, r, c, d]   spec line 18
    x132 = torch.where(x32, x131, 0.0)  # [z, r, c, d]   spec line 18
    G6 = ops.running(x132, 2, reverse=True)  # [z, r, c, d]   spec line 18
    x133 = torch.where(x123[:, None], G6, 0.0)  # [z, r, c, d]   spec line 18
    s3 = x133.sum(3)  # [z, r, c]   spec line 18
    p31 = torch.einsum("zrcK,zrcK->zrc", k_c, p15)  # [z, r, c]   spec line 17
    x134 = l_c * p31  # [z, r, c]   spec line 17
    p32 = torch.einsum("zrcK,zrcK->zrc", x29, p14)  # [z, r, c]   spec line 17
    x135 = b_c * p32  # [z, r, c]   spec line 17
    x136 = x134 + x135  # [z, r, c]   spec line 17
    x137 = torch.where(x, x136, 0.0)  # [z, r, c]   spec line 17
    x138 = exp5 * x137  # [z, r, c]   spec line 17
    G7 = ops.running(x138.double(), 2, exclusive=True)  # [z, r, c]   spec line 17
    x139 = s3 + G7.to(like.dtype)  # [z, r, c]   spec line 17
    x140 = x122[:, :, None] + x139  # [z, r, c]   spec line 17
    x141 = G5.to(like.dtype) + x140  # [z, r, c]   spec line 17
    x142 = torch.where(x, x141, 0.0)  # [z, r, c]   spec line 17
    x143 = 0.5 * x142  # [z, r, c]   spec line 17
    x144 = log > -120.0  # [z, r, c]   spec line 17
    x145 = torch.where(x144, x142, 0.0)  # [z, r, c]   spec line 17
    x146 = torch.where(x118, x143, x145)  # [z, r, c]   spec line 17
    x147 = ops.maximum(a_c, 1e-30)  # [z, r, c]   spec line 17
    x148 = x146 / x147  # [z, r, c]   spec line 17
    p33 = torch.einsum("zrcV,zrcV->zrc", x35, p27)  # [z, r, c]   spec line 17
    x149 = (size_K ** -0.5) * p33  # [z, r, c]   spec line 17
    p34 = torch.einsum("zrcV,zrcV->zrc", x35, p28)  # [z, r, c]   spec line 17
    x150 = x53 * p34  # [z, r, c]   spec line 17
    x151 = x149 + x150  # [z, r, c]   spec line 17
    p35 = torch.einsum("zrcV,zrcV->zrc", v_c, p29)  # [z, r, c]   spec line 17
    x152 = (size_K ** -0.5) * p35  # [z, r, c]   spec line 17
    p36 = torch.einsum("zrcV,zrcV->zrc", v_c, p30)  # [z, r, c]   spec line 17
    x153 = x53 * p36  # [z, r, c]   spec line 17
    x154 = x152 + x153  # [z, r, c]   spec line 17
    p37 = torch.einsum("znK,zrcn->zrcK", new_summary_z, x95)  # [z, r, c, K]   spec line 24
    x155 = x7[:, :, :, None] * x9  # [z, r, c, K]   spec line 17
    x156 = x155 * x89[:, :, :, None]  # [z, r, c, K]   spec line 24
    x157 = p37 + x156  # [z, r, c, K]   spec line 24
    e3 = rows.keep(x96)  # [z, n, K]   spec line 17
    e4 = rows.keep(x55)  # [z, n, K, V]   spec line 17
    return (ops.from_tokens(rows.store([(x49, 0)], T, 0), H), ops.from_tokens(rows.store([(x65, 1), (x108, 0)], T, 1), H), ops.from_tokens(rows.store([(x113, 1), (x117, 0)], T, 1), H), ops.from_tokens(rows.store([(x148, 0)], T, 0), H), ops.from_tokens(rows.store([(x151, 0)], T, 0), H), ops.from_tokens(rows.store([(x154, 0)], T, 0), H), ops.from_tokens(rows.store([(x157, 0)], T, 0), H), ops.unflat(d_old_S_49, H), ops.unflat(d_old_summary_partial_63, H), ops.unflat(e3, H), ops.unflat(e4, H),)

def _weights(q, k, v, a, b, l, u, state_S, summary_partial, summary, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = summary.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x2 = x.to(like.dtype)  # [z, r, c]   spec line 17
    x3 = x2 + 1.0  # [z, r, c]   spec line 17
    x4 = 1.0 / x3  # [z, r, c]   spec line 17
    summary_partial_z = ops.flat(summary_partial)  # [z, K]   spec line 17
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    x6 = torch.where(x5[:, :, :, None], k_c, 0.0)  # [z, r, c, K]   spec line 17
    s = x6.sum(2)  # [z, r, K]   spec line 17
    x7 = rows.count > 0.0  # [z, r]
    x8 = rows.count + rows.offset  # [z, r]
    x9 = x8 == 256.0  # [z, r]
    x10 = x7 & x9  # [z, r]
    old_summary_partial = summary_partial_z
    old_summary_partial_starts = [None] * R
    end_summary_partial_rows = [None] * R
    for r in range(R):  # carry_partial
        old_summary_partial_starts[r] = old_summary_partial
        x11 = old_summary_partial + s[:, r]  # [z, K]   spec line 17
        x12 = torch.where(x10[:, r][:, None], 0.0, x11)  # [z, K]   spec line 17
        end_summary_partial_rows[r] = x11
        old_summary_partial = x12
    old_summary_partial_starts = ops.stacked(old_summary_partial_starts, (z, size_K, ), like)  # [z, r, K]
    end_summary_partial_rows = ops.stacked(end_summary_partial_rows, (z, size_K, ), like)  # [z, r, K]
    G = ops.running(x6, 2)  # [z, r, c, K]   spec line 17
    x13 = old_summary_partial_starts[:, :, None] + G  # [z, r, c, K]   spec line 17
    u_c = rows.load(ops.tokens(u))  # [z, r, c, K]   spec line 24
    p = torch.einsum("zrcK,zrcK->zrc", x13, u_c)  # [z, r, c]   spec line 24
    x14 = x4 * p  # [z, r, c]   spec line 24
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x15 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x16 = end_summary_partial_rows * 0.00390625  # [z, r, K]   spec line 17
    summary_z = ops.flat(summary)  # [z, n, K]   spec line 17
    M = rows.collect(x16, summary_z)  # [z, n, K]   spec line 17
    p2 = torch.einsum("znK,zrcK->zrcn", M, u_c)  # [z, r, c, n]   spec line 24
    x17 = torch.where(x15[:, :, None], p2, -1e+30)  # [z, r, c, n]   spec line 24
    chosen = rows.topk(x17, 4)  # [z, r, c, n]   spec line 24
    x18 = torch.where(chosen, p2, -1e+30)  # [z, r, c, n]   spec line 25
    m = ops.largest(x18, 3)  # [z, r, c]   spec line 25
    x19 = ops.maximum(m, x14)  # [z, r, c]   spec line 25
    x20 = x19.detach()  # [z, r, c]   spec line 25
    x21 = x14 - x20  # [z, r, c]   spec line 25
    exp = torch.exp(x21)  # [z, r, c]   spec line 25
    x22 = x18 - x20[:, :, :, None]  # [z, r, c, n]   spec line 25
    exp2 = torch.exp(x22)  # [z, r, c, n]   spec line 25
    s2 = exp2.sum(3)  # [z, r, c]   spec line 25
    x23 = exp + s2  # [z, r, c]   spec line 25
    x24 = 1.0 / x23  # [z, r, c]   spec line 25
    x25 = exp * x24  # [z, r, c]   spec line 25
    x26 = exp2 * x24[:, :, :, None]  # [z, r, c, n]   spec line 25
    x27 = torch.where(chosen, x26, 0.0)  # [z, r, c, n]   spec line 25
    x28 = ops.where(chosen, 1.0, 0.0, like)  # [z, r, c, n]   spec line 25
    return (ops.from_tokens(rows.store([(x25, 0)], T, 0), H), ops.from_tokens(rows.store([(x27, 0)], T, 0), H), ops.from_tokens(rows.store([(x28, 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
