"""swla_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, a, b, l, state_S, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]   spec line 17
    s = cache_S_z.sum(1)  # [z, K, V]   spec line 17
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 17
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    x = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    a_c = rows.load(ops.tokens(a))  # [z, r, c]   spec line 17
    log = ops.logfloor(a_c)  # [z, r, c]   spec line 17
    x2 = ops.maximum(log, -120.0)  # [z, r, c]   spec line 17
    x3 = torch.where(x, x2, 0.0)  # [z, r, c]   spec line 17
    s2 = x3.sum(2)  # [z, r]   spec line 17
    exp = torch.exp(s2)  # [z, r]   spec line 17
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
    G = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    x13 = torch.where(x, exp2, 0.0)  # [z, r, c]   spec line 17
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
        x18 = exp[:, r][:, None, None] * old_S  # [z, K, V]   spec line 17
        x19 = x18 + x17[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 17
        end_S_rows[r] = x19
        old_S = x19
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x20 = rows.count > 0.0  # [z, r]
    x21 = rows.count + rows.offset  # [z, r]
    x22 = x21 == 256.0  # [z, r]
    x23 = x20 & x22  # [z, r]
    old_sum_S = s
    old_sum_S_starts = [None] * R
    for r in range(R):  # carry_sum_S
        old_sum_S_starts[r] = old_sum_S
        x24 = torch.where(x23[:, r][:, None, None], end_S_rows[:, r], 0.0)  # [z, K, V]   spec line 17
        x25 = old_sum_S + x24  # [z, K, V]   spec line 17
        old_sum_S = x25
    old_sum_S_starts = ops.stacked(old_sum_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p3 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]   spec line 17
    G2 = ops.running(x3.double(), 2)  # [z, r, c]   spec line 17
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    p4 = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]   spec line 18
    x26 = exp3[:, :, :, None] * p4  # [z, r, c, V]   spec line 18
    p5 = torch.einsum("zrcK,zrdK->zrcd", q_c, x12)  # [z, r, c, d]   spec line 18
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x27 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x28 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x29 = x27[:, None] & x28[:, :, None]  # [z, r, c, d]   spec line 18
    x30 = G2[:, :, :, None] - G2[:, :, None]  # [z, r, c, d]   spec line 18
    x31 = torch.where(x29, x30, -10000.0)  # [z, r, c, d]   spec line 18
    exp4 = torch.exp(x31.to(like.dtype))  # [z, r, c, d]   spec line 18
    x32 = p5 * exp4  # [z, r, c, d]   spec line 18
    p6 = torch.einsum("zrdV,zrcd->zrcV", x11, x32)  # [z, r, c, V]   spec line 18
    x33 = x26 + p6  # [z, r, c, V]   spec line 18
    p7 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    x34 = p7 * exp4  # [z, r, c, d]   spec line 18
    p8 = torch.einsum("zrdV,zrcd->zrcV", x15, x34)  # [z, r, c, V]   spec line 18
    x35 = x33 + p8  # [z, r, c, V]   spec line 18
    x36 = p3 + x35  # [z, r, c, V]   spec line 17
    x37 = (size_K ** -0.5) * x36  # [z, r, c, V]   spec line 13
    M = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]   spec line 17
    results = (ops.from_tokens(rows.store([(x37, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(M, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, a, b, l, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
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
    x4 = exp * (size_K ** -0.5)  # [z, r, c]   spec line 18
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 17
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 17
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 18
    x5 = x4[:, :, :, None] * p  # [z, r, c, K]   spec line 18
    x6 = rows.segment.to(like.dtype)  # [z, r]   spec line 17
    x7 = 256.0 * x6  # [z, r]   spec line 17
    x8 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x9 = x8.to(like.dtype)  # [z, r, c]   spec line 17
    x10 = x7[:, :, None] + x9  # [z, r, c]   spec line 17
    x11 = x10 >= 1.0  # [z, r, c]   spec line 17
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]   spec line 17
    x12 = torch.where(x11[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]   spec line 17
    b_c = rows.load(ops.tokens(b))  # [z, r, c]   spec line 17
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x13 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x14 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x15 = x13[:, None] & x14[:, :, None]  # [z, r, c, d]   spec line 18
    x16 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 18
    x17 = torch.where(x15, x16, -10000.0)  # [z, r, c, d]   spec line 18
    exp2 = torch.exp(x17.to(like.dtype))  # [z, r, c, d]   spec line 18
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]   spec line 17
    x18 = torch.where(x11[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]   spec line 17
    p2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, x18)  # [z, r, c, d]   spec line 18
    x19 = exp2 * p2  # [z, r, c, d]   spec line 18
    x20 = b_c[:, :, None] * x19  # [z, r, c, d]   spec line 18
    p3 = torch.einsum("zrdK,zrcd->zrcK", x12, x20)  # [z, r, c, K]   spec line 18
    x21 = (size_K ** -0.5) * p3  # [z, r, c, K]   spec line 18
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]   spec line 17
    p4 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]   spec line 17
    x22 = (size_K ** -0.5) * p4  # [z, r, c, K]   spec line 17
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    l_c = rows.load(ops.tokens(l))  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]   spec line 17
    p5 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 18
    x23 = exp2 * p5  # [z, r, c, d]   spec line 18
    x24 = l_c[:, :, None] * x23  # [z, r, c, d]   spec line 18
    p6 = torch.einsum("zrdK,zrcd->zrcK", k_c, x24)  # [z, r, c, K]   spec line 18
    x25 = (size_K ** -0.5) * p6  # [z, r, c, K]   spec line 18
    x26 = x22 + x25  # [z, r, c, K]   spec line 18
    x27 = x21 + x26  # [z, r, c, K]   spec line 18
    x28 = x5 + x27  # [z, r, c, K]   spec line 18
    x29 = (size_K ** -0.5) * b_c  # [z, r, d]   spec line 18
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    p7 = torch.einsum("zrcK,zrcd->zrdK", q_c, x19)  # [z, r, d, K]   spec line 18
    x30 = x29[:, :, :, None] * p7  # [z, r, d, K]   spec line 18
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x31 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 17
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 17
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]   spec line 17
    e = rows.expose(d_new_cache_S_z)  # [z, r, K, V]   spec line 17
    p8 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]   spec line 17
    x32 = (size_K ** -0.5) * p8  # [z, r, K, V]   spec line 17
    x33 = rows.count > 0.0  # [z, r]
    x34 = rows.count + rows.offset  # [z, r]
    x35 = x34 == 256.0  # [z, r]
    x36 = x33 & x35  # [z, r]
    d_old_sum_S_90 = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_90_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_90_starts[r] = d_old_sum_S_90
        x37 = d_old_sum_S_90 + x32[:, r]  # [z, K, V]   spec line 17
        x38 = torch.where(x36[:, r][:, None, None], d_old_sum_S_90, 0.0)  # [z, K, V]   spec line 17
        d_end_sum_S_rows[r] = x38
        d_old_sum_S_90 = x37
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    x39 = e + d_end_sum_S_rows  # [z, r, K, V]   spec line 17
    x40 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 18
    p9 = torch.einsum("zrcK,zrcV->zrKV", q_c, x40)  # [z, r, K, V]   spec line 18
    x41 = (size_K ** -0.5) * p9  # [z, r, K, V]   spec line 18
    s = x3.sum(2)  # [z, r]   spec line 17
    exp4 = torch.exp(s)  # [z, r]   spec line 17
    d_old_S_49 = d_new_state_S_z
    d_old_S_49_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_49_starts[r] = d_old_S_49
        x42 = d_old_S_49 + x39[:, r]  # [z, K, V]   spec line 18
        x43 = exp4[:, r][:, None, None] * x42  # [z, K, V]   spec line 17
        x44 = x43 + x41[:, r]  # [z, K, V]   spec line 17
        p10 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], x42)  # [z]   spec line 17
        d_factor_S_rows[r] = p10
        d_write_S_rows[r] = x42
        d_old_S_49 = x44
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p11 = torch.einsum("zrcV,zrKV->zrcK", x18, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x45 = b_c[:, :, :, None] * p11  # [z, r, c, K]   spec line 17
    x46 = x31[:, :, :, None] * x45  # [z, r, c, K]   spec line 17
    x47 = x30 + x46  # [z, r, c, K]   spec line 17
    x48 = torch.where(x11[:, :, :, None], x47, 0.0)  # [z, r, c, K]   spec line 17
    x49 = (size_K ** -0.5) * l_c  # [z, r, d]   spec line 18
    p12 = torch.einsum("zrcK,zrcd->zrdK", q_c, x23)  # [z, r, d, K]   spec line 18
    x50 = x49[:, :, :, None] * p12  # [z, r, d, K]   spec line 18
    p13 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x51 = l_c[:, :, :, None] * p13  # [z, r, c, K]   spec line 17
    x52 = x31[:, :, :, None] * x51  # [z, r, c, K]   spec line 17
    x53 = x50 + x52  # [z, r, c, K]   spec line 17
    p14 = torch.einsum("zrcK,zrdK->zrcd", q_c, x12)  # [z, r, c, d]   spec line 18
    x54 = p14 * exp2  # [z, r, c, d]   spec line 18
    p15 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x54)  # [z, r, d, V]   spec line 18
    x55 = (size_K ** -0.5) * p15  # [z, r, d, V]   spec line 18
    p16 = torch.einsum("zrcK,zrKV->zrcV", x12, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x56 = x31[:, :, :, None] * p16  # [z, r, c, V]   spec line 17
    x57 = x55 + x56  # [z, r, c, V]   spec line 17
    x58 = b_c[:, :, :, None] * x57  # [z, r, c, V]   spec line 17
    x59 = torch.where(x11[:, :, :, None], x58, 0.0)  # [z, r, c, V]   spec line 17
    p17 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    x60 = p17 * exp2  # [z, r, c, d]   spec line 18
    p18 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x60)  # [z, r, d, V]   spec line 18
    x61 = (size_K ** -0.5) * p18  # [z, r, d, V]   spec line 18
    p19 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x62 = x31[:, :, :, None] * p19  # [z, r, c, V]   spec line 17
    x63 = x61 + x62  # [z, r, c, V]   spec line 17
    x64 = l_c[:, :, :, None] * x63  # [z, r, c, V]   spec line 17
    x65 = log == -120.0  # [z, r, c]   spec line 17
    p20 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 18
    x66 = exp * p20  # [z, r, c]   spec line 17
    x67 = (size_K ** -0.5) * x66  # [z, r, c]   spec line 17
    G3 = ops.running(x67.double(), 2, reverse=True)  # [z, r, c]   spec line 17
    x68 = exp4 * d_factor_S_rows  # [z, r]   spec line 17
    x69 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 18
    x70 = p17 * p5  # [z, r, c, d]   spec line 18
    x71 = l_c[:, :, None] * x70  # [z, r, c, d]   spec line 18
    x72 = (size_K ** -0.5) * x71  # [z, r, c, d]   spec line 18
    x73 = p14 * p2  # [z, r, c, d]   spec line 18
    x74 = b_c[:, :, None] * x73  # [z, r, c, d]   spec line 18
    x75 = (size_K ** -0.5) * x74  # [z, r, c, d]   spec line 18
    x76 = x72 + x75  # [z, r, c, d]   spec line 18
    x77 = exp2 * x76  # [z, r, c, d]   spec line 18
    x78 = torch.where(x15, x77, 0.0)  # [z, r, c, d]   spec line 18
    G4 = ops.running(x78, 2, reverse=True)  # [z, r, c, d]   spec line 18
    x79 = torch.where(x69[:, None], G4, 0.0)  # [z, r, c, d]   spec line 18
    s2 = x79.sum(3)  # [z, r, c]   spec line 18
    p21 = torch.einsum("zrcK,zrcK->zrc", k_c, p13)  # [z, r, c]   spec line 17
    x80 = l_c * p21  # [z, r, c]   spec line 17
    p22 = torch.einsum("zrcK,zrcK->zrc", x12, p11)  # [z, r, c]   spec line 17
    x81 = b_c * p22  # [z, r, c]   spec line 17
    x82 = x80 + x81  # [z, r, c]   spec line 17
    x83 = torch.where(x, x82, 0.0)  # [z, r, c]   spec line 17
    x84 = exp3 * x83  # [z, r, c]   spec line 17
    G5 = ops.running(x84.double(), 2, exclusive=True)  # [z, r, c]   spec line 17
    x85 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 17
    x86 = x68[:, :, None] + x85  # [z, r, c]   spec line 17
    x87 = G3.to(like.dtype) + x86  # [z, r, c]   spec line 17
    x88 = torch.where(x, x87, 0.0)  # [z, r, c]   spec line 17
    x89 = 0.5 * x88  # [z, r, c]   spec line 17
    x90 = log > -120.0  # [z, r, c]   spec line 17
    x91 = torch.where(x90, x88, 0.0)  # [z, r, c]   spec line 17
    x92 = torch.where(x65, x89, x91)  # [z, r, c]   spec line 17
    x93 = ops.maximum(a_c, 1e-30)  # [z, r, c]   spec line 17
    x94 = x92 / x93  # [z, r, c]   spec line 17
    p23 = torch.einsum("zrcV,zrcV->zrc", x18, p15)  # [z, r, c]   spec line 17
    x95 = (size_K ** -0.5) * p23  # [z, r, c]   spec line 17
    p24 = torch.einsum("zrcV,zrcV->zrc", x18, p16)  # [z, r, c]   spec line 17
    x96 = x31 * p24  # [z, r, c]   spec line 17
    x97 = x95 + x96  # [z, r, c]   spec line 17
    p25 = torch.einsum("zrcV,zrcV->zrc", v_c, p18)  # [z, r, c]   spec line 17
    x98 = (size_K ** -0.5) * p25  # [z, r, c]   spec line 17
    p26 = torch.einsum("zrcV,zrcV->zrc", v_c, p19)  # [z, r, c]   spec line 17
    x99 = x31 * p26  # [z, r, c]   spec line 17
    x100 = x98 + x99  # [z, r, c]   spec line 17
    e2 = rows.keep(d_new_cache_S_z)  # [z, n, K, V]   spec line 17
    x101 = e2 + d_old_sum_S_90[:, None]  # [z, n, K, V]   spec line 17
    return (ops.from_tokens(rows.store([(x28, 0)], T, 0), H), ops.from_tokens(rows.store([(x48, 1), (x53, 0)], T, 1), H), ops.from_tokens(rows.store([(x59, 1), (x64, 0)], T, 1), H), ops.from_tokens(rows.store([(x94, 0)], T, 0), H), ops.from_tokens(rows.store([(x97, 0)], T, 0), H), ops.from_tokens(rows.store([(x100, 0)], T, 0), H), ops.unflat(d_old_S_49, H), ops.unflat(x101, H),)

def _weights(q, k, v, a, b, l, state_S, cache_S, table, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, H, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]   spec line 17
    x = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]   spec line 17
    x2 = ops.where(x, 1.0, 0.0, like)  # [z, r, n]   spec line 17
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(x2[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
