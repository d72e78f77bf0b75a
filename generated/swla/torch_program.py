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
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    l_c = rows.load(ops.tokens(l))  # [z, r, c]
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    written = l_c[:, :, :, None] * v_c  # [z, r, c, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    a_c = rows.load(ops.tokens(a))  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = ops.logfloor(a_c)  # [z, r, c]
    at_least = ops.maximum(logfloor, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    P = product * reach  # [z, r, c, d]
    recent = torch.einsum("zrdV,zrcd->zrcV", written, P)  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    mask3 = added >= 1.0  # [z, r, c]
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]
    key = torch.where(mask3[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product2 = torch.einsum("zrcK,zrdK->zrcd", q_c, key)  # [z, r, c, d]
    P2 = reach * product2  # [z, r, c, d]
    b_c = rows.load(ops.tokens(b))  # [z, r, c]
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked2 = torch.where(mask3[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]
    written2 = b_c[:, :, :, None] * masked2  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    recent2 = torch.einsum("zrcd,zrdV->zrcV", P2, written2)  # [z, r, c, V]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    write = k_c * decay_after[:, :, :, None]  # [z, r, c, K]
    product3 = torch.einsum("zrcV,zrcK->zrVK", written, write)  # [z, r, V, K]
    write2 = decay_after[:, :, :, None] * key  # [z, r, c, K]
    product4 = torch.einsum("zrcV,zrcK->zrVK", written2, write2)  # [z, r, V, K]
    increment_S = product3 + product4  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        scaled = old_S * decay_of_row[:, r][:, None, None]  # [z, K, V]
        next_S = scaled + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 18: read: scale * S.T @ q
    product5 = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    carried = decay[:, :, :, None] * product5  # [z, r, c, V]
    added2 = recent2 + carried  # [z, r, c, V]
    online = recent + added2  # [z, r, c, V]
    y = (size_K ** -0.5) * online  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, a, b, l, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    a_c = rows.load(ops.tokens(a))  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    logfloor = ops.logfloor(a_c)  # [z, r, c]
    at_least = ops.maximum(logfloor, -120.0)  # [z, r, c]
    log_decay = torch.where(valid, at_least, 0.0)  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    G = ops.running(log_decay.double(), 2)  # [z, r, c]
    decay = torch.exp(G.to(like.dtype))  # [z, r, c]
    scaled = decay * (size_K ** -0.5)  # [z, r, c]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part = scaled[:, :, :, None] * product  # [z, r, c, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    added = rows.offset[:, :, None] + at_c[None, None]  # [z, r, c]
    mask = added >= 1.0  # [z, r, c]
    k_c_1 = rows.load(ops.tokens(k), shift=1, delay=1)  # [z, r, c, K]
    key = torch.where(mask[:, :, :, None], k_c_1, 0.0)  # [z, r, c, K]
    b_c = rows.load(ops.tokens(b))  # [z, r, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    # spec line 18: read: scale * S.T @ q
    mask2 = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask3 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask2[:, None] & mask3[:, :, None]  # [z, r, c, d]
    gap = G[:, :, :, None] - G[:, :, None]  # [z, r, c, d]
    masked = torch.where(earlier, gap, -10000.0)  # [z, r, c, d]
    reach = torch.exp(masked.to(like.dtype))  # [z, r, c, d]
    v_c_1 = rows.load(ops.tokens(v), shift=1, delay=1)  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    masked2 = torch.where(mask[:, :, :, None], v_c_1, 0.0)  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    product2 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, masked2)  # [z, r, c, d]
    scaled2 = reach * product2  # [z, r, c, d]
    scaled3 = b_c[:, :, None] * scaled2  # [z, r, c, d]
    product3 = torch.einsum("zrdK,zrcd->zrcK", key, scaled3)  # [z, r, c, K]
    d_q_part2 = (size_K ** -0.5) * product3  # [z, r, c, K]
    d_q_part3 = d_q_part + d_q_part2  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k), shift=0, delay=1)  # [z, r, c, K]
    l_c = rows.load(ops.tokens(l))  # [z, r, c]
    v_c = rows.load(ops.tokens(v), shift=0, delay=1)  # [z, r, c, V]
    product4 = torch.einsum("zrcV,zrdV->zrcd", d_y_c, v_c)  # [z, r, c, d]
    scaled4 = reach * product4  # [z, r, c, d]
    scaled5 = l_c[:, :, None] * scaled4  # [z, r, c, d]
    product5 = torch.einsum("zrdK,zrcd->zrcK", k_c, scaled5)  # [z, r, c, K]
    d_q_part4 = (size_K ** -0.5) * product5  # [z, r, c, K]
    d_q = d_q_part3 + d_q_part4  # [z, r, c, K]
    scaled6 = (size_K ** -0.5) * l_c  # [z, r, d]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product6 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled4)  # [z, r, d, K]
    scaled7 = scaled6[:, :, :, None] * product6  # [z, r, d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    G_after = ops.running(log_decay.double(), 2, reverse=True, exclusive=True)  # [z, r, c]
    exp = torch.exp(G_after.to(like.dtype))  # [z, r, c]
    decay_after = torch.where(valid, exp, 0.0)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    # spec line 18: read: scale * S.T @ q
    scaled8 = decay[:, :, :, None] * d_y_c  # [z, r, c, V]
    product7 = torch.einsum("zrcK,zrcV->zrKV", q_c, scaled8)  # [z, r, K, V]
    scaled9 = (size_K ** -0.5) * product7  # [z, r, K, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    total = log_decay.sum(2)  # [z, r]
    decay_of_row = torch.exp(total)  # [z, r]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        d_old_S2 = decay_of_row[:, r][:, None, None] * d_old_S  # [z, K, V]
        added2 = d_old_S2 + scaled9[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_old_S
        d_old_S = added2
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_old_S_starts = ops.stacked(d_old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    product8 = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_write = l_c[:, :, :, None] * product8  # [z, r, c, K]
    d_k_part = decay_after[:, :, :, None] * d_write  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    d_k = scaled7 + d_k_part  # [z, r, c, K]
    scaled10 = (size_K ** -0.5) * b_c  # [z, r, d]
    product9 = torch.einsum("zrcK,zrcd->zrdK", q_c, scaled2)  # [z, r, d, K]
    scaled11 = scaled10[:, :, :, None] * product9  # [z, r, d, K]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product10 = torch.einsum("zrcV,zrKV->zrcK", masked2, d_write_S_rows)  # [z, r, c, K]
    d_write2 = b_c[:, :, :, None] * product10  # [z, r, c, K]
    d_key_part = decay_after[:, :, :, None] * d_write2  # [z, r, c, K]
    d_key = scaled11 + d_key_part  # [z, r, c, K]
    d_k2 = torch.where(mask[:, :, :, None], d_key, 0.0)  # [z, r, c, K]
    # spec line 18: read: scale * S.T @ q
    product11 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = product11 * reach  # [z, r, c, d]
    product12 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, P)  # [z, r, d, V]
    scaled12 = (size_K ** -0.5) * product12  # [z, r, d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product13 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_written_part = decay_after[:, :, :, None] * product13  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    d_written = scaled12 + d_written_part  # [z, r, c, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_v = l_c[:, :, :, None] * d_written  # [z, r, c, V]
    # spec line 18: read: scale * S.T @ q
    product14 = torch.einsum("zrcK,zrdK->zrcd", q_c, key)  # [z, r, c, d]
    P2 = reach * product14  # [z, r, c, d]
    product15 = torch.einsum("zrcV,zrcd->zrdV", d_y_c, P2)  # [z, r, d, V]
    scaled13 = (size_K ** -0.5) * product15  # [z, r, d, V]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product16 = torch.einsum("zrcK,zrKV->zrcV", key, d_write_S_rows)  # [z, r, c, V]
    d_written_part2 = decay_after[:, :, :, None] * product16  # [z, r, c, V]
    d_written2 = scaled13 + d_written_part2  # [z, r, c, V]
    scaled14 = b_c[:, :, :, None] * d_written2  # [z, r, c, V]
    d_v2 = torch.where(mask[:, :, :, None], scaled14, 0.0)  # [z, r, c, V]
    mask4 = logfloor == -120.0  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    mask5 = at_d[None, None] < at_c[None, :, None]  # [z, c, d]
    scaled15 = product11 * product4  # [z, r, c, d]
    scaled16 = l_c[:, :, None] * scaled15  # [z, r, c, d]
    d_reach_part = (size_K ** -0.5) * scaled16  # [z, r, c, d]
    scaled17 = product14 * product2  # [z, r, c, d]
    scaled18 = (size_K ** -0.5) * scaled17  # [z, r, c, d]
    d_reach_part2 = b_c[:, :, None] * scaled18  # [z, r, c, d]
    d_reach = d_reach_part + d_reach_part2  # [z, r, c, d]
    scaled19 = reach * d_reach  # [z, r, c, d]
    d_gap = torch.where(earlier, scaled19, 0.0)  # [z, r, c, d]
    running = ops.running(d_gap, 2, reverse=True)  # [z, r, c, d]
    masked3 = torch.where(mask5[:, None], running, 0.0)  # [z, r, c, d]
    d_log_decay_part = masked3.sum(3)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    d_factor_S = torch.einsum("zrKV,zrKV->zr", saved_S_z, d_old_S_starts)  # [z, r]
    d_log_decay_part2 = decay_of_row * d_factor_S  # [z, r]
    # spec line 18: read: scale * S.T @ q
    product17 = torch.einsum("zrcK,zrcK->zrc", q_c, product)  # [z, r, c]
    scaled20 = decay * product17  # [z, r, c]
    d_G = (size_K ** -0.5) * scaled20  # [z, r, c]
    d_log_decay_part3 = ops.running(d_G.double(), 2, reverse=True)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    product18 = torch.einsum("zrcK,zrcK->zrc", k_c, product8)  # [z, r, c]
    d_decay_after_part = l_c * product18  # [z, r, c]
    product19 = torch.einsum("zrcK,zrcK->zrc", key, product10)  # [z, r, c]
    d_decay_after_part2 = b_c * product19  # [z, r, c]
    d_decay_after = d_decay_after_part + d_decay_after_part2  # [z, r, c]
    masked4 = torch.where(valid, d_decay_after, 0.0)  # [z, r, c]
    d_G_after = exp * masked4  # [z, r, c]
    d_log_decay_part4 = ops.running(d_G_after.double(), 2, exclusive=True)  # [z, r, c]
    d_log_decay_part5 = d_log_decay_part3.to(like.dtype) + d_log_decay_part4.to(like.dtype)  # [z, r, c]
    d_log_decay_part6 = d_log_decay_part2[:, :, None] + d_log_decay_part5  # [z, r, c]
    # spec line 18: read: scale * S.T @ q
    d_log_decay = d_log_decay_part + d_log_decay_part6  # [z, r, c]
    masked5 = torch.where(valid, d_log_decay, 0.0)  # [z, r, c]
    scaled21 = 0.5 * masked5  # [z, r, c]
    mask6 = logfloor > -120.0  # [z, r, c]
    masked6 = torch.where(mask6, masked5, 0.0)  # [z, r, c]
    masked7 = torch.where(mask4, scaled21, masked6)  # [z, r, c]
    # spec line 17: S: a * S + b * outer(delay(k, 1), delay(v, 1)) + l * outer(k, v)
    mask7 = a_c < 0.0  # [z, r, c]
    at_most = ops.minimum(a_c, -1e-30)  # [z, r, c]
    at_least2 = ops.maximum(a_c, 1e-30)  # [z, r, c]
    masked8 = torch.where(mask7, at_most, at_least2)  # [z, r, c]
    d_a = masked7 / masked8  # [z, r, c]
    product20 = torch.einsum("zrcd,zrcd->zrd", product14, scaled2)  # [z, r, d]
    scaled22 = (size_K ** -0.5) * product20  # [z, r, c]
    scaled23 = decay_after * product19  # [z, r, c]
    d_b = scaled22 + scaled23  # [z, r, c]
    product21 = torch.einsum("zrcd,zrcd->zrd", product11, scaled4)  # [z, r, d]
    scaled24 = (size_K ** -0.5) * product21  # [z, r, c]
    scaled25 = decay_after * product18  # [z, r, c]
    d_l = scaled24 + scaled25  # [z, r, c]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0), (d_k2, 1)], T, 1), H), ops.from_tokens(rows.store([(d_v, 0), (d_v2, 1)], T, 1), H), ops.from_tokens(rows.store([(d_a, 0)], T, 0), H), ops.from_tokens(rows.store([(d_b, 0)], T, 0), H), ops.from_tokens(rows.store([(d_l, 0)], T, 0), H), ops.unflat(d_old_S, H),)
