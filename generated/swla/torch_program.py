"""swla in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    read = scale * S.T @ q
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, a, b, l, state_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
    z, R = rows.z, rows.rows
    l_c = rows.load(ops.tokens(l))  # [z, r, c]   spec line 17
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]   spec line 17
    x = l_c[:, :, :, None] * v_c  # [z, r, c, V]   spec line 17
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    p = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    at_c = ops.iota(table, chunk)  # [z, c]   spec line 17
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x2 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x3 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x4 = x2[:, None] & x3[:, :, None]  # [z, r, c, d]   spec line 18
    x5 = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]   spec line 17
    a_c = rows.load(ops.tokens(a))  # [z, r, c]   spec line 17
    log = ops.logfloor(a_c)  # [z, r, c]   spec line 17
    x6 = ops.maximum(log, -120.0)  # [z, r, c]   spec line 17
    x7 = torch.where(x5, x6, 0.0)  # [z, r, c]   spec line 17
    G = ops.running(x7.double(), 2)  # [z, r, c]   spec line 17
    x8 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 18
    x9 = torch.where(x4, x8, -10000.0)  # [z, r, c, d]   spec line 18
    exp = torch.exp(x9.to(like.dtype))  # [z, r, c, d]   spec line 18
    x10 = p * exp  # [z, r, c, d]   spec line 18
    p2 = torch.einsum("zrdV,zrcd->zrcV", x, x10)  # [z, r, c, V]   spec line 18
    b_c = rows.load(ops.tokens(b))  # [z, r, c]   spec line 17
    x11 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x12 = x11 >= 1.0  # [z, r, c]   spec line 17
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]   spec line 17
    x13 = torch.where(x12[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]   spec line 17
    x14 = b_c[:, :, :, None] * x13  # [z, r, c, V]   spec line 17
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]   spec line 17
    x15 = torch.where(x12[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]   spec line 17
    p3 = torch.einsum("zrcK,zrdK->zrcd", q_c, x15)  # [z, r, c, d]   spec line 18
    x16 = p3 * exp  # [z, r, c, d]   spec line 18
    p4 = torch.einsum("zrdV,zrcd->zrcV", x14, x16)  # [z, r, c, V]   spec line 18
    exp2 = torch.exp(G.to(like.dtype))  # [z, r, c]   spec line 17
    state_S_z = ops.flat(state_S)  # [z, K, V]   spec line 17
    s = x7.sum(2)  # [z, r]   spec line 17
    exp3 = torch.exp(s)  # [z, r]   spec line 17
    G2 = ops.running(x7.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp4 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x17 = torch.where(x5, exp4, 0.0)  # [z, r, c]   spec line 17
    x18 = x15 * x17[:, :, :, None]  # [z, r, c, K]   spec line 17
    p5 = torch.einsum("zrcV,zrcK->zrVK", x14, x18)  # [z, r, V, K]   spec line 17
    x19 = x17[:, :, :, None] * k_c  # [z, r, c, K]   spec line 17
    p6 = torch.einsum("zrcV,zrcK->zrVK", x, x19)  # [z, r, V, K]   spec line 17
    x20 = p5 + p6  # [z, r, V, K]   spec line 17
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        x21 = exp3[:, r][:, None, None] * old_S  # [z, K, V]   spec line 17
        x22 = x21 + x20[:, r].permute(0, 2, 1)  # [z, K, V]   spec line 17
        old_S = x22
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    p7 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]   spec line 18
    x23 = exp2[:, :, :, None] * p7  # [z, r, c, V]   spec line 18
    x24 = p4 + x23  # [z, r, c, V]   spec line 18
    x25 = p2 + x24  # [z, r, c, V]   spec line 18
    x26 = (size_K ** -0.5) * x25  # [z, r, c, V]   spec line 13
    results = (ops.from_tokens(rows.store([(x26, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, a, b, l, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = q.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, H, -1, chunk)
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
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]   spec line 13
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]   spec line 17
    p = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]   spec line 18
    x5 = x4[:, :, :, None] * p  # [z, r, c, K]   spec line 18
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]   spec line 17
    l_c = rows.load(ops.tokens(l))  # [z, r, c]   spec line 17
    at_d = ops.iota(table, chunk)  # [z, d]   spec line 18
    x6 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]   spec line 18
    x7 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]   spec line 18
    x8 = x6[:, None] & x7[:, :, None]  # [z, r, c, d]   spec line 18
    x9 = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]   spec line 18
    x10 = torch.where(x8, x9, -10000.0)  # [z, r, c, d]   spec line 18
    exp2 = torch.exp(x10.to(like.dtype))  # [z, r, c, d]   spec line 18
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]   spec line 17
    p2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]   spec line 18
    x11 = exp2 * p2  # [z, r, c, d]   spec line 18
    x12 = l_c[:, :, None] * x11  # [z, r, c, d]   spec line 18
    p3 = torch.einsum("zrdK,zrcd->zrcK", k_c, x12)  # [z, r, c, K]   spec line 18
    x13 = (size_K ** -0.5) * p3  # [z, r, c, K]   spec line 18
    x14 = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]   spec line 17
    x15 = x14 >= 1.0  # [z, r, c]   spec line 17
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]   spec line 17
    x16 = torch.where(x15[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]   spec line 17
    b_c = rows.load(ops.tokens(b))  # [z, r, c]   spec line 17
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]   spec line 17
    x17 = torch.where(x15[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]   spec line 17
    p4 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, x17)  # [z, r, c, d]   spec line 18
    x18 = exp2 * p4  # [z, r, c, d]   spec line 18
    x19 = b_c[:, :, None] * x18  # [z, r, c, d]   spec line 18
    p5 = torch.einsum("zrdK,zrcd->zrcK", x16, x19)  # [z, r, c, K]   spec line 18
    x20 = (size_K ** -0.5) * p5  # [z, r, c, K]   spec line 18
    x21 = x13 + x20  # [z, r, c, K]   spec line 18
    x22 = x5 + x21  # [z, r, c, K]   spec line 18
    x23 = (size_K ** -0.5) * b_c  # [z, r, d]   spec line 18
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]   spec line 18
    p6 = torch.einsum("zrcK,zrcd->zrdK", q_c, x18)  # [z, r, d, K]   spec line 18
    x24 = x23[:, :, :, None] * p6  # [z, r, d, K]   spec line 18
    G2 = ops.running(x3.double(), 2, reverse=True, exclusive=True)  # [z, r, c]   spec line 17
    exp3 = torch.exp(G2.to(like.dtype))  # [z, r, c]   spec line 17
    x25 = torch.where(x, exp3, 0.0)  # [z, r, c]   spec line 17
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]   spec line 13
    x26 = exp[:, :, :, None] * d_y_c  # [z, r, c, V]   spec line 18
    p7 = torch.einsum("zrcK,zrcV->zrKV", q_c, x26)  # [z, r, K, V]   spec line 18
    x27 = (size_K ** -0.5) * p7  # [z, r, K, V]   spec line 18
    s = x3.sum(2)  # [z, r]   spec line 17
    exp4 = torch.exp(s)  # [z, r]   spec line 17
    d_old_S_44 = d_new_state_S_z
    d_old_S_44_starts = [None] * R
    d_factor_S_rows = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_44_starts[r] = d_old_S_44
        x28 = exp4[:, r][:, None, None] * d_old_S_44  # [z, K, V]   spec line 17
        x29 = x28 + x27[:, r]  # [z, K, V]   spec line 17
        p8 = torch.einsum("zKV,zKV->z", saved_S_z[:, r], d_old_S_44)  # [z]   spec line 17
        d_factor_S_rows[r] = p8
        d_write_S_rows[r] = d_old_S_44
        d_old_S_44 = x29
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_factor_S_rows = ops.stacked(d_factor_S_rows, (z, ), like)  # [z, r]
    p9 = torch.einsum("zrcV,zrKV->zrcK", x17, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x30 = b_c[:, :, :, None] * p9  # [z, r, c, K]   spec line 17
    x31 = x25[:, :, :, None] * x30  # [z, r, c, K]   spec line 17
    x32 = x24 + x31  # [z, r, c, K]   spec line 17
    x33 = torch.where(x15[:, :, :, None], x32, 0.0)  # [z, r, c, K]   spec line 17
    x34 = (size_K ** -0.5) * l_c  # [z, r, d]   spec line 18
    p10 = torch.einsum("zrcK,zrcd->zrdK", q_c, x11)  # [z, r, d, K]   spec line 18
    x35 = x34[:, :, :, None] * p10  # [z, r, d, K]   spec line 18
    p11 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]   spec line 17
    x36 = l_c[:, :, :, None] * p11  # [z, r, c, K]   spec line 17
    x37 = x25[:, :, :, None] * x36  # [z, r, c, K]   spec line 17
    x38 = x35 + x37  # [z, r, c, K]   spec line 17
    p12 = torch.einsum("zrcK,zrdK->zrcd", q_c, x16)  # [z, r, c, d]   spec line 18
    x39 = p12 * exp2  # [z, r, c, d]   spec line 18
    p13 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x39)  # [z, r, d, V]   spec line 18
    x40 = (size_K ** -0.5) * p13  # [z, r, d, V]   spec line 18
    p14 = torch.einsum("zrcK,zrKV->zrcV", x16, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x41 = x25[:, :, :, None] * p14  # [z, r, c, V]   spec line 17
    x42 = x40 + x41  # [z, r, c, V]   spec line 17
    x43 = b_c[:, :, :, None] * x42  # [z, r, c, V]   spec line 17
    x44 = torch.where(x15[:, :, :, None], x43, 0.0)  # [z, r, c, V]   spec line 17
    p15 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]   spec line 18
    x45 = p15 * exp2  # [z, r, c, d]   spec line 18
    p16 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, x45)  # [z, r, d, V]   spec line 18
    x46 = (size_K ** -0.5) * p16  # [z, r, d, V]   spec line 18
    p17 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]   spec line 17
    x47 = x25[:, :, :, None] * p17  # [z, r, c, V]   spec line 17
    x48 = x46 + x47  # [z, r, c, V]   spec line 17
    x49 = l_c[:, :, :, None] * x48  # [z, r, c, V]   spec line 17
    x50 = log == -120.0  # [z, r, c]   spec line 17
    p18 = torch.einsum("zrcK,zrcK->zrc", q_c, p)  # [z, r, c]   spec line 18
    x51 = exp * p18  # [z, r, c]   spec line 17
    x52 = (size_K ** -0.5) * x51  # [z, r, c]   spec line 17
    G3 = ops.running(x52.double(), 2, reverse=True)  # [z, r, c]   spec line 17
    x53 = exp4 * d_factor_S_rows  # [z, r]   spec line 17
    x54 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]   spec line 18
    x55 = p15 * p2  # [z, r, c, d]   spec line 18
    x56 = l_c[:, :, None] * x55  # [z, r, c, d]   spec line 18
    x57 = (size_K ** -0.5) * x56  # [z, r, c, d]   spec line 18
    x58 = p12 * p4  # [z, r, c, d]   spec line 18
    x59 = b_c[:, :, None] * x58  # [z, r, c, d]   spec line 18
    x60 = (size_K ** -0.5) * x59  # [z, r, c, d]   spec line 18
    x61 = x57 + x60  # [z, r, c, d]   spec line 18
    x62 = exp2 * x61  # [z, r, c, d]   spec line 18
    x63 = torch.where(x8, x62, 0.0)  # [z, r, c, d]   spec line 18
    G4 = ops.running(x63, 2, reverse=True)  # [z, r, c, d]   spec line 18
    x64 = torch.where(x54[:, None], G4, 0.0)  # [z, r, c, d]   spec line 18
    s2 = x64.sum(3)  # [z, r, c]   spec line 18
    p19 = torch.einsum("zrcK,zrcK->zrc", k_c, p11)  # [z, r, c]   spec line 17
    x65 = l_c * p19  # [z, r, c]   spec line 17
    p20 = torch.einsum("zrcK,zrcK->zrc", x16, p9)  # [z, r, c]   spec line 17
    x66 = b_c * p20  # [z, r, c]   spec line 17
    x67 = x65 + x66  # [z, r, c]   spec line 17
    x68 = torch.where(x, x67, 0.0)  # [z, r, c]   spec line 17
    x69 = exp3 * x68  # [z, r, c]   spec line 17
    G5 = ops.running(x69.double(), 2, exclusive=True)  # [z, r, c]   spec line 17
    x70 = s2 + G5.to(like.dtype)  # [z, r, c]   spec line 17
    x71 = x53[:, :, None] + x70  # [z, r, c]   spec line 17
    x72 = G3.to(like.dtype) + x71  # [z, r, c]   spec line 17
    x73 = torch.where(x, x72, 0.0)  # [z, r, c]   spec line 17
    x74 = 0.5 * x73  # [z, r, c]   spec line 17
    x75 = log > -120.0  # [z, r, c]   spec line 17
    x76 = torch.where(x75, x73, 0.0)  # [z, r, c]   spec line 17
    x77 = torch.where(x50, x74, x76)  # [z, r, c]   spec line 17
    x78 = ops.maximum(a_c, 1e-30)  # [z, r, c]   spec line 17
    x79 = x77 / x78  # [z, r, c]   spec line 17
    p21 = torch.einsum("zrcV,zrcV->zrc", x17, p13)  # [z, r, c]   spec line 17
    x80 = (size_K ** -0.5) * p21  # [z, r, c]   spec line 17
    p22 = torch.einsum("zrcV,zrcV->zrc", x17, p14)  # [z, r, c]   spec line 17
    x81 = x25 * p22  # [z, r, c]   spec line 17
    x82 = x80 + x81  # [z, r, c]   spec line 17
    p23 = torch.einsum("zrcV,zrcV->zrc", v_c, p16)  # [z, r, c]   spec line 17
    x83 = (size_K ** -0.5) * p23  # [z, r, c]   spec line 17
    p24 = torch.einsum("zrcV,zrcV->zrc", v_c, p17)  # [z, r, c]   spec line 17
    x84 = x25 * p24  # [z, r, c]   spec line 17
    x85 = x83 + x84  # [z, r, c]   spec line 17
    return (ops.from_tokens(rows.store([(x22, 0)], T, 0), H), ops.from_tokens(rows.store([(x33, 1), (x38, 0)], T, 1), H), ops.from_tokens(rows.store([(x44, 1), (x49, 0)], T, 1), H), ops.from_tokens(rows.store([(x79, 0)], T, 0), H), ops.from_tokens(rows.store([(x82, 0)], T, 0), H), ops.from_tokens(rows.store([(x85, 0)], T, 0), H), ops.unflat(d_old_S_44, H),)
