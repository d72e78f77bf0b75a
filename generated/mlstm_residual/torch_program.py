"""mlstm_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, i, g, state_S, state_n, cache_S, cache_n, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    g_c = rows.load(ops.tokens(g))  # [z, r, c]   spec line 17
    x2 = ops.maximum(g_c, -120.0)  # [z, r, c]   spec line 17
    x3 = torch.where(x, x2, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 17
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 19
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 17
    s = x3.sum(2)  # [z, r]   spec line 17
    exp2 = torch.exp(s)  # [z, r]   spec line 17
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 17
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x4 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 17
    x5 = k_c * x4[:, :, :, None]  # [z, r, c, K]   spec line 17
    i_c = rows.load(ops.tokens(i))  # [z, r, c]   spec line 17
    exp4 = torch.exp(i_c)  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 17
    x6 = exp4[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    p = torch.einsum("zrcK,zrcV->zrKV", x5, x6)  # [z, r, K, V]   spec line 17
    x7 = (size_K ** -0.5) * p  # [z, r, K, V]   spec line 17
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x8 = exp2[:, r][:, None, None] * old_S  # [z, K, V]   spec line 17
        x9 = x8 + x7[:, r]  # [z, K, V]   spec line 17
        end_S_rows[r] = x9
        old_S = x9
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p2 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 19
    x10 = exp[:, :, :, None] * p2  # [z, r, c, V]   spec line 19
    p3 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 19
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 19
    x11 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 19
    x12 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 19
    x13 = x11[:, None] & x12[:, :, None]  # [z, r, c, d]   spec line 19
    x14 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 19
    x15 = torch.where(x13, x14, -10000.0)  # [z, r, c, d]   spec line 19
    exp5 = torch.exp(x15.to(like.dtype))  # [z, r, c, d]   spec line 19
    x16 = p3 * exp5  # [z, r, c, d]   spec line 19
    p4 = torch.einsum("zrcd,zrdV->zrcV", x16, x6)  # [z, r, c, V]   spec line 19
    x17 = (size_K ** -0.5) * p4  # [z, r, c, V]   spec line 19
    x18 = x10 + x17  # [z, r, c, V]   spec line 19
    state_n_z = ops.flat(state_n)  # [z, K]   spec line 17
    x19 = exp4 * x4  # [z, r, c]   spec line 17
    p5 = torch.einsum("zrcK,zrc->zrK", k_c, x19)  # [z, r, K]   spec line 17
    x20 = (size_K ** -0.5) * p5  # [z, r, K]   spec line 17
    old_n = state_n_z
    old_n_starts = [None] * R
    end_n_rows = [None] * R
    for r in range(R):  # carry_n
        old_n_starts[r] = old_n
        x21 = exp2[:, r][:, None] * old_n  # [z, K]   spec line 17
        x22 = x21 + x20[:, r]  # [z, K]   spec line 17
        end_n_rows[r] = x22
        old_n = x22
    old_n_starts = ops.stacked(old_n_starts, (z, size_K, ), like)  # [z, r, K]
    end_n_rows = ops.stacked(end_n_rows, (z, size_K, ), like)  # [z, r, K]
    p6 = torch.einsum("zrcK,zrK->zrc", q_c, old_n_starts)  # [z, r, c]   spec line 19
    x23 = exp * p6  # [z, r, c]   spec line 19
    p7 = torch.einsum("zrcd,zrd->zrc", x16, exp4)  # [z, r, c]   spec line 19
    x24 = (size_K ** -0.5) * p7  # [z, r, c]   spec line 19
    x25 = x23 + x24  # [z, r, c]   spec line 19
    abs = torch.abs(x25)  # [z, r, c]   spec line 19
    x26 = ops.maximum(abs, 1.0)  # [z, r, c]   spec line 19
    x27 = 1.0 / x26  # [z, r, c]   spec line 19
    x28 = x18 * x27[:, :, :, None]  # [z, r, c, V]   spec line 19
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x29 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x30 = ops.where(x29, 1.0, 0.0, like)  # [z, r, n]   spec line 19
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 17
    M = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 17
    cache_n_z = ops.flat(cache_n)  # [z, n, K]   spec line 17
    M2 = rows.collect(end_n_rows, cache_n_z)  # [z, n, K]   spec line 17
    p8 = torch.einsum("zrcK,znK->zrcn", q_c, M2)  # [z, r, c, n]   spec line 19
    abs2 = torch.abs(p8)  # [z, r, c, n]   spec line 19
    x31 = ops.maximum(abs2, 1.0)  # [z, r, c, n]   spec line 19
    x32 = 1.0 / x31  # [z, r, c, n]   spec line 19
    slots0_out0 = like.new_zeros((z, R, chunk, size_V, ))
    for n in range(N):  # one cached memory after the other: slots0
        p9 = torch.einsum("zrcK,zKV->zrcV", q_c, M[:, n])  # [z, r, c, V]   spec line 17
        x33 = p9 * x32[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 19
        x34 = x30[:, :, n][:, :, None, None] * x33  # [z, r, c, V]   spec line 19
        slots0_out0 = slots0_out0 + x34
    x35 = x28 + slots0_out0  # [z, r, c, V]   spec line 19
    results = (ops.from_tokens(rows.store([(x35, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(old_n, H), ops.unflat(M, H), ops.unflat(M2, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_n_starts, H),) if save else results

def backward(q, k, v, i, g, state_S, state_n, cache_S, cache_n, table, new_cache_S, new_cache_n, saved_S, saved_n, d_y, d_new_state_S, d_new_state_n, d_new_cache_S, d_new_cache_n, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    g_c = rows.load(ops.tokens(g))  # [z, r, c]   spec line 17
    x2 = ops.maximum(g_c, -120.0)  # [z, r, c]   spec line 17
    x3 = torch.where(x, x2, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x3.double(), 2)  # [z, r, c]   spec line 17
    exp = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 19
    saved_n_z = ops.flat(saved_n)  # [z, r, K]   spec line 17
    p = torch.einsum("zrcK,zrK->zrc", q_c, saved_n_z)  # [z, r, c]   spec line 19
    x4 = exp * p  # [z, r, c]   spec line 19
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 17
    p2 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 19
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 19
    x5 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 19
    x6 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 19
    x7 = x5[:, None] & x6[:, :, None]  # [z, r, c, d]   spec line 19
    x8 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 19
    x9 = torch.where(x7, x8, -10000.0)  # [z, r, c, d]   spec line 19
    exp2 = torch.exp(x9.to(like.dtype))  # [z, r, c, d]   spec line 19
    x10 = p2 * exp2  # [z, r, c, d]   spec line 19
    i_c = rows.load(ops.tokens(i))  # [z, r, c]   spec line 17
    exp3 = torch.exp(i_c)  # [z, r, c]   spec line 17
    p3 = torch.einsum("zrcd,zrd->zrc", x10, exp3)  # [z, r, c]   spec line 19
    x11 = (size_K ** -0.5) * p3  # [z, r, c]   spec line 19
    x12 = x4 + x11  # [z, r, c]   spec line 19
    abs = torch.abs(x12)  # [z, r, c]   spec line 19
    x13 = ops.maximum(abs, 1.0)  # [z, r, c]   spec line 19
    x14 = 1.0 / x13  # [z, r, c]   spec line 19
    x15 = exp * x14  # [z, r, c]   spec line 19
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 19
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 17
    p4 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 19
    x16 = x15[:, :, :, None] * p4  # [z, r, c, K]   spec line 19
    x17 = exp3 * (size_K ** -0.5)  # [z, r, c]   spec line 12
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 17
    p5 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 19
    x18 = x17[:, :, None] * p5  # [z, r, c, d]   spec line 19
    x19 = x14[:, :, :, None] * x18  # [z, r, c, d]   spec line 19
    sig = torch.sign(x12)  # [z, r, c]   spec line 19
    x20 = 1.0 == abs  # [z, r, c]   spec line 19
    x21 = x14 * x14  # [z, r, c]   spec line 19
    x22 = -x21  # [z, r, c]   spec line 19
    p6 = torch.einsum("zrcK,zrcK->zrc", q_c, p4)  # [z, r, c]   spec line 19
    x23 = exp * p6  # [z, r, c]   spec line 19
    x24 = exp3[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    p7 = torch.einsum("zrcd,zrdV->zrcV", x10, x24)  # [z, r, c, V]   spec line 19
    p8 = torch.einsum("zrcV,zrcV->zrc", d_y_c, p7)  # [z, r, c]   spec line 19
    x25 = (size_K ** -0.5) * p8  # [z, r, c]   spec line 19
    x26 = x23 + x25  # [z, r, c]   spec line 19
    x27 = x22 * x26  # [z, r, c]   spec line 19
    x28 = 0.5 * x27  # [z, r, c]   spec line 19
    x29 = 1.0 > abs  # [z, r, c]   spec line 19
    x30 = torch.where(x29, 0.0, x27)  # [z, r, c]   spec line 19
    x31 = torch.where(x20, x28, x30)  # [z, r, c]   spec line 19
    x32 = sig * x31  # [z, r, c]   spec line 19
    x33 = x17[:, :, None] * x32[:, :, :, None]  # [z, r, c, d]   spec line 19
    x34 = x19 + x33  # [z, r, c, d]   spec line 19
    x35 = exp2 * x34  # [z, r, c, d]   spec line 19
    p9 = torch.einsum("zrdK,zrcd->zrcK", k_c, x35)  # [z, r, c, K]   spec line 19
    x36 = exp * x32  # [z, r, c]   spec line 19
    x37 = saved_n_z[:, :, None] * x36[:, :, :, None]  # [z, r, c, K]   spec line 19
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x38 = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x39 = ops.where(x38, 1.0, 0.0, like)  # [z, r, n]   spec line 19
    new_cache_n_z = ops.flat(new_cache_n)  # [z, n, K]   spec line 17
    p10 = torch.einsum("zrcK,znK->zrcn", q_c, new_cache_n_z)  # [z, r, c, n]   spec line 19
    abs2 = torch.abs(p10)  # [z, r, c, n]   spec line 19
    x40 = ops.maximum(abs2, 1.0)  # [z, r, c, n]   spec line 19
    x41 = 1.0 / x40  # [z, r, c, n]   spec line 19
    x42 = x39[:, :, None] * x41  # [z, r, c, n]   spec line 19
    new_cache_S_z = ops.flat(new_cache_S)  # [z, n, K, V]   spec line 17
    slots0_out0 = like.new_zeros((z, R, chunk, size_K, ))
    slots0_out1 = [None] * N
    slots0_out2 = [None] * N
    for n in range(N):  # one cached memory after the other: slots0
        p11 = torch.einsum("zKV,zrcV->zrcK", new_cache_S_z[:, n], d_y_c)  # [z, r, c, K]   spec line 17
        x43 = x42[:, :, :, n][:, :, :, None] * p11  # [z, r, c, K]   spec line 17
        p12 = torch.einsum("zrcK,zrcK->zrc", p11, q_c)  # [z, r, c]   spec line 17
        x44 = d_y_c * x39[:, :, n][:, :, None, None]  # [z, r, c, V]   spec line 17
        x45 = x44 * x41[:, :, :, n][:, :, :, None]  # [z, r, c, V]   spec line 17
        p13 = torch.einsum("zrcK,zrcV->zKV", q_c, x45)  # [z, K, V]   spec line 17
        slots0_out0 = slots0_out0 + x43
        slots0_out1[n] = p12
        slots0_out2[n] = p13
    slots0_out1 = ops.stacked(slots0_out1, (z, R, chunk, ), like, 3)  # [z, r, c, n]
    slots0_out2 = ops.stacked(slots0_out2, (z, size_K, size_V, ), like, 1)  # [z, n, K, V]
    sig2 = torch.sign(p10)  # [z, r, c, n]   spec line 19
    x46 = 1.0 == abs2  # [z, r, c, n]   spec line 19
    x47 = x41 * x41  # [z, r, c, n]   spec line 19
    x48 = x39[:, :, None] * x47  # [z, r, c, n]   spec line 19
    x49 = -x48  # [z, r, c, n]   spec line 19
    x50 = x49 * slots0_out1  # [z, r, c, n]   spec line 19
    x51 = 0.5 * x50  # [z, r, c, n]   spec line 19
    x52 = 1.0 > abs2  # [z, r, c, n]   spec line 19
    x53 = torch.where(x52, 0.0, x50)  # [z, r, c, n]   spec line 19
    x54 = torch.where(x46, x51, x53)  # [z, r, c, n]   spec line 19
    x55 = sig2 * x54  # [z, r, c, n]   spec line 19
    p14 = torch.einsum("znK,zrcn->zrcK", new_cache_n_z, x55)  # [z, r, c, K]   spec line 19
    x56 = slots0_out0 + p14  # [z, r, c, K]   spec line 19
    x57 = x37 + x56  # [z, r, c, K]   spec line 19
    x58 = p9 + x57  # [z, r, c, K]   spec line 19
    x59 = x16 + x58  # [z, r, c, K]   spec line 19
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp4 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x60 = torch.where(x, exp4, 0.0)  # [z, r, c]   spec line 17
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 19
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 19
    x61 = d_new_cache_S_z + slots0_out2  # [z, n, K, V]   spec line 19
    e = rows.expose(x61)  # [z, r, K, V]   spec line 17
    x62 = d_y_c * x14[:, :, :, None]  # [z, r, c, V]   spec line 19
    x63 = exp[:, :, :, None] * x62  # [z, r, c, V]   spec line 19
    p15 = torch.einsum("zrcK,zrcV->zrKV", q_c, x63)  # [z, r, K, V]   spec line 19
    s = x3.sum(2)  # [z, r]   spec line 17
    exp5 = torch.exp(s)  # [z, r]   spec line 17
    d_old_S_37 = d_new_state_S_z
    d_old_S_37_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_37_starts[r] = d_old_S_37
        x64 = d_old_S_37 + e[:, r]  # [z, K, V]   spec line 19
        x65 = exp5[:, r][:, None, None] * x64  # [z, K, V]   spec line 17
        x66 = x65 + p15[:, r]  # [z, K, V]   spec line 17
        p16 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x64)  # [z]   spec line 17
        d_factor_S_rows[r] = p16
        d_write_S_rows[r] = x64
        d_old_S_37 = x66
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p17 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x67 = x17[:, :, :, None] * p17  # [z, r, c, K]   spec line 17
    x68 = x60[:, :, :, None] * x67  # [z, r, c, K]   spec line 17
    p18 = torch.einsum("zrcK,zrcd->zrdK", q_c, x35)  # [z, r, d, K]   spec line 19
    x69 = exp3 * x60  # [z, r, c]   spec line 17
    x70 = (size_K ** -0.5) * x69  # [z, r, c]   spec line 17
    d_new_state_n_z = ops.flat(d_new_state_n)  # [z, K]   spec line 19
    d_new_cache_n_z = ops.flat(d_new_cache_n)  # [z, n, K]   spec line 19
    p19 = torch.einsum("zrcK,zrcn->znK", q_c, x55)  # [z, n, K]   spec line 19
    x71 = d_new_cache_n_z + p19  # [z, n, K]   spec line 19
    e2 = rows.expose(x71)  # [z, r, K]   spec line 17
    p20 = torch.einsum("zrcK,zrc->zrK", q_c, x36)  # [z, r, K]   spec line 19
    d_old_n_50 = d_new_state_n_z
    d_old_n_50_starts = [None] * R
    d_factor_n_rows = [None] * R
    d_write_n_rows = [None] * R
    for r in reversed(range(R)):  # carry_n_backward
        d_old_n_50_starts[r] = d_old_n_50
        x72 = d_old_n_50 + e2[:, r]  # [z, K]   spec line 19
        x73 = exp5[:, r][:, None] * x72  # [z, K]   spec line 17
        x74 = x73 + p20[:, r]  # [z, K]   spec line 17
        p21 = torch.einsum("zK,zK->z", saved_n_z[:, r], x72)  # [z]   spec line 17
        d_factor_n_rows[r] = p21
        d_write_n_rows[r] = x72
        d_old_n_50 = x74
    d_write_n_rows = ops.stacked(d_write_n_rows, (z, size_K, ), like)  # [z, r, K]
    d_factor_n_rows = ops.stacked(d_factor_n_rows, (z, ), like)  # [z, r]
    x75 = x70[:, :, :, None] * d_write_n_rows[:, :, None]  # [z, r, c, K]   spec line 17
    x76 = p18 + x75  # [z, r, c, K]   spec line 19
    x77 = x68 + x76  # [z, r, c, K]   spec line 17
    p22 = torch.einsum("zrcd,zrcV->zrdV", x10, x62)  # [z, r, d, V]   spec line 19
    p23 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x78 = x60[:, :, :, None] * p23  # [z, r, c, V]   spec line 17
    x79 = p22 + x78  # [z, r, c, V]   spec line 17
    x80 = x17[:, :, :, None] * x79  # [z, r, c, V]   spec line 17
    p24 = torch.einsum("zrcd,zrc->zrd", x10, x32)  # [z, r, d]   spec line 19
    p25 = torch.einsum("zrcK,zrK->zrc", k_c, d_write_n_rows)  # [z, r, c]   spec line 17
    x81 = x60 * p25  # [z, r, c]   spec line 17
    x82 = p24 + x81  # [z, r, c]   spec line 17
    p26 = torch.einsum("zrcV,zrcV->zrc", v_c, p22)  # [z, r, c]   spec line 17
    p27 = torch.einsum("zrcV,zrcV->zrc", v_c, p23)  # [z, r, c]   spec line 17
    x83 = x60 * p27  # [z, r, c]   spec line 17
    x84 = p26 + x83  # [z, r, c]   spec line 17
    x85 = x82 + x84  # [z, r, c]   spec line 17
    x86 = exp3 * x85  # [z, r, c]   spec line 17
    x87 = (size_K ** -0.5) * x86  # [z, r, c]   spec line 17
    x88 = g_c == -120.0  # [z, r, c]   spec line 17
    x89 = x14 * p6  # [z, r, c]   spec line 19
    x90 = p * x32  # [z, r, c]   spec line 19
    x91 = x89 + x90  # [z, r, c]   spec line 19
    x92 = exp * x91  # [z, r, c]   spec line 17
    G3 = ops.running(x92.double(), 2, reverse=True)  # [z, r, c]   spec line 17
    x93 = d_factor_S_rows + d_factor_n_rows  # [z, r]   spec line 17
    x94 = exp5 * x93  # [z, r]   spec line 17
    x95 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 19
    x96 = p2 * x34  # [z, r, c, d]   spec line 19
    x97 = exp2 * x96  # [z, r, c, d]   spec line 19
    x98 = torch.where(x7, x97, 0.0)  # [z, r, c, d]   spec line 19
    G4 = ops.running(x98, 2, reverse=True)  # [z, r, c, d]   spec line 19
    x99 = torch.where(x95[:, None], G4, 0.0)  # [z, r, c, d]   spec line 19
    s2 = x99.sum(3)  # [z, r, c]   spec line 19
    x100 = exp3 * p25  # [z, r, c]   spec line 17
    x101 = (size_K ** -0.5) * x100  # [z, r, c]   spec line 17
    p28 = torch.einsum("zrcK,zrcK->zrc", k_c, p17)  # [z, r, c]   spec line 17
    x102 = exp3 * p28  # [z, r, c]   spec line 17
    x103 = (size_K ** -0.5) * x102  # [z, r, c]   spec line 17
    x104 = x101 + x103  # [z, r, c]   spec line 17
    x105 = torch.where(x, x104, 0.0)  # [z, r, c]   spec line 17
    x106 = exp4 * x105  # [z, r, c]   spec line 17
    G5 = ops.running(x106.double(), 2, exclusive=True)  # [z, r, c]   spec line 17
    x107 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 17
    x108 = x94[:, :, None] + x107  # [z, r, c]   spec line 17
    x109 = G3.to(like.dtype) + x108  # [z, r, c]   spec line 17
    x110 = torch.where(x, x109, 0.0)  # [z, r, c]   spec line 17
    x111 = 0.5 * x110  # [z, r, c]   spec line 17
    x112 = g_c > -120.0  # [z, r, c]   spec line 17
    x113 = torch.where(x112, x110, 0.0)  # [z, r, c]   spec line 17
    x114 = torch.where(x88, x111, x113)  # [z, r, c]   spec line 17
    e3 = rows.keep(x61)  # [z, n, K, V]   spec line 17
    e4 = rows.keep(x71)  # [z, n, K]   spec line 17
    return (ops.from_tokens(rows.store([(x59, 0)], T, 0), H), ops.from_tokens(rows.store([(x77, 0)], T, 0), H), ops.from_tokens(rows.store([(x80, 0)], T, 0), H), ops.from_tokens(rows.store([(x87, 0)], T, 0), H), ops.from_tokens(rows.store([(x114, 0)], T, 0), H), ops.unflat(d_old_S_37, H), ops.unflat(d_old_n_50, H), ops.unflat(e3, H), ops.unflat(e4, H),)

def _weights(q, k, v, i, g, state_S, state_n, cache_S, cache_n, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x2 = ops.where(x, 1.0, 0.0, like)  # [z, r, n]   spec line 19
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
