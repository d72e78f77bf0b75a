"""linear_attention in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, state_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    # spec line 15: read: scale * S.T @ q
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = torch.where(earlier, product, 0.0)  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    recent = torch.einsum("zrcd,zrdV->zrcV", P, v_c)  # [z, r, c, V]
    state_S_z = ops.flat(state_S)  # [z, K, V]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    # spec line 14: S: S + outer(k, v)
    inside = ops.where(valid, 1.0, 0.0, like)  # [z, r, c]
    write = k_c * inside[:, :, :, None]  # [z, r, c, K]
    increment_S = torch.einsum("zrcV,zrcK->zrVK", v_c, write)  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        next_S = old_S + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    # spec line 15: read: scale * S.T @ q
    carried = torch.einsum("zrcK,zrKV->zrcV", q_c, old_S_starts)  # [z, r, c, V]
    online = recent + carried  # [z, r, c, V]
    y = (size_K ** -0.5) * online  # [z, r, c, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H),)
    return results + (ops.unflat(old_S_starts, H),) if save else results

def backward(q, k, v, state_S, table, saved_S, d_y, d_new_state_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    rows = ops.Rows(table, q, -1, chunk)
    z, R = rows.z, rows.rows
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    # spec line 15: read: scale * S.T @ q
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    product = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]
    d_P = (size_K ** -0.5) * product  # [z, r, c, d]
    masked = torch.where(earlier, d_P, 0.0)  # [z, r, c, d]
    d_q_part = torch.einsum("zrdK,zrcd->zrcK", k_c, masked)  # [z, r, c, K]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part2 = (size_K ** -0.5) * product2  # [z, r, c, K]
    d_q = d_q_part + d_q_part2  # [z, r, c, K]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product3 = torch.einsum("zrcK,zrcd->zrdK", q_c, masked)  # [z, r, d, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    # spec line 14: S: S + outer(k, v)
    inside = ops.where(valid, 1.0, 0.0, like)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    # spec line 15: read: scale * S.T @ q
    product4 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]
    scaled = (size_K ** -0.5) * product4  # [z, r, K, V]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 14: S: S + outer(k, v)
        added = d_old_S + scaled[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_old_S
        d_old_S = added
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_write = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_k_part = inside[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = product3 + d_k_part  # [z, r, c, K]
    # spec line 15: read: scale * S.T @ q
    product5 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = torch.where(earlier, product5, 0.0)  # [z, r, c, d]
    product6 = torch.einsum("zrcd,zrcV->zrdV", P, d_y_c)  # [z, r, d, V]
    scaled2 = (size_K ** -0.5) * product6  # [z, r, d, V]
    # spec line 14: S: S + outer(k, v)
    product7 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_v_part = inside[:, :, :, None] * product7  # [z, r, c, V]
    d_v = scaled2 + d_v_part  # [z, r, c, V]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.unflat(d_old_S, H),)
