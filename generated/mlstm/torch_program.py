"""mlstm in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = exp(g) * S + exp(i) * scale * outer(k, v)
    n = exp(g) * n + exp(i) * scale * k
    read = S.T @ q / maximum(abs(dot(n, q)), 1)
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, i, g, state_S, state_n, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 19
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]   spec line 17
    p = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 19
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 19
    x = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 19
    x2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 19
    x3 = x[:, None] & x2[:, :, None]  # [z, r, c, d]   spec line 19
    x4 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    g_c = rows.load(ops.tokens(g))  # [z, r, c]   spec line 17
    x5 = ops.maximum(g_c, -120.0)  # [z, r, c]   spec line 17
    x6 = torch.where(x4, x5, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x6.double(), 2)  # [z, r, c]   spec line 17
    x7 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 19
    x8 = torch.where(x3, x7, -10000.0)  # [z, r, c, d]   spec line 19
    exp = torch.exp(x8.to(like.dtype))  # [z, r, c, d]   spec line 19
    x9 = p * exp  # [z, r, c, d]   spec line 19
    i_c = rows.load(ops.tokens(i))  # [z, r, c]   spec line 17
    exp2 = torch.exp(i_c)  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 17
    x10 = exp2[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    p2 = torch.einsum("zrcd,zrdV->zrcV", x9, x10)  # [z, r, c, V]   spec line 19
    x11 = (size_K ** -0.5) * p2  # [z, r, c, V]   spec line 19
    exp3 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 17
    s = x6.sum(2)  # [z, r]   spec line 17
    exp4 = torch.exp(s)  # [z, r]   spec line 17
    G2 = ops.running(x6.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp5 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x12 = torch.where(x4, exp5, 0.0)  # [z, r, c]   spec line 17
    x13 = k_c * x12[:, :, :, None]  # [z, r, c, K]   spec line 17
    p3 = torch.einsum("zrcK,zrcV->zrKV", x13, x10)  # [z, r, K, V]   spec line 17
    x14 = (size_K ** -0.5) * p3  # [z, r, K, V]   spec line 17
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x15 = exp4[:, r][:, None, None] * old_S  # [z, K, V]   spec line 17
        x16 = x15 + x14[:, r]  # [z, K, V]   spec line 17
        old_S = x16
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p4 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 19
    x17 = exp3[:, :, :, None] * p4  # [z, r, c, V]   spec line 19
    x18 = x11 + x17  # [z, r, c, V]   spec line 19
    p5 = torch.einsum("zrcd,zrd->zrc", x9, exp2)  # [z, r, c]   spec line 19
    x19 = (size_K ** -0.5) * p5  # [z, r, c]   spec line 19
    state_n_z = ops.flat(state_n)  # [z, K]   spec line 17
    x20 = exp2 * x12  # [z, r, c]   spec line 17
    p6 = torch.einsum("zrcK,zrc->zrK", k_c, x20)  # [z, r, K]   spec line 17
    x21 = (size_K ** -0.5) * p6  # [z, r, K]   spec line 17
    old_n = state_n_z
    old_n_starts = [None] * R
    for r in range(R):  # carry_n
        old_n_starts[r] = old_n
        x22 = exp4[:, r][:, None] * old_n  # [z, K]   spec line 17
        x23 = x22 + x21[:, r]  # [z, K]   spec line 17
        old_n = x23
    old_n_starts = ops.stacked(old_n_starts, (z, size_K, ), like)  # [z, r, K]
    p7 = torch.einsum("zrcK,zrK->zrc", q_c, old_n_starts)  # [z, r, c]   spec line 19
    x24 = exp3 * p7  # [z, r, c]   spec line 19
    x25 = x19 + x24  # [z, r, c]   spec line 19
    abs = torch.abs(x25)  # [z, r, c]   spec line 19
    x26 = ops.maximum(abs, 1.0)  # [z, r, c]   spec line 19
    x27 = 1.0 / x26  # [z, r, c]   spec line 19
    x28 = x18 * x27[:, :, :, None]  # [z, r, c, V]   spec line 19
    results = (ops.from_tokens(rows.store([(x28, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(old_n, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_n_starts, H),) if save else results

def backward(q, k, v, i, g, state_S, state_n, table, saved_S, saved_n, d_y, d_new_state_S, d_new_state_n, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
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
    sig = torch.sign(x12)  # [z, r, c]   spec line 19
    x17 = 1.0 == abs  # [z, r, c]   spec line 19
    x18 = x14 * x14  # [z, r, c]   spec line 19
    x19 = -x18  # [z, r, c]   spec line 19
    p5 = torch.einsum("zrcK,zrcK->zrc", q_c, p4)  # [z, r, c]   spec line 19
    x20 = exp * p5  # [z, r, c]   spec line 19
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]   spec line 17
    x21 = exp3[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    p6 = torch.einsum("zrcd,zrdV->zrcV", x10, x21)  # [z, r, c, V]   spec line 19
    p7 = torch.einsum("zrcV,zrcV->zrc", d_y_c, p6)  # [z, r, c]   spec line 19
    x22 = (size_K ** -0.5) * p7  # [z, r, c]   spec line 19
    x23 = x20 + x22  # [z, r, c]   spec line 19
    x24 = x19 * x23  # [z, r, c]   spec line 19
    x25 = 0.5 * x24  # [z, r, c]   spec line 19
    x26 = 1.0 > abs  # [z, r, c]   spec line 19
    x27 = torch.where(x26, 0.0, x24)  # [z, r, c]   spec line 19
    x28 = torch.where(x17, x25, x27)  # [z, r, c]   spec line 19
    x29 = sig * x28  # [z, r, c]   spec line 19
    x30 = exp * x29  # [z, r, c]   spec line 19
    x31 = saved_n_z[:, :, None] * x30[:, :, :, None]  # [z, r, c, K]   spec line 19
    x32 = exp3 * (size_K ** -0.5)  # [z, r, c]   spec line 12
    p8 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 19
    x33 = x32[:, :, None] * p8  # [z, r, c, d]   spec line 19
    x34 = x14[:, :, :, None] * x33  # [z, r, c, d]   spec line 19
    x35 = x32[:, :, None] * x29[:, :, :, None]  # [z, r, c, d]   spec line 19
    x36 = x34 + x35  # [z, r, c, d]   spec line 19
    x37 = exp2 * x36  # [z, r, c, d]   spec line 19
    p9 = torch.einsum("zrdK,zrcd->zrcK", k_c, x37)  # [z, r, c, K]   spec line 19
    x38 = x31 + p9  # [z, r, c, K]   spec line 19
    x39 = x16 + x38  # [z, r, c, K]   spec line 19
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp4 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x40 = torch.where(x, exp4, 0.0)  # [z, r, c]   spec line 17
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 19
    x41 = d_y_c * x14[:, :, :, None]  # [z, r, c, V]   spec line 19
    x42 = exp[:, :, :, None] * x41  # [z, r, c, V]   spec line 19
    p10 = torch.einsum("zrcK,zrcV->zrKV", q_c, x42)  # [z, r, K, V]   spec line 19
    s = x3.sum(2)  # [z, r]   spec line 17
    exp5 = torch.exp(s)  # [z, r]   spec line 17
    d_old_S_37 = d_new_state_S_z
    d_old_S_37_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_37_starts[r] = d_old_S_37
        x43 = exp5[:, r][:, None, None] * d_old_S_37  # [z, K, V]   spec line 17
        x44 = x43 + p10[:, r]  # [z, K, V]   spec line 17
        p11 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], d_old_S_37)  # [z]   spec line 17
        d_factor_S_rows[r] = p11
        d_write_S_rows[r] = d_old_S_37
        d_old_S_37 = x44
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p12 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x45 = x32[:, :, :, None] * p12  # [z, r, c, K]   spec line 17
    x46 = x40[:, :, :, None] * x45  # [z, r, c, K]   spec line 17
    p13 = torch.einsum("zrcK,zrcd->zrdK", q_c, x37)  # [z, r, d, K]   spec line 19
    x47 = exp3 * x40  # [z, r, c]   spec line 17
    x48 = (size_K ** -0.5) * x47  # [z, r, c]   spec line 17
    d_new_state_n_z = ops.flat(d_new_state_n)  # [z, K]   spec line 19
    p14 = torch.einsum("zrcK,zrc->zrK", q_c, x30)  # [z, r, K]   spec line 19
    d_old_n_50 = d_new_state_n_z
    d_old_n_50_starts = [None] * R
    d_factor_n_rows = [None] * R
    d_write_n_rows = [None] * R
    for r in reversed(range(R)):  # carry_n_backward
        d_old_n_50_starts[r] = d_old_n_50
        x49 = exp5[:, r][:, None] * d_old_n_50  # [z, K]   spec line 17
        x50 = x49 + p14[:, r]  # [z, K]   spec line 17
        p15 = torch.einsum("zK,zK->z", saved_n_z[:, r], d_old_n_50)  # [z]   spec line 17
        d_factor_n_rows[r] = p15
        d_write_n_rows[r] = d_old_n_50
        d_old_n_50 = x50
    d_write_n_rows = ops.stacked(d_write_n_rows, (z, size_K, ), like)  # [z, r, K]
    d_factor_n_rows = ops.stacked(d_factor_n_rows, (z, ), like)  # [z, r]
    x51 = x48[:, :, :, None] * d_write_n_rows[:, :, None]  # [z, r, c, K]   spec line 17
    x52 = p13 + x51  # [z, r, c, K]   spec line 19
    x53 = x46 + x52  # [z, r, c, K]   spec line 17
    p16 = torch.einsum("zrcd,zrcV->zrdV", x10, x41)  # [z, r, d, V]   spec line 19
    p17 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x54 = x40[:, :, :, None] * p17  # [z, r, c, V]   spec line 17
    x55 = p16 + x54  # [z, r, c, V]   spec line 17
    x56 = x32[:, :, :, None] * x55  # [z, r, c, V]   spec line 17
    p18 = torch.einsum("zrcd,zrc->zrd", x10, x29)  # [z, r, d]   spec line 19
    p19 = torch.einsum("zrcK,zrK->zrc", k_c, d_write_n_rows)  # [z, r, c]   spec line 17
    x57 = x40 * p19  # [z, r, c]   spec line 17
    x58 = p18 + x57  # [z, r, c]   spec line 17
    p20 = torch.einsum("zrcV,zrcV->zrc", v_c, p16)  # [z, r, c]   spec line 17
    p21 = torch.einsum("zrcV,zrcV->zrc", v_c, p17)  # [z, r, c]   spec line 17
    x59 = x40 * p21  # [z, r, c]   spec line 17
    x60 = p20 + x59  # [z, r, c]   spec line 17
    x61 = x58 + x60  # [z, r, c]   spec line 17
    x62 = exp3 * x61  # [z, r, c]   spec line 17
    x63 = (size_K ** -0.5) * x62  # [z, r, c]   spec line 17
    x64 = g_c == -120.0  # [z, r, c]   spec line 17
    x65 = x14 * p5  # [z, r, c]   spec line 19
    x66 = p * x29  # [z, r, c]   spec line 19
    x67 = x65 + x66  # [z, r, c]   spec line 19
    x68 = exp * x67  # [z, r, c]   spec line 17
    G3 = ops.running(x68.double(), 2, reverse=True)  # [z, r, c]   spec line 17
    x69 = d_factor_S_rows + d_factor_n_rows  # [z, r]   spec line 17
    x70 = exp5 * x69  # [z, r]   spec line 17
    x71 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 19
    x72 = p2 * x36  # [z, r, c, d]   spec line 19
    x73 = exp2 * x72  # [z, r, c, d]   spec line 19
    x74 = torch.where(x7, x73, 0.0)  # [z, r, c, d]   spec line 19
    G4 = ops.running(x74, 2, reverse=True)  # [z, r, c, d]   spec line 19
    x75 = torch.where(x71[:, None], G4, 0.0)  # [z, r, c, d]   spec line 19
    s2 = x75.sum(3)  # [z, r, c]   spec line 19
    x76 = exp3 * p19  # [z, r, c]   spec line 17
    x77 = (size_K ** -0.5) * x76  # [z, r, c]   spec line 17
    p22 = torch.einsum("zrcK,zrcK->zrc", k_c, p12)  # [z, r, c]   spec line 17
    x78 = exp3 * p22  # [z, r, c]   spec line 17
    x79 = (size_K ** -0.5) * x78  # [z, r, c]   spec line 17
    x80 = x77 + x79  # [z, r, c]   spec line 17
    x81 = torch.where(x, x80, 0.0)  # [z, r, c]   spec line 17
    x82 = exp4 * x81  # [z, r, c]   spec line 17
    G5 = ops.running(x82.double(), 2, exclusive=True)  # [z, r, c]   spec line 17
    x83 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 17
    x84 = x70[:, :, None] + x83  # [z, r, c]   spec line 17
    x85 = G3.to(like.dtype) + x84  # [z, r, c]   spec line 17
    x86 = torch.where(x, x85, 0.0)  # [z, r, c]   spec line 17
    x87 = 0.5 * x86  # [z, r, c]   spec line 17
    x88 = g_c > -120.0  # [z, r, c]   spec line 17
    x89 = torch.where(x88, x86, 0.0)  # [z, r, c]   spec line 17
    x90 = torch.where(x64, x87, x89)  # [z, r, c]   spec line 17
    return (ops.from_tokens(rows.store([(x39, 0)], T, 0), H), ops.from_tokens(rows.store([(x53, 0)], T, 0), H), ops.from_tokens(rows.store([(x56, 0)], T, 0), H), ops.from_tokens(rows.store([(x63, 0)], T, 0), H), ops.from_tokens(rows.store([(x90, 0)], T, 0), H), ops.unflat(d_old_S_37, H), ops.unflat(d_old_n_50, H),)
